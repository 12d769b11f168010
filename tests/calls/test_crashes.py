"""Controllers are killed at any await, one after the other, and no call suffers for it.

The environment's ``CRASHES`` says how many (16), ``SEED`` where chance begins (1). A round has the
seed that is its name.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from esl_controller.call.outcome import NO_AUDIO
from esl_controller.server.listener import CallListener
from esl_controller.server.outbox import Outbox
from esl_controller.session.agent_session import AgentSession
from esl_controller.session.at_switch import AtSwitch
from esl_controller.session.media import CallMedia
from esl_controller.simulator.freeswitch import DialplanAction, Ladder, SwitchStandIn
from esl_controller.simulator.freeswitch.apps import APPLICATIONS
from esl_controller.simulator.freeswitch.session import SwitchSession
from esl_controller.simulator.model import ModelStandIn, ScriptedCall
from esl_controller.store import Store, reading
from esl_controller.store.records import StoredCall
from esl_controller.store.writing import Writer
from tests.calls.crashing import Controllers, Fate, Left, warm_up
from tests.calls.talks import FRAMES, WORDS, Caller, Kind, Mind, Talk
from tests.live.freeswitch import free_port

CRASHES: Final = int(os.environ.get("CRASHES", "16"))
SEED: Final = int(os.environ.get("SEED", "1"))
IN_A_ROUND: Final = 8
MOST_STEPS: Final = 200  # a controller has taken up eight calls after 100
CALM_S: Final = 4.0
FLIGHT_S: Final = 1.5  # what happened so shortly before a crash may not be written down
TALKS_S: Final = 4.0  # after the model was connected it hears the caller, on a busy machine too
CONFIRM_S: Final = 0.5  # from the last frame to the end of it, where the caller interrupts
LATE: Final = 30  # frames, 0.6 s
BACK_S: Final = 2.0  # a controller that is ready has taken up all calls
APART_S: Final = 0.3  # between two calls

SECRETARY: Final = """
name = "{name}"
secretary_uuid = "{uuid}"
greeting = "Welcome."
farewell = "Goodbye."
[tools]
enabled = ["end_call", "transfer_call", "hold", "collect_digits", "take_message"]
[[destinations]]
name = "Sales"
number = "1001"
come_back = false
{more}
"""
WEBHOOK: Final = """
[[tools.webhooks]]
name = "find"
description = "Find it."
url = "{url}/find"
"""
EVENTS: Final = """
[events]
message_url = "{url}/told"
call_ended_url = "{url}/told"
"""
RECORDING: Final = """
[recording]
stereo = true
"""

END: Final = ScriptedCall(0, "end_call")
FIND: Final = ScriptedCall(0, "find")
TO_SALES: Final = ScriptedCall(0, "transfer_call", '{"destination": "Sales"}')
HOLD: Final = ScriptedCall(0, "hold", '{"seconds": 5}')
PIN: Final = ScriptedCall(0, "collect_digits", '{"name": "pin", "count": 4, "timeout_s": 3}')
MESSAGE: Final = ScriptedCall(0, "take_message", '{"name": "Bo", "text": "Call me."}')
KINDS: Final = (
    Kind("chat", RECORDING, answers=3),
    Kind("interrupts", EVENTS, answers=4, interrupts=True),
    Kind("leaves", answers=9, leaves_s=5.0),
    Kind("find", WEBHOOK, (FIND, END)),
    Kind("transfer", EVENTS, (TO_SALES,), outcome="transferred"),
    Kind("hold", RECORDING, (HOLD, END)),
    Kind("digits", "", (PIN, END), keys="1234"),
    Kind("message", EVENTS, (MESSAGE, END)),
)
AIMS: Final = (
    CallListener._call,
    AtSwitch._answer,
    AtSwitch._hang_up,
    AtSwitch._start_recording,
    AtSwitch._transfer,
    AgentSession._ask_webhook,
    CallMedia._start_stream,
    CallMedia._open_lane,
    Store.claim,
    Outbox.run,
    Writer._write,
)


@dataclass
class World:
    """All but the controllers. ``talks`` by the name of their kind."""

    switch: SwitchStandIn
    model: ModelStandIn
    controllers: Controllers
    store_url: str
    log: Path
    talks: dict[str, Talk] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    """How often a webhook was asked, by call."""
    told: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Events that were delivered, by id: of what kind, for which call."""
    arrived: Counter[str] = field(default_factory=Counter)
    """How often a call came to the destination."""

    async def all_calls(self) -> None:
        """One call of each kind, from its beginning to its end."""
        async with asyncio.TaskGroup() as group:
            for kind in KINDS:
                call = await self.switch.call(variables={"secretary_uuid": kind.uuid})
                talk = self.talks[kind.name] = Talk(kind, call)
                self.switch.sessions[call.uuid].channel.heard.watch(talk.hear)
                group.create_task(Caller(talk).call())
                await asyncio.sleep(APART_S)

    def sessions(self, talk: Talk) -> list[Mind]:
        """The model's sessions of a call."""
        minds = [session for session in self.model.sessions if isinstance(session, Mind)]
        return [mind for mind in minds if mind.instructions and mind.talk is talk]

    def next_death(self, at: float) -> float:
        """When the controller was killed that lived at this time; infinite if it was not."""
        return next((d.at for d in self.controllers.deaths if d.at >= at), float("inf"))

    def alone(self, at: float) -> bool:
        """Whether perhaps nobody could write down what happened at this time."""
        deaths = [d.at for d in self.controllers.deaths if d.at < at + FLIGHT_S]
        ready = (ready for ready in self.controllers.ready if deaths and ready > deaths[-1])
        return bool(deaths) and next(ready, at) > at - BACK_S

    def unheard(self, heard: list[tuple[float, int]]) -> int:
        """How many more frames than these we may think were heard: a switch on a busy machine takes
        a while to notice that the controller has gone."""
        last = heard[-1][0]
        return LATE if abs(self.next_death(last - 0.1) - last) < 0.1 else 0

    def settled(self, at: float, began: float = 0.0) -> bool:
        """Whether what happened at this time must be known afterwards; ``began``: when that did,
        or the session of the model that knew it."""
        return self.next_death(began or at) - at > FLIGHT_S


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    port = free_port()
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(ModelStandIn(think_ms=20))
        switch = SwitchStandIn(
            f"127.0.0.1:{port}",
            ladder=Ladder(tries=600, wait=0.1),
            extensions={
                "1001": [
                    DialplanAction("answer"),
                    DialplanAction("arrive"),
                    DialplanAction("sleep", "200"),
                ]
            },
        )
        await stack.enter_async_context(switch)
        environment = {
            "OPENAI_API_KEY": "sk-test",
            "ESL_CONTROLLER_WEBHOOK_ALLOW": "127.0.0.0/8",
            "ESL_CONTROLLER_AGENT_BASE_URL": model.base_url,
            "ESL_CONTROLLER_ESL_PORT": str(port),
            "ESL_CONTROLLER_ESL_SHARE": "true",
            "ESL_CONTROLLER_MEDIA_PORT": "0",
            "ESL_CONTROLLER_ESL_MAX_LOAD": "0",
            "ESL_CONTROLLER_WEB_PORT": "0",
            "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
            "ESL_CONTROLLER_SECRETARIES_FOLDER": str(folder),
            "ESL_CONTROLLER_FREESWITCH_RECORDINGS": str(folder),
            "ESL_CONTROLLER_LOG_FORMAT": "json",
        }
        log = folder / "controllers.log"
        controllers = Controllers(environment, log)
        of = World(switch, model, controllers, environment["ESL_CONTROLLER_STORE_URL"], log)

        async def arrive(session: SwitchSession, _: str) -> None:
            of.arrived[session.channel.uuid] += 1

        switch.applications = {**APPLICATIONS, "arrive": arrive}
        model.session = type("Session", (Mind,), {"talks": of.talks, "numbers": count(1)})
        url = await stack.enter_async_context(_company(of))
        for kind in KINDS:
            more = kind.secretary.replace("{url}", url)
            text = SECRETARY.format(name=kind.name, uuid=kind.uuid, more=more)
            (folder / f"{kind.name}.toml").write_text(text)
        yield of


@asynccontextmanager
async def _company(of: World) -> AsyncIterator[str]:
    """The server of those who are called: its URL."""

    async def find(request: web.Request) -> web.Response:
        of.found[(await request.json())["call"]["call_uuid"]] += 1
        await asyncio.sleep(0.2)
        return web.json_response({"found": True})

    async def told(request: web.Request) -> web.Response:
        body = await request.json()
        uuid = body["call"]["call_uuid"] if "call" in body else body["call_uuid"]
        kind = request.headers["X-Esl-Controller-Event"]
        of.told[request.headers["X-Esl-Controller-Id"]] = kind, uuid
        return web.Response()

    application = web.Application()
    application.router.add_post("/find", find)
    application.router.add_post("/told", told)
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> None:
    warm_up()


@pytest.mark.parametrize("seed", range(SEED, SEED + -(-CRASHES // IN_A_ROUND)))
async def test_calls_outlive_controllers_that_are_killed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with world(tmp_path) as of:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(of.controllers.run([fate(chance) for _ in range(IN_A_ROUND)], over))
            await of.all_calls()
            over.set()
        await check(of)


def fate(chance: random.Random) -> Fate:
    """When the next one dies: at its start, while it takes up its calls, or when they talk."""
    calm_s = chance.choice((0.0, chance.uniform(0.5, CALM_S)))
    aim = chance.choice(("", chance.choice(AIMS).__qualname__))
    return Fate(calm_s, chance.randint(1, MOST_STEPS), aim, chance.randint(1, 3))


# --- what has to be true then ---------------------------------------------------------------------


async def check(of: World) -> None:
    """Raises an ExceptionGroup of everything that is not as it has to be."""
    wrong = [*_nothing_is_left(of)]
    async with reading(of.store_url) as reader:
        for talk in of.talks.values():
            stored = await reader.call(talk.call.uuid)
            found = [*_ear(of, talk), *_model(of, talk), *_end(of, talk, stored)]
            if stored is not None:
                found += [*_record(of, talk, stored), *_history(of, talk)]
            wrong += [f"{talk.kind.name}: {what}" for what in found]
    told = "\n".join([*wrong, *map(str, of.controllers.deaths), *_story(of)])
    assert not wrong, told


def _nothing_is_left(of: World) -> Iterator[str]:
    if of.switch.sessions:
        yield f"channels are left: {list(of.switch.sessions)}"
    if of.controllers.left != Left(0, 0, 0):
        yield f"the controller still had {of.controllers.left}"
    for line in of.log.read_text().splitlines():
        if not line.startswith("{") or json.loads(line)["level"] not in ("info", "warning"):
            yield f"the log has {line[:2000]}"


def _now(instructions: str) -> str:
    """What is to be said, without the session's own instructions before it."""
    return instructions.rpartition("# Do this now\n")[2]


def _ear(of: World, talk: Talk) -> Iterator[str]:
    """What the caller heard."""
    for number, heard in talk.heard.items():
        if [place for _, place in heard] != list(range(len(heard))):
            yield f"u{number} was heard in pieces: {heard}"
    for what in ("Welcome.", "Goodbye.", "Sales"):
        numbers = [n for n, asked in talk.said.items() if what in _now(asked) and n in talk.heard]
        known = [n for n in numbers if of.settled(talk.heard[n][0][0]) or talk.whole(n)]
        if known and numbers[-1] > known[0]:
            yield f"{what} was said again: {numbers}"
    for spoke, until in talk.unanswered:
        for session in of.sessions(talk):
            lived = of.next_death(session.began) > until - FLIGHT_S
            if lived and session.began < spoke - TALKS_S:
                yield f"nobody answered from {spoke} until {until}"


def _model(of: World, talk: Talk) -> Iterator[str]:
    """What the model was told in each session."""
    for session in of.sessions(talk):
        record = session.record
        if record.violations or record.refusals:
            yield f"the model refused {record.violations} + {record.refusals} events"
        items = [e["item"] for e in record.client_events if e["type"] == "conversation.item.create"]
        results = Counter(i["call_id"] for i in items if i["type"] == "function_call_output")
        if any(times > 1 for times in results.values()):
            yield f"the model was given a result twice: {results}"


def _history(of: World, talk: Talk) -> Iterator[str]:
    """What each session knew of the one before."""
    for session in of.sessions(talk):
        if of.next_death(began := session.began) < began + FLIGHT_S:
            continue  # not all of it came
        events = session.record.client_events
        items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
        told = " ".join(p["text"] for item in items for p in item.get("content", ())).split()
        for word, (knew, at) in talk.words.items():
            if of.settled(at, knew) and at < began - FLIGHT_S and word not in told:
                yield f"a session was not told what the caller said: {word}"
        for number, heard in talk.heard.items():
            some = len(heard) > 2 * FRAMES / WORDS and heard[-1][0] < began
            if some and of.settled(heard[0][0]) and f"u{number}.0" not in told:
                yield f"a session was not told what the caller heard: u{number}"
        if double := [word for word, times in Counter(told).items() if times > 1]:
            yield f"a session was told twice: {double}"


def _record(of: World, talk: Talk, stored: StoredCall) -> Iterator[str]:
    """What is written down."""
    for number, heard in talk.heard.items():
        rows = [turn for turn in stored.turns if turn.text.startswith(f"u{number}.")]
        if len(rows) > 1 or (of.settled(heard[0][0]) and not rows):
            yield f"u{number} is in {len(rows)} turns"
        for turn in rows:
            # Whole words, and none that is half heard.
            known = FRAMES / WORDS * (len(turn.heard_text.split()) + 0.5) - len(heard)
            late = of.unheard(heard)
            sure = of.settled(heard[0][0]) and (
                late or of.settled(heard[-1][0] + CONFIRM_S, heard[0][0])
            )
            if sure and not -8 < known < 8 + late:
                yield f"u{number}: {len(heard)} frames were heard, and that is {turn}"
    for turn in stored.turns:
        if turn.who == "agent" and turn.heard_text:
            number = int(turn.text[1:].partition(".")[0])
            if number not in talk.heard:
                yield f"nobody heard {turn}"
    deleted = sum(
        event["type"] == "conversation.item.delete"
        for session in of.sessions(talk)
        for event in session.record.client_events
    )
    missing = [
        word
        for word, (began, at) in talk.words.items()
        if of.settled(at, began) and not any(turn.text == word for turn in stored.turns)
    ]
    if len(missing) > deleted:
        yield f"what the caller said is not written down: {missing}"
    texts = Counter(turn.text for turn in stored.turns if turn.who == "caller" and turn.text)
    if any(times > 1 for times in texts.values()):
        yield f"what the caller said is written down twice: {texts}"


def _end(of: World, talk: Talk, stored: StoredCall | None) -> Iterator[str]:
    """How it ended, and what was done once."""
    kind, uuid = talk.kind, talk.call.uuid
    if talk.call.cause != "NORMAL_CLEARING":
        yield f"it ended with {talk.call.cause}"
    if of.found[uuid] > 1:
        yield f"the webhook was asked {of.found[uuid]} times"
    if of.arrived[uuid] != (kind.outcome == "transferred"):
        yield f"it came to the destination {of.arrived[uuid]} times"
    last = talk.heard.get(max(talk.heard, default=0), [])
    if END in kind.plan and not (last and len(last) + of.unheard(last) >= FRAMES):
        yield "the last words were cut"
    told = Counter(what for what, call in of.told.values() if call == uuid)
    if any(times > 1 for times in told.values()):
        yield f"events were told twice: {told}"
    if of.alone(talk.ended):
        return
    if stored is None:
        yield "it is not written down"
        return
    cause = "transferred" if kind.outcome == "transferred" else "NORMAL_CLEARING"
    # Who leaves before a controller has lived for long enough has had no conversation.
    outcomes = (kind.outcome,) if of.sessions(talk) else (kind.outcome, NO_AUDIO)
    if stored.cause != cause or stored.outcome not in outcomes:
        yield f"it ended as {stored.cause}, {stored.outcome}"
    if bool(stored.recording) is not (kind.secretary == RECORDING):
        yield f"its recording is {stored.recording!r}"
    used = Counter(tool.name for tool in stored.tools)
    for tool in kind.plan:
        if not used[tool.name] and tool is not TO_SALES:
            yield f"{tool.name} is not written down"
    if used["find"] > 1 or used["take_message"] > 1:
        yield f"done twice: {used}"
    if len(stored.messages) != used["take_message"]:
        yield f"messages: {stored.messages}"


def _story(of: World) -> Iterator[str]:
    """What happened, for who has to understand it."""
    for talk in of.talks.values():
        yield f"--- {talk.kind.name} {talk.call.uuid} from {talk.began} to {talk.ended}"
        events = [(s.began, f"session of the model {n}") for n, s in enumerate(of.sessions(talk))]
        events += [(at, f"the caller said {word}") for word, (_, at) in talk.words.items()]
        events += [
            (heard[0][0], f"heard u{n}, {len(heard)} frames: {talk.said[n]}")
            for n, heard in talk.heard.items()
        ]
        events += [(death.at, str(death)) for death in of.controllers.deaths]
        events += [(at, "nobody had answered") for _, at in talk.unanswered]
        yield from (f"{at:.3f} {what}" for at, what in sorted(events))
