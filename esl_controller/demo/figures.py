"""What a take shows: when each thing was heard, how long it took, and whether it was all there.

[core]: computed from what both stand-ins recorded, on either side of the controller; what the
controller says of itself is used only for the set-up times. All times are seconds; a point in time
counts from the answer.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

from esl_controller.demo.conversation import CallerWords, ScriptStep, Take
from esl_controller.demo.sound import FRAME_S, Track, find, locate, share, sounding
from esl_controller.simulator.model import Spoken
from media.frame import Samples, pcm, samples
from media.resample import Converter, convert

_COMPLETE = 0.98  # of the tenths of a second with sound in them
_CUT_S = 0.2  # an interrupted reply must be shorter by this, at least


@dataclass(frozen=True)
class Words:
    """One thing that the model said, as the caller heard it.

    ``sent``: its first audio left the model; ``begins``: its first frame was heard; ``sounds``: its
    first frame that is not silent; ``ends``: the end of its last frame that is not; ``length``:
    from the first frame to the last sound, had it been heard to its end; ``there``: how much of it
    was heard up to ``ends``, 0 to 1; ``missing``: frames that did not come in between.
    """

    sent: float
    begins: float
    sounds: float
    ends: float
    length: float
    there: float
    missing: int

    @property
    def to_caller(self) -> float:
        """From the model to the caller's ear."""
        return self.begins - self.sent


@dataclass(frozen=True)
class TurnTimes:
    """From the caller's last word (``at``) to the first sound of the reply, piece by piece.

    ``to_model`` and ``to_caller`` are the times through the controller and mod_audio_stream, the
    others are the stand-in's own: ``detecting`` that the caller has finished, ``thinking``, and the
    silence with which its reply begins (``leading``).
    """

    at: float
    to_model: float
    detecting: float
    thinking: float
    leading: float
    to_caller: float

    @property
    def ours(self) -> float:
        """The part of the controller and mod_audio_stream."""
        return self.to_model + self.to_caller

    @property
    def standin(self) -> float:
        """The part of the model."""
        return self.detecting + self.thinking + self.leading

    @property
    def total(self) -> float:
        """Both parts."""
        return self.ours + self.standin


@dataclass(frozen=True)
class BargeInTimes:
    """The interruption: the caller's first sound, the model's speech_started, silence.

    ``told``: how much of the reply the controller told the model that the caller has heard; None
    if it told it nothing.
    """

    sounds: float
    detected: float
    silent: float
    told: float | None

    @property
    def total(self) -> float:
        """From the model's speech_started until the last frame of speech has been heard."""
        return max(0.0, self.silent - self.detected)


@dataclass
class Figures:
    """All figures; None or empty for what was not reached.

    ``marks``: seconds since FreeSWITCH's connection: "answered", "stream", "lane". ``connected``:
    when that was, a negative time. ``missing``: frames that should have been heard and were not.
    """

    connected: float = 0.0
    marks: dict[str, float] = field(default_factory=dict)
    words: list[Words] = field(default_factory=list)
    turn: TurnTimes | None = None
    barge_in: BargeInTimes | None = None
    frames: int = 0
    missing: int = 0
    ended: float = 0.0

    @property
    def answer(self) -> float:
        """Seconds since the connection until the call was answered, or nan."""
        return self.marks.get("answered", float("nan"))

    @property
    def set_up(self) -> float:
        """Seconds until the caller can be heard and spoken to; nan if it did not come to that."""
        opened = [at for name, at in self.marks.items() if name != "answered"]
        return max(opened, default=float("nan"))


def measure(take: Take) -> Figures:
    """The figures of a take."""
    names = {"preparing_s": "answered", "stream_s": "stream", "lane_s": "lane"}
    figures = Figures(
        connected=take.arrived - take.answered,
        marks={names[mark]: at for mark, at in take.marks.items() if mark in names},
        frames=len(take.frames),
        ended=take.ended - take.answered,
    )
    if not take.frames:
        return figures
    track = Track(take.frames, take.rate)
    figures.words = _words(take, track)
    if take.script.playback == "lane":
        figures.missing = track.missing(0, track.samples.size - 1)
    else:
        figures.missing = sum(words.missing for words in figures.words)
    if len(figures.words) > 1 and take.said:
        figures.turn = _turn(take, take.said[0], figures.words[1])
    if len(figures.words) > 1 and "interruption" in take.done:
        figures.barge_in = _barge_in(take, take.said[1], figures.words[1])
    return figures


def problems(take: Take, figures: Figures) -> list[str]:
    """What should have been heard and was not, one line for each; empty if all is well."""
    found = [take.failure] if take.failure else []
    found += _unheard(take.done, figures)
    if "interruption" in take.done and len(figures.words) > 1:
        reply = figures.words[1]
        if reply.ends > reply.begins + reply.length - _CUT_S:
            found.append("the reply was not stopped by the interruption")
        if figures.barge_in is None or figures.barge_in.told is None:
            found.append("the model was not told how much of its reply was heard")
    if take.record.violations:
        found.append(f"the model refused {take.record.violations} messages as malformed")
    if "goodbye" not in take.done:
        found.append("the call did not end when the caller hung up")
    if take.left:
        found.append(f"the controller did not free everything: {take.left}")
    return found


def _unheard(done: list[ScriptStep], figures: Figures) -> list[str]:
    """Sentences that were heard in part or not at all. The last one may be cut by the end."""
    found = []
    steps: tuple[tuple[ScriptStep, ScriptStep], ...] = (
        ("greeting", "greeting"),
        ("reply", "interruption"),
        ("second reply", "second reply"),
    )
    for number, (name, step) in enumerate(steps):
        if step not in done:
            continue
        if number >= len(figures.words):
            found.append(f"the {name} is not in what the caller heard")
        elif figures.words[number].there < _COMPLETE:
            heard = figures.words[number].there
            found.append(f"of the {name}, only {heard:.0%} was heard as it was sent")
    if "interruption" in done and figures.turn is None:
        found.append("the caller's words did not reach the model as they were said")
    return found


def _words(take: Take, track: Track) -> list[Words]:
    """What the model said, in order, up to the first thing that was not heard."""
    spoken = [one for one in take.record.spoken.values() if one.deltas]
    starts: list[int] = []
    sent = [_as_heard(one, take.rate) for one in spoken]
    for one, values in zip(spoken, sent, strict=True):
        # Half a frame early: the two clocks are read one after the other.
        earliest = track.after(one.deltas[0].at - FRAME_S / 2)
        at = locate(values, take.rate, track.samples[earliest:])
        if at is None:
            break
        starts.append(max(0, earliest + at))
    ends = [*starts[1:], track.samples.size]
    return [
        _heard(take, track, one, values, start, end)
        for one, values, start, end in zip(spoken, sent, starts, ends, strict=False)
    ]


def _heard(take: Take, track: Track, one: Spoken, values: Samples, start: int, end: int) -> Words:
    last = track.last_sound(start, min(end, start + values.size + take.rate // 5))
    first_sound, last_sound = sounding(values)
    upto = values[: last - start + 1]
    return Words(
        sent=one.deltas[0].at - take.answered,
        begins=track.arrival(start) - take.answered,
        sounds=track.arrival(start + first_sound) - take.answered,
        ends=track.arrival(last) + FRAME_S - take.answered,
        length=(last_sound + 1) / take.rate,
        there=share(upto, take.rate, track.samples, start),
        missing=track.missing(start, last),
    )


def _as_heard(one: Spoken, rate: int) -> Samples:
    """What the model sent, at the channel's rate, converted as the controller does it."""
    voice = Converter(one.format, pcm(rate))
    return samples(voice.feed(bytes(one.audio)) + voice.finish())


def _turn(take: Take, said: CallerWords, reply: Words) -> TurnTimes | None:
    """None if the words are not found in what the model heard."""
    _, last = sounding(said.samples)
    # The frame with the last sound, and its middle: half a frame from anything that is cut there.
    frame = int(last / take.rate / FRAME_S)
    left = said.at + frame * FRAME_S - take.answered
    reached = _reached(take, said, (frame + 0.5) * FRAME_S)
    stopped = _next(take.record.speech_stopped, said.at, take.answered)
    if reached is None or stopped is None:
        return None
    return TurnTimes(
        at=left,
        to_model=reached - left,
        detecting=stopped - reached,
        thinking=reply.sent - stopped,
        leading=reply.sounds - reply.begins,
        to_caller=reply.to_caller,
    )


def _reached(take: Take, said: CallerWords, second: float) -> float | None:
    """When a moment of the caller's words, so many seconds from their start, reached the model."""
    heard, rate = take.record.heard()
    words = convert(said.samples, take.rate, rate)
    found = find(words, heard)
    if found.likeness < 0.9:
        return None
    fmt = take.record.heard_format
    byte = (found.at + int(second * rate)) * fmt.sample_bytes
    appends = take.record.appends
    index = bisect_left(list(accumulate(append.size for append in appends)), byte + 1)
    return appends[index].at - take.answered if index < len(appends) else None


def _barge_in(take: Take, said: CallerWords, reply: Words) -> BargeInTimes | None:
    """None if the model noticed nothing."""
    first, _ = sounding(said.samples)
    detected = _next(take.record.speech_started, said.at, take.answered)
    if detected is None:
        return None
    truncates = [e for e in take.record.client_events if e["type"] == "conversation.item.truncate"]
    return BargeInTimes(
        sounds=said.at + first / take.rate - take.answered,
        detected=detected,
        silent=reply.ends,
        told=truncates[0]["audio_end_ms"] / 1000 if truncates else None,
    )


def _next(times: list[float], after: float, zero: float) -> float | None:
    return next((at - zero for at in times if at > after), None)
