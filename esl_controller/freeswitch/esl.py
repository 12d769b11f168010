"""Genesis, as far as we use it: whatever speaks the Event Socket imports it from here.

Genesis also imports a web server, for the health checks of its own command line, and a client for
Redis. We use neither, and importing them takes a fifth of a start, for which callers wait if the
controller before us was killed. So empty modules stand in for them while Genesis is imported.
tests/freeswitch/test_esl.py fails when Genesis imports something else.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

_UNUSED: Final = ("genesis.observability.server", "redis", "redis.asyncio")


class _KeptOut(ModuleType):
    """An empty module; whatever is imported from it is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


_kept_out = {name: _KeptOut(name) for name in _UNUSED if name not in sys.modules}
sys.modules.update(_kept_out)
try:
    from genesis import ESLEvent, Inbound, Session
    from genesis.exceptions import (
        AuthenticationError,
        CommandStage,
        ConnectionLost,
        ConnectionTimeoutError,
        GenesisError,
    )
    from genesis.observability.logger import logger
finally:
    for _name in _kept_out:
        del sys.modules[_name]  # whoever imports it later gets the real one

__all__ = [
    "AuthenticationError",
    "CommandStage",
    "ConnectionLost",
    "ConnectionTimeoutError",
    "ESLEvent",
    "GenesisError",
    "Inbound",
    "Session",
    "logger",
]
