"""How a GPT-Live session begins: what it is told of the call. [core]"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esl_controller.call.agent import Called, History, Said
from esl_controller.secretaries.persona import Persona
from media.frame import Format

if TYPE_CHECKING:
    from openai.types.live.audio_format_param import AudioFormatParam
    from openai.types.live.client_event_param import ClientEventParam
    from openai.types.live.initial_item_param import InitialItemParam

HISTORY_ITEMS = 128  # the API takes no more
HISTORY_CHARACTERS = 16_000  # the API takes 8,192 tokens, of two characters or more in any language

_DELEGATE = """

# What you can have done
Another model does this for you: delegate to it as soon as the caller wants one of these things.
Never say that it is done before you are told so. Whatever the list says, do not say goodbye and do
not announce a transfer by yourself: you are told when, and with which words."""


def start(
    persona: Persona, history: History, audio: Format, backend_model: str
) -> ClientEventParam:
    """The event that starts a session."""
    form: AudioFormatParam
    if audio.encoding == "pcm":
        form = {"type": "audio/pcm", "rate": 24000}
    else:
        form = {"type": "audio/pcmu", "rate": 8000}
    return {
        "type": "session.start",
        "session": {
            "model": persona.model,
            "instructions": _instructions(persona),
            "input": _items(history),
            "audio": {"format": form, "output": {"voice": persona.voice}},
            "delegation": {
                "type": "responses",
                "responses": {
                    "model": backend_model,
                    "instructions": persona.instructions,
                    "tools": [
                        {
                            "type": "function",
                            "name": tool.name,
                            "description": tool.description,
                            "parameters": dict(tool.parameters),
                        }
                        for tool in persona.tools
                    ],
                },
            },
        },
    }


def _instructions(persona: Persona) -> str:
    """For the model that speaks, which does not see the tools."""
    if not persona.tools:
        return persona.instructions
    functions = "".join(f"\n- {tool.name}: {tool.description}" for tool in persona.tools)
    return persona.instructions + _DELEGATE + functions


def _items(history: History) -> list[InitialItemParam]:
    """As much of the end of ``history`` as the API takes, oldest first."""
    items: list[InitialItemParam] = []
    room = HISTORY_CHARACTERS
    for entry in reversed(history[-HISTORY_ITEMS:]):
        text = words(entry)
        if isinstance(entry, Called) and len(text) > room:
            text = f"The function {entry.name} was called; its result is too long to be repeated."
        text = text[:room]
        room -= len(text)
        if not text:
            continue
        if isinstance(entry, Called):
            items.append({"role": "developer", "content": [{"type": "input_text", "text": text}]})
        elif entry.who == "caller":
            items.append({"role": "user", "content": [{"type": "input_text", "text": text}]})
        else:
            items.append({"role": "assistant", "content": [{"type": "output_text", "text": text}]})
    return items[::-1]


def words(entry: Said | Called) -> str:
    """What the model is told of something that was said or done."""
    if isinstance(entry, Said):
        return entry.text
    return f"The function {entry.name} was called with {entry.arguments}: {entry.output}"
