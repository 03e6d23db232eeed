"""`ask_latest` with `mode="cancel"`: a new prompt disposes the answer that runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, SerialDisposable, SingleAssignmentDisposable

from ..net.timing import current_timings, recording
from ..raised import as_exception
from ..wire.events import ServerEvent
from ..wire.output_text import TextReader
from .latest_targets import Target


class CancelledAnswers:
    """The state of one subscription.  Prompts and events may come on different threads."""

    def __init__(
        self,
        target: Target,
        each: Callable[[Observable[ServerEvent]], Observable[Any]] | None,
        keep_heard: bool | Callable[[str], str],
        observer: ObserverBase[Any],
        scheduler: SchedulerBase | None,
    ) -> None:
        self._target = target
        self._each = each
        self._keep_heard = keep_heard
        self._observer = observer
        self._scheduler = scheduler
        self._context = copy_context()
        self._timings = current_timings()
        self._lock = threading.Lock()  # for the numbers and flags; never held during a call of foreign code
        self._latest = 0  # the number of the latest prompt
        self._is_answering = False
        self._are_prompts_over = False
        self._has_ended = False
        self._heard: _Heard | None = None  # of the answer that runs
        self._answer = SerialDisposable()
        self._prompts = SingleAssignmentDisposable()

    def start(self, prompts: Observable[Any]) -> DisposableBase:
        """Subscribe to the prompts."""
        both = CompositeDisposable(self._prompts, self._answer)
        self._prompts.disposable = prompts.subscribe(
            self._on_prompt, self._fail, self._on_prompts_over, scheduler=self._scheduler
        )
        return both

    def _on_prompt(self, prompt: Any) -> None:
        subscription = SingleAssignmentDisposable()
        with self._lock:
            self._latest += 1
            number = self._latest
            self._is_answering = True
        heard, self._heard = self._heard, None
        self._answer.disposable = subscription  # disposes the answer before
        if subscription.is_disposed or self._has_ended:
            return

        def on_next(value: Any) -> None:
            if number == self._latest:
                self._observer.on_next(value)

        def on_error(error: Exception) -> None:
            if number == self._latest:
                self._fail(error)

        def on_completed() -> None:
            with self._lock:
                if number != self._latest:
                    return
                self._is_answering = False
            self._heard = None
            self._complete()

        def make() -> Observable[Any]:
            if heard is not None:
                heard.keep(self._target, self._keep_heard)
            events = self._target.ask(prompt)
            if self._keep_heard:
                self._heard = _Heard(prompt)
                events = events.pipe(ops.do_action(self._heard.read, on_completed=self._heard.end))
            return events if self._each is None else self._each(events)

        def subscribe() -> DisposableBase:
            with recording(self._timings):
                return values.subscribe(on_next, on_error, on_completed, scheduler=self._scheduler)

        # Copies, because a prompt may come while another answer is delivered in the context.
        try:
            values = self._context.copy().run(make)
        except Exception as error:
            self._fail(as_exception(error, "`ask_latest`"))
            return
        subscription.disposable = self._context.copy().run(subscribe)

    def _on_prompts_over(self) -> None:
        self._are_prompts_over = True
        self._complete()

    def _complete(self) -> None:
        with self._lock:
            if self._has_ended or self._is_answering or not self._are_prompts_over:
                return
            self._has_ended = True
        self._observer.on_completed()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
        self._prompts.dispose()
        self._answer.dispose()
        self._observer.on_error(error)


class _Heard:
    """The text of an answer until now."""

    def __init__(self, prompt: Any) -> None:
        self._prompt = prompt
        self._is_over = False  # the target has remembered all of the answer
        self._reader = TextReader()
        self._texts: list[str] = []  # of the responses that have ended
        self.read = self._reader.reader(self._read_other)
        """Reads an event of the answer."""

    def _read_other(self, event: ServerEvent) -> None:
        if event.is_terminal:
            self._reader.finish(event)
            self._texts.append(self._reader.text)
        else:
            self._reader.read(event)

    def end(self) -> None:
        """Note that the answer has ended."""
        self._is_over = True

    def keep(self, target: Target, keep_heard: bool | Callable[[str], str]) -> None:
        """Have the target remember what was heard of the answer, unless it has remembered that."""
        text = "".join([*self._texts, self._reader.whole()])
        heard = keep_heard(text) if callable(keep_heard) else text
        if not (self._is_over and heard == text):
            target.keep(self._prompt, heard)
