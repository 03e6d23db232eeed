"""`observe_pipeline`: note what each operator of a pipeline emits, for a marble diagram."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, TypeVar, overload

from reactivex import ConnectableObservable, Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from ..known_secrets import Secrets
from ..net.observable import EventObservable
from ..raised import named_text
from ..recording.collector import TapeCollector
from ..recording.format import StageRecord
from ..recording.tape import Staged, Tape
from ..redaction import shortened
from ..wire.events import ServerEvent
from ..wire.events.base import secrets_of
from ._arguments import makes_operator
from ._operator_names import operator_name

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
_To = TapeCollector | Callable[[StageRecord], object]
_Operator = Callable[[Observable[A]], Observable[B]]

_LOGGER = logging.getLogger("rxresponses.recording")
_LONGEST = 200  # characters of a value
_SEARCHED = 10_000  # characters of a value in which secrets are looked for
_TRIES = 16  # events that are looked for, until one of them is found
_numbers = itertools.count(1)  # of the subscriptions of all observed pipelines


@overload
def observe_pipeline(to: _To, a: _Operator[A, B], /) -> _Operator[A, B]: ...
@overload
def observe_pipeline(to: _To, a: _Operator[A, B], b: _Operator[B, C], /) -> _Operator[A, C]: ...
@overload
def observe_pipeline(to: _To, a: _Operator[A, B], b: _Operator[B, C], c: _Operator[C, D], /) -> _Operator[A, D]: ...
@overload
def observe_pipeline(
    to: _To, a: _Operator[A, B], b: _Operator[B, C], c: _Operator[C, D], d: _Operator[D, E], /
) -> _Operator[A, E]: ...
@overload
def observe_pipeline(
    to: _To, a: _Operator[A, B], b: _Operator[B, C], c: _Operator[C, D], d: _Operator[D, E], e: _Operator[E, F], /
) -> _Operator[A, F]: ...
@overload
def observe_pipeline(to: _To, /, *operators: Callable[[Any], Any]) -> Callable[[Observable[Any]], Observable[Any]]: ...


@makes_operator
def observe_pipeline(to: _To, /, *operators: Callable[[Any], Any]) -> Callable[[Observable[Any]], Observable[Any]]:
    """Apply operators as `pipe` does, and note what each of them emits, so that a marble diagram shows their lines.

    Marble::

        events:           --created--"He"--"llo"--completed|
        observe_pipeline(recording, rops.text_deltas(), ops.map(str.upper))
            text_deltas:  -----------"He"--"llo"-----------|
            map:          -----------"HE"--"LLO"-----------|

    `to` is the recording to which the records go, as `record` of a socket or client returns it; `rxresponses marbles`
    then draws a line for each operator below that of the request.  Or it is a function that is called with each
    `StageRecord`, whose `t` is the time in seconds since `observe_pipeline` was called; an error that it raises is
    logged once, and the pipeline goes on.

    The pipeline itself is as with `pipe`: values, errors, completion and exceptions of observers pass unchanged, on the
    thread on which they come; disposing disposes all.  Values are noted as short texts, secrets of the connection
    hidden.  A connectable Observable, as of `ops.publish()`, has no line of its own.
    """
    if not isinstance(to, TapeCollector) and not callable(to):
        raise TypeError(f"observe_pipeline takes a recording or a function first, not {to!r}")
    names = [operator_name(operator) for operator in operators]
    begin = monotonic()

    def operator(source: Observable[Any]) -> Observable[Any]:
        pipeline = _Pipeline(to, begin)
        chain: Any = pipeline.line(0, "source")(source)
        for number, (apply, name) in enumerate(zip(operators, names, strict=True), start=1):
            chain = chain.pipe(apply)
            if not isinstance(chain, ConnectableObservable):  # `ops.ref_count()` needs one as its source
                chain = chain.pipe(pipeline.line(number, name))
        if isinstance(chain, ConnectableObservable):
            return chain

        def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
            with pipeline.within(pipeline.new_run()):
                subscription: DisposableBase = chain.subscribe(observer, scheduler=scheduler)
            return subscription

        return EventObservable(subscribe)

    return operator


class _Pipeline:
    """A pipeline that may be subscribed to several times; each time is a run."""

    def __init__(self, to: _To, begin: float) -> None:
        self._to = to
        self._begin = begin
        self._here = threading.local()
        self._latest: _Run | None = None

    def new_run(self) -> _Run:
        self._latest = _Run(self._to, self._begin)
        return self._latest

    @contextlib.contextmanager
    def within(self, run: _Run) -> Iterator[None]:
        """Let what is subscribed to on this thread belong to a run, such as the source that an operator retries."""
        before = getattr(self._here, "run", None)
        self._here.run = run
        try:
            yield
        finally:
            self._here.run = before

    def _run_here(self) -> _Run:
        run: _Run | None = getattr(self._here, "run", None)
        return run or self._latest or self.new_run()

    def line(self, stage: int, name: str) -> Callable[[Observable[Any]], Observable[Any]]:
        """Return an operator that changes nothing, and notes what passes."""

        def operator(source: Observable[Any]) -> Observable[Any]:
            def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
                run = self._run_here()
                has_ended = False

                def on_next(value: Any) -> None:
                    run.note_value(stage, name, value)
                    observer.on_next(value)

                def end(what: str, error: Exception | None = None) -> None:
                    nonlocal has_ended
                    if not has_ended:
                        has_ended = True
                        run.note(stage, name, what, None if error is None else run.shown(named_text(error)))
                        run.ends()

                def on_error(error: Exception) -> None:
                    end("error", error)
                    with self.within(run):
                        observer.on_error(error)

                def on_completed() -> None:
                    end("completed")
                    with self.within(run):
                        observer.on_completed()

                run.opens()
                run.note(stage, name, "subscribed")
                with self.within(run):
                    subscription = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
                return CompositeDisposable(subscription, Disposable(lambda: end("disposed")))

            return EventObservable(subscribe)

        return operator


class _Run:
    """What one subscription of a pipeline notes."""

    def __init__(self, to: _To, begin: float) -> None:
        self._to = to
        self._begin = begin
        self._name = f"p{next(_numbers)}"
        self._secrets = Secrets()
        self._tape: Tape | None = None  # of the recording, while lines are open
        self._open = 0  # lines
        self._request: Any = None  # as the recording knows it
        self._tries = _TRIES
        self._has_failed = False

    def note_value(self, stage: int, name: str, value: Any) -> None:
        if stage == 0 and isinstance(value, ServerEvent):
            self._learn(value)
        if self._has_place_for(stage):
            self.note(stage, name, "next", self.shown(_text(value)))

    def note(self, stage: int, name: str, what: str, value: str | None = None) -> None:
        if not self._has_place_for(stage) or (stage == 0 and what == "subscribed"):
            return  # whether the source needs a line, its first event tells
        to = self._to
        if isinstance(to, TapeCollector):
            tape = self._tape_of(to)
            tape.note(Staged(self._request, StageRecord(0.0, None, self._name, stage, name, what, value)))
            return
        record = StageRecord(monotonic() - self._begin, None, self._name, stage, name, what, value)
        try:
            to(record)
        except Exception:
            self._has_failed = True
            _LOGGER.exception("The function that observes a pipeline has raised, and is not called any more.")

    def opens(self) -> None:
        """Note that a line begins, or begins anew."""
        self._open += 1

    def ends(self) -> None:
        """Note that a line has ended; without any, the recording forgets the tape."""
        self._open -= 1
        if self._tape is not None and not self._open:
            self._tape.is_closed, self._tape = True, None

    def _tape_of(self, recorder: TapeCollector) -> Tape:
        if self._tape is None:
            self._tape = recorder.add(Tape(None, self._secrets))
        return self._tape

    def _has_place_for(self, stage: int) -> bool:
        """Whether a line is noted; that of the source is not, where the recording has the line of the request."""
        if isinstance(self._to, TapeCollector) and not self._to.is_open:
            return False
        return not self._has_failed and (stage > 0 or self._request is None)

    def shown(self, text: str) -> str:
        """Return a text as it is noted: first without secrets, then short, so that no part of a secret is left."""
        return shortened(self._secrets.hide(text[:_SEARCHED]), _LONGEST, _LONGEST // 4)

    def _learn(self, event: ServerEvent) -> None:
        """Find the request of the pipeline, and the secrets of its connection.

        A recording has noted each event with its request before it delivers the event, so both hold the same object.
        """
        secrets = secrets_of(event)
        if secrets is not None and self._request is None:
            self._secrets = secrets
        if self._request is None and self._tries and event.raw is not None and isinstance(self._to, TapeCollector):
            self._tries -= 1
            found = self._to.find(event.raw)
            if found is not None:
                self._secrets, self._request = found[0].secrets, found[1]
                self._tape_of(self._to).secrets = self._secrets


def _text(value: Any) -> str:
    """Return a value as text; of an event the piece of text that it brings, or its type."""
    if isinstance(value, ServerEvent):
        delta = getattr(value, "delta", None)
        return delta if isinstance(delta, str) else value.type
    if isinstance(value, str):
        return value
    try:
        return repr(value)
    except Exception:
        return f"{type(value).__name__} without a text"
