"""Audio: formats, resampling, the playout, the UDP lane with its clock, the stream's endpoint.

What lives here takes audio from one wire and puts it onto another, or computes on samples; also the
bundled sounds. It may import numpy, soxr, aiohttp and structlog, and never `esl_controller`: a
module of `media` does not know which call its audio belongs to. Commands to FreeSWITCH, voice
models and decisions about a call never belong here. Modules marked [core] only compute: no asyncio,
no sockets, no clock.
"""
