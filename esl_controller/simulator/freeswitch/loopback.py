"""Loopback calls, mod_loopback: two legs that hear each other.

The events are those of captures/conversation_loopback.jsonl.

The b-leg runs the dialplan and is what the controller meets; the a-leg is the caller. What the
a-leg plays or gets through its lane is what the b-leg's caller says; what is written to the b-leg
is what the a-leg hears and sends through its lane. A frame takes a tick or two from leg to leg.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from esl_controller.simulator.freeswitch.channel import SimulatedChannel
from esl_controller.simulator.freeswitch.events import Codec, Profile, codec_of
from esl_controller.simulator.freeswitch.session import Switch

_CODEC = re.compile(r"(L16|PCMU|PCMA)(?:@(\d+)h)?")


def legs(
    switch: Switch,
    number: str,
    context: str,
    variables: Mapping[str, str],
    parent: Profile | None = None,
) -> tuple[SimulatedChannel, SimulatedChannel]:
    """The two channels of a call to ``number``, not started yet.

    ``origination_uuid`` names the a-leg, ``origination_caller_id_number`` the caller,
    ``loopback_initial_codec`` the codec (``L16@16000h``; 8 kHz unless told). A bridged call has a
    ``parent``, whose caller it shows.
    """
    near, far = variables.get("origination_uuid") or str(uuid.uuid4()), str(uuid.uuid4())
    caller = variables.get("origination_caller_id_number", "0000000000")
    audio = _codec(variables.get("loopback_initial_codec", ""))
    a = _leg(switch, _profile(near, f"loopback/{number}-a", number, context, caller, parent), audio)
    b = _leg(switch, _profile(far, f"loopback/{number}-b", number, context, caller, parent), audio)
    a.direction = "outbound"
    a.variables |= {**variables, "direction": "outbound", "loopback_leg": "A"}
    a.variables["other_loopback_leg_uuid"] = far
    b.variables |= {**variables, "other_loopback_leg_uuid": near, "loopback_leg": "B"}
    a.peer = b
    a.on_hangup.append(lambda: b.hangup(a.cause))
    b.on_hangup.append(lambda: a.hangup(b.cause))
    return a, b


def null(switch: Switch, name: str, variables: Mapping[str, str]) -> SimulatedChannel:
    """The channel of a call to ``null/NAME``, not started yet: L16 at 8 kHz (seen on 1.10.12)."""
    ident = variables.get("origination_uuid") or str(uuid.uuid4())
    profile = Profile(ident, name, "0000000000", f"null/{name}", "mod_loopback", "xml", "default")
    channel = _leg(switch, profile, codec_of("L16", 8000))
    channel.direction = "outbound"
    channel.variables |= {**variables, "direction": "outbound"}
    return channel


def _profile(
    ident: str, name: str, number: str, context: str, caller: str, parent: Profile | None
) -> Profile:
    profile = Profile(ident, number, caller, name, "mod_loopback", "xml", context)
    profile.callee_name, profile.callee_number = "Outbound Call", context
    if parent is not None:
        profile.dialplan, profile.caller = parent.dialplan, parent.caller
        profile.caller_name, profile.username = parent.caller_name, parent.username
        profile.network = parent.network
    return profile


def _leg(switch: Switch, profile: Profile, audio: Codec) -> SimulatedChannel:
    return switch.channel(profile, audio, {}, None)


def _codec(text: str) -> Codec:
    match = _CODEC.fullmatch(text)
    if match is None:
        return codec_of("L16", 8000)
    return codec_of(match[1], int(match[2]) if match[2] else 8000)
