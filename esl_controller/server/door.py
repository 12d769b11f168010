"""The port through which FreeSWITCH's calls come.

It is shut for a while when no call could be taken. If a host refuses the connection, FreeSWITCH's
``socket A|B`` tries B at once; if A accepts and then closes, B is not tried
(docs/design/freeswitch.md#the-outbound-socket).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from esl_controller.config.settings import EslSettings
from esl_controller.freeswitch.reader import BLOCK_LIMIT

REOPEN_S = 1.0  # until the port is tried again, if somebody else has taken it meanwhile

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]

log = structlog.stdlib.get_logger(__name__)


class Door:
    """``accept`` gets each connection. ``port``: where it listens, once it was opened.

    ``await keep()`` in a task of its own opens it again after ``shut``.
    """

    def __init__(self, settings: EslSettings, accept: Accept) -> None:
        self.port = settings.port
        self.closed = False  # for good
        self._settings = settings
        self._accept = accept
        self._server: asyncio.Server | None = None
        self._reasons: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether a call could come in now."""
        return self._server is not None and self._server.is_serving()

    @property
    def why_shut(self) -> str:
        """Why no call is taken; empty if calls are."""
        return "the controller is stopping" if self.closed else ", ".join(sorted(self._reasons))

    async def open(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        self._server = await asyncio.start_server(
            self._accept,
            self._settings.host,
            self.port,
            limit=BLOCK_LIMIT,
            reuse_port=self._settings.share or None,
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    def shut(self, reason: str) -> None:
        """Refuse connections, those that wait to be accepted included, until this ``reason`` and
        all others are lifted."""
        if reason not in self._reasons:
            log.info("no more calls are taken for now", reason=reason)
            self._reasons.add(reason)
        if self._server is not None:
            self._server.close()

    def lift(self, reason: str) -> None:
        """``reason`` no longer keeps it shut, if it did."""
        self._reasons.discard(reason)
        self._changed.set()

    def close(self) -> None:
        """Refuse connections for good."""
        self.closed = True
        if self._server is not None:
            self._server.close()

    async def wait_closed(self) -> None:
        """Wait until nothing of it is left."""
        if self._server is not None:
            await self._server.wait_closed()

    async def keep(self) -> None:
        """Open it again whenever no reason keeps it shut, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.is_open or self._reasons or self.closed:
                continue
            try:
                await self.open()
            except OSError as error:
                log.warning("the port cannot be opened again", port=self.port, reason=str(error))
                await asyncio.sleep(REOPEN_S)
                self._changed.set()
                continue
            if self._reasons or self.closed:  # by now
                assert self._server is not None
                self._server.close()
            else:
                log.info("new calls are taken again")
