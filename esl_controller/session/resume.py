"""How a call goes on in another process: its snapshot is kept in the store.

``SnapshotKeeper.save`` is called after every event and writes what has changed. After a kill -9 the
switch dials again, the next controller claims the call in the store (``server/record.py``), and
``SnapshotKeeper.resume`` turns what is stored into a ``Resumption`` for the call's core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from esl_controller.call.agent import Said
from esl_controller.call.records import Claimed
from esl_controller.call.snapshot import Resumption, Snapshot, StoredSnapshot, dump, load
from esl_controller.freeswitch.channel import Channel
from esl_controller.session.agent_session import AgentSession
from esl_controller.session.call_clock import CallClock
from esl_controller.store.records import Change, Noted, SnapshotSaved


class SnapshotKeeper:
    """Keeps the snapshot of one call. ``put`` takes changes for the store.

    ``epoch``: how often the call was taken over. ``recording``: its path at the switch, or "".
    ``for_good``: the caller was transferred without the promise that they may come back.
    """

    def __init__(
        self,
        channel: Channel,
        agent_session: AgentSession,
        put: Callable[[Change], None],
        clock: CallClock,
    ) -> None:
        self.epoch = 0
        self.recording = ""
        self.for_good = False
        self._channel = channel
        self._agent_session = agent_session
        self._put = put
        self._clock = clock
        self._memory = Snapshot()
        self._cut = False  # a sentence was cut off, and its rest has not begun yet
        self._begun_at = 0.0  # see StoredSnapshot
        self._log = structlog.stdlib.get_logger(__name__).bind(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        )

    def resume(self, claimed: Claimed) -> Resumption | None:
        """Take up a call that another process had, or that comes back from a transfer. None where
        nothing is known of it, so that it begins anew."""
        self.epoch = claimed.epoch
        away_s = self._channel.away_s
        # Even if the call begins anew: what was said before stays in its record.
        stored = load(claimed.snapshot)
        now = self._clock.now()
        if stored is not None and stored.memory.for_good:
            self._begin_anew(stored)
            return None
        if stored is not None and stored.age_s:
            # By the clock that wrote it, which may differ from ours, or have been set meanwhile.
            now = stored.saved_at + max(0.0, self._channel.age_s - stored.age_s)
        self._begun_at = stored.begun_at if stored is not None else 0.0
        history, cut = self._agent_session.resume(_since(claimed, self._begun_at), now - away_s)
        if stored is None:
            return None
        self.recording, self._agent_session.reported = stored.recording, stored.usage
        self._agent_session.tools_pending(stored.memory.pending)
        last = history[-1] if history else None
        memory, unreached, instead = self._came_back(stored.memory, now)
        cut = cut or (stored.cut and not memory.back_from)
        if cut:
            # The turn that was cut is now stored as ended. If we are lost, too, before its rest
            # is said, the next controller must still know that something is missing.
            again = dump(replace(stored, cut=True, saved_at=now, age_s=self._channel.age_s))
            self._put(SnapshotSaved(self._channel.uuid, self.epoch, again))
        self._memory, self._cut = memory.shifted(self._clock.loop_time() - now), cut
        parked = self._channel.parks and not away_s
        if not (memory.back_from or parked):
            self._note(f"a controller was lost; the call went on after {away_s:.1f} s")
        self._log.info("the call goes on here", epoch=self.epoch, away_s=round(away_s, 3), cut=cut)
        return Resumption(
            self._memory,
            history,
            cut,
            words_unknown=last is None or (isinstance(last, Said) and last.who == "agent"),
            away_s=0.0 if memory.back_from else away_s,
            recorded=bool(stored.recording) and not (memory.back_from or self._channel.unrecorded),
            unreached=unreached,
            instead=instead,
        )

    def _begin_anew(self, stored: StoredSnapshot) -> None:
        """Whoever comes now may be the caller, sent back by somebody, or a stranger who knows the
        channel's data: the call is taken, and nothing is told of what was said before."""
        self._begun_at = self._clock.now()
        self._agent_session.resume(Claimed(self.epoch, ""), self._begun_at)
        self._agent_session.reported = stored.usage
        gone = f"the caller had been transferred to {stored.memory.back_from} for good"
        self._note(f"{gone}, and is here again: the conversation begins anew")

    def _came_back(self, memory: Snapshot, now: float) -> tuple[Snapshot, str, str]:
        """The snapshot of a caller who may be coming back from a transfer; FreeSWITCH's cause if
        the destination could not be reached, and if a mailbox or an announcement answered there."""
        channel = self._channel
        if channel.returns > memory.returns:
            memory = memory.after_transfer  # the controller was killed before it had stored that
        if not memory.back_from:
            return memory, "", ""
        if channel.returns < memory.returns:  # somebody transferred the caller back to us
            self._note(f"the caller came back from {memory.back_from}")
            gone_s = now - memory.left_at if memory.left_at else 0.0
            return replace(memory, ends_at=memory.ends_at + gone_s), "", ""
        unreached = channel.unreached
        instead = "" if unreached else channel.instead
        why = f": not reached ({unreached})" if unreached else ""
        if instead:
            why = f": a mailbox or an announcement answered ({instead})"
        seconds = f"{channel.since_transfer_s:.0f} s after the transfer"
        self._note(f"the caller came back from {memory.back_from}, {seconds}{why}")
        # The limit on a call's length counts the time with us only.
        back = replace(memory, ends_at=memory.ends_at + channel.since_transfer_s)
        return back, unreached, instead

    def save(self, memory: Snapshot) -> None:
        """Store the snapshot if it has changed."""
        if memory != self._memory:
            self._memory = memory
            self._write(memory)

    def transferred(self) -> None:
        """The caller was transferred, and may come back."""
        left_at = asyncio.get_running_loop().time()
        memory = replace(self._memory.after_transfer, left_at=left_at, for_good=self.for_good)
        self._note(f"the caller was transferred to {memory.back_from}")
        self._write(memory)

    def _note(self, text: str) -> None:
        self._put(Noted(self._channel.uuid, self._clock.now(), text))

    def _write(self, memory: Snapshot) -> None:
        # As long as an answer is owed, the rest of the sentence that was cut is.
        self._cut = self._cut and memory.owes
        usage = self._agent_session.usage
        stored = StoredSnapshot(
            memory.shifted(self._clock.offset),
            self.recording,
            usage,
            self._cut,
            self._clock.now(),
            self._clock.age_s,
            self._begun_at,
        )
        self._put(SnapshotSaved(self._channel.uuid, self.epoch, dump(stored)))


def _since(claimed: Claimed, begun_at: float) -> Claimed:
    """The same without what was said and done before."""
    turns = [turn for turn in claimed.turns if turn.started_at >= begun_at]
    tools = [used for used in claimed.tools if used.at >= begun_at]
    return replace(claimed, turns=turns, tools=tools)
