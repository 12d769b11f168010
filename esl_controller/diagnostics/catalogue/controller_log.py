"""The faults that the controller's own log shows. [core]

A test holds the patterns against the lines that the source writes.
"""

from __future__ import annotations

from typing import Final

from esl_controller.diagnostics.catalogue.fault import Fault, fault

# --- who connects

NOT_ALLOWED = fault(
    "not allowed",
    r"Event Socket connection refused(?:: (?P<what>.+))?",
    "A connection to our Event Socket port was refused; the caller gets the dialplan's next try.",
    "If it came from FreeSWITCH, put its address into `[esl] allow`.",
    row="`its address is not within [esl] allow`",
)
NO_CALL = fault(
    "no call",
    r"an Event Socket connection brought no call(?:: (?P<what>.+))?",
    "Something connected to our Event Socket port that is not a FreeSWITCH with a call: a monitor,"
    " a port scan, `socket` without `async full`; or a call that ended at that moment.",
    "Single lines with `the connection is gone` are no fault. Let monitors ask /healthz; keep the"
    " port to FreeSWITCH's machine.",
    row="`brought no call`",
)
CALL_NOT_TAKEN = fault(
    "call not taken",
    r"call not taken(?:: (?P<what>.+))?",
    "A call came while the controller took none, because it stops, has as many as it may, or has"
    " too much to do. The call goes on with the dialplan's next action.",
    "Expected while it stops. `esl-controller calls` shows what it has; raise [esl] max_calls, use"
    " more processors (serve --workers auto), or run another controller.",
)
WRONG_STREAM = fault(
    "wrong stream",
    r"media connection refused: (?P<what>.+)",
    "A WebSocket that belongs to no call came to our port 8085: its path is wrong (it must be"
    " /stream/{domain_uuid}/{call_uuid}), or the call unknown, or the token wrong.",
    "Let nothing but the controller start streams (an old dialplan or script does); keep the port"
    " to FreeSWITCH's machine.",
    row="`media connection refused: wrong path`",
)
NO_DOMAIN = fault(
    "domain",
    r"the dialplan sets no valid domain_uuid",
    "The call came without a domain_uuid, so the secretaries of its domain are not used.",
    "Set it in the extension: `esl-controller dialplan --domain-uuid UUID`.",
)

# --- the caller's audio, and ours

MODULE_LOAD_FAILS = (
    "If that fails, FreeSWITCH's log says why: another version, or a missing library."
)
MODULE_NOT_LOADED = fault(
    "module not loaded",
    r"FreeSWITCH has no uuid_audio_stream",
    "FreeSWITCH has not loaded mod_audio_stream, whose command is uuid_audio_stream. The lane alone"
    " carries the caller's audio, and a dialplan or script that uses the command fails.",
    "Load it now, and at every start:\n"
    'fs_cli -x "load mod_audio_stream"\n'
    '<load module="mod_audio_stream"/> in modules.conf.xml (with FusionPBX: enable it at Advanced,'
    f" Modules)\n{MODULE_LOAD_FAILS}",
    row="`FreeSWITCH has no uuid_audio_stream`",
)
NO_STREAM = fault(
    "no stream",
    r"mod_audio_stream does not bring the caller's audio(?:: (?P<what>.+))?",
    "No audio came over the stream's WebSocket, so the lane carries the caller's audio.",
    "Check host and port of [media] public_url as seen from FreeSWITCH: `esl-controller doctor`"
    " has FreeSWITCH try it.",
    row="`Unable to connect`, `Connection refused`, `nobody connected to ws://...`",
)
LANE_SILENT = fault(
    "lane silent",
    r"frames came from FreeSWITCH's UDP ports (?P<what>.+)",
    "The lane was opened and brings nothing, because its ports are taken or filtered. Replies are"
    " played as files, with a gap before each of them.",
    "Let the lane's UDP ports pass between FreeSWITCH and the controller, both ways:\n"
    "[media] lane_host: our address, as FreeSWITCH reaches it\n"
    "[media] lane_switch_host: its own address\n"
    "[media] lane_ports: UDP ports that are free there and that no firewall blocks",
    row="`no frames came from FreeSWITCH's UDP ports`",
)
NO_LANE = fault(
    "no lane",
    r"no lane to the caller, replies are played as files(?:: (?P<what>.+))?",
    "No lane could be opened: the caller hears replies as files, a quarter of a second later.",
    "`esl-controller doctor` says why.",
)
NO_AUDIO = fault(
    "no way",
    r"no way to (?P<what>hear|speak to) the caller, the call is ended",
    "Neither stream nor lane worked, and the call had to end.",
    "`esl-controller doctor` says which of the two is wrong, and why.",
)

# --- the model

MODEL_KEY = fault(
    "model's key",
    r"(?P<what>the key was refused|the key has no access to this model)",
    "The voice model does not accept the key: callers get the fallback or an apology.",
    "Set `OPENAI_API_KEY` in the environment of esl-controller serve to a key of this endpoint that"
    " may use the model, without spaces around it; then restart the controller.",
    row="`the key was refused`",
)
MODEL_QUOTA = fault(
    "model's quota",
    r"too many requests, or the quota is used up|the quota is used up|insufficient_quota"
    r"|the model's service takes no calls",
    "The voice model refuses sessions: callers get the fallback or an apology.",
    "Look at the usage, the limits and the balance of the key's project, at the service.",
)
MODEL_GONE = fault(
    "model",
    r"(?:the model cannot be had, the call goes on without it|the model refused the session)"
    r"(?:: (?P<what>.+))?",
    "The model refuses sessions, or was away for 12 s. The call goes on without it: to the"
    " fallback, or to an apology.",
    "`esl-controller doctor` tries a session. Is [agent] model right, does the network work?",
    MODEL_KEY,
    MODEL_QUOTA,
    row="`the model cannot be had`",
)
MODEL_CALLED_AGAIN = fault(
    "model called again",
    r"the model is called again(?:: (?P<what>.+))?",
    "The connection to the model broke, or the model said nothing for seconds. It is called again,"
    " with the conversation so far.",
    "Single ones need nothing. If it happens often, look at the network.",
    MODEL_KEY,
    MODEL_QUOTA,
    row="`the model is called again`",
)
MODEL_CHANGED = fault(
    "another model",
    r"another model is called(?:: (?P<what>.+))?",
    "The call's model is away, refuses us or does not reply. The next one of [[models]] goes on"
    " with the conversation.",
    "`esl-controller doctor` tries each of them, and says what to do about the one that is away.",
    MODEL_KEY,
    MODEL_QUOTA,
    row="`another model is called`",
)
MODEL_REFUSED_REPLY = fault(
    "model refused a reply",
    r"the model (?:did not begin a reply|failed to reply)(?:: (?P<what>.+))?",
    "The model refused a request, or failed at it. It is asked again; the caller may notice a"
    " pause.",
    "Single ones need nothing. If it happens often, look at the service's status and limits.",
    MODEL_QUOTA,
    row="`the model did not begin a reply`",
)
OTHER_AUDIO = fault(
    "model's audio",
    r"the model confirmed other audio than it was asked for",
    "The model's endpoint takes or gives another audio format than we asked for. It is converted.",
    "Set [agent] audio to the format that the endpoint has.",
    row="`the model confirmed other audio`",
)
NO_TRANSCRIPT = fault(
    "transcript",
    r"what the caller says is not written down(?:: (?P<what>.+))?",
    "The service refused the transcription model, or failed at a transcript. The call goes on; its"
    " record lacks the caller's words.",
    "Set [agent] transcription_model to one that the endpoint has, or to nothing.",
    row="`what the caller says is not written down`",
)
STAND_IN = fault(
    "stand-in",
    r"no key for a voice model is set",
    "Callers talk to the built-in stand-in, which repeats what they say; it is no AI.",
    "Set OPENAI_API_KEY in the environment of esl-controller serve.",
)

# --- the record

RECORD_AWAY = fault(
    "record",
    r"the call record cannot be written now(?:: (?P<what>.+))?",
    "The disk is full, the file locked or gone, or the database does not answer. Calls go on; up to"
    " 20,000 changes wait in memory.",
    "Bring it back (`[store] url`) before they are too many; nothing else is to be done.",
    row="`the call record cannot be written now`",
)
RECORD_WITH_HOLES = fault(
    "record with holes",
    r"(?P<what>the call record has (?:gaps|holes)|the end of the call record was not written)",
    "The database was away for too long, and a part of the record cannot be recovered.",
    "Bring the database back.",
)
BEGINS_ANEW = fault(
    "begins anew",
    r"a call begins anew: its record cannot be read(?:: (?P<what>.+))?",
    "A call came from another controller while the database did not answer, and the caller was"
    " greeted again.",
    "Bring the database back.",
)

# --- calls between controllers

TAKEN_OVER = fault(
    "taken over",
    r"another controller has the call: this one steps back",
    "Two controllers had the same call; the later one kept it.",
    "Expected after a network fault. Otherwise: do two controllers have the same address?",
)
LOST_CALL = fault(
    "lost call",
    r"a call was lost",
    "Nobody took up a call after its controller was gone; its record was ended.",
    "Does the extension have the whole ladder of tries, as `esl-controller dialplan` prints it?",
)
SWITCH_HANGS = fault(
    "switch hangs",
    r"the switch no longer answers",
    "FreeSWITCH, or the network to it, was silent for 15 s; its calls were let go.",
    "Try `fs_cli` there, and look at the network between the two.",
    row="`call over` with `the switch no longer answers` as its cause",
)

# --- what the operator gave it

NOT_TRANSFERRED = fault(
    "transfer",
    r"the caller could not be transferred(?:: (?P<what>.+))?",
    "FreeSWITCH refused a transfer; the caller stayed with the AI.",
    "Correct the destination's number and context in the secretary's file.",
)
NOT_RECORDED = fault(
    "not recorded",
    r"the call is not recorded(?:: (?P<what>.+))?",
    "FreeSWITCH cannot write the recording.",
    "Let FreeSWITCH's user write into [freeswitch] recordings.",
)
SECRETARY = fault(
    "secretary",
    r"(?P<what>secretary not loaded|secretaries cannot be read)",
    "A secretary's file has mistakes. Its callers get the last version without one, from memory or"
    " from the record; where there is none, the secretary that answers all other calls.",
    "`esl-controller secretary check` names the lines.",
)
NOT_DELIVERED = fault(
    "webhook",
    r"(?:delivery failed|deliveries wait)(?:: (?P<what>.+))?",
    "A receiver of events refuses them or is away; they are kept and sent again for 24 hours.",
    "Can the controller reach the receiver's server, and does it answer 2xx?",
    row="`delivery failed`",
)
FUNCTION_FAILED = fault(
    "function",
    r"a webhook function failed(?:: (?P<what>.+))?",
    "Your server did not answer one of the model's functions well; the model was told so.",
    "Look at your server; the line says which function.",
    row="`a webhook function failed`",
)

BUG = fault(
    "bug",
    r"(?P<what>a bug in the controller ends this session|a session ended by a bug)",
    "A bug in the controller ended a session; the dialplan goes on with the call.",
    "Please report it, with the lines that follow in the log.",
)

ALL: Final[tuple[Fault, ...]] = (
    *(NOT_ALLOWED, NO_CALL, CALL_NOT_TAKEN, WRONG_STREAM, NO_DOMAIN),
    *(MODULE_NOT_LOADED, NO_STREAM, LANE_SILENT, NO_LANE, NO_AUDIO),
    *(MODEL_KEY, MODEL_QUOTA, MODEL_GONE, MODEL_CALLED_AGAIN, MODEL_CHANGED, MODEL_REFUSED_REPLY),
    *(OTHER_AUDIO, NO_TRANSCRIPT, STAND_IN),
    *(RECORD_AWAY, RECORD_WITH_HOLES, BEGINS_ANEW),
    *(TAKEN_OVER, LOST_CALL, SWITCH_HANGS),
    *(NOT_TRANSFERRED, NOT_RECORDED, SECRETARY, NOT_DELIVERED, FUNCTION_FAILED, BUG),
)
"""In this order: the first that matches a line is what it means."""
