"""A sender whose answers a test sends by hand."""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import Any

from reactivex import Observable, Subject
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from rxresponses import ResponseSteerFailedEvent, ServerEvent
from rxresponses.wire.events import FailedSteer, SteerError

from ..support.marbles import ManualSource


class ManualSender:
    """Keeps what it is asked to send, and the source of each answer."""

    chooses_lanes = True

    def __init__(self) -> None:
        self.sent: list[Any] = []
        """The requests that were sent, and the steers as (response id, input)."""
        self.answers: list[ManualSource[ServerEvent]] = []
        self.contexts: list[Context] = []

    def send_request(self, request: Any) -> Observable[ServerEvent]:
        return self._observable(request)

    def steer(self, response_id: str, input: Any) -> Observable[ServerEvent]:
        return self._observable((response_id, input))

    def _observable(self, message: Any) -> Observable[ServerEvent]:
        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            self.sent.append(message)
            self.contexts.append(copy_context())
            answer: ManualSource[ServerEvent] = ManualSource()
            self.answers.append(answer)
            return answer.observable.subscribe(observer, scheduler=scheduler)

        return Observable(subscribe)

    @property
    def inputs(self) -> list[Any]:
        return [message if isinstance(message, tuple) else message.input for message in self.sent]


class Collected:
    """What a pipeline of prompts emits."""

    def __init__(self, pipeline: Any) -> None:
        self.prompts: Subject[Any] = Subject()
        self.values: list[Any] = []
        self.errors: list[Exception] = []
        self.completions = 0
        self.subscription = self.prompts.pipe(pipeline).subscribe(
            self.values.append, self.errors.append, self._on_completed
        )

    def _on_completed(self) -> None:
        self.completions += 1

    @property
    def types(self) -> list[str]:
        return [event.type.removeprefix("response.") for event in self.values]


def refused_steer(target: str, input: Any) -> ResponseSteerFailedEvent:
    error = SteerError(code="response_already_completed", message="too late", type="invalid_request_error")
    return ResponseSteerFailedEvent(steer=FailedSteer(previous_response_id=target, input=input), error=error)


class AnyAnswers:
    """A sender with these answers."""

    chooses_lanes = True

    def __init__(self, answers: list[Observable[ServerEvent]]) -> None:
        self._answers = answers

    def send_request(self, request: Any) -> Observable[ServerEvent]:
        return self._answers.pop(0)

    def steer(self, response_id: str, input: Any) -> Observable[ServerEvent]:
        raise NotImplementedError
