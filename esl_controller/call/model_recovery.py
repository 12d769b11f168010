"""What a call does about a model that errs: it reconnects, has patience, falls back. [core]

Part of ``machine.py``. ``model_link.py`` says when to connect again and when to give up,
``patience.py`` when the caller is asked to wait; a reply that fails is asked for again by the
conversation itself (``reply_failures.py``). Times are seconds of the call's clock.
"""

from __future__ import annotations

from esl_controller.call.actions import Actions, Note
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentFailed
from esl_controller.call.conversation import Conversation
from esl_controller.call.hops import Hops
from esl_controller.call.media_path import MediaPath
from esl_controller.call.model_link import ModelLink
from esl_controller.call.patience import Patience
from esl_controller.call.replies import Waiting
from esl_controller.call.states import IN_CONVERSATION, WITH_MEDIA, WITH_MODEL, Stage, State
from esl_controller.secretaries.schema import Destination


class ModelRecovery:
    """Has one call connected to its model, and does what can be done without one.

    ``stage``: where the call is; ``fallback``: where the caller goes if no model can be had;
    ``hops``: how often the caller was transferred before; ``models``: how many there are to choose
    from.
    """

    def __init__(
        self,
        stage: Stage,
        conversation: Conversation,
        media_path: MediaPath,
        fallback: Destination | None,
        hops: Hops,
        models: int = 1,
    ) -> None:
        self.link = ModelLink(models)
        self._patience = Patience()
        self._stage = stage
        self._conversation = conversation
        self._media_path = media_path
        self._fallback = fallback
        self._hops = hops

    def connect(self) -> Actions:
        """Connect for the first time, unless that was done."""
        return self.link.connect() if self.link.state == "none" else []

    # --- it errs ----------------------------------------------------------------------------------

    def failed(self, event: AgentFailed, now: float) -> Actions:
        """The connection is gone, or could not be made."""
        if self.link.given_up:
            return []
        before = self.link.place
        actions = self.link.failed(event, now, spoke=self._conversation.model_spoke)
        return [*actions, *self._gone(now, another=self.link.place != before)]

    def help(self, now: float) -> Actions:
        """Do about a model that fails to reply what asking again has not done."""
        needs = self._conversation.model_needs
        if self.link.given_up or needs is Recovery.ASK_AGAIN:
            return []
        if needs is Recovery.RECONNECT:
            return [*self._gone(now), *self.link.connect()]
        return self.failed(AgentFailed("it does not reply", Recovery.NEXT_MODEL), now)

    def give_up(self) -> Actions:
        """The call goes on without a model."""
        self.link.give_up()
        return self.fall_back()

    def _gone(self, now: float, *, another: bool = False) -> Actions:
        """The connection is gone; ``another``: another model is called."""
        given_up = self.link.given_up
        actions: Actions = []
        if self._stage.state in IN_CONVERSATION:
            actions = self._conversation.model_gone(now, for_good=given_up, another=another)
        return [*actions, *self.fall_back()] if given_up else actions

    def fall_back(self) -> Actions:
        """To the fallback, or an apology and the end, as soon as there is a way to be heard; unless
        the conversation is ending already."""
        if self._conversation.leaving or not self._can_hear_us:
            return []
        if self._fallback is None:
            return self._conversation.apologise()
        if not self._hops.may_fall_back:
            reason = "it was tried for this caller before, or it leads back to this number"
            note = Note("no transfer to the fallback", reason)
            return [note, *self._conversation.apologise()]
        return self._conversation.fall_back(self._fallback)

    # --- time -------------------------------------------------------------------------------------

    def follow(self, now: float) -> None:
        """Note what the caller is waiting for, after each event."""
        waiting = Waiting.NOTHING
        if self._stage.state in WITH_MEDIA and not self._conversation.held:
            ready = self.link.state == "ready"
            waiting = self._conversation.waiting if ready else Waiting.THE_MODEL
        self._patience.follow(waiting, now)

    def deadline(self) -> float | None:
        """When ``time_up`` has something to do."""
        times = [self._patience.deadline(silent=self._silent)]
        if self._stage.state in WITH_MODEL:
            times.append(self.link.deadline(idle=self._idle))
        return min((time for time in times if time is not None), default=None)

    def time_up(self, now: float) -> Actions:
        """Do one thing that is due."""
        was_ready = self.link.state == "ready"
        actions = self.link.time_up(now, idle=self._idle)
        if actions and self.link.given_up:
            return [*actions, *self._gone(now)]
        if was_ready and self.link.state != "ready":
            return [*self._conversation.model_gone(now), *actions]
        return actions or self._patience.time_up(now, silent=self._silent)

    @property
    def _idle(self) -> bool:
        """Whether nobody speaks and nothing is waited for."""
        return self._stage.state is State.TALKING and self._conversation.idle

    @property
    def _can_hear_us(self) -> bool:
        return self._media_path.speaking_by != "no" and not self._conversation.held

    @property
    def _silent(self) -> bool:
        """Whether the caller hears nothing, and could."""
        audible = self._conversation.agent_audible or self._conversation.music_playing
        return self._stage.state in WITH_MEDIA and self._can_hear_us and not audible
