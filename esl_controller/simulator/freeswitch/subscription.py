"""Which events a connection asked for (mod_event_socket.c: ``event``, ``myevents``, ``filter``)."""

from __future__ import annotations

from esl_controller.simulator.freeswitch.wire import SwitchEvent

_NAMES = """
    CUSTOM CLONE CHANNEL_CREATE CHANNEL_DESTROY CHANNEL_STATE CHANNEL_CALLSTATE CHANNEL_ANSWER
    CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE CHANNEL_HOLD
    CHANNEL_UNHOLD CHANNEL_BRIDGE CHANNEL_UNBRIDGE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA
    CHANNEL_OUTGOING CHANNEL_PARK CHANNEL_UNPARK CHANNEL_APPLICATION CHANNEL_ORIGINATE
    CHANNEL_UUID API LOG INBOUND_CHAN OUTBOUND_CHAN STARTUP SHUTDOWN PUBLISH UNPUBLISH TALK NOTALK
    SESSION_CRASH MODULE_LOAD MODULE_UNLOAD DTMF MESSAGE PRESENCE_IN NOTIFY_IN PRESENCE_OUT
    PRESENCE_PROBE MESSAGE_WAITING MESSAGE_QUERY ROSTER CODEC BACKGROUND_JOB DETECTED_SPEECH
    DETECTED_TONE PRIVATE_COMMAND HEARTBEAT TRAP ADD_SCHEDULE DEL_SCHEDULE EXE_SCHEDULE
    RE_SCHEDULE RELOADXML NOTIFY PHONE_FEATURE PHONE_FEATURE_SUBSCRIBE SEND_MESSAGE RECV_MESSAGE
    REQUEST_PARAMS CHANNEL_DATA GENERAL COMMAND SESSION_HEARTBEAT CLIENT_DISCONNECTED
    SERVER_DISCONNECTED SEND_INFO RECV_INFO RECV_RTCP_MESSAGE SEND_RTCP_MESSAGE CALL_SECURE NAT
    RECORD_START RECORD_STOP PLAYBACK_START PLAYBACK_STOP CALL_UPDATE FAILURE SOCKET_DATA
    MEDIA_BUG_START MEDIA_BUG_STOP CONFERENCE_DATA_QUERY CONFERENCE_DATA CALL_SETUP_REQ
    CALL_SETUP_RESULT CALL_DETAIL DEVICE_STATE TEXT SHUTDOWN_REQUESTED ALL
"""
EVENT_NAMES = frozenset(_NAMES.split())
"""Every event of FreeSWITCH 1.10.12; ``event`` passes over other words."""

_MYEVENTS = """
    CHANNEL_ANSWER CHANNEL_APPLICATION CHANNEL_BRIDGE CHANNEL_CREATE CHANNEL_DATA CHANNEL_DESTROY
    CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE
    CHANNEL_ORIGINATE CHANNEL_UUID CHANNEL_OUTGOING CHANNEL_PARK CHANNEL_PROGRESS
    CHANNEL_PROGRESS_MEDIA CHANNEL_STATE CHANNEL_UNBRIDGE CHANNEL_UNPARK DETECTED_SPEECH DTMF
    NOTALK TALK
"""
MYEVENTS = frozenset(_MYEVENTS.split())
"""What ``myevents`` asks for."""

_FORMATS = ("plain", "json")


class Subscription:
    """What a connection wants to hear of, in which format."""

    def __init__(self) -> None:
        self.format = "plain"
        self.uuid = ""
        """After ``myevents``: the one channel that counts."""
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._filters: list[tuple[str, str]] = []

    def wants(self, event: SwitchEvent) -> bool:
        """Whether to send this event."""
        if "ALL" not in self._names:
            if event.name not in self._names:
                return False
            if event.name == "CUSTOM" and event.subclass not in self._subclasses:
                return False
        if self._filters and not any(_equal(event.get(n), v) for n, v in self._filters):
            return False
        if self.uuid:
            return self.uuid in (event.get("Unique-ID"), event.get("Job-Owner-UUID"))
        return True

    def myevents(self, uuid: str, form: str) -> str:
        """Ask for the events of one channel."""
        if self.uuid:
            return "-ERR aready enabled."
        self._set_format(form)
        self.uuid = uuid
        self._names |= MYEVENTS
        return "+OK Events Enabled"

    def add(self, words: list[str]) -> str:
        """``event [plain|json] NAMES... [CUSTOM SUBCLASSES...]``."""
        if words and self._set_format(words[0]):
            words = words[1:]
        names, subclasses = _split(words)
        if not names:
            return "-ERR no keywords supplied"
        self._names |= names
        self._subclasses |= subclasses
        return f"+OK event listener enabled {self.format}"

    def remove(self, words: list[str]) -> str:
        """``nixevent NAMES... [CUSTOM SUBCLASSES...]``."""
        names, subclasses = _split(words)
        if not names:
            return "-ERR no keywords supplied"
        if "ALL" in self._names:
            self._names |= EVENT_NAMES - {"ALL"}
            self._names.discard("ALL")
        self._names -= EVENT_NAMES if "ALL" in names else names - {"CUSTOM"}
        self._subclasses -= subclasses
        return "+OK events nixed"

    def clear(self) -> str:
        """``noevents``."""
        listening = bool(self._names)
        self._names.clear()
        self._subclasses.clear()
        return (
            "+OK no longer listening for events" if listening else "-ERR not listening for events"
        )

    def filter(self, rest: str) -> str:
        """``filter [add] HEADER VALUE``, ``filter delete HEADER [VALUE]``; one match is enough."""
        name, _, value = rest.partition(" ")
        if name.lower() == "delete" and value:
            name, _, value = value.partition(" ")
            self._filters = [f for f in self._filters if not _covers(name, value, f)]
            return f"+OK filter deleted. [{name}][{value}]"
        if not value:
            return "-ERR invalid syntax"
        if name.lower() == "add":
            name, _, value = value.partition(" ")
        self._filters.append((name, value))
        return f"+OK filter added. [{name}]=[{value}]"

    def _set_format(self, word: str) -> bool:
        known = word.lower() in _FORMATS
        if known:
            self.format = word.lower()
        return known


def _split(words: list[str]) -> tuple[set[str], set[str]]:
    """Event names, and after CUSTOM subclasses."""
    names: set[str] = set()
    for index, word in enumerate(words):
        name = word.upper()
        if name in EVENT_NAMES:
            names.add(name)
        if name == "CUSTOM":
            return names, set(words[index + 1 :])
    return names, set()


def _equal(value: str | None, wanted: str) -> bool:
    return value is not None and value.lower() == wanted.lower()


def _covers(name: str, value: str, known: tuple[str, str]) -> bool:
    return name.lower() == "all" or (name == known[0] and value in ("", known[1]))
