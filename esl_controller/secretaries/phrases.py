"""Our own sentences, for secretaries that have none. [core]"""

from __future__ import annotations

from collections.abc import Mapping

FAREWELLS = {
    "en": "Thank you for calling. Goodbye!",
    "pt": "Obrigada por ligar. Até logo!",
    "es": "Gracias por llamar. ¡Hasta luego!",
}

CLOSED = {
    "en": "Hello! We are closed at the moment.",
    "pt": "Olá! No momento estamos fechados.",
    "es": "¡Hola! En este momento estamos cerrados.",
}


def phrase(phrases: Mapping[str, str], language: str) -> str:
    """The sentence for a language tag; the English one if there is none."""
    return phrases.get(language.partition("-")[0].lower(), phrases["en"])
