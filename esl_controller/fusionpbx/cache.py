"""FusionPBX's cache of a context's dialplan: one key, in a file or in memcache.

The key is ``dialplan:CONTEXT``, the file's name is the same with a dot. When a key is dropped, an
event tells the other nodes; with files it carries the file's name
(docs/design/fusionpbx.md#the-cache).
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from esl_controller.fusionpbx.config import Config
from esl_controller.fusionpbx.errors import FusionError


@dataclass(frozen=True)
class Cached:
    """What the cache holds, and since when (None: memcache does not tell)."""

    text: str
    at: datetime | None


def key(context: str) -> str:
    """The key of a context. Raises FusionError for a name that no domain's context can have."""
    if not re.fullmatch(r"[\w*#+.@-]{1,64}", context, re.ASCII) or context == "global":
        raise FusionError(
            f"the context {context!a} has no cache of its own: flush the cache in FusionPBX"
            " (Status, SIP Status)"
        )
    return f"dialplan:{context}"


def file_of(config: Config, context: str) -> Path:
    """The file of a context. Raises FusionError."""
    return config.cache_location / key(context).replace(":", ".")


def remove_file(config: Config, context: str) -> bool:
    """Remove the context's file and no other; whether there was one. Raises FusionError."""
    path = file_of(config, context)
    if not config.cache_location.is_dir():
        raise FusionError(f"there is no {config.cache_location} on this machine")
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            raise FusionError(f"{path} is a directory")
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FusionError(f"{path} cannot be removed: {error.strerror}") from None
    return True


def read_file(config: Config, context: str) -> Cached | None:
    """What the context's file holds; None if there is no file. Raises FusionError."""
    path = file_of(config, context)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        return Cached(text, datetime.fromtimestamp(path.stat().st_mtime, UTC))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FusionError(f"{path} cannot be read: {error.strerror}") from None
