"""The test legs of ``esl-controller doctor``: taken like a call, and no call.

The doctor has FreeSWITCH dial us, for only that shows whether it can. Such a leg carries the
variable ``controller_probe``, a token. It is told who took it and where the media is, may open a
media WebSocket with that token, and leaves no trace in the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from media.stream import ExpectedStream

VARIABLE = "controller_probe"
VERSION = "controller_version"
MEDIA_URL = "controller_media_url"


class _Silent:
    """A listener to whom it is enough that somebody connects."""

    def stream_opened(self) -> None: ...

    def stream_audio(self, data: bytes) -> None: ...

    def stream_text(self, text: str) -> None: ...

    def stream_closed(self, code: int) -> None: ...


class Probes:
    """Those that are live. ``media_url``: what FreeSWITCH dials for the media, without a path."""

    def __init__(self) -> None:
        self.media_url = ""
        self._live: dict[str, ExpectedStream] = {}

    @contextmanager
    def live(self, channel: Channel) -> Iterator[None]:
        """Let the probe ``channel`` stream within the block."""
        self._live[channel.media_path] = ExpectedStream(_Silent(), channel.variables[VARIABLE])
        try:
            yield
        finally:
            del self._live[channel.media_path]

    async def introduce(self, switch: SwitchConnection) -> None:
        """Say who we are, by variables of the channel; the answer that follows is the signal that
        they are set. Raises SwitchError."""
        await switch.set_variable(VERSION, version("esl-controller"))
        await switch.set_variable(MEDIA_URL, self.media_url)
        await switch.answer()

    def expected_stream(self, path: str) -> ExpectedStream | None:
        """The live probe whose media path this is."""
        return self._live.get(path)
