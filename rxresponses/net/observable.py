"""`EventObservable`: the Observables of this library, which refuse `for` loops with the form to write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

from reactivex import Observable

T = TypeVar("T")
_ASYNC_FORM = (
    "write `async with events.pipe(rops.to_async_iterable()) as stream:`, and in it `async for event in stream:`"
)


class EventObservable(Observable[T]):
    """An Observable that can be told from a list.

    RxPY's `Observable` has `__getitem__`, so that a `for` loop over it never ends: each item is another Observable.
    Subscribing is RxPY's, so an event takes the same way.
    """

    def __iter__(self) -> Iterator[T]:
        raise TypeError(
            "an Observable is no iterable: write `events.subscribe(…)`, or `events.pipe(ops.do_action(…)).run()` to "
            f"wait for its end; in a coroutine, {_ASYNC_FORM}"
        )

    def __aiter__(self) -> AsyncIterator[T]:
        raise TypeError(f"an Observable is no asynchronous iterable: {_ASYNC_FORM}")
