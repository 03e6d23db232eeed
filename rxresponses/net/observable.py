"""`EventObservable`: the Observables of this library, which refuse `for` loops with the form to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, TypeVar, cast

from reactivex import ConnectableObservable, Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, OnCompleted, OnError, OnNext, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.internal.exceptions import SequenceContainsNoElementsError
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ..errors import ResponsesError
from ..raised import as_exception
from .direct_observer import DirectObserver, latest_on_next
from .run_check import check_shared_run

T = TypeVar("T")
_ASYNC_FORM = (
    "write `async with events.pipe(rops.to_async_iterable()) as stream:`, and in it `async for event in stream:`"
)


class NoValueError(ResponsesError, SequenceContainsNoElementsError):
    """`run()` or `await` of an Observable has no value to return: the Observable completed without any.

    Raised by the Observables of this library, in place of the `SequenceContainsNoElementsError` of RxPY, which it is.
    """

    def __init__(self) -> None:
        super().__init__(
            "the Observable completed without a value: for example, `parse_output` emits none for a response that "
            "calls functions (`run_tools` answers the calls), and `function_calls` none for a response without calls; "
            "where that may happen, put `ops.default_if_empty(…)` behind the operator"
        )


class EventObservable(Observable[T]):
    """An Observable that can be told from a list.

    RxPY's `Observable` has `__getitem__`, so that a `for` loop over it never ends: each item is another Observable.

    The function that is given to the constructor gets a `DirectObserver`, and so must not keep its `on_next`.
    """

    _observes_directly = True

    def subscribe(
        self,
        on_next: ObserverBase[T] | OnNext[T] | None = None,
        on_error: OnError | None = None,
        on_completed: OnCompleted | None = None,
        *,
        scheduler: SchedulerBase | None = None,
    ) -> DisposableBase:
        """Subscribe as RxPY does, with an observer or with functions.

        The result is that of RxPY in every case, but a value takes one Python call less.
        """
        if not self._observes_directly:
            return super().subscribe(on_next, on_error, on_completed, scheduler=scheduler)
        if callable(getattr(on_next, "on_next", None)):
            target: Any = on_next
            on_next = latest_on_next(target) if isinstance(target, DirectObserver) else target.on_next
            on_error, on_completed = target.on_error, target.on_completed
        observer: DirectObserver[T] = DirectObserver(cast("OnNext[T] | None", on_next), on_error, on_completed)

        def start(*_: object) -> None:
            try:
                subscription = self._subscribe_core(observer, scheduler)
            except Exception as error:
                if not observer.fail(error):
                    raise
            else:
                observer.set_subscription(subscription)

        # The outermost subscription makes the trampoline of the thread.  So a source that emits on the current thread
        # begins when the whole pipeline is subscribed, and can be disposed in the middle.
        trampoline = CurrentThreadScheduler.singleton()
        if trampoline.schedule_required():
            trampoline.schedule(start)
        else:
            start()
        return Disposable(observer.dispose)

    def pipe(self, *operators: Callable[[Any], Any]) -> Any:
        """Compose operators.  Operators of RxPY return its own Observables; a loop over these is refused as well."""
        for operator in operators:
            name = getattr(operator, "__name__", "")
            if name and operator is getattr(ops, name, None):
                raise TypeError(f"`{name}` of RxPY needs its parentheses: write `events.pipe(ops.{name}(…))`")
        return _as_ours(super().pipe(*operators))

    def __add__(self, other: Observable[T]) -> Observable[T]:
        """Concatenate, as `reactivex.concat` does."""
        ours: Observable[T] = _as_ours(super().__add__(other))
        return ours

    __iadd__ = __add__

    def run(self, scheduler: SchedulerBase | None = None) -> T:
        """Block until the end; return the last value, or raise the error; `NoValueError` if there was no value."""
        try:
            return super().run() if scheduler is None else super().run(scheduler)  # RxPY 4 takes no scheduler
        except SequenceContainsNoElementsError as error:
            raise _told(error) from None

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the end; return the last value, or raise the error; `NoValueError` if there was no value.

        As RxPY's, but that cannot give a `StopIteration` to its future, and waits for ever.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        latest: list[T] = []

        def on_next(value: T) -> None:
            latest[:] = (value,)

        def on_error(error: Exception) -> None:
            if not future.done():
                future.set_exception(_told(as_exception(error)))

        def on_completed() -> None:
            if latest and not future.done():
                future.set_result(latest[0])
            elif not future.done():
                future.set_exception(NoValueError())

        subscription = self.subscribe(on_next, on_error, on_completed, scheduler=AsyncIOScheduler(loop))
        future.add_done_callback(lambda _: subscription.dispose())
        return future.__await__()

    def __iter__(self) -> Iterator[T]:
        raise TypeError(
            "an Observable is no iterable: write `events.subscribe(…)`, or `events.pipe(ops.do_action(…)).run()` to "
            f"wait for its end; in a coroutine, {_ASYNC_FORM}"
        )

    def __aiter__(self) -> AsyncIterator[T]:
        raise TypeError(f"an Observable is no asynchronous iterable: {_ASYNC_FORM}")


def _told(error: Exception) -> Exception:
    """Return an error, with a text that helps in place of RxPY's, as also `ops.first()` and `ops.last()` end with."""
    return NoValueError() if type(error) is SequenceContainsNoElementsError else error


def _as_ours(result: Any) -> Any:
    """Return the Observable that operators made as one that checks its subscriptions, and anything else as it is."""
    if type(result) in (Observable, EventObservable):
        kind = _PipedEvents if type(result) is EventObservable else _PipedObservable
        return kind(result._subscribe_core)
    if type(result) is ConnectableObservable:
        return _ConnectableEvents(result.source, result.subject)
    return result


class _PipedObservable(EventObservable[T]):
    """What operators return: one of RxPY's may let many observers share a subscription, as `ops.share` does."""

    _observes_directly = False  # other code than this library's may keep `on_next`

    def _subscribe_core(self, observer: ObserverBase[T], scheduler: SchedulerBase | None = None) -> DisposableBase:
        subscription = super()._subscribe_core(observer, scheduler)
        try:
            check_shared_run(observer)
        except RuntimeError:
            subscription.dispose()
            raise
        return subscription


class _PipedEvents(_PipedObservable[T]):
    """What operators of this library return."""

    _observes_directly = True


class _ConnectableEvents(_PipedObservable[T], ConnectableObservable[T]):
    """What `ops.publish` and `ops.replay` return."""

    def auto_connect(self, subscriber_count: int = 1) -> Observable[T]:
        """Return an Observable that connects this one when it has so many subscribers."""
        ours: Observable[T] = _as_ours(super().auto_connect(subscriber_count))
        return ours
