"""What FreeSWITCH says of a call when it hands it over. [core]"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_G711 = frozenset({"PCMU", "PCMA"})


@dataclass(frozen=True)
class Channel:
    """What the reply to ``connect`` says of the call (captures/conversation.jsonl)."""

    uuid: str
    domain_uuid: str
    secretary_uuid: str
    caller: str
    number: str
    context: str
    codec: str
    rate: int
    answered: bool
    variables: Mapping[str, str] = field(repr=False)
    created_us: int = 0  # microseconds of Unix time, by the switch's clock
    now_us: int = 0

    @property
    def media_path(self) -> str:
        """The path of its media WebSocket. A dialplan that sets no valid domain_uuid gets zeros."""
        domain = self.domain_uuid if _UUID.fullmatch(self.domain_uuid) else str(UUID(int=0))
        return f"/stream/{domain}/{self.uuid}"

    @property
    def away_s(self) -> float:
        """How long ago the call lost a controller, by the switch's clock; 0 where the dialplan does
        not say (``controller_lost_at``, see freeswitch/dialplan)."""
        lost = self.variables.get("controller_lost_at", "")
        if not (lost.isdecimal() and self.now_us):
            return 0.0
        return max(0.0, (self.now_us - int(lost)) / 1e6)

    @property
    def returns(self) -> int:
        """How often the call has come back from a transfer, as ``Switch.transfer`` counts."""
        return _number(self.variables.get("controller_returns"))

    @property
    def elsewhere_s(self) -> float:
        """How long ago the last of these transfers was, by the switch's clock; 0 without one."""
        left_us = _number(self.variables.get("controller_left_at"))
        return max(0.0, (self.now_us - left_us) / 1e6) if left_us else 0.0

    @property
    def unreached(self) -> str:
        """Why nobody answered where the call was bridged to last, a cause; empty: somebody did."""
        disposition = self.variables.get("originate_disposition", "SUCCESS")
        return "" if disposition == "SUCCESS" else disposition

    @property
    def age_s(self) -> float:
        """How old the call is, by the switch's clock."""
        return max(0.0, (self.now_us - self.created_us) / 1e6)

    @property
    def is_g711(self) -> bool:
        """Whether the caller's own codec is G.711: more than 8 kHz cannot be heard or said."""
        return self.codec in _G711

    @classmethod
    def parse(cls, headers: Mapping[str, Any]) -> Channel:
        """Raises ValueError where the reply is not that of a channel."""
        uuid = one(headers.get("Unique-ID"))
        if not _UUID.fullmatch(uuid):
            raise ValueError(f"not an outbound Event Socket connection: Unique-ID is {uuid!r}")
        variables = {
            name.removeprefix("variable_"): one(value)
            for name, value in headers.items()
            if name.startswith("variable_")
        }
        name, rate = codec(headers)
        return cls(
            uuid=uuid,
            domain_uuid=variables.get("domain_uuid", ""),
            secretary_uuid=variables.get("secretary_uuid", ""),
            caller=one(headers.get("Caller-Caller-ID-Number")),
            number=one(headers.get("Caller-Destination-Number")),
            context=one(headers.get("Caller-Context")),
            codec=name,
            rate=rate,
            answered=one(headers.get("Answer-State")) == "answered",
            variables=variables,
            created_us=_number(headers.get("Caller-Channel-Created-Time")),
            now_us=_number(headers.get("Event-Date-Timestamp")),
        )


def one(value: object) -> str:
    """A header's value; its first one where the header came twice."""
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    text = one(value)
    return int(text) if text.isdecimal() else 0


def codec(headers: Mapping[str, Any]) -> tuple[str, int]:
    """The caller's codec and its rate in Hz; empty and 0 before it is negotiated."""
    rate = one(headers.get("Channel-Read-Codec-Rate"))
    name = one(headers.get("Channel-Read-Codec-Name")).upper()
    return name, int(rate) if rate.isascii() and rate.isdigit() else 0
