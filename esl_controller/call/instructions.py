"""What the model is told to say or do, in our words. [core]

In English, whatever language the caller speaks: the model translates what is not to be said word
for word.
"""

from __future__ import annotations

CONTINUE = "You were cut off while you spoke. Go on from there, without a greeting or an apology."
ANSWER_NOW = "Answer what the caller said last."
ASK_AGAIN = "You could not hear what the caller said last. Apologise in a few words and ask again."
WORDS_LOST = (
    "(The caller said something here, and the words are lost. Do not guess them: if you need them,"
    " ask.)"
)
SPEAK_NOW = (
    "You have called many functions, and the caller has waited long enough. Tell the caller now"
    " what you have found out, or what could not be done."
)
STILL_THERE = "Ask in a few words whether the caller is still there."


def verbatim(words: str) -> str:
    """To say ``words``, which are in the secretary's language."""
    return f"Say exactly this to the caller, and nothing else: {words}"


def greeting(words: str) -> str:
    """To begin the conversation with ``words``."""
    return f"Greet the caller. {verbatim(words)}"


def limit_warning(seconds: float) -> str:
    """To announce that the call has to end in ``seconds``."""
    return f"Tell the caller kindly that this call has to end in {seconds:g} seconds."


def transfer_announcement(destination: str) -> str:
    """To announce a transfer to ``destination``, a destination's name."""
    return f"Say that you now connect the caller to {destination}."


def keys_pressed(keys: str) -> str:
    """What the model is told of keys that it did not ask for."""
    return f"(The caller pressed {keys} on the telephone's keypad.)"


def caller_returned(destination: str, unreached: str, *, instead: str = "") -> str:
    """To receive a caller who comes back from a transfer to ``destination``; ``unreached`` is
    FreeSWITCH's cause if nobody could be reached there, otherwise empty; ``instead`` the same where
    a mailbox or an announcement answered."""
    if instead:
        return (
            f"The caller is back with you now, without having spoken to {destination}:"
            f" {_why(instead)}, and a mailbox or an announcement answered. Ask in a few words"
            " whether there is anything else."
        )
    if not unreached:
        return (
            f"The caller was connected to {destination} and is back with you now. Ask in a few"
            " words whether there is anything else."
        )
    return (
        f"The caller is back with you now, without having spoken to {destination}:"
        f" {_why(unreached)}. Say so in a few words, and ask how else you can help."
    )


def _why(cause: str) -> str:
    return _UNREACHED.get(cause, "the call could not be connected")


_UNREACHED = {
    "USER_NOT_REGISTERED": "the telephone there is not connected",
    "USER_BUSY": "the line is busy",
    "NO_ANSWER": "nobody answered",
    "NO_USER_RESPONSE": "nobody answered",
    "CALL_REJECTED": "the call was declined",
}
