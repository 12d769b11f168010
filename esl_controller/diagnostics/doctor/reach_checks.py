"""Can FreeSWITCH reach us? We have it try: the Event Socket, the media, the lane.

A leg of the doctor's own is handed to the controller by the ``socket`` application, as the dialplan
hands over calls (freeswitch/probes.py). A running controller is asked what it has seen; if none
runs, the doctor listens in its place.
"""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from esl_controller.config.settings import Settings
from esl_controller.diagnostics.catalogue.controller_log import CALL_NOT_TAKEN, LANE_SILENT
from esl_controller.diagnostics.catalogue.switch_log import CONTROLLER_NOT_REACHED
from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.parked_leg import (
    EXECUTED,
    STREAM_CONNECT,
    STREAM_ERROR,
    ParkedLeg,
    name_of,
    parked,
)
from esl_controller.diagnostics.doctor.report import Finding, failed, ok, skipped, warning
from esl_controller.diagnostics.doctor.substitute import listening
from esl_controller.diagnostics.doctor.switch_checks import configuration
from esl_controller.freeswitch.esl import ESLEvent
from esl_controller.freeswitch.leg import CallFailed
from esl_controller.freeswitch.probes import MEDIA_URL, VERSION
from esl_controller.freeswitch.wire import header
from esl_controller.server.listening import OWN_PORTS
from esl_controller.server.web.client import ask, base_url

_RTP = (16384, 32768)  # FreeSWITCH's own, if switch.conf.xml names none
_SHARED = "another program has them, or a controller whose [web] address is another one"


async def controller(case: Case) -> Finding:
    """Does a controller run? If not, listen in its place."""
    webs = _webs(case.settings)
    web = webs[0]
    answers = await asyncio.gather(*(_calls(case.settings, web) for web in webs))
    running = {at: told for at, told in zip(webs, answers, strict=True) if told is not None}
    if running:
        case.controllers = tuple(running)
        live = sum(len(told["calls"]) for told in running.values())
        return ok(f"a controller answers at {' and '.join(running)}: {live} calls live")
    esl, media = case.settings.esl, case.settings.media
    try:
        case.substitute = await case.stack.enter_async_context(listening(case.settings))
    except OSError as error:
        return failed(
            f"no controller answers at {web}, and its ports {esl.port} and {media.port} cannot be"
            f" had: {error.strerror or error}",
            f"{_SHARED}: the doctor cannot ask it.",
            f"ss -ltnp | grep -E ':({esl.port}|{media.port}) '\n[web] host, port in our settings",
        )
    return warning(
        f"no controller answers at {web}; the doctor listens in its place",
        "while none runs, no call is taken.",
        "systemctl start esl-controller    (or: esl-controller serve)",
    )


async def event_socket(case: Case) -> Finding:
    """Does FreeSWITCH reach our Event Socket, and is it let in?"""
    targets = case.targets or _by_settings(case)
    if not targets:
        return skipped("[esl] host is not an address to dial, and the dialplan names none")
    refused = await _refused(case)
    reached, unreached = [], []
    for target in targets:
        async with parked(case.settings, _socket(target)) as leg:
            event = await _taken(leg)
        if event is not None and (version := header(event, f"variable_{VERSION}")):
            case.reached = case.reached or target
            reached.append(f"{target} ({version})")
            continue
        now = await _refused(case)
        if refusal := next((now[web][1] for web in now if now[web] != refused.get(web)), ""):
            if not reached:
                return _turned_away(target, refusal)
            target += f" ({refusal.partition(': ')[2]})"
        unreached.append(target)
        silent = event is None
    if reached:
        found = f"FreeSWITCH reaches the controller at {' and '.join(reached)}"
        if not unreached:
            return ok(found)
        return warning(
            f"{found}, and nobody at {' and '.join(unreached)}", _STANDBY, CONTROLLER_NOT_REACHED.do
        )
    return failed(
        f"FreeSWITCH reaches no controller at {', '.join(targets)}: "
        + ("there is no answer" if silent else "the connection is refused"),
        "no call comes to us: callers get the dialplan's fallback.",
        CONTROLLER_NOT_REACHED.do,
    )


_STANDBY = "they stand in for each other: a call that one loses or refuses goes to the next."


def _turned_away(target: str, refusal: str) -> Finding:
    peer, _, reason = refusal.partition(": ")
    found = f"FreeSWITCH reaches the controller at {target} and is turned away: {reason}"
    if "[esl] allow" in reason:
        return failed(
            found,
            f"FreeSWITCH connects from {peer}, which is in none of the networks that may.",
            f'[esl] allow = ["{peer}", ...] in our settings; then restart the controller',
        )
    return failed(
        found,
        CALL_NOT_TAKEN.means,
        CALL_NOT_TAKEN.do,
    )


def _by_settings(case: Case) -> tuple[str, ...]:
    """The address to dial if the dialplan is not known."""
    esl = case.settings.esl
    concrete = esl.port and esl.host not in ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)
    return (f"{esl.host}:{esl.port}",) if concrete else ()


def _socket(target: str) -> str:
    return f"socket('{target} async full')"


async def _taken(leg: ParkedLeg) -> ESLEvent | None:
    """FreeSWITCH's event when the controller has answered the leg, or when ``socket`` has ended
    because nobody took it; None if there is no event."""
    return await leg.event(EXECUTED)


def _webs(settings: Settings) -> list[str]:
    """The web addresses that a controller may have: of several that share [esl] port, each takes
    the next free one."""
    web = settings.web
    more = OWN_PORTS if settings.esl.share else 0
    ports = range(web.port, min(web.port + more, 65535) + 1)
    at = [web.model_copy(update={"port": port}) for port in ports]
    return [base_url(settings.model_copy(update={"web": each})) for each in at]


async def _calls(settings: Settings, web: str) -> dict[str, Any] | None:
    try:
        told = await asyncio.to_thread(ask, settings, f"{web}/calls")
    except (OSError, HTTPException, ValueError):
        return None
    return told if isinstance(told, dict) and "calls" in told else None


async def _refused(case: Case) -> dict[str, tuple[int, str]]:
    """By each controller's web address: how many connections it has refused, and the last one's
    address and reason."""
    if case.substitute is not None:
        return {"": (case.substitute.refused, case.substitute.last_refusal)}
    answers = await asyncio.gather(*(_calls(case.settings, web) for web in case.controllers))
    return {
        web: (int(told.get("refused", 0)), str(told.get("last_refusal", "")))
        for web, told in zip(case.controllers, answers, strict=True)
        if told is not None
    }


async def media(case: Case) -> Finding:
    """Does FreeSWITCH reach our media at the address that the controller names?"""
    if not case.reached:
        return skipped("the controller, which knows the address of its media, was not reached")
    async with parked(case.settings, _socket(case.reached)) as leg:
        taken = await _taken(leg)
        url = header(taken, f"variable_{MEDIA_URL}") if taken else ""
        told = await leg.stream(url, case.settings.media.mix, case.settings.media.rate)
        if not told.startswith("+OK"):
            raise CallFailed(f"uuid_audio_stream start {url}/stream/...: {told}")
        event = await leg.event(STREAM_CONNECT, STREAM_ERROR)
    if event is not None and name_of(event) == STREAM_CONNECT:
        return ok(f"FreeSWITCH reaches our media at {url}/stream/{{domain_uuid}}/{{call_uuid}}")
    reason = "there is no answer" if event is None else _reason(event)
    return failed(
        f"FreeSWITCH does not reach our media at {url}: {reason}",
        "mod_audio_stream cannot bring us the caller's audio.",
        _media_remedy(url, reason),
    )


def _reason(event: ESLEvent) -> str:
    try:
        return str(json.loads(event.body or "")["message"]["error"]).strip()
    except (ValueError, KeyError, TypeError):
        return "mod_audio_stream does not say why"


def _media_remedy(url: str, reason: str) -> str:
    if "404" in reason or "upgrade" in reason:
        return (
            "[media] public_url in our settings is the controller's own address, and a proxy in"
            " front of it must keep the path /stream/{domain_uuid}/{call_uuid} and Authorization"
        )
    port = urlsplit(url).port or 80
    return (
        f"from FreeSWITCH's machine: nc -vz {urlsplit(url).hostname} {port}\n"
        "[media] public_url in our settings: ws://HOST:PORT as FreeSWITCH reaches it, no path\n"
        "[media] host is an address that it reaches (127.0.0.1: this machine only)"
    )


async def lane(case: Case) -> Finding:
    """Does the lane bring frames?"""
    ports = case.settings.media.lane_ports
    given = await configuration(case, "switch")
    rtp = tuple(
        int(text) if (text := given.get(f"rtp-{end}-port", "")).isdigit() else usual
        for end, usual in zip(("start", "end"), _RTP, strict=True)
    )
    if ports.first <= rtp[1] and rtp[0] <= ports.last:
        return failed(
            f"[media] lane_ports {ports} are also FreeSWITCH's RTP ports ({rtp[0]}-{rtp[1]})",
            "a lane may not open, or may take a port away from a call.",
            "[media] lane_ports in our settings: a range of their own, such as 40000-48000",
        )
    async with parked(case.settings) as leg:
        try:
            async with leg.leg.lane():
                return ok(f"the lane brings frames, at {leg.leg.rate} Hz, ports {ports}")
        except CallFailed as failure:
            return failed(
                str(failure),
                "without it replies are played as files, with a gap before each of them.",
                LANE_SILENT.do,
            )


CHECKS = (
    Check("controller", controller),
    Check(
        "our event socket",
        event_socket,
        needs=("switch", "switch modules", "controller"),
    ),
    Check("our media", media, needs=("our event socket", "stream module format")),
    Check("lane", lane, needs=("switch", "switch modules")),
)
