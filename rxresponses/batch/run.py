"""A run: tasks go to a sender, a bounded number at once, and results come back as they arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
from ..known_secrets import Secrets
from ..net.sender import Sender
from ..net.timing import Timings, recording
from ..redaction import shown_data
from ..wire.assembly import Assembly
from ..wire.assembly_scopes import WHOLE
from ..wire.base import Model, build_received
from ..wire.events import ServerEvent
from ..wire.events.base import secrets_of
from ..wire.failures import response_of, unreadable
from ..wire.fields import response_id_of
from ..wire.jsontext import TooManyValuesError, read_json
from ..wire.models import ResponseUsage
from .answer_schema import AnswerMisfitError, AnswerSchema
from .lines import Task
from .outcomes import Outcome, error_of, outcome_of, response_id_in

# Seconds after which a signal, or an answer that takes too long, is noticed at the latest.  If a signal comes just
# before a wait, Python runs its handler only after the wait, so no wait is longer.
_CHECK_INTERVAL = 0.2


@dataclass(frozen=True)
class Result:
    """The result of a task: the response, or the error; both for a response that is to fail, such as a refused one.

    `earlier` has, for each answer before this one that did not fit the schema, the `usage` that the server told.
    """

    task: Task
    response: Mapping[str, Any] | None = None
    error: Exception | None = None
    earlier: tuple[Any, ...] = ()

    @property
    def usages(self) -> list[ResponseUsage]:
        """What all answers to the task used, as far as the server says."""
        told = [*self.earlier, (self.response or {}).get("usage")]
        return [build_received(ResponseUsage, usage)[0] for usage in told if isinstance(usage, Mapping)]

    @property
    def output_tokens(self) -> int:
        """The output tokens of all answers to the task, as far as the server says."""
        return sum(usage.output_tokens or 0 for usage in self.usages)

    @property
    def outcome(self) -> Outcome | None:
        """Why the response is no whole answer, `None` if it is one."""
        return outcome_of(self.response)

    def to_dict(self) -> dict[str, Any]:
        """Return the line of the output: the response as it was received, or the facts about the failure."""
        head = self.task.head()
        if (outcome := self.outcome) is not None:
            head["outcome"] = outcome
        if self.earlier:
            head["earlier_usage"] = list(self.earlier)
        if self.error is None:
            return {**head, "response": self.response}
        kept = {} if self.response is None else {"response": self.response}
        return {**head, "error": {**_facts(self.error), **kept}}


class _RunningTask:
    """A task that was given to the sender: when its request was written, and which response came.

    `earlier` is the usage of the answers that did not fit.
    """

    def __init__(self, task: Task, clock: Callable[[], float], earlier: tuple[Any, ...] = ()) -> None:
        self.task = task
        self.earlier = earlier
        self.timings = Timings(clock)
        self.subscription: DisposableBase = Disposable()
        self._started = False
        self._response_id: str | None = None

    @property
    def is_sent(self) -> bool:
        """Whether the server may have the request.  A refused request that waits for its next try is not sent."""
        return self.timings.sent is not None

    def is_overdue(self, now: float, timeout: float) -> bool:
        """Whether the answer takes longer than `timeout`.  Waiting in the client or at a rate limit does not count."""
        sent = self.timings.sent
        return sent is not None and now - sent > timeout

    def see(self, event: ServerEvent) -> None:
        """Remember that an event of the answer came."""
        self._started = True
        if self._response_id is None:
            self._response_id = response_id_of(event)

    def timed_out(self, timeout: float) -> Result:
        """Return the result for an answer that takes too long."""
        delivery: Delivery = "started" if self._started else "unknown"
        error = TerminalTimeoutError(timeout, delivery=delivery, response_id=self._response_id)
        return Result(self.task, error=error, earlier=self.earlier)


class AnyRun(Protocol):
    """What gives tasks to a sender, or to many: see `Run`."""

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""

    @property
    def in_flight(self) -> int:
        """The number of tasks whose requests were written and that have no result yet."""

    def stop(self) -> None:
        """Send no more tasks; those in flight go on.  Call from any thread, or from a signal handler."""

    def results(self, tasks: Iterable[Task]) -> Iterator[Result | None]:
        """Yield a result for each task as it ends, and `None` for each `stop`."""


class Run:
    """Gives tasks to a sender, at most `concurrency` at once.

    With `timeout`, an answer may take so many seconds from when its request was written.  A response with one of the
    outcomes `failing` gets an error.  So does a whole answer that does not fit the `schema`, after `schema_retries`
    more requests; the tasks must have been read with the format of that schema.  `clock` returns seconds.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        concurrency: int,
        timeout: float | None = None,
        failing: Collection[Outcome] = (),
        schema: AnswerSchema | None = None,
        schema_retries: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failing = failing
        self._schema = schema
        self._schema_retries = schema_retries
        self.stopping = False
        self._sender = sender
        self._concurrency = concurrency
        self._timeout = timeout
        self._clock = clock
        self._checked_at = clock()
        self._running: dict[int, _RunningTask] = {}
        self._results: SimpleQueue[Result | None] = SimpleQueue()

    @property
    def in_flight(self) -> int:
        """The number of tasks whose requests were written and that have no result yet.  For any thread."""
        # Of a copy, which is made at once: on a cluster, another thread asks while the run takes and ends tasks.
        return sum(running.is_sent for running in list(self._running.values()))

    def stop(self) -> None:
        """Send no more tasks; those in flight go on.  Call from any thread, or from a signal handler."""
        self.stopping = True
        self._results.put(None)

    def wake(self) -> None:
        """Look at once whether `tasks` has another one, although it had none before; `results` yields `None`."""
        self._results.put(None)

    def results(self, tasks: Iterable[Task]) -> Iterator[Result | None]:
        """Yield a result for each task as it ends, and `None` for each `stop`; unsent tasks then get no result.

        A task is taken from `tasks` when there is room for it, and only when the caller asks for the next result.
        So a slow caller slows the run, and results do not pile up.  Closing the iterator disposes the tasks in
        flight.
        """
        waiting = iter(tasks)
        try:
            while True:
                while not self.stopping and len(self._running) < self._concurrency:
                    task = next(waiting, None)
                    if task is None:
                        break
                    self._start(_RunningTask(task, self._clock))
                self._check()
                if not self._running and self._results.empty():
                    return
                try:
                    result = self._results.get(timeout=_CHECK_INTERVAL)
                except Empty:
                    continue
                if result is not None:
                    running = self._running.pop(result.task.line, None)
                    if running is None:
                        continue  # its answer came just before the timeout
                    if isinstance(result.error, AnswerMisfitError) and len(running.earlier) < self._schema_retries:
                        if not self.stopping:  # else the task is one that was not sent
                            usage = (result.response or {}).get("usage")
                            self._start(_RunningTask(result.task, self._clock, (*running.earlier, usage)))
                        continue
                yield result
        finally:
            for running in self._running.values():
                running.subscription.dispose()

    def _start(self, running: _RunningTask) -> None:
        self._running[running.task.line] = running
        with recording(running.timings):
            running.subscription = self._result(running).subscribe(self._results.put)

    def _check(self) -> None:
        """Give up unsent tasks after `stop`, and answers that take too long."""
        if self.stopping and self._results.empty():
            for line, running in tuple(self._running.items()):
                if not running.is_sent:
                    running.subscription.dispose()
                    del self._running[line]
        now = self._clock()
        if self._timeout is not None and now - self._checked_at >= _CHECK_INTERVAL:
            # Not a timer for each task: it would run from the subscription, and on its own thread.
            self._checked_at = now
            for running in self._running.values():
                if running.is_overdue(now, self._timeout):
                    running.subscription.dispose()
                    self._results.put(running.timed_out(self._timeout))  # after the answer, if it has just come

    def _result(self, running: _RunningTask) -> Observable[Result]:
        task = running.task
        assembly = Assembly(WHOLE)

        def send(_: object) -> Observable[ServerEvent]:
            if isinstance(task.request, Exception):
                raise task.request
            return self._sender.send_request(task.request).pipe(ops.do_action(running.see))

        def is_terminal(event: ServerEvent) -> bool:
            if not event.is_terminal:
                assembly.add(event)
            return event.is_terminal

        def answered(ends: list[ServerEvent]) -> Result:
            response = _response(assembly, ends[-1])
            if "tools" in response:  # some servers repeat the whole request, with the credentials of its tools
                response["tools"] = shown_data(response["tools"])
            return self._judged(running, response, secrets_of(ends[-1]))

        def failed(error: Exception, _: object) -> Observable[Result]:
            return reactivex.of(Result(task, error=error, earlier=running.earlier))

        events: Observable[ServerEvent] = reactivex.defer(send)
        return events.pipe(
            rops.raise_on_failure(), ops.filter(is_terminal), ops.to_list(), ops.map(answered), ops.catch(failed)
        )

    def _judged(self, running: _RunningTask, response: Mapping[str, Any], secrets: Secrets | None) -> Result:
        """Return the result for a response, with an error if the response is to fail or does not fit the schema."""
        task, earlier, outcome, schema = running.task, running.earlier, outcome_of(response), self._schema
        problems = None
        if outcome is None and schema is not None and task.schema == schema.format.digest:
            problems = schema.problems_of(response, str if secrets is None else secrets.hide)
        if problems is None and outcome not in self._failing:
            return Result(task, response, earlier=earlier)
        if secrets is not None:  # as in all errors
            response = secrets.hide_json(response)
        if problems is None:
            return Result(task, response, error_of(response), earlier)
        error = AnswerMisfitError(problems, tries=1 + len(earlier), response_id=response_id_in(response))
        return Result(task, response, error, earlier)


def _response(assembly: Assembly, end: ServerEvent) -> dict[str, Any]:
    """Return the response of the terminal event as it was received, with what only the events before have."""
    response = _frame(end).get("response")
    received = response_of(end)
    whole = assembly.finish(end)
    if not isinstance(response, dict):
        if whole is None:
            raise unreadable(end)
        return _data(whole)
    if received is None or whole is None:  # it fits no class, and is kept all the same
        if not response.get("output") and assembly.items():
            response["output"] = [_data(item.build()) for item in assembly.items()]
        return response
    if whole.output is not received.output:
        # Without those elements that are no items, the items do not stand where their frames do.
        raw = () if "output" in received.extra else response.get("output") or ()
        frames = {id(item): frame for item, frame in zip(received.output, raw, strict=False)}
        response["output"] = [frames[id(item)] if id(item) in frames else _data(item) for item in whole.output]
    if whole.usage is not None and whole.usage is not received.usage:
        response["usage"] = _data(whole.usage)
    return response


def _data(model: Model) -> dict[str, Any]:
    """Return the JSON data of a model without the fields that are `None` because no event had them."""
    data: dict[str, Any] = _without_none(model.to_dict())
    return data


def _without_none(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _without_none(value) for name, value in data.items() if value is not None}
    return [_without_none(value) for value in data] if isinstance(data, list) else data


def _frame(event: ServerEvent) -> dict[str, Any]:
    raw = event.raw
    if raw is None:  # a program built the event
        return event.to_dict()
    frame: dict[str, Any]
    try:
        frame, _ = read_json(raw)
    except TooManyValuesError:
        return {}
    return frame


def _facts(error: Exception) -> dict[str, Any]:
    facts = {name: getattr(error, name, None) for name in ("delivery", "code", "status", "response_id")}
    return {"type": type(error).__name__, "message": str(error), **facts}
