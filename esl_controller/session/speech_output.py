"""Everything that a caller hears from us: the agent's speech, our own sentences, music.

Each piece is an item. It is converted to the playback's rate as it comes, and queued there.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import cache

from esl_controller.session.playback import Playback
from media import sounds
from media.frame import Format, pcm
from media.playout import CutOff
from media.resample import Converter, convert
from media.sounds.music import loop

MUSIC = "music"
ITEMS_LIMIT = 64  # of the agent, that wait to be heard; a reply has one or two


class SpeechOutput:
    """One call's speech. ``source``: the agent's output format. ``playback``: where everything
    goes; speech that comes before there is one is dropped, and so is the rest of an interrupted
    item. ``gate_open``: whether the agent's speech is for the caller (``actions.SetGates``).
    ``held``: nobody hears us. ``dropped_ms``: speech of items beyond ``ITEMS_LIMIT``.
    """

    def __init__(self) -> None:
        self.source: Format = pcm(24000)
        self.playback: Playback | None = None
        self.gate_open = False
        self.dropped_ms = 0.0
        self._unheard: set[str] = set()  # the agent's items that are not heard to their end
        self._converters: dict[str, Converter] = {}  # for items whose audio is still coming
        self._lead_ms = 0.0  # of silence that a converter puts before its item
        self._over: deque[str] = deque(maxlen=64)  # items that are complete or were interrupted
        self._own: set[str] = set()  # our own items: sentences and music
        self._said: Counter[str] = Counter()  # how often each of our sentences was said
        self._rounds = 0  # of the music's loop, so far
        self._music = False
        self.held = False

    def use(self, playback: Playback) -> None:
        """Speak by ``playback`` from now on."""
        self.playback = playback
        if self.held:
            playback.hold(0)

    def is_new(self, item: str) -> bool:
        """Whether this would be the first audio of ``item``, and there is a playback for it."""
        return self.playback is not None and item not in self._converters and item not in self._over

    def has_room(self, item: str, data: bytes) -> bool:
        """Whether ``data`` of ``item`` can be taken; counts it if not."""
        room = len(self._unheard) < ITEMS_LIMIT or item in self._unheard
        if not room:
            self.dropped_ms += self.source.ms(len(data))
        return room

    def speak(self, item: str, data: bytes) -> None:
        """More speech of ``item``, in the agent's format."""
        if self.playback is None or item in self._over:
            return
        converter = self._converters.get(item)
        if converter is None:
            # A model says one thing after the other. One that never finishes an item must not
            # silence what comes after it.
            self.complete_all()
            converter = Converter(self.source, pcm(self.playback.rate), lead=True)
            self._converters[item] = converter
            self._unheard.add(item)
            self._lead_ms = converter.lead_ms
        self.playback.push(item, converter.feed(data))

    def complete(self, item: str) -> None:
        """The agent has sent all of ``item``."""
        converter = self._converters.pop(item, None)
        if converter is not None and self.playback is not None:
            self.playback.push(item, converter.finish())
            self.playback.complete(item)
            self._over.append(item)

    def complete_all(self) -> None:
        """No more audio will come: whatever has come of each item is all of it."""
        for item in tuple(self._converters):
            self.complete(item)

    def pause(self) -> None:
        """Be silent now and lose nothing. Files play on: they cannot be paused exactly."""
        if self.playback is not None:
            self.playback.pause()

    def unpause(self) -> None:
        """Go on from the sample at which ``pause`` stopped."""
        if self.playback is not None:
            self.playback.unpause()

    def hold(self, unheard_ms: int) -> list[CutOff]:
        """Nobody hears us from now on, and nobody has for ``unheard_ms``. Returns how much was
        heard of each of the agent's items that has begun."""
        self.held = True
        if self.playback is not None:
            self.playback.hold(unheard_ms)
        return self.heard()

    def withdraw(self) -> list[CutOff]:
        """The way to the caller is gone: be silent, and keep what was not heard for the next one.
        Returns how much was heard of each of the agent's items that has begun."""
        if self.playback is not None:
            self.playback.withdraw()
        return self.heard()

    def heard(self) -> list[CutOff]:
        """How much was heard so far of each of the agent's items that has begun."""
        return self._of_agent(self.playback.heard()) if self.playback is not None else []

    def unhold(self) -> None:
        """Go on with the first sample that was not heard."""
        self.held = False
        if self.playback is not None:
            self.playback.unhold()

    def interrupt(self) -> list[CutOff]:
        """Be silent now, and drop what waits. Returns how much was heard of each of the agent's
        items that was cut off."""
        if self.playback is None:
            return []
        cut = self._of_agent(self.playback.flush())
        self._own.clear()
        self._unheard.clear()
        self._music = False
        for heard in cut:
            self._converters.pop(heard.item, None)
            self._over.append(heard.item)
        return cut

    def _of_agent(self, items: list[CutOff]) -> list[CutOff]:
        """The agent's among ``items``, measured in the agent's own audio."""
        return [
            CutOff(h.item, max(0, int(h.heard_ms - self._lead_ms)))
            for h in items
            if h.item not in self._own
        ]

    def say(self, name: str, language: str) -> None:
        """Play a bundled sentence to its end; whatever waits is dropped. Its item is ``name``, or
        ``name 2`` the second time, because an item that is over cannot be played again."""
        self.interrupt()
        assert self.playback is not None
        self._said[name] += 1
        item = name if self._said[name] == 1 else f"{name} {self._said[name]}"
        self._own.add(item)
        self.playback.push(item, _sound(name, language, self.playback.rate))
        self.playback.complete(item)

    def music(self, on: bool) -> None:
        """Play music instead of everything else, or stop it."""
        if self._music is not on and self.playback is not None:
            self.interrupt()
            self._music = on
            for _ in range(2 * on):  # one round plays while the next one waits: no gap between them
                self._play_round()

    def finished(self, item: str) -> None:
        """``item`` was heard to its end."""
        self._own.discard(item)
        self._unheard.discard(item)
        if self._music and item.startswith(MUSIC):
            self._play_round()

    def _play_round(self) -> None:
        assert self.playback is not None
        self._rounds += 1
        name = f"{MUSIC} {self._rounds}"
        self._own.add(name)
        self.playback.push(name, loop(self.playback.rate).tobytes())
        self.playback.complete(name)

    def close(self) -> None:
        """Free the playback; may be called again."""
        if self.playback is not None:
            self.playback.close()


@cache
def _sound(name: str, language: str, rate: int) -> bytes:
    """A bundled sentence as linear audio at ``rate`` Hz."""
    values, own_rate = sounds.load(name, language)
    return convert(values, own_rate, rate).tobytes()
