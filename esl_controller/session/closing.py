"""How a call's record ends: when we let go of the call, and when a transferred caller is gone."""

from __future__ import annotations

import json

from esl_controller.call.machine import Call
from esl_controller.call.outcome import INTERRUPTED, NOT_REACHED, TRANSFERRED
from esl_controller.call.tools import failure
from esl_controller.freeswitch.away import Away
from esl_controller.freeswitch.channel import Channel
from esl_controller.session.agent_session import AgentSession
from esl_controller.session.call_clock import CallClock
from esl_controller.session.dependencies import Record
from esl_controller.session.resume import SnapshotKeeper
from esl_controller.store.records import CallEnded, Noted

HUNG_UP = failure("the call ended before the result was known")
SENT_ON = failure("the caller was transferred before the result was known")


class Closing:
    """Writes down how one call ended, and has the operator's server told."""

    def __init__(
        self,
        channel: Channel,
        call: Call,
        keeper: SnapshotKeeper,
        agent_session: AgentSession,
        record: Record,
        clock: CallClock,
    ) -> None:
        self._uuid = channel.uuid
        self._call = call
        self._keeper = keeper
        self._agent_session = agent_session
        self._record = record
        self._clock = clock

    async def let_go(self) -> None:
        """We have the call no longer."""
        outcome = self._call.outcome
        transferred = self._call.cause == TRANSFERRED
        if outcome != INTERRUPTED:
            self._agent_session.end_tools(
                SENT_ON if transferred else HUNG_UP, kept=self._exit_call if transferred else ""
            )
        self._end(self._call.cause, outcome)
        if outcome == INTERRUPTED:
            return  # another controller may resume it
        # One may have done so already without our knowledge; then it reports the end.
        if transferred or await self._record.still_ours(self._uuid, self._keeper.epoch):
            self._agent_session.call_ended()

    def transferred(self, away: Away) -> None:
        """The call of a caller whom we transferred has ended, without having come back to us."""
        if away.ended is None or away.back:
            return
        why = away.ended.unreached
        status = f"done; {away.machine}" if away.machine else "done"
        result = failure(f"not reached ({why})") if why else json.dumps({"status": status})
        self._agent_session.end_tools(result)
        if away.machine and not why:
            self._note(f"the caller was transferred, and {away.machine}")
        if why:
            self._note(f"the transferred caller reached nobody ({why}), and the call ended")
            self._end(away.ended.cause, NOT_REACHED)
            self._agent_session.call_ended()

    @property
    def _exit_call(self) -> str:
        """The call_id of the function call that asked for the transfer."""
        call = self._call.conversation.snapshot().exit_call
        return call.call_id if call else ""

    def _note(self, text: str) -> None:
        self._record.put(Noted(self._uuid, self._clock.now(), text))

    def _end(self, cause: str, outcome: str) -> None:
        self._record.put(
            CallEnded(
                *(self._uuid, self._clock.now(), cause, outcome),
                recording=self._keeper.recording,
                usage=self._agent_session.usage,
                epoch=self._keeper.epoch,
            )
        )
