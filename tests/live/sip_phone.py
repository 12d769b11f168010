"""A telephone of our own: SIP and RTP over UDP, so that tests can hold, change codecs and packet
times in mid-call as trunks do. It notes each RTP packet that it gets.

Only what FreeSWITCH on the same machine needs: no retransmission, no authentication.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from media.frame import PCMA, PCMU, Format, Samples, decode, encode, pcm
from tests.live.freeswitch import FreeSwitch
from tests.live.g722 import G722

Codec = Literal["PCMU", "PCMA", "G722", "L16"]
PAYLOADS: dict[Codec, int] = {"PCMU": 0, "PCMA": 8, "G722": 9, "L16": 98}
FORMATS: dict[Codec, Format] = {
    "PCMU": PCMU,
    "PCMA": PCMA,
    "G722": pcm(16000),
    "L16": pcm(16000),
}
CLOCKS: dict[Codec, int] = {"PCMU": 8000, "PCMA": 8000, "G722": 8000, "L16": 16000}
"""Of RTP: G.722's is half of its rate, by RFC 3551."""
ANSWER_S = 10.0


@dataclass(frozen=True)
class Packet:
    """One RTP packet that came; ``at`` by ``time.monotonic``, ``samples``: what is heard of it."""

    at: float
    payload_type: int
    sequence: int
    timestamp: int
    samples: Samples


class SipPhone:
    """``async with sip_phone(switch, ...) as phone``: on the line until the block ends."""

    def __init__(self, switch: FreeSwitch, codec: Codec, ptime: int) -> None:
        self.codec, self.ptime = codec, ptime
        self.packets: list[Packet] = []
        self.direction = "sendrecv"
        self.answer = ""  # the SDP of the last one
        self.invited: list[str] = []  # the SDPs with which FreeSWITCH asked us for a change
        self.ended = asyncio.Event()
        self._g722 = G722(switch.prefix) if switch.has_g722 else None
        self._loop = asyncio.get_running_loop()
        self._there = ("127.0.0.1", switch.sip_port)
        self._sip, self._rtp = _udp(), _udp()
        self._call_id, self._tag = uuid.uuid4().hex, uuid.uuid4().hex[:8]
        self._to = f"<sip:8000@127.0.0.1:{switch.sip_port}>"
        self._contact = f"<sip:phone@127.0.0.1:{self._sip.getsockname()[1]}>"
        self._cseq = self._versions = 0
        self._replies: asyncio.Queue[str] = asyncio.Queue()
        self._media: tuple[str, int] | None = None
        self._words: deque[bytes] = deque()
        self._silent = False  # send nothing at all
        self._loop.add_reader(self._sip, self._sip_came)
        self._loop.add_reader(self._rtp, self._rtp_came)
        self._talking: asyncio.Task[None] | None = None

    async def invite(self, direction: str = "sendrecv") -> float:
        """Call 8000, or change the call to what ``codec`` and ``ptime`` are now; when it was asked
        for. Raises TimeoutError, and ValueError if it is refused."""
        self._cseq += 1
        self.direction = direction
        asked = time.monotonic()
        self._request("INVITE", self._cseq, self._sdp())
        async with asyncio.timeout(ANSWER_S):
            while True:
                reply = await self._replies.get()
                if f"CSeq: {self._cseq} INVITE" not in reply or reply.startswith("SIP/2.0 1"):
                    continue
                break
        if not reply.startswith("SIP/2.0 200"):
            raise ValueError(reply.splitlines()[0])
        self._to = _header(reply, "To")
        self._request("ACK", self._cseq)
        self.answer = reply.partition("\r\n\r\n")[2]
        media = re.search(r"m=audio (\d+)", self.answer)
        assert media is not None
        self._media = ("127.0.0.1", int(media[1]))
        if self._talking is None:
            self._talking = self._loop.create_task(self._talk())
        return asked

    def say(self, values: Samples, rate: int) -> None:
        """Say samples at the codec's rate."""
        form = FORMATS[self.codec]
        assert rate == form.rate
        size = rate * self.ptime // 1000
        for at in range(0, values.size, size):
            part = np.pad(values[at : at + size], (0, max(0, size - values[at:].size)))
            self._words.append(self._payload(part))

    def heard(self, since: float = 0.0, until: float = 1e18) -> Samples:
        """The samples of all packets that came in between, one after the other."""
        parts = [p.samples for p in self.packets if since <= p.at < until]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    async def hang_up(self) -> None:
        """BYE, and wait for its reply."""
        if self.ended.is_set():
            return
        self._cseq += 1
        self._request("BYE", self._cseq)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while f"CSeq: {self._cseq} BYE" not in await self._replies.get():
                    pass
        self.ended.set()

    async def close(self) -> None:
        """Hang up, and free everything."""
        await self.hang_up()
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.gather(self._talking, return_exceptions=True)
        for each in (self._sip, self._rtp):
            self._loop.remove_reader(each)
            each.close()

    async def _talk(self) -> None:
        sequence, timestamp, ssrc = random.randrange(30_000), 0, random.randrange(2**31)
        deadline = self._loop.time()
        while True:
            form = FORMATS[self.codec]
            size = form.rate * self.ptime // 1000
            payload = (
                self._words.popleft() if self._words else self._payload(np.zeros(size, np.int16))
            )
            head = b"\x80" + bytes([PAYLOADS[self.codec]])
            head += sequence.to_bytes(2, "big") + timestamp.to_bytes(4, "big")
            assert self._media is not None
            with contextlib.suppress(OSError):
                if not self._silent:
                    self._rtp.sendto(head + ssrc.to_bytes(4, "big") + payload, self._media)
            passed = CLOCKS[self.codec] * self.ptime // 1000
            sequence, timestamp = (sequence + 1) % 65536, (timestamp + passed) % 2**32
            deadline += self.ptime / 1000
            await asyncio.sleep(max(0.0, deadline - self._loop.time()))

    def _sdp(self) -> str:
        self._versions += 1
        clock, payload = CLOCKS[self.codec], PAYLOADS[self.codec]
        lines = (
            "v=0",
            f"o=phone 1 {self._versions} IN IP4 127.0.0.1",
            "s=-",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP {payload} 101",
            f"a=rtpmap:{payload} {self.codec}/{clock}",
            "a=rtpmap:101 telephone-event/8000",
            f"a=ptime:{self.ptime}",
            f"a={self.direction}",
            "",
        )
        return "\r\n".join(lines)

    def _request(self, method: str, cseq: int, sdp: str = "") -> None:
        port = self._sip.getsockname()[1]
        lines = [
            f"{method} sip:8000@{self._there[0]}:{self._there[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{uuid.uuid4().hex[:12]}",
            "Max-Forwards: 70",
            f"From: <sip:phone@127.0.0.1:{port}>;tag={self._tag}",
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: {self._contact}",
        ]
        if sdp:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(sdp)}")
        self._sip.sendto(("\r\n".join(lines) + "\r\n\r\n" + sdp).encode(), self._there)

    def _sip_came(self) -> None:
        message = self._sip.recv(65536).decode(errors="replace")
        if message.startswith("SIP/2.0"):
            self._replies.put_nowait(message)
            return
        method = message.split(" ", 1)[0]
        if method == "ACK":
            return
        names = ("Via", "From", "To", "Call-ID", "CSeq")
        lines = [f"{name}: {_header(message, name)}" for name in names]
        sdp = ""
        if method == "INVITE":
            self.invited.append(message.partition("\r\n\r\n")[2])
            sdp = self._sdp()
            lines += [f"Contact: {self._contact}", "Content-Type: application/sdp"]
        lines += [f"Content-Length: {len(sdp)}", "", sdp]
        reply = "\r\n".join(["SIP/2.0 200 OK", *lines])
        self._sip.sendto(reply.encode(), self._there)
        if method == "BYE":
            self.ended.set()

    def _rtp_came(self) -> None:
        with contextlib.suppress(OSError):
            data = self._rtp.recv(4096)
            kind = data[1] & 0x7F
            if kind in PAYLOADS.values():
                head = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:8], "big")
                heard = self._samples(kind, data[12:])
                self.packets.append(Packet(time.monotonic(), kind, *head, heard))

    def _payload(self, values: Samples) -> bytes:
        if self.codec == "L16":
            return values.astype(">i2").tobytes()
        if self.codec == "G722":
            assert self._g722 is not None
            return self._g722.encode(values)
        return encode(values.astype(np.int16), FORMATS[self.codec].encoding)

    def _samples(self, payload_type: int, payload: bytes) -> Samples:
        codec = next(name for name, number in PAYLOADS.items() if number == payload_type)
        if codec == "L16":
            return np.frombuffer(payload, ">i2").astype(np.int16)
        if codec == "G722":
            assert self._g722 is not None
            return self._g722.decode(payload)
        return decode(payload, FORMATS[codec].encoding)


def _udp() -> socket.socket:
    made = socket.socket(type=socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def _header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.+?)\r?$", message, re.MULTILINE | re.IGNORECASE)
    assert found is not None, message
    return found[1]


@contextlib.asynccontextmanager
async def sip_phone(
    switch: FreeSwitch, codec: Codec = "PCMU", ptime: int = 20
) -> AsyncIterator[SipPhone]:
    """A telephone that has dialled 8000 and was answered."""
    phone = SipPhone(switch, codec, ptime)
    try:
        await phone.invite()
        yield phone
    finally:
        await phone.close()
