"""`ask_latest` with `mode="steer"`: a new prompt steers the answer that runs."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, NamedTuple

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, SingleAssignmentDisposable

from ..net.timing import current_timings, recording
from ..raised import as_exception
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.events.base import ERROR_TYPES
from ..wire.fields import response_field, response_id_of
from .latest_targets import Target


class _Waiting(NamedTuple):
    """A prompt that waits: for the response to be created, or for the answer to end if it was refused.

    Each has another number, so a heap compares the numbers only.
    """

    number: int
    prompt: Any
    is_refused: bool = False


class SteeredAnswers:
    """The state of one subscription.  Prompts and events may come on different threads."""

    def __init__(self, target: Target, observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None) -> None:
        self._target = target
        self._observer = observer
        self._scheduler = scheduler
        self._context = copy_context()
        self._timings = current_timings()
        self._lock = threading.Lock()  # for what follows; never held during a call of foreign code
        self._prompts = 0  # how many prompts came
        self._waiting: list[_Waiting] = []  # a heap
        self._streams = 0  # how many of the answer and its steers have not ended
        self._response_id: str | None = None  # of the response that runs
        self._successors: set[str] = set()  # the ids of responses that followed from steers
        self._are_prompts_over = False
        self._has_ended = False
        self._subscriptions = CompositeDisposable()

    def start(self, prompts: Observable[Any]) -> DisposableBase:
        """Subscribe to the prompts."""
        subscription = SingleAssignmentDisposable()
        self._subscriptions.add(subscription)
        subscription.disposable = prompts.subscribe(
            self._on_prompt, self._fail, self._on_prompts_over, scheduler=self._scheduler
        )
        return self._subscriptions

    def _on_prompt(self, prompt: Any) -> None:
        with self._lock:
            self._prompts += 1
            heapq.heappush(self._waiting, _Waiting(self._prompts, prompt))
        self._go_on()

    def _on_prompts_over(self) -> None:
        self._are_prompts_over = True
        self._go_on()

    def _go_on(self) -> None:
        """Send the prompts that wait, as requests or as steers, as far as that is possible now."""
        while (step := self._next_step()) is not None:
            step()

    def _next_step(self) -> Callable[[], None] | None:
        with self._lock:
            if self._has_ended:
                return None
            if not self._waiting:
                if self._streams or not self._are_prompts_over:
                    return None
                self._has_ended = True
                return self._observer.on_completed
            target_id = None if self._waiting[0].is_refused else self._response_id
            if self._streams and target_id is None:
                return None
            waiting = heapq.heappop(self._waiting)
            self._streams += 1
            if target_id is None:
                return lambda: self._ask(waiting)
            return lambda: self._steer(waiting, target_id)

    def _ask(self, waiting: _Waiting) -> None:
        def on_next(event: ServerEvent) -> None:
            self._note(event)
            self._observer.on_next(event)
            if event.type == "response.created":  # now prompts that wait may steer
                self._go_on()

        self._subscribe(lambda: self._target.ask(waiting.prompt), on_next, self._fail, self._end_stream)

    def _steer(self, waiting: _Waiting, target_id: str) -> None:
        is_accepted = False
        shows_successor: bool | None = None  # `False` if another steer shows it; `None` before it is created

        def on_next(event: ServerEvent) -> None:
            nonlocal is_accepted, shows_successor
            kind = event.type
            if kind == "response.steer.failed" or (kind in ERROR_TYPES and shows_successor is None):
                self._take_back(waiting)
                return
            if kind == "response.steer.accepted":
                is_accepted = True
            elif kind != "response.steer.pending":
                if kind == "response.created":
                    shows_successor = self._is_new(response_id_of(event))
                if not shows_successor:
                    return
                self._note(event)
            self._observer.on_next(event)
            if event.type == "response.created":  # now prompts that wait may steer
                self._go_on()

        def on_error(error: Exception) -> None:
            if is_accepted or getattr(error, "delivery", None) not in ("not_sent", "rejected"):
                self._fail(error)
            else:
                self._take_back(waiting)
                self._end_stream()

        self._subscribe(lambda: self._target.steer(target_id, waiting.prompt), on_next, on_error, self._end_stream)

    def _note(self, event: ServerEvent) -> None:
        """Note which response runs, and so can be steered."""
        if event.type == "response.created":
            self._response_id = response_field(event, "id") or None
        elif event.type in TERMINAL_TYPES:
            self._response_id = None

    def _is_new(self, response_id: str | None) -> bool:
        with self._lock:
            if response_id in self._successors:
                return False
            if response_id is not None:
                self._successors.add(response_id)
            return True

    def _take_back(self, waiting: _Waiting) -> None:
        with self._lock:
            heapq.heappush(self._waiting, _Waiting(waiting.number, waiting.prompt, is_refused=True))

    def _end_stream(self) -> None:
        with self._lock:
            self._streams -= 1
            if not self._streams:
                self._response_id = None
                self._successors.clear()
        self._go_on()

    def _subscribe(
        self,
        make: Callable[[], Observable[ServerEvent]],
        on_next: Callable[[ServerEvent], None],
        on_error: Callable[[Exception], None],
        on_completed: Callable[[], None],
    ) -> None:
        subscription = SingleAssignmentDisposable()
        self._subscriptions.add(subscription)

        def end() -> None:
            self._subscriptions.remove(subscription)
            on_completed()

        def subscribe() -> DisposableBase:
            with recording(self._timings):
                return source.subscribe(on_next, on_error, end, scheduler=self._scheduler)

        # Copies, because a prompt may come while events are delivered in the context.
        try:
            source = self._context.copy().run(make)
        except Exception as error:
            on_error(as_exception(error, "`ask_latest`"))
            return
        subscription.disposable = self._context.copy().run(subscribe)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
        self._subscriptions.dispose()
        self._observer.on_error(error)
