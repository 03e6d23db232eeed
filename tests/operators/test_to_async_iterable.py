from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
import reactivex
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from typing_extensions import assert_type

from rxresponses.errors import BufferOverflowError
from rxresponses.net.backpressure import size_of
from rxresponses.operators import filter_by_type, to_async_iterable
from rxresponses.operators.to_async_iterable import AsyncStream
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseTextDeltaEvent, ServerEvent

from ..support.events import completed, created, delta
from ..support.marbles import ManualSource

T = TypeVar("T")


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def step_of(iterator: AsyncIterator[T]) -> asyncio.Task[T]:
    async def step() -> T:
        return await anext(iterator)

    return asyncio.create_task(step())


async def drain(values: AsyncIterable[T], into: list[T]) -> None:
    async for value in values:
        into.append(value)  # kept also if an error follows


def in_loop(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


def test_empty_and_never() -> None:
    async def main() -> None:
        assert [value async for value in reactivex.empty().pipe(to_async_iterable())] == []
        task = step_of(aiter(reactivex.never().pipe(to_async_iterable())))
        await turns()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    in_loop(main())


def test_values_come_in_order_and_then_the_end() -> None:
    async def main() -> None:
        source = reactivex.from_iterable(range(1000))
        assert [value async for value in source.pipe(to_async_iterable())] == list(range(1000))

    in_loop(main())


def test_nothing_is_subscribed_before_the_first_step() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        stream = source.observable.pipe(to_async_iterable())
        iterator = aiter(stream)
        await turns()
        assert not source.observers

        task = step_of(iterator)
        await turns()
        assert len(source.observers) == 1
        source.emit(1)
        assert await task == 1

    in_loop(main())


def test_each_iteration_subscribes_for_itself() -> None:
    async def main() -> None:
        subscriptions = 0

        def subscribe(observer: ObserverBase[int], scheduler: SchedulerBase | None = None) -> DisposableBase:
            nonlocal subscriptions
            subscriptions += 1
            observer.on_next(subscriptions)
            observer.on_completed()
            return Disposable()

        stream = reactivex.Observable(subscribe).pipe(to_async_iterable())
        assert [value async for value in stream] == [1]
        assert [value async for value in stream] == [2]

    in_loop(main())


def test_an_error_is_raised_once_after_the_values_before_it() -> None:
    async def main() -> None:
        error = OSError("lost")
        seen: list[int] = []
        iterator = aiter(reactivex.concat(reactivex.of(1, 2), reactivex.throw(error)).pipe(to_async_iterable()))
        with pytest.raises(OSError, match="lost") as caught:
            await drain(iterator, seen)
        assert caught.value is error
        assert seen == [1, 2]
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    in_loop(main())


def test_a_burst_from_another_thread() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()

        def produce() -> None:
            source.emit(*range(5000))
            source.complete()

        thread = threading.Thread(target=produce)
        asyncio.get_running_loop().call_soon(thread.start)
        assert [number async for number in source.observable.pipe(to_async_iterable())] == list(range(5000))
        thread.join()

    in_loop(main())


def test_a_consumer_that_waits_is_woken_from_another_thread() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        iterator = aiter(source.observable.pipe(to_async_iterable()))
        for number in range(20):
            step = step_of(iterator)
            await turns()
            await asyncio.to_thread(source.emit, number)
            assert await step == number
        step = step_of(iterator)
        await turns()
        await asyncio.to_thread(source.fail, OSError("lost"))
        with pytest.raises(OSError, match="lost"):
            await step

    in_loop(main())


def test_scenario_12_leaving_the_with_disposes_at_once() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        async with source.observable.pipe(to_async_iterable()) as stream:
            iterator = aiter(stream)
            step = step_of(iterator)
            await turns()
            source.emit(1, 2, 3)
            assert await step == 1
        assert source.disposals == 1
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    in_loop(main())


def test_scenario_12_aclosing_and_closing_twice() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        async with aclosing(source.observable.pipe(to_async_iterable())) as stream:
            step = step_of(aiter(stream))
            await turns()
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await step
        assert source.disposals == 1

    in_loop(main())


def test_closing_one_iterator_leaves_the_other() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        stream = source.observable.pipe(to_async_iterable())
        one: Any = aiter(stream)
        other: Any = aiter(stream)
        steps = [step_of(iterator) for iterator in (one, other)]
        await turns()
        await one.aclose()
        source.emit(1)
        assert await steps[1] == 1
        assert aiter(other) is other
        with pytest.raises(StopAsyncIteration):
            await steps[0]
        await stream.aclose()
        assert source.disposals == 2

    in_loop(main())


def test_an_iterator_closed_before_its_first_step_never_subscribes() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        iterator: Any = aiter(source.observable.pipe(to_async_iterable()))
        await iterator.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
        assert not source.observers

    in_loop(main())


def test_scenario_12_a_break_disposes_on_the_next_turn() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        asyncio.get_running_loop().call_soon(lambda: source.emit(1, 2))
        async for _ in source.observable.pipe(to_async_iterable()):
            break
        gc.collect()
        await turns()
        assert source.disposals == 1

    in_loop(main())


def test_scenario_12_an_exception_in_the_body_disposes() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        asyncio.get_running_loop().call_soon(lambda: source.emit(1, 2))
        disposals_seen: list[int] = []

        async def consume() -> None:
            try:
                async with source.observable.pipe(to_async_iterable()) as stream:
                    async for number in stream:
                        number / 0
            finally:
                disposals_seen.append(source.disposals)

        with pytest.raises(ZeroDivisionError):
            await consume()
        assert disposals_seen == [1]

    in_loop(main())


@pytest.mark.parametrize("waiting_for_value", [True, False])
def test_scenario_12_cancelling_the_task_disposes(waiting_for_value: bool) -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()

        async def consume() -> None:
            async for _ in source.observable.pipe(to_async_iterable()):
                await asyncio.Event().wait()

        task = asyncio.create_task(consume())
        await turns()
        if not waiting_for_value:
            source.emit(1)
            await turns()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        gc.collect()
        await turns()
        assert source.disposals == 1

    in_loop(main())


def test_an_iterator_that_outlives_its_loop_is_disposed() -> None:
    source: ManualSource[int] = ManualSource()
    kept: list[Any] = []

    async def main() -> None:
        kept.append(aiter(source.observable.pipe(to_async_iterable())))
        asyncio.get_running_loop().call_soon(lambda: source.emit(1))
        await anext(kept[0])

    in_loop(main())
    source.emit(2)
    kept.clear()
    gc.collect()
    assert source.disposals == 1


def test_a_source_that_ends_after_the_loop_was_closed_raises_nothing() -> None:
    source: ManualSource[int] = ManualSource()
    steps: list[Any] = []

    async def main() -> None:
        iterator = aiter(source.observable.pipe(to_async_iterable()))
        step = iterator.__anext__()
        steps.extend([iterator, step])
        step.send(None)  # type: ignore[attr-defined]  # now it waits on a loop that is closed next

    asyncio.run(main())
    thread = threading.Thread(target=source.complete)
    thread.start()
    thread.join()
    steps[1].close()


def test_two_tasks_that_wait_at_once_are_an_error() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        iterator = aiter(source.observable.pipe(to_async_iterable()))
        first = step_of(iterator)
        await turns()
        with pytest.raises(RuntimeError, match="already waiting"):
            await anext(iterator)
        source.emit(1)
        assert await first == 1

    in_loop(main())


def test_overflow_ends_the_stream_with_its_own_error() -> None:
    async def main() -> None:
        source: ManualSource[ServerEvent] = ManualSource()
        events = [created(), *[delta(str(number), stream_id="main") for number in range(9)]]
        asyncio.get_running_loop().call_soon(lambda: source.emit(*events, completed()))
        seen: list[ServerEvent] = []
        with pytest.raises(BufferOverflowError) as caught:
            await drain(source.observable.pipe(to_async_iterable(max_buffered=5)), seen)
        assert seen == events[:5]
        assert caught.value.max_buffered == 5
        assert caught.value.stream_id == "main"
        assert caught.value.delivery == "started"
        assert "max_buffered" in str(caught.value)
        assert source.disposals == 1

    in_loop(main())


def test_scenario_77_large_events_overflow_by_their_bytes() -> None:
    async def main() -> None:
        source: ManualSource[ServerEvent] = ManualSource()
        events = [decode(b'{"type": "a", "image": "%s"}' % (b"x" * 10_000)) for _ in range(4)]
        asyncio.get_running_loop().call_soon(lambda: source.emit(*events))
        seen: list[ServerEvent] = []
        limit = 3 * size_of(events[0])
        with pytest.raises(BufferOverflowError) as caught:
            await drain(source.observable.pipe(to_async_iterable(max_buffered_bytes=limit)), seen)
        assert seen == events[:3]
        assert (caught.value.max_buffered, caught.value.unit) == (limit, "bytes")

    in_loop(main())


def test_an_event_larger_than_the_buffer_has_room_alone() -> None:
    async def main() -> None:
        source: ManualSource[ServerEvent] = ManualSource()
        events = [decode(b'{"type": "a", "image": "%s"}' % (b"x" * 10_000)) for _ in range(3)]
        iterator = source.observable.pipe(to_async_iterable(max_buffered=2, max_buffered_bytes=1000)).__aiter__()
        for event in events:
            step = step_of(iterator)
            await turns()
            source.emit(event)
            assert await step is event

    in_loop(main())


def test_overflow_while_subscribing_disposes_too() -> None:
    async def main() -> None:
        disposals: list[str] = []

        def subscribe(observer: ObserverBase[int], scheduler: SchedulerBase | None = None) -> DisposableBase:
            for number in range(10):
                observer.on_next(number)
            return Disposable(lambda: disposals.append("disposed"))

        seen: list[int] = []
        with pytest.raises(BufferOverflowError):
            await drain(reactivex.Observable(subscribe).pipe(to_async_iterable(3)), seen)
        assert seen == [0, 1, 2]
        assert disposals == ["disposed"]

    in_loop(main())


def test_values_after_the_end_are_ignored() -> None:
    async def main() -> None:
        late: list[ObserverBase[int]] = []

        def subscribe(observer: ObserverBase[int], scheduler: SchedulerBase | None = None) -> DisposableBase:
            late.append(observer)
            return Disposable()

        iterator: Any = aiter(reactivex.Observable(subscribe).pipe(to_async_iterable(1)))
        asyncio.get_running_loop().call_soon(lambda: late[0].on_next(1))
        assert await anext(iterator) == 1
        inbox = iterator._inbox
        await iterator.aclose()
        inbox._on_next(2)
        inbox._end(OSError("late"))
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    in_loop(main())


def test_a_cancelled_wait_is_not_woken_by_a_late_value() -> None:
    async def main() -> None:
        source: ManualSource[int] = ManualSource()
        iterator = aiter(source.observable.pipe(to_async_iterable()))
        step = step_of(iterator)
        await turns()
        step.cancel()
        source.emit(1)
        await asyncio.gather(step, return_exceptions=True)
        assert source.disposals == 1
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    in_loop(main())


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_bound_must_be_positive(wrong: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        to_async_iterable(wrong)
    with pytest.raises(ValueError, match="max_buffered_bytes must be at least 1"):
        to_async_iterable(max_buffered_bytes=wrong)


@pytest.mark.parametrize("wrong", [None, 1.5, "5", True])
def test_a_bound_must_be_an_integer(wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be an integer"):
        to_async_iterable(wrong)
    with pytest.raises(TypeError, match="max_buffered_bytes must be an integer"):
        to_async_iterable(max_buffered_bytes=wrong)


def test_type() -> None:
    source = ManualSource[ServerEvent]().observable

    assert_type(source.pipe(to_async_iterable()), AsyncStream[ServerEvent])
    assert_type(
        source.pipe(filter_by_type(ResponseTextDeltaEvent), to_async_iterable(max_buffered=5)),
        AsyncStream[ResponseTextDeltaEvent],
    )
