"""The conversation with the model, as ``call/conversation.py`` decides it.

A model's delta takes the short way: wire, agent, ``AgentSession``, speech output, playout, lane.
What is said and done is noted in the transcript on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TypeVar, assert_never

import structlog

from esl_controller.agents.base import Agent, Counters
from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import Called, History, ToolCall, Usage
from esl_controller.call.agent_events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentFailed,
    AgentReady,
    AgentText,
    CallerTranscript,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptMissing,
)
from esl_controller.call.records import Claimed
from esl_controller.call.tools import AskServer
from esl_controller.call.transcript import Transcript
from esl_controller.freeswitch.channel import Channel
from esl_controller.secretaries.persona import BySilence, Persona
from esl_controller.secretaries.secretary import Secretary
from esl_controller.session.call_clock import CallClock
from esl_controller.session.caller import CallerAudio
from esl_controller.session.dependencies import Dependencies
from esl_controller.session.runner import CallRunner
from esl_controller.session.speech_output import SpeechOutput
from esl_controller.session.webhooks import Webhooks
from esl_controller.store.records import Noted
from media.frame import Format
from media.playout import HOLD_MS, CutOff


class AgentSession:
    """The agent of one call, one connection after the other. ``caller``: what it hears."""

    def __init__(
        self,
        channel: Channel,
        secretary: Secretary,
        persona: Persona,
        deps: Dependencies,
        speech: SpeechOutput,
        runner: CallRunner,
        clock: CallClock,
    ) -> None:
        self.reported = Usage()  # by finished responses, and by earlier agents
        self.model = deps.models[0].name  # that the call has, or is to have
        self.caller = CallerAudio(secretary.barge_in.confirm_ms, runner.report)
        self._persona = persona
        self._deps = deps
        self._speech = speech
        self._runner = runner
        self._clock = clock
        turns = secretary.turn_detection.vad
        self._silence_ms = turns.silence_ms if isinstance(turns, BySilence) else 0
        self._transcript = Transcript(channel.uuid, deps.record.put)
        secret = deps.settings.webhook.secret.get_secret_value()
        self._webhooks = Webhooks(channel, secretary, deps.http, deps.record.put, secret)
        self._channel = channel
        self._untranscribed = False  # a turn of the caller was not, and that is noted
        self._earlier = Counters()  # of earlier agents of the call
        self._agent: Agent | None = None
        self._connection: asyncio.Task[None] | None = None
        self._g711: bool | None = None  # whether the first agent was to take and bring G.711
        self._log = structlog.stdlib.get_logger(__name__).bind(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        )

    @property
    def usage(self) -> Usage:
        """What the call has used so far: tokens, or seconds of a model that is paid by time."""
        return add(self.reported, self._agent.unreported) if self._agent else self.reported

    @property
    def counters(self) -> Counters:
        """Sums over all agents that the call has had."""
        return add(self._earlier, self._agent.counters) if self._agent else self._earlier

    def resume(self, claimed: Claimed, lost_at: float) -> tuple[History, bool]:
        """Resume a conversation that another process lost at ``lost_at`` (Unix seconds). Returns
        what was said so far, and whether that cut off our speech."""
        cut = self._transcript.resume(claimed, lost_at)
        return self._transcript.history(), cut

    def connect(self, channel: Channel, place: int) -> Format:
        """Connect to the model of this place. An earlier connection is dropped, and whatever it
        still had to say.

        Returns the format in which the agent takes the caller's audio: the same for all agents of
        the call, even if the caller's codec is another by now.
        """
        if self._g711 is None:
            self._g711 = channel.is_g711
        if self._connection is not None:
            self._connection.cancel()
            self._transcript.model_gone(self._clock.now())
        self._earlier, self.reported = self.counters, self.usage
        history = self._transcript.history()
        lost = self._transcript.turn_unknown
        chosen = self._deps.models[place]
        if chosen.name != self.model:
            self._log.info("another model", before=self.model, model=chosen.name)
            self.model = chosen.name
            text = f"the call goes on with the model {chosen.name}"
            self._deps.record.put(Noted(channel.uuid, self._clock.now(), text))
        persona = chosen.as_persona(self._persona)
        self._agent = agent = chosen.model.agent(persona, history, g711=self._g711)
        self._transcript.silence_ms = 0 if agent.takes_turns else self._silence_ms
        self._speech.source = agent.output
        self.caller.connect(agent)

        def on_event(event: AgentEvent) -> None:
            if isinstance(event, AgentReady):
                event = AgentReady(turn_lost=lost, takes_turns=agent.takes_turns)
            if self._agent is agent:
                self._agent_event(event)

        self._connection = self._runner.spawn(agent.run(on_event))
        return agent.input

    def tools_pending(self, calls: Sequence[ToolCall]) -> None:
        """These function calls had no result yet when another process lost the call."""
        for call in calls:
            self._transcript.tool_began(call, self._clock.now())

    def end_tools(self, output: str, *, kept: str = "") -> None:
        """Write down what became of the function calls that have no result; see ``Transcript``."""
        self._transcript.end_tools(output, self._clock.now(), kept=kept)

    def call_ended(self) -> None:
        """Have the operator's server told that the call has ended."""
        self._webhooks.call_ended()

    # --- doing ------------------------------------------------------------------------------------

    def perform(self, action: do.AgentAction) -> None:
        """Do it, or begin to; what comes of it is reported."""
        assert self._agent is not None
        match action:
            case do.RequestReply(instructions):
                self._agent.respond(instructions)
            case do.CancelReply():
                self._agent.cancel()
            case do.CheckSpeech():
                self.caller.check()
            case do.StopCheck():
                self.caller.stop()
            case do.HoldSpeech():
                for heard in self._speech.hold(HOLD_MS):
                    self._transcript.agent_held(heard.item, heard.heard_ms)
            case do.ReleaseSpeech():
                self._speech.unhold()
            case do.Interrupt():
                self.interrupt()
            case do.ForgetItem(item):
                self._agent.forget(item)
                self._transcript.forget(item)
            case do.TellModel(text):
                self._agent.tell(text)
            case do.StoreMessage(request):
                self._webhooks.message(request, self._clock.now())
            case do.AskWebhook(call_id, webhook, secure):
                self._runner.spawn(self._ask_webhook(call_id, webhook, secure))
            case do.ToolResult(call, output, last):
                self._transcript.tool_ended(call, output, self._clock.now())
                result = Called(call.call_id, call.name, call.arguments, output)
                self._agent.tool_result(result, last=last)
            case _:
                assert_never(action)

    async def _ask_webhook(
        self, call_id: str, request: AskServer, secure: Mapping[str, str]
    ) -> None:
        # If we are killed now, the next controller must know of it: nothing is asked twice.
        await self._deps.record.flush()
        self._runner.report(ev.WebhookDone(call_id, await self._webhooks.webhook(request, secure)))

    def interrupt(self) -> list[CutOff]:
        """Be silent at once, and tell the model how much of each item was heard; returns that."""
        cut = self._speech.interrupt()
        for heard in cut:
            if self._agent is not None:
                self._agent.truncate(heard.item, heard.heard_ms)
            self._transcript.agent_ended(heard.item, self._clock.now(), cut_ms=heard.heard_ms)
            self._log.info("interrupted", item=heard.item, heard_ms=heard.heard_ms)
        return cut

    def withdraw(self) -> None:
        """The way to the caller is gone, and was for the last moment: be silent, and note what was
        heard, in case another process gets the call. The rest waits for the next lane."""
        for heard in self._speech.withdraw():
            self._transcript.agent_held(heard.item, heard.heard_ms)

    def goes_on(self) -> None:
        """There is another way to the caller, who hears what has waited."""
        if self._speech.held:
            return  # not before the caller is back
        for heard in self._speech.heard():
            self._transcript.agent_goes_on(heard.item, heard.heard_ms, self._clock.now())

    # --- what happens -----------------------------------------------------------------------------

    def _agent_event(self, event: AgentEvent) -> None:
        try:
            match event:
                case AgentAudio(item, data):
                    if self._speech.gate_open:
                        self._speak(item, data)
                case AgentAudioDone(item):
                    self._speech.complete(item)
                    self._transcript.agent_complete(item)
                case AgentFailed():
                    self._speech.complete_all()  # what has come of a sentence is still heard
                    self._runner.report(event)
                case AgentText(item, text):
                    self._transcript.agent_says(item, self._clock.now(), text=text)
                case CallerTranscript(item, text):
                    self._transcript.caller_said(item, text)
                case TranscriptMissing(_, reason):
                    self._not_transcribed(reason)
                case _:
                    self._note(event)
                    self._runner.report(event)
                    self.caller.follow(event)
        except Exception as error:
            self._runner.fail(error)

    def _not_transcribed(self, reason: str) -> None:
        """What the caller says is not written down: noted once a call, which goes on."""
        if not self._untranscribed:
            self._untranscribed = True
            self._log.warning("what the caller says is not written down", reason=reason)
            text = f"what the caller says is not written down: {reason}"
            self._deps.record.put(Noted(self._channel.uuid, self._clock.now(), text))

    def _speak(self, item: str, data: bytes) -> None:
        if not self._speech.has_room(item, data):
            return
        if self._speech.is_new(item):
            # Reported before its audio is queued, so that music makes room for it.
            self._runner.report(ev.ItemQueued(item))
        self._speech.speak(item, data)
        audio_ms = self._speech.source.ms(len(data))
        self._transcript.agent_says(item, self._clock.now(), audio_ms=audio_ms)

    def _note(self, event: AgentEvent) -> None:
        """Note in the transcript what this event says of the conversation."""
        now = self._clock.now()
        match event:
            case SpeechStarted(_, item, late_ms):
                self._transcript.caller_began(item, now - late_ms / 1000)
            case SpeechStopped(_, item, late_ms):
                self._transcript.caller_ended(item, now - late_ms / 1000)
            case ResponseDone(calls=calls, usage=usage):
                self.reported = add(self.reported, usage)
                for call in calls:
                    self._transcript.tool_began(call, now)

    def played(self, event: ev.Event) -> None:
        """The playback reports how far an item of speech has got."""
        match event:
            case ev.ItemStarted(item):
                self._transcript.agent_heard(item, self._clock.now())
            case ev.ItemFinished(item):
                self._speech.finished(item)
                self._transcript.agent_ended(item, self._clock.now())
        self._runner.report(event)


_Numbers = TypeVar("_Numbers", Counters, Usage)


def add(one: _Numbers, other: _Numbers) -> _Numbers:
    """The sums, field by field."""
    sums = {f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(one)}
    return type(one)(**sums)
