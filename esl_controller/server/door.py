"""The port through which FreeSWITCH's calls come.

It is shut for a while when no call could be taken. If a host refuses the connection, FreeSWITCH's
``socket A|B`` tries B at once; if A accepts and then closes, B is not tried
(docs/design/freeswitch.md#the-outbound-socket). Nobody knows who comes before the connection is
accepted, so where only new calls are to be refused, the port stays open for as long as calls of
ours are about to come back, and whoever lets them in looks at each.
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
    """``accept`` gets each connection. ``awaits`` tells whether calls of ours are about to come
    back; ``mind`` must be called when that changes. ``port``: where it listens, once it was opened.

    ``await keep()`` in a task of its own opens it again after ``shut``.
    """

    def __init__(
        self, settings: EslSettings, accept: Accept, awaits: Callable[[], bool] = lambda: False
    ) -> None:
        self.port = settings.port
        self.closed = False  # for good
        self._settings = settings
        self._accept = accept
        self._awaits = awaits
        self._server: asyncio.Server | None = None
        self._reasons: dict[str, bool] = {}  # and whether each keeps calls of ours out, too
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether a new call could come in now."""
        return self._listens and not self._reasons

    @property
    def why_shut(self) -> str:
        """Why no new call is taken; empty if they are."""
        return "the controller is stopping" if self.closed else ", ".join(sorted(self._reasons))

    @property
    def shut_to_all(self) -> bool:
        """Whether calls of ours that come back are not taken, either."""
        return self.closed or any(self._reasons.values())

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

    def shut(self, reason: str, *, to_all: bool = True) -> None:
        """Refuse connections, those that wait to be accepted included, until this ``reason`` and
        all others are lifted. Unless ``to_all``, those of calls that are ours go on."""
        if reason not in self._reasons:
            log.info("no more calls are taken for now", reason=reason)
            self._reasons[reason] = to_all
        self.mind()

    def lift(self, reason: str) -> None:
        """``reason`` no longer keeps it shut, if it did."""
        if self._reasons.pop(reason, None) is not None and not self.why_shut:
            log.info("new calls are taken again")
        self.mind()

    def close(self) -> None:
        """Refuse connections for good."""
        self.closed = True
        self.mind()

    def mind(self) -> None:
        """Open or close the port, as is right by now."""
        if self._should_listen:
            self._changed.set()
        elif self._server is not None:
            self._server.close()

    async def wait_closed(self) -> None:
        """Wait until nothing of it is left."""
        if self._server is not None:
            await self._server.wait_closed()

    async def keep(self) -> None:
        """Open it again whenever nothing keeps it shut, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._listens or not self._should_listen:
                continue
            try:
                await self.open()
            except OSError as error:
                log.warning("the port cannot be opened again", port=self.port, reason=str(error))
                await asyncio.sleep(REOPEN_S)
                self._changed.set()
                continue
            self.mind()  # it may have to be shut by now

    @property
    def _listens(self) -> bool:
        return self._server is not None and self._server.is_serving()

    @property
    def _should_listen(self) -> bool:
        return not self.shut_to_all and (not self._reasons or self._awaits())
