"""`await` and `async for` over an Observable of events.  `tests/senders/test_misuse.py` tests the forms to refuse."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.internal.exceptions import SequenceContainsNoElementsError
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxresponses import NoValueError, ResponsesError
from rxresponses import operators as rops
from rxresponses.net.observable import EventObservable

from ..support.clients import run
from ..support.marbles import ManualSource


def first_of_nothing(_: object) -> object:
    return next(iter([]))


async def awaiting(act: Any, source: ManualSource[int], *operators: Any) -> Any:
    """Await an Observable while a function drives its source."""
    asyncio.get_running_loop().call_soon(act, source)
    return await EventObservable(source.observable._subscribe_core).pipe(*operators)


def test_await_returns_the_last_value_on_the_scheduler_of_the_loop() -> None:
    async def main() -> None:
        source = ManualSource[int]()
        assert await awaiting(lambda it: (it.emit(1, 2), it.complete()), source) == 2
        assert isinstance(source.schedulers[0], AsyncIOScheduler)
        await asyncio.sleep(0)
        assert source.disposals == 1

    run(main())


def test_await_raises_the_error_or_that_there_was_no_value() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await awaiting(lambda it: (it.emit(1), it.fail(ZeroDivisionError())), ManualSource())
        some: list[tuple[Any, ...]] = [(), (ops.first(),)]
        for operators in some:
            with pytest.raises(NoValueError, match="completed without a value"):
                await awaiting(lambda it: it.complete(), ManualSource(), *operators)

    run(main())


@pytest.mark.parametrize("operators", [(), (ops.last(),)])
def test_run_says_that_there_was_no_value(operators: Any) -> None:
    with pytest.raises(NoValueError, match="run_tools") as raised:
        EventObservable[int](reactivex.empty()._subscribe_core).pipe(*operators).run()
    assert isinstance(raised.value, ResponsesError)
    assert isinstance(raised.value, SequenceContainsNoElementsError)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_run_returns_the_last_value_or_raises_the_error() -> None:
    assert EventObservable[int](reactivex.of(1, 2)._subscribe_core).run() == 2
    with pytest.raises(ZeroDivisionError):
        EventObservable[int](reactivex.throw(ZeroDivisionError())._subscribe_core).run()


@pytest.mark.parametrize("end", ["complete", "empty", "fail"])
def test_an_end_after_the_await_was_cancelled_is_ignored(end: str) -> None:
    async def main() -> None:
        source = ManualSource[int]()
        task = asyncio.ensure_future(awaiting(lambda _: None, source))
        await asyncio.sleep(0)
        if end == "complete":
            source.emit(1)
        task.cancel()
        if end == "fail":
            source.fail(ZeroDivisionError())
        else:
            source.complete()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.disposals == 1

    run(main())


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_scenario_57_await_of_a_stream_whose_callback_raises_the_end_of_an_iterator(kind: type[Exception]) -> None:
    def raises(_: object) -> object:
        raise kind

    async def main() -> None:
        with pytest.raises(RuntimeError, match=kind.__name__):
            await awaiting(lambda it: it.emit(1), ManualSource(), ops.map(raises))
        source = ManualSource[int]()
        async with source.observable.pipe(ops.map(raises), rops.to_async_iterable()) as values:
            asyncio.get_running_loop().call_soon(source.emit, 1)
            with pytest.raises(RuntimeError, match=kind.__name__):
                async for _ in values:
                    pass

    run(main())


def test_scenario_57_next_of_nothing_in_a_callback() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await awaiting(lambda it: it.emit(1), ManualSource(), ops.map(first_of_nothing))

    run(main())
