"""The run: tasks to a sender, so many at once, and their results as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from .. import operators as rops
from ..errors import Delivery, TerminalTimeoutError
from ..net.timing import Timings, recording
from ..wire.events import ResponseOutputItemDoneEvent, ServerEvent
from ..wire.failures import response_id_of, unreadable
from ..wire.jsontext import read_json
from .lines import Task

# Seconds after which a signal, or an answer that takes too long, is noticed at the latest.  Python runs the
# handler of a signal that comes just before a wait only after it, so none is longer.
_LOOK = 0.2


class Sender(Protocol):
    """Whatever sends requests, and marks in `current_timings()` when: a socket, a lane, a client."""

    def send_request(self, request: Mapping[str, Any]) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable."""


@dataclass(frozen=True)
class Result:
    """What became of a task: the response, or the error."""

    task: Task
    response: Mapping[str, Any] | None = None
    error: Exception | None = None

    @property
    def output_tokens(self) -> int:
        """The tokens that the model has written, as far as the server tells."""
        usage = (self.response or {}).get("usage")
        tokens = usage.get("output_tokens") if isinstance(usage, dict) else None
        return tokens if isinstance(tokens, int) else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the line of the output: the response as it was received, or what is known of the failure."""
        task = self.task
        head = {"line": task.line, "digest": task.digest}
        if task.custom_id is not None:
            head["custom_id"] = task.custom_id
        if task.model is not None:
            head["model"] = task.model
        return {**head, "response": self.response} if self.error is None else {**head, "error": _facts(self.error)}


class _Flight:
    """A task that the sender has: whether it was sent, and what has come of it."""

    def __init__(self, task: Task, clock: Callable[[], float]) -> None:
        self.task = task
        self.timings = Timings(clock)
        self.subscription: DisposableBase = Disposable()
        self._begun = False
        self._response_id: str | None = None

    @property
    def is_sent(self) -> bool:
        """Whether the server may have it; not while one that was refused waits for its next try."""
        return self.timings.sent is not None

    def is_overdue(self, now: float, timeout: float) -> bool:
        """Whether its answer takes longer than that; what waits here or at a rate limit takes no time."""
        sent = self.timings.sent
        return sent is not None and now - sent > timeout

    def see(self, event: ServerEvent) -> None:
        """Take in that an event of the answer came."""
        self._begun = True
        if self._response_id is None:
            self._response_id = response_id_of(event)

    def timed_out(self, timeout: float) -> Result:
        """Return the result of giving it up."""
        delivery: Delivery = "started" if self._begun else "unknown"
        error = TerminalTimeoutError(timeout, delivery=delivery, response_id=self._response_id)
        return Result(self.task, error=error)


class Run:
    """Sends tasks, at most `concurrency` of them at once.

    With `timeout`, an answer is given up that takes longer from when its request was sent.  `clock` tells
    seconds.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        concurrency: int,
        timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stopping = False
        self._sender = sender
        self._concurrency = concurrency
        self._timeout = timeout
        self._clock = clock
        self._looked_at = clock()
        self._running: dict[int, _Flight] = {}
        self._inbox: SimpleQueue[Result | None] = SimpleQueue()

    @property
    def in_flight(self) -> int:
        """How many tasks have been sent and have no result yet."""
        return sum(flight.is_sent for flight in self._running.values())

    def stop(self) -> None:
        """Send no further task; those in flight go on.  From any thread, and from a signal handler."""
        self.stopping = True
        self._inbox.put(None)

    def results(self, tasks: Iterable[Task]) -> Iterator[Result | None]:
        """Yield a result for each task as it ends, and `None` for each `stop`; what was not sent by then has none.

        A task is drawn when there is room for it, and only while the results that have come are being
        taken: who takes them slowly slows the run down, and nothing piles up.  Leaving early disposes
        what is in flight.
        """
        waiting = iter(tasks)
        try:
            while True:
                while not self.stopping and len(self._running) < self._concurrency:
                    task = next(waiting, None)
                    if task is None:
                        break
                    self._start(_Flight(task, self._clock))
                self._look()
                if not self._running and self._inbox.empty():
                    return
                try:
                    result = self._inbox.get(timeout=_LOOK)
                except Empty:
                    continue
                if result is not None and self._running.pop(result.task.line, None) is None:
                    continue  # its answer came just before it was given up
                yield result
        finally:
            for flight in self._running.values():
                flight.subscription.dispose()

    def _start(self, flight: _Flight) -> None:
        self._running[flight.task.line] = flight
        with recording(flight.timings):
            flight.subscription = self._result(flight).subscribe(self._inbox.put)

    def _look(self) -> None:
        """Give up what is not to be waited for."""
        if self.stopping and self._inbox.empty():
            for line, flight in tuple(self._running.items()):
                if not flight.is_sent:
                    flight.subscription.dispose()
                    del self._running[line]
        now = self._clock()
        if self._timeout is not None and now - self._looked_at >= _LOOK:
            # Not one timer for each: it would run from the subscription, and on a thread of its own.
            self._looked_at = now
            for flight in self._running.values():
                if flight.is_overdue(now, self._timeout):
                    flight.subscription.dispose()
                    self._inbox.put(flight.timed_out(self._timeout))  # behind its answer, if that has just come

    def _result(self, flight: _Flight) -> Observable[Result]:
        task = flight.task

        def send(_: object) -> Observable[ServerEvent]:
            if isinstance(task.request, Exception):
                raise task.request
            return self._sender.send_request(task.request).pipe(ops.do_action(flight.see))

        def answered(events: list[ServerEvent]) -> Result:
            return Result(task, response=_response(events))

        def failed(error: Exception, _: object) -> Observable[Result]:
            return reactivex.of(Result(task, error=error))

        events: Observable[ServerEvent] = reactivex.defer(send)
        return events.pipe(
            rops.raise_on_failure(), ops.filter(_is_kept), ops.to_list(), ops.map(answered), ops.catch(failed)
        )


def _is_kept(event: ServerEvent) -> bool:
    return event.is_terminal or isinstance(event, ResponseOutputItemDoneEvent)


def _response(events: list[ServerEvent]) -> dict[str, Any]:
    """Return the response of the last event, as received; with the items that came before if it has none."""
    *items, end = map(_frame, events)
    response = end.get("response")
    if not isinstance(response, dict):
        raise unreadable(events[-1])
    if not response.get("output") and items:
        response["output"] = [item["item"] for item in items]
    return response


def _frame(event: ServerEvent) -> dict[str, Any]:
    raw = event.raw
    if raw is None:  # built by hand
        return event.to_dict()
    frame: dict[str, Any]
    frame, _ = read_json(raw)
    return frame


def _facts(error: Exception) -> dict[str, Any]:
    facts = {name: getattr(error, name, None) for name in ("delivery", "code", "status", "response_id")}
    return {"type": type(error).__name__, "message": str(error), **facts}
