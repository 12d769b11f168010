"""What all calls of the process share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from esl_controller.agents.base import Agent
from esl_controller.call.agent import Abilities, History
from esl_controller.config.settings import Settings
from esl_controller.freeswitch.channel import Channel
from esl_controller.secretaries.persona import Persona
from esl_controller.secretaries.schema import Secretary
from esl_controller.store.records import Change
from media.lane import Clock, Ports
from media.stream import StreamEndpoint


@dataclass(frozen=True)
class Dependencies:
    """Made once, by ``app.py``."""

    name: str  # of the controller, among others
    settings: Settings
    clock: Clock
    ports: Ports
    streams: StreamEndpoint
    media_url: str
    abilities: Abilities  # of the agents
    make_agent: Callable[[Persona, History, Channel], Agent]
    find_secretary: Callable[[str, str], Secretary]  # by domain_uuid and secretary_uuid
    put: Callable[[Change], None]  # into the store
    written: Callable[[], Coroutine[Any, Any, None]]  # what was put is, or cannot be in time
    ours: Callable[[str, int], Awaitable[bool]]  # a call, of an epoch, as far as can be told
    http: ClientSession
