"""Genesis, as far as we use it: whatever speaks the Event Socket imports it from here.

Genesis also imports a web server, for health checks of its own command line, and a client for
Redis. We use neither, and they are a fifth of a start, for which the callers of a controller that
was killed have to wait: so they are kept out.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

_UNUSED: Final = ("genesis.observability.server", "redis", "redis.asyncio")


class _KeptOut(ModuleType):
    """Stands where a module would; whatever is imported from it is None."""

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
        del sys.modules[_name]  # whoever else wants it gets it

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
