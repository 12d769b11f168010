"""The faults that FreeSWITCH's log shows. [core]

The patterns are from what FreeSWITCH 1.10.12 and both builds of mod_audio_stream write:
captures/logs/*/*.log.
"""

from __future__ import annotations

from typing import Final

from esl_controller.diagnostics.catalogue.fault import Fault, fault

STREAM_STOPPED: Final = "stream stopped"
"""Not a fault: a stream's end that somebody asked for, which explains what follows it."""

_STALE = (
    "If it is right there, FusionPBX serves an old copy, which `esl-controller doctor` looks for."
)

# --- the dialplan

INVALID_APPLICATION = fault(
    "invalid application",
    r"Invalid Application (?P<what>\S+)",
    "The dialplan runs an application that this FreeSWITCH does not have, and the call ends there"
    " with DESTINATION_OUT_OF_ORDER. `audio_stream` is no application (uuid_audio_stream is an API"
    " command); `lua` needs mod_lua.",
    "Hand the call over with the application `socket` and nothing else. `esl-controller dialplan`"
    " prints the extension, `esl-controller fusionpbx install` puts it into FusionPBX. " + _STALE,
    row="nothing at all, and `DESTINATION_OUT_OF_ORDER` at the phone",
)
DESTINATION_OUT_OF_ORDER = fault(
    "destination out of order",
    r"Hangup \S+ \[CS_\w+\] \[DESTINATION_OUT_OF_ORDER\]",
    "A call ended with DESTINATION_OUT_OF_ORDER: the dialplan ran an application that does not"
    " exist (the line before names it), or the other side said so.",
    "Look at the dialplan that FreeSWITCH serves, not at FusionPBX's page: `esl-controller doctor"
    " --number NUMBER`. " + _STALE,
    INVALID_APPLICATION,
)
CONTEXT_NOT_FOUND = fault(
    "context not found",
    r"Context (?P<what>\S+) not found",
    "The call came into a dialplan context that does not exist.",
    "Correct the context of the profile, gateway or `originate`, or install the extension into"
    " this one: `--context`.",
)
NO_ROUTE = fault(
    "no route",
    r"Hangup \S+ \[CS_ROUTING\] \[NO_ROUTE_DESTINATION\]",
    "No extension of the context takes the number that was dialled.",
    "`esl-controller doctor --number NUMBER --context CONTEXT` shows what is served. " + _STALE,
    CONTEXT_NOT_FOUND,
)
CODEC = fault(
    "codec",
    r"(?P<what>CODEC NEGOTIATION ERROR|INCOMPATIBLE_DESTINATION)",
    "The caller and FreeSWITCH have no codec in common.",
    "Allow PCMU or PCMA in the SIP profile (inbound-codec-prefs) and at the trunk.",
)
TOO_MANY_CALLS = fault(
    "too many calls",
    r"(?P<what>Over Session Limit|Throttle Error)",
    "FreeSWITCH takes no more calls: max-sessions or sessions-per-second in switch.conf.xml is"
    " reached.",
    "Raise it there, or in the running switch with `fsctl max_sessions N` or `fsctl sps N`.",
)

# --- from FreeSWITCH to the controller, and back

CONTROLLER_NOT_REACHED = fault(
    "controller not reached",
    r"mod_event_socket\.c:\d+ Socket Error: (?P<what>.+)",
    "The dialplan's `socket` action found no controller at its address. During a restart that is"
    " expected: the extension tries again for over a minute.",
    "If it stays: is the controller running, and on that port?\n"
    "systemctl status esl-controller\n"
    "from FreeSWITCH's machine: nc -vz HOST PORT\n"
    "[esl] host in our settings is the address that it reaches (127.0.0.1: this machine only)\n"
    "in a container: --network host, or a published port; then look at firewalls",
    row="nothing at all, and ringing for 75 s",
)
CONTROLLER_ADDRESS = fault(
    "controller's address",
    r"mod_event_socket\.c:\d+ Socket Error!",
    "The `socket` action's HOST:PORT cannot be resolved, or whoever listens there closed the"
    " connection at once. A single one as a call ends is harmless.",
    "Correct HOST:PORT in the extension; an IP address needs no name server. If it is right, the"
    " controller's own log says why it takes no call ([esl] allow, max_calls).",
    CONTROLLER_NOT_REACHED,
)
EVENT_SOCKET_CLOSED = fault(
    "event socket closed to it",
    r"IP (?P<what>\S+) Rejected by acl",
    "Something connects to FreeSWITCH's Event Socket (port 8021) from an address that FreeSWITCH"
    " does not allow. If it is the controller's machine, `call` and `doctor` cannot work.",
    "Set apply-inbound-acl in event_socket.conf.xml, then `reload mod_event_socket`.",
)

# --- mod_audio_stream

MODULE_NOT_FOUND = fault(
    "module not found",
    r"\*\*(?P<what>\S*mod_audio_stream\.so): cannot open shared object file",
    "FreeSWITCH is told to load mod_audio_stream, which is not in its directory of modules, or not"
    " readable.",
    "Install it (docs/freeswitch.md); `fs_cli -x 'global_getvar mod_dir'` says where it goes.",
)
LIBRARY_MISSING = fault(
    "library missing",
    r"\*\*(?P<what>\S+): cannot open shared object file",
    "FreeSWITCH is told to load a module that is not there, or that needs a library that is not"
    " there.",
    "Install what is missing: `ldd` on the module shows it.",
)
MODULE_DOES_NOT_FIT = fault(
    "module does not fit",
    r"\*\*(?P<what>\S+): undefined symbol",
    "The module was built for another version of FreeSWITCH.",
    "Build it against this version's headers (the package libfreeswitch-dev of the same version).",
)
MODULE_BROKEN = fault(
    "module cannot be loaded",
    r"\*\*(?P<what>\S+): (?:file too short|invalid ELF header|wrong ELF class|\S.* denied)",
    "The file is not a module for this machine.",
    "Copy or build it again, for this processor.",
)
MIX_TYPE = fault(
    "mix type",
    r"invalid mix type: (?P<what>[^,\s]+)",
    "uuid_audio_stream was started with a mix type that does not exist. There are `mono` (the"
    " caller), `mixed` and `stereo`, and no `both`.",
    "The controller asks for `mono`, so something else starts a stream: the dialplan or a script."
    " Remove it.",
)
SAMPLE_RATE = fault(
    "sample rate",
    r"invalid sample rate: (?P<what>\S+)",
    "uuid_audio_stream was started with a rate other than `8k` or `16k`; there is no 24k.",
    "The controller asks for one of the two, so something else starts a stream. Remove it.",
)
STREAM_ADDRESS = fault(
    "stream's address",
    r"invalid (?:address|websocket uri): (?P<what>\S+)",
    "The stream's address is not that of a WebSocket, which begins with ws:// or wss://.",
    "Correct [media] public_url, or remove what else starts a stream.",
)
STREAM_CLOSED = fault(
    "stream closed",
    r"audio_streamer_glue\.cpp:\d+ connection closed",
    "The other side closed mod_audio_stream's WebSocket during the call: the controller was killed"
    " or restarted, or a proxy between the two stopped waiting. The controller starts the stream"
    " again.",
    "After a kill or a restart nothing. Otherwise raise the proxy's read timeout, or let [media]"
    " public_url lead past it.",
    STREAM_STOPPED,
)
STREAM_REFUSED = fault(
    "stream refused",
    r"audio_streamer_glue\.cpp:\d+ connection error",
    "mod_audio_stream could not open its WebSocket: nobody listens there, the name is unknown, or"
    " the path was refused. The controller's path is /stream/{domain_uuid}/{call_uuid}, not"
    " /ws/....",
    "Can FreeSWITCH's machine reach the controller's [media] public_url (port 8085)?"
    " `esl-controller doctor` has FreeSWITCH try it.",
    STREAM_CLOSED,
)
STREAM_STARTED_TWICE = fault(
    "stream started twice",
    r"mod_audio_stream: bug already attached",
    "A stream was started on a channel that has one already.",
    "The controller stops the old one first, so something else (the dialplan, a script) starts a"
    " stream, too. Remove it.",
)
STREAM_WITHOUT_CALL = fault(
    "stream without a call",
    r"mod_audio_stream\.c:\d+ Error locating session (?P<what>\S+)",
    "A stream was to be started on a call that is over, or never was.",
    "Once, at a hangup, it is harmless. If it is frequent: does a script start streams with a"
    " wrong UUID?",
)

# --- the lane, files

LANE_NOT_OPENED = fault(
    "lane not opened",
    r"Failure creating unicast connection (?P<what>\S+)->",
    "FreeSWITCH cannot bind the lane's UDP port: it is taken, or the address is not its own. The"
    " controller tries other ports, and then plays files.",
    "Set [media] lane_switch_host to an address of FreeSWITCH's machine, and [media] lane_ports to"
    " a range that nothing else uses.",
)
FILE_NOT_FOUND = fault(
    "file not found",
    r"Error Opening File \[(?P<what>[^\]]+)\]",
    "A file that is to be played is not there, or FreeSWITCH cannot read it.",
    "Look for its name in the dialplan.",
)
RECORDING_NOT_WRITTEN = fault(
    "recording not written",
    r"Error creating (?P<what>/\S*)",
    "FreeSWITCH cannot make the folder of a recording.",
    "Let FreeSWITCH's user write into [freeswitch] recordings.",
)

ALL: Final[tuple[Fault, ...]] = (
    *(INVALID_APPLICATION, DESTINATION_OUT_OF_ORDER, CONTEXT_NOT_FOUND, NO_ROUTE, CODEC),
    *(TOO_MANY_CALLS, CONTROLLER_NOT_REACHED, CONTROLLER_ADDRESS, EVENT_SOCKET_CLOSED),
    *(MODULE_NOT_FOUND, LIBRARY_MISSING, MODULE_DOES_NOT_FIT, MODULE_BROKEN),
    *(MIX_TYPE, SAMPLE_RATE, STREAM_ADDRESS, STREAM_CLOSED, STREAM_REFUSED),
    *(STREAM_STARTED_TWICE, STREAM_WITHOUT_CALL),
    *(LANE_NOT_OPENED, FILE_NOT_FOUND, RECORDING_NOT_WRITTEN),
)
"""In this order: the first that matches a line is what it means."""
