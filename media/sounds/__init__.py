"""Speech that comes with the package: 16-bit mono WAV files, one folder per language.

README.md beside this file says how they were made. ``music`` makes the hold music. Imports
``media.frame`` only; what is said when is decided elsewhere.
"""

from __future__ import annotations

import wave
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np

from media.frame import Samples

LANGUAGES: Final = ("en", "pt-BR")
NAMES: Final = ("greeting", "sorry", "moment", "back", "caller", "caller_interrupts")

_WORDS: Final = {
    ("greeting", "en"): "Hello, you have reached the demo receptionist. How can I help you today?",
    ("sorry", "en"): "I am sorry, we have a technical problem. Please call again in a moment."
    " Goodbye.",
    ("moment", "en"): "One moment please, I will be right with you.",
    ("moment", "pt-BR"): "Um momento, por favor. Já volto a falar com você.",
    ("back", "en"): "Sorry, I am back.",
    ("back", "pt-BR"): "Desculpe, voltei.",
    ("caller", "en"): "Good morning. I would like to book an appointment for Tuesday.",
    ("caller_interrupts", "en"): "Sorry, one moment please.",
    ("greeting", "pt-BR"): "Olá, você ligou para a recepção de demonstração. Como posso ajudar?",
    ("sorry", "pt-BR"): "Desculpe, temos um problema técnico. Ligue novamente em instantes."
    " Até logo.",
    ("caller", "pt-BR"): "Bom dia. Eu gostaria de marcar uma consulta para terça-feira.",
    ("caller_interrupts", "pt-BR"): "Desculpe, um momento, por favor.",
}


def language_of(tag: str) -> str:
    """The bundled language nearest to a BCP 47 tag: "pt" and "pt_PT" give "pt-BR", others "en"."""
    wanted = tag.replace("_", "-").lower()
    for language in LANGUAGES:
        if language.lower() == wanted:
            return language
    primary = wanted.partition("-")[0]
    return next((language for language in LANGUAGES if language.split("-")[0] == primary), "en")


def load(name: str, language: str = "en") -> tuple[Samples, int]:
    """The samples of a bundled sound, shape (n,), read-only, and their rate in Hz.

    `name` is one of NAMES; `language` any BCP 47 tag (see `language_of`).
    Raises KeyError for a name that is not bundled.
    """
    if name not in NAMES:
        raise KeyError(f"no bundled sound {name!r}; there are {', '.join(NAMES)}")
    return _read(name, language_of(language))


def transcript(name: str, language: str = "en") -> str:
    """The words of a bundled sound. Raises KeyError as `load` does."""
    if name not in NAMES:
        raise KeyError(f"no bundled sound {name!r}; there are {', '.join(NAMES)}")
    return _WORDS[name, language_of(language)]


@cache
def _read(name: str, language: str) -> tuple[Samples, int]:
    resource = files(__name__).joinpath(language, f"{name}.wav")
    with resource.open("rb") as file, wave.open(file) as sound:
        if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
            raise ValueError(f"{resource} is not 16-bit mono")
        # From bytes, the array is read-only: one copy serves every call.
        samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
        return samples.astype(np.int16, copy=False), sound.getframerate()
