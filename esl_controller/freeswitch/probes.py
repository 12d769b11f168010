"""The test legs of ``esl-controller doctor``, as a running controller meets them.

Only FreeSWITCH itself can show whether it reaches us, so the doctor has it dial us with a leg on
which nobody is. The leg carries a token in the variable ``controller_probe``. The controller takes
it, tells it our version and media URL, lets it open a media WebSocket with the token, and keeps it
out of calls, record and deliveries.
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
    """Does nothing with the stream: that it connects is enough."""

    def stream_opened(self) -> None: ...

    def stream_audio(self, data: bytes) -> None: ...

    def stream_text(self, text: str) -> None: ...

    def stream_closed(self, code: int) -> None: ...


class Probes:
    """The live probes. ``media_url``: what FreeSWITCH dials for the stream, without a path."""

    def __init__(self) -> None:
        self.media_url = ""
        self._live: dict[str, ExpectedStream] = {}

    @contextmanager
    def live(self, channel: Channel) -> Iterator[None]:
        """Expect a stream of the probe ``channel`` within the block."""
        self._live[channel.media_path] = ExpectedStream(_Silent(), channel.variables[VARIABLE])
        try:
            yield
        finally:
            del self._live[channel.media_path]

    async def introduce(self, switch: SwitchConnection) -> None:
        """Set our version and media URL as variables of the channel, and answer: once it is
        answered, they are set. Raises SwitchError."""
        await switch.set_variable(VERSION, version("esl-controller"))
        await switch.set_variable(MEDIA_URL, self.media_url)
        await switch.answer()

    def expected_stream(self, path: str) -> ExpectedStream | None:
        """The stream of the live probe whose media path this is."""
        return self._live.get(path)
