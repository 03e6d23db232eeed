"""Events by hand, and marbles on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import TimeoutScheduler
from reactivex.testing import ReactiveTest, TestScheduler

from rxresponses.wire.events import (
    FailedSteer,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseErrorDetail,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseSteerAcceptedEvent,
    ResponseSteerFailedEvent,
    ResponseSteerPendingEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ServerEvent,
    Steer,
    SteerError,
    SteerRequiredInput,
)
from rxresponses.wire.models import (
    IncompleteDetails,
    Response,
    ResponseError,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseUsage,
)

T = TypeVar("T")
X = TypeVar("X")
Operator: TypeAlias = Callable[[Observable[ServerEvent]], Observable[T]]
Step: TypeAlias = "tuple[int, ServerEvent | Exception | None]"

USAGE = ResponseUsage(input_tokens=3, output_tokens=4, total_tokens=7)


def created(id: str = "resp_1", **fields: Any) -> ResponseCreatedEvent:
    return ResponseCreatedEvent(response=Response(id=id, status="in_progress"), **fields)


def delta(text: str, **fields: Any) -> ResponseTextDeltaEvent:
    return ResponseTextDeltaEvent(
        **{"delta": text, "item_id": "msg_1", "output_index": 0, "content_index": 0, **fields}
    )


def text_done(text: str) -> ResponseTextDoneEvent:
    return ResponseTextDoneEvent(text=text, item_id="msg_1", output_index=0, content_index=0)


def message(text: str, id: str = "msg_1") -> ResponseOutputMessage:
    return ResponseOutputMessage(id=id, role="assistant", status="completed", content=[ResponseOutputText(text=text)])


def call(number: int = 1, **fields: Any) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        **{"id": f"fc_{number}", "call_id": f"call_{number}", "name": "look", "arguments": "{}", **fields}
    )


def item_added(item: Any, output_index: int | None = 0) -> ResponseOutputItemAddedEvent:
    return ResponseOutputItemAddedEvent(item=item, output_index=output_index)


def item_done(item: Any, output_index: int | None = 0) -> ResponseOutputItemDoneEvent:
    return ResponseOutputItemDoneEvent(item=item, output_index=output_index)


def completed(*output: Any, id: str = "resp_1", status: str = "completed", **fields: Any) -> ResponseCompletedEvent:
    return ResponseCompletedEvent(response=Response(id=id, status=status, output=list(output), **fields))


def incomplete(*output: Any, id: str = "resp_1", reason: str = "max_output_tokens") -> ResponseIncompleteEvent:
    details = IncompleteDetails(reason=reason)
    return ResponseIncompleteEvent(
        response=Response(id=id, status="incomplete", output=list(output), incomplete_details=details, usage=USAGE)
    )


def failed(
    code: str | None = "server_error", message: str | None = "it broke", id: str = "resp_1"
) -> ResponseFailedEvent:
    error = None if code is None and message is None else ResponseError(code=code, message=message)
    return ResponseFailedEvent(response=Response(id=id, status="failed", error=error))


def error_event(code: str = "rate_limit_exceeded", message: str = "slow down") -> ResponseErrorEvent:
    detail = ResponseErrorDetail(
        type="requests", code=code, message=message, param="model", headers={"retry-after": "3"}
    )
    return ResponseErrorEvent(error=detail, status=429, stream_id="main")


STEER = Steer(id="steer_1", previous_response_id="resp_1")


def accepted() -> ResponseSteerAcceptedEvent:
    return ResponseSteerAcceptedEvent(steer=STEER)


def pending() -> ResponseSteerPendingEvent:
    stub = SteerRequiredInput(type="function_call_output", call_id="call_1")
    return ResponseSteerPendingEvent(steer=STEER, required_input=[stub], stream_id="main")


def refused(code: str = "response_already_completed") -> ResponseSteerFailedEvent:
    steer = FailedSteer(previous_response_id="resp_1", input="shorter")
    error = SteerError(code=code, message="too late", type="invalid_request_error")
    return ResponseSteerFailedEvent(steer=steer, error=error, stream_id="main")


@dataclass
class Recording(Generic[T]):
    """What an observer saw, and from when to when the source was subscribed."""

    timed: list[tuple[float, T]] = field(default_factory=list)
    errors: list[tuple[float, Exception]] = field(default_factory=list)
    completions: list[float] = field(default_factory=list)
    subscriptions: list[tuple[float, float]] = field(default_factory=list)

    @property
    def values(self) -> list[T]:
        return [value for _, value in self.timed]

    @property
    def error(self) -> Exception:
        assert len(self.errors) == 1
        assert not self.completions
        return self.errors[0][1]


def marbles(
    operator: Callable[[Observable[Any]], Observable[T]],
    *steps: Step,
    disposed: float = 1000,
    scheduler: TestScheduler | None = None,
) -> Recording[T]:
    """Subscribe at 200 to a source of `(time, event)`, `(time, exception)`, `(time, None)` for completion."""
    scheduler = scheduler or TestScheduler()
    messages: list[Any] = []
    for time, what in steps:
        if what is None:
            messages.append(ReactiveTest.on_completed(time))
        elif isinstance(what, Exception):
            messages.append(ReactiveTest.on_error(time, what))
        else:
            messages.append(ReactiveTest.on_next(time, what))
    source = scheduler.create_hot_observable(*messages)
    observer = scheduler.start(lambda: source.pipe(operator), disposed=disposed)
    recording: Recording[T] = Recording()
    for message in observer.messages:
        notification: Any = message.value
        if notification.kind == "N":
            recording.timed.append((message.time, notification.value))
        elif notification.kind == "E":
            recording.errors.append((message.time, notification.exception))
        else:
            recording.completions.append(message.time)
    recording.subscriptions = [(one.subscribe, one.unsubscribe) for one in source.subscriptions]
    return recording


def run(operator: Callable[[Observable[Any]], Observable[T]], *events: ServerEvent) -> Recording[T]:
    """Send the events one tick apart from 210 on, then complete."""
    times = range(210, 210 + len(events))
    return marbles(operator, *zip(times, events, strict=True), (210 + len(events), None))


class Hand(Generic[X]):
    """A source driven by hand, that takes and counts subscribers and has no manners of its own."""

    def __init__(self) -> None:
        self.observers: list[ObserverBase[X]] = []
        self.disposals = 0
        self.schedulers: list[SchedulerBase | None] = []
        self.source: Observable[X] = Observable(self._subscribe)

    def _subscribe(self, observer: ObserverBase[X], scheduler: SchedulerBase | None = None) -> DisposableBase:
        self.observers.append(observer)
        self.schedulers.append(scheduler)
        return Disposable(self._dispose)

    def _dispose(self) -> None:
        self.disposals += 1

    def emit(self, *values: X) -> None:
        for value in values:
            self.observers[-1].on_next(value)

    def complete(self) -> None:
        self.observers[-1].on_completed()

    def fail(self, error: Exception) -> None:
        self.observers[-1].on_error(error)


class ByHand(TimeoutScheduler):
    """A clock that a test moves: keeps what is scheduled, and runs it when told to."""

    def __new__(cls) -> ByHand:
        return object.__new__(cls)

    def __init__(self) -> None:
        self.time = 0.0  # seconds; they pass when a test says so
        self.actions: list[Any] = []
        self.delays: list[Any] = []
        self.disposals = 0

    @property
    def now(self) -> datetime:
        return datetime(2000, 1, 1) + timedelta(seconds=self.time)

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> DisposableBase:
        self.delays.append(duetime)
        self.actions.append(action)
        return Disposable(self._dispose)

    def _dispose(self) -> None:
        self.disposals += 1

    def fire(self) -> None:
        self.actions[-1](self, None)
