"""Runs one call's decisions: events go in, actions come out, time passes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from esl_controller.call import events as ev
from esl_controller.call.actions import Action
from esl_controller.call.machine import Call


class CallRunner:
    """What every part of a call's shell shares: where it reports to, and who owns its tasks.

    ``perform`` does one action. ``after_event`` is called once all actions of an event are done.
    ``over`` completes when the call ends; if a bug of ours ended it, it carries that exception.
    ``marks``: when things happened for the first time, in seconds since the call came.
    """

    def __init__(
        self,
        call: Call,
        log: structlog.stdlib.BoundLogger,
        *,
        perform: Callable[[Action], None],
        after_event: Callable[[], None],
    ) -> None:
        self.call = call
        self.marks: dict[str, float] = {}
        self._log = log
        self._perform = perform
        self._after_event = after_event
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._events: deque[ev.Event] = deque()
        self._deciding = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup

    @property
    def age_s(self) -> float:
        """Seconds since the call came to this controller."""
        return self._loop.time() - self._began

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tasks can be spawned within the block; its end cancels them and the timer."""
        try:
            async with asyncio.TaskGroup() as self._group:
                try:
                    yield
                finally:
                    for task in self._tasks:
                        task.cancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def report(self, event: ev.Event) -> None:
        """Decide on ``event`` and carry out the actions. Safe to call from any callback, also from
        within ``perform``: events are decided on one after the other."""
        self._events.append(event)
        if self._deciding or self.over.done():
            return
        self._deciding = True
        try:
            while self._events:
                self._decide(self._events.popleft())
            self._set_timer()
            self._after_event()
        except Exception as error:
            self.fail(error)
        finally:
            self._deciding = False

    def _decide(self, event: ev.Event) -> None:
        state, ignored = self.call.state, self.call.ignored
        for action in self.call.handle(event, self._loop.time()):
            self._perform(action)
        if self.call.state is not state:
            self.mark(self.call.state.value)
        if self.call.ignored > ignored:
            name, where = type(event).__name__, self.call.describe()
            self._log.debug("an event came too late or too early", event_type=name, where=where)

    def fail(self, error: Exception) -> None:
        """A bug of ours ends this session. The exception must not reach whoever called ``report``:
        that may be the clock or a socket of all calls."""
        where = self.call.describe()
        self._log.error("a bug in the controller ends this session", where=where, exc_info=error)
        if not self.over.done():
            self.over.set_exception(error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` until it is done or the call is over."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def mark(self, name: str) -> None:
        """``name`` has happened; the first time counts."""
        self.marks.setdefault(name.replace(" ", "_") + "_s", round(self.age_s, 4))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.call.next_deadline()
        self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self.report, ev.TimeUp())
