"""The known faults: how each shows in a log, what it means, what to do. [core]

What FreeSWITCH 1.10.12 and both builds of mod_audio_stream write is in captures/logs/*/*.log; the
controller's own lines are held against its source by the tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Fault:
    """``pattern`` is looked for in a line's text; its group ``what``, if any, is the detail.

    ``follows``: faults of which this one is only the consequence, in the same call.
    """

    name: str
    pattern: re.Pattern[str]
    means: str
    do: str
    follows: tuple[str, ...] = ()


def _fault(name: str, pattern: str, means: str, do: str, *follows: str) -> Fault:
    return Fault(name, re.compile(pattern), means, do, follows)


STREAM_STOPPED = "stream stopped"  # no fault: somebody asked for it

_INSTALL = "`esl-controller dialplan` prints the right one, `esl-controller fusionpbx install` puts"
_STALE = "If it is right there, FusionPBX serves an old copy: `esl-controller doctor` looks for it."

SWITCH: Final = (
    # --- the dialplan (the first that matches a line is meant)
    _fault(
        "invalid application",
        r"Invalid Application (?P<what>\S+)",
        "The dialplan runs an application that this FreeSWITCH does not have, and the call ends"
        " there. `audio_stream` is an API command and no application; `lua` needs mod_lua.",
        "Hand the call over with the application `socket` and nothing else. "
        + _INSTALL
        + " it into FusionPBX. "
        + _STALE,
    ),
    _fault(
        "destination out of order",
        r"Hangup \S+ \[CS_\w+\] \[DESTINATION_OUT_OF_ORDER\]",
        "A call ended with DESTINATION_OUT_OF_ORDER: the dialplan ran an application that does not"
        " exist (the line before names it), or the other side said so.",
        "Look at the dialplan that FreeSWITCH serves, not at the page: `esl-controller doctor"
        " --number NUMBER`. " + _STALE,
        "invalid application",
    ),
    _fault(
        "context not found",
        r"Context (?P<what>\S+) not found",
        "The call came into a dialplan context that does not exist.",
        "Correct the context of the profile, gateway or `originate`, or install the extension into"
        " this one: `--context`.",
    ),
    _fault(
        "no route",
        r"Hangup \S+ \[CS_ROUTING\] \[NO_ROUTE_DESTINATION\]",
        "No extension of the context takes the number that was dialled.",
        "`esl-controller doctor --number NUMBER --context CONTEXT` shows what is served. " + _STALE,
        "context not found",
    ),
    _fault(
        "codec",
        r"(?P<what>CODEC NEGOTIATION ERROR|INCOMPATIBLE_DESTINATION)",
        "Caller and FreeSWITCH have no codec in common.",
        "Allow PCMU or PCMA in the SIP profile (inbound-codec-prefs) and at the trunk.",
    ),
    _fault(
        "too many calls",
        r"(?P<what>Over Session Limit|Throttle Error)",
        "FreeSWITCH takes no more calls: max-sessions or sessions-per-second of switch.conf.xml is"
        " reached.",
        "Raise it there, or in the running switch with `fsctl max_sessions N`, `fsctl sps N`.",
    ),
    # --- to the controller
    _fault(
        "controller not reached",
        r"mod_event_socket\.c:\d+ Socket Error: (?P<what>.+)",
        "The dialplan's `socket` action found no controller at its address. During a restart that"
        " is expected: the extension tries again for over a minute.",
        "If it stays: is the controller running (`systemctl status esl-controller`), on that port,"
        " and reachable from FreeSWITCH (in a container, 127.0.0.1 is the container itself)?",
    ),
    _fault(
        "controller's address",
        r"mod_event_socket\.c:\d+ Socket Error!",
        "The `socket` action's HOST:PORT cannot be resolved, or whoever listens there closed the"
        " connection at once. A single one as a call ends is harmless.",
        "Correct HOST:PORT in the extension; an IP address needs no name server. If it is right,"
        " the controller's own log says why it takes no call ([esl] allow, max_calls).",
        "controller not reached",
    ),
    _fault(
        "event socket closed to it",
        r"IP (?P<what>\S+) Rejected by acl",
        "Somebody connects to FreeSWITCH's Event Socket (port 8021) from an address that it does"
        " not allow. If that is the machine of the controller, `call` and `doctor` cannot work.",
        "Set apply-inbound-acl in event_socket.conf.xml, then `reload mod_event_socket`.",
    ),
    # --- mod_audio_stream
    _fault(
        "module not found",
        r"\*\*(?P<what>\S*mod_audio_stream\.so): cannot open shared object file",
        "mod_audio_stream is to be loaded, and is not in FreeSWITCH's directory of modules, or is"
        " not readable.",
        "Install it (docs/freeswitch.md); `fs_cli -x 'global_getvar mod_dir'` says where it goes.",
    ),
    _fault(
        "library missing",
        r"\*\*(?P<what>\S+): cannot open shared object file",
        "A module is to be loaded, and it or a library that it needs is not there.",
        "Install what is missing: `ldd` on the module shows it.",
    ),
    _fault(
        "module does not fit",
        r"\*\*(?P<what>\S+): undefined symbol",
        "The module was built for another FreeSWITCH.",
        "Build it against this version's headers (the package libfreeswitch-dev of the same"
        " version).",
    ),
    _fault(
        "module cannot be loaded",
        r"\*\*(?P<what>\S+): (?:file too short|invalid ELF header|wrong ELF class|\S.* denied)",
        "The file is no module for this machine.",
        "Copy or build it again, for this processor.",
    ),
    _fault(
        "mix type",
        r"invalid mix type: (?P<what>[^,\s]+)",
        "uuid_audio_stream was started with a mix type that does not exist. It is `mono` (the"
        " caller), `mixed` or `stereo`; `both` is none.",
        "The controller asks for `mono`: something else starts a stream, the dialplan or a script."
        " Remove it.",
    ),
    _fault(
        "sample rate",
        r"invalid sample rate: (?P<what>\S+)",
        "uuid_audio_stream was started with a rate other than `8k` or `16k` (24k is none).",
        "The controller asks for a right one: something else starts a stream. Remove it.",
    ),
    _fault(
        "stream's address",
        r"invalid (?:address|websocket uri): (?P<what>\S+)",
        "The address of the stream is no WebSocket's: it begins with ws:// or wss://.",
        "Correct [media] public_url, or remove what else starts a stream.",
    ),
    _fault(
        "stream closed",
        r"audio_streamer_glue\.cpp:\d+ connection closed",
        "The WebSocket of mod_audio_stream was closed in mid-call, from the other side: the"
        " controller was lost or restarted, or a proxy between the two gave up waiting. The"
        " controller starts it anew.",
        "Expected when the controller is killed. Else raise the proxy's timeout for reading, or"
        " let [media] public_url lead past it.",
        STREAM_STOPPED,
    ),
    _fault(
        "stream refused",
        r"audio_streamer_glue\.cpp:\d+ connection error",
        "mod_audio_stream could not open its WebSocket: nobody listens there, the name is unknown,"
        " or the path is wrong and was refused. The controller's is"
        " /stream/{domain_uuid}/{call_uuid}; /ws/... is none.",
        "Can FreeSWITCH's machine reach [media] public_url of the controller (port 8085)?"
        " `esl-controller doctor` has FreeSWITCH try it.",
        "stream closed",
    ),
    _fault(
        "stream started twice",
        r"mod_audio_stream: bug already attached",
        "A stream was started on a channel that has one.",
        "The controller stops the old one first: something else (the dialplan, a script) starts a"
        " stream, too. Remove it.",
    ),
    _fault(
        "stream without a call",
        r"mod_audio_stream\.c:\d+ Error locating session (?P<what>\S+)",
        "A stream was to be started on a call that is over, or that never was.",
        "Once, at a hangup, it is harmless. Often: does a script start streams with a wrong UUID?",
    ),
    # --- the lane, files
    _fault(
        "lane not opened",
        r"Failure creating unicast connection (?P<what>\S+)->",
        "FreeSWITCH cannot bind the UDP port of the lane: it is taken, or the address is not its"
        " own. The controller tries other ports, and then plays files.",
        "Set [media] lane_switch_host to an address of FreeSWITCH's machine and [media] lane_ports"
        " to a range that nothing else uses.",
    ),
    _fault(
        "file not found",
        r"Error Opening File \[(?P<what>[^\]]+)\]",
        "A file that is to be played is not there, or cannot be read by FreeSWITCH.",
        "Look for its name in the dialplan.",
    ),
    _fault(
        "recording not written",
        r"Error creating (?P<what>/\S*)",
        "The folder of a recording cannot be made.",
        "Let FreeSWITCH's user write into [freeswitch] recordings.",
    ),
)

OURS: Final = (
    _fault(
        "not allowed",
        r"Event Socket connection refused(?:: (?P<what>.+))?",
        "A connection to our port 8022 was not taken; the caller gets the dialplan's next try.",
        "If it came from FreeSWITCH, put its address into [esl] allow.",
    ),
    _fault(
        "no call",
        r"an Event Socket connection brought no call(?:: (?P<what>.+))?",
        "Something connected to our port 8022 that is no FreeSWITCH with a call: a monitor, a port"
        " scan, `socket` without `async full`; or a call that ended at that moment.",
        "Single lines are no fault. Let monitors ask /healthz; keep the port to FreeSWITCH's"
        " machine.",
    ),
    _fault(
        "call not taken",
        r"call not taken(?:: (?P<what>.+))?",
        "A call came while the controller took none (it stops, or has as many as it may).",
        "Expected while it stops; else raise [esl] max_calls, or run another controller.",
    ),
    _fault(
        "wrong stream",
        r"media connection refused: (?P<what>.+)",
        "A WebSocket came to our port 8085 that belongs to no call: a wrong path (it is"
        " /stream/{domain_uuid}/{call_uuid}), an unknown call, or a wrong token.",
        "Let nothing but the controller start streams (an old dialplan or script does); keep the"
        " port to FreeSWITCH's machine.",
    ),
    _fault(
        "domain",
        r"the dialplan sets no valid domain_uuid",
        "The call came without a domain_uuid, so the secretaries of its domain are not used.",
        "Set it in the extension: `esl-controller dialplan --domain-uuid UUID`.",
    ),
    _fault(
        "module not loaded",
        r"FreeSWITCH has no uuid_audio_stream",
        "FreeSWITCH does not have mod_audio_stream loaded: callers are heard over the lane.",
        "`fs_cli -x 'load mod_audio_stream'`, and <load module=\"mod_audio_stream\"/> in"
        " modules.conf.xml.",
    ),
    _fault(
        "no stream",
        r"mod_audio_stream does not bring the caller's audio(?:: (?P<what>.+))?",
        "The caller is heard over the lane, because no audio came over the stream's WebSocket.",
        "`esl-controller doctor` has FreeSWITCH try it.",
    ),
    _fault(
        "lane silent",
        r"frames came from FreeSWITCH's UDP ports (?P<what>.+)",
        "The lane was opened and brings nothing: its ports are taken or filtered, and replies are"
        " played as files.",
        "Let [media] lane_ports (UDP) pass between FreeSWITCH and the controller, both ways.",
    ),
    _fault(
        "no lane",
        r"no lane to the caller, replies are played as files(?:: (?P<what>.+))?",
        "The caller hears replies as files, a quarter of a second later, because no lane could be"
        " opened.",
        "`esl-controller doctor` says why.",
    ),
    _fault(
        "no way",
        r"no way to (?P<what>hear|speak to) the caller, the call is ended",
        "Neither stream nor lane: the call had to end.",
        "`esl-controller doctor` says which of the two is wrong, and why.",
    ),
    _fault(
        "model's key",
        r"(?P<what>the key was refused|the key has no access to this model)",
        "The voice model does not accept the key: callers get the fallback or an apology.",
        "Set OPENAI_API_KEY to a key of a project that may use the model, and restart.",
    ),
    _fault(
        "model's quota",
        r"too many requests, or the quota is used up",
        "The voice model refuses sessions.",
        "Look at the limits and the balance of the account.",
    ),
    _fault(
        "model",
        r"(?:the model cannot be had, the call goes on without it|the model refused the session)"
        r"(?:: (?P<what>.+))?",
        "A call lost its voice model.",
        "`esl-controller doctor` tries a session. Is [agent] model right, is the network?",
        "model's key",
        "model's quota",
    ),
    _fault(
        "record",
        r"the call record cannot be written now(?:: (?P<what>.+))?",
        "The database does not answer. Calls go on; up to 20,000 changes wait for it.",
        "Bring the database back before they are too many; nothing else is to be done.",
    ),
    _fault(
        "record with holes",
        r"(?P<what>the call record has holes|the end of the call record was not written)",
        "The database was away for too long: something of the record is lost for good.",
        "Bring the database back.",
    ),
    _fault(
        "begins anew",
        r"a call begins anew: its record cannot be read(?:: (?P<what>.+))?",
        "A call came from another controller while the database did not answer: the caller was"
        " greeted again.",
        "Bring the database back.",
    ),
    _fault(
        "taken over",
        r"another controller has the call: this one steps back",
        "Two controllers had the same call; the newer one kept it.",
        "Expected after a network fault; else, do two controllers have the same address?",
    ),
    _fault(
        "lost call",
        r"a call was lost",
        "Nobody took up a call after its controller was gone; its record was ended.",
        "Has the extension the whole ladder of tries, as `esl-controller dialplan` prints it?",
    ),
    _fault(
        "transfer",
        r"the caller could not be transferred(?:: (?P<what>.+))?",
        "FreeSWITCH refused a transfer; the caller stayed with the AI.",
        "Correct number and context of the destination in the secretary's file.",
    ),
    _fault(
        "not recorded",
        r"the call is not recorded(?:: (?P<what>.+))?",
        "FreeSWITCH cannot write the recording.",
        "Let FreeSWITCH's user write into [freeswitch] recordings.",
    ),
    _fault(
        "secretary",
        r"(?P<what>secretary not loaded|secretaries cannot be read)",
        "A secretary's file has mistakes; what was in force before still is.",
        "`esl-controller secretary check` names the lines.",
    ),
    _fault(
        "webhook",
        r"(?:delivery failed|deliveries wait)(?:: (?P<what>.+))?",
        "Events are not delivered; they are kept and tried again for 24 hours.",
        "Is the receiving server reachable from the controller?",
    ),
    _fault(
        "function",
        r"a webhook function failed(?:: (?P<what>.+))?",
        "Your server did not answer a function of the model well; the model was told so.",
        "Look at your server; the line says which function.",
    ),
    _fault(
        "switch hangs",
        r"the switch (?:no longer answers|answers no more)",
        "FreeSWITCH, or the network to it, was silent for 15 s; its calls were let go.",
        "`fs_cli` there; the network between the two.",
    ),
    _fault(
        "stand-in",
        r"no key for a voice model is set",
        "Callers talk to the built-in stand-in, which is no AI.",
        "Set OPENAI_API_KEY.",
    ),
    _fault(
        "bug",
        r"(?P<what>a bug in the controller ends this session|a session ended by a bug)",
        "A mistake of ours ended a session; the dialplan goes on with the call.",
        "Please report it, with the lines that follow in the log.",
    ),
)
