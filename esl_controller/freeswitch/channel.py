"""What FreeSWITCH tells us of a channel when it hands us the call. [core]

That is the reply to ``connect``: some 200 headers, of which a few dozen are the channel's variables
(captures/conversation.jsonl). The variables ``controller_*`` are written by our own extension
(``dialplan.py``): they carry what must outlive a controller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from esl_controller.call.hops import Hops
from esl_controller.freeswitch.wire import first, header

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_G711 = frozenset({"PCMU", "PCMA"})


@dataclass(frozen=True)
class Channel:
    """One call's channel. ``rate`` is that of the caller's ``codec`` in Hz; both are empty and 0
    before the codec is negotiated. ``held``: the caller's phone has put the call on hold."""

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
    caller_name: str = ""
    held: bool = False

    @property
    def media_path(self) -> str:
        """The path of its media WebSocket; its domain is all zeros without a valid domain_uuid."""
        domain = self.domain_uuid if _UUID.fullmatch(self.domain_uuid) else str(UUID(int=0))
        return f"/stream/{domain}/{self.uuid}"

    @property
    def away_s(self) -> float:
        """Seconds since the call lost its controller, by the switch's clock; 0 if it has lost none
        or the dialplan does not set ``controller_lost_at``."""
        lost_us = _number(self.variables.get("controller_lost_at"))
        return max(0.0, (self.now_us - lost_us) / 1e6) if lost_us else 0.0

    @property
    def comes_back(self) -> bool:
        """Whether a controller has had the call before: it was lost, or gave the call away for a
        while."""
        marks = ("controller_lost_at", "controller_returns", "controller_parks")
        return self.answered and any(self.variables.get(name) for name in marks)

    @property
    def returns(self) -> int:
        """How often the call has come back from a transfer (``Transfers.transfer``)."""
        return _number(self.variables.get("controller_returns"))

    @property
    def hops(self) -> Hops:
        """How often the caller was transferred by us, on this channel and on those before it."""
        return Hops.parse(self.variables.get("controller_hops", ""))

    @property
    def parks(self) -> int:
        """How often the call was given a new park (``Transfers.new_park``)."""
        return _number(self.variables.get("controller_parks"))

    @property
    def since_transfer_s(self) -> float:
        """Seconds since the last of these transfers, by the switch's clock; 0 without one."""
        left_us = _number(self.variables.get("controller_left_at"))
        return max(0.0, (self.now_us - left_us) / 1e6) if left_us else 0.0

    @property
    def unreached(self) -> str:
        """The cause for which the last bridge reached nobody; empty if somebody answered."""
        disposition = self.variables.get("originate_disposition", "SUCCESS")
        return "" if disposition == "SUCCESS" else disposition

    @property
    def instead(self) -> str:
        """The cause for which nobody answered the last bridge, where a mailbox or an announcement
        did (``Transfers.answered_instead``)."""
        return self.variables.get("controller_instead", "")

    @property
    def unrecorded(self) -> bool:
        """Whether the dialplan has stopped our recording, because no controller was left."""
        return self.variables.get("controller_stopped", "").startswith("+OK")

    @property
    def age_s(self) -> float:
        """Seconds since the channel was created, by the switch's clock."""
        return max(0.0, (self.now_us - self.created_us) / 1e6)

    @property
    def is_g711(self) -> bool:
        """Whether the caller's codec is G.711, which carries no more than 8 kHz."""
        return self.codec in _G711

    @classmethod
    def parse(cls, headers: Mapping[str, Any]) -> Channel:
        """From the headers of the reply. Raises ValueError if it is not about a channel."""
        uuid = header(headers, "Unique-ID")
        if not _UUID.fullmatch(uuid):
            raise ValueError(f"not an outbound Event Socket connection: Unique-ID is {uuid!r}")
        variables = {
            name.removeprefix("variable_"): first(value)
            for name, value in headers.items()
            if name.startswith("variable_")
        }
        name, rate = codec(headers)
        return cls(
            uuid=uuid,
            domain_uuid=variables.get("domain_uuid", ""),
            secretary_uuid=variables.get("secretary_uuid", ""),
            caller=header(headers, "Caller-Caller-ID-Number"),
            number=header(headers, "Caller-Destination-Number"),
            context=header(headers, "Caller-Context"),
            codec=name,
            rate=rate,
            answered=header(headers, "Answer-State") == "answered",
            variables=variables,
            created_us=_number(headers.get("Caller-Channel-Created-Time")),
            now_us=_number(headers.get("Event-Date-Timestamp")),
            caller_name=header(headers, "Caller-Caller-ID-Name"),
            held=header(headers, "Channel-Call-State") == "HELD",
        )


_DIGITS = 18  # microseconds of Unix time have 16; Python refuses to read thousands


def _number(value: object) -> int:
    text = first(value)
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else 0


def codec(headers: Mapping[str, Any]) -> tuple[str, int]:
    """The caller's codec and its rate in Hz; empty and 0 before it is negotiated."""
    name = header(headers, "Channel-Read-Codec-Name").upper()
    return name, _number(headers.get("Channel-Read-Codec-Rate"))
