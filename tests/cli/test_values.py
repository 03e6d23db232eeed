"""The values of a pipeline, in the thread of the command."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rxresponses import BufferOverflowError, TerminalTimeoutError
from rxresponses.cli.values import values
from rxresponses.net.backpressure import set_current_read_pause, size_of
from rxresponses.wire.codec import decode


class TestValues:
    """The values of a pipeline, in the thread of the caller."""

    def test_values_then_the_error(self) -> None:
        boom = RuntimeError("boom")
        source = reactivex.concat(reactivex.of(1, 2), reactivex.throw(boom))
        found = values(source)
        assert [next(found), next(found)] == [1, 2]
        with pytest.raises(RuntimeError) as raised:
            next(found)
        assert raised.value is boom

    def test_leaving_early_disposes(self) -> None:
        disposed = []

        def subscribe(observer: ObserverBase[int], scheduler: SchedulerBase | None = None) -> DisposableBase:
            observer.on_next(1)
            return Disposable(lambda: disposed.append(True))

        found = values(reactivex.Observable(subscribe))
        assert next(found) == 1
        assert disposed == []
        found.close()
        assert disposed == [True]

    @pytest.mark.parametrize("timed", [False, True])
    def test_scenario_77_a_reader_that_pauses_pauses_the_socket(
        self, monkeypatch: pytest.MonkeyPatch, timed: bool
    ) -> None:
        event = decode(b'{"type": "a", "text": "%s"}' % (b"x" * 1000))
        value = (0.5, event) if timed else event
        monkeypatch.setattr("rxresponses.cli.values._MAX_WAITING", 10 * size_of(event))
        log: list[str] = []

        class Pause:
            def consumer_lags(self, *_: object) -> None:
                log.append("lags")

            def consumer_caught_up(self, _: object) -> None:
                log.append("caught up")

        def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
            pause: Any = Pause()
            set_current_read_pause(pause)
            try:
                for _ in range(6):
                    observer.on_next(value)
            finally:
                set_current_read_pause(None)
            return Disposable()

        found = values(reactivex.Observable(subscribe))
        assert [next(found) for _ in range(3)] == 3 * [value]
        assert log == ["lags"]
        assert next(found) == value
        assert log == ["lags", "caught up"]
        found.close()

    def test_scenario_77_what_waits_for_a_reader_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rxresponses.cli.values._MAX_WAITING", 3 * size_of("text"))
        found = values(reactivex.from_iterable(["text"] * 3))
        assert list(found) == ["text"] * 3
        found = values(reactivex.from_iterable(["text"] * 4))
        assert [next(found) for _ in range(3)] == ["text"] * 3
        with pytest.raises(BufferOverflowError, match="bytes"):
            next(found)

    def test_the_time_is_over(self) -> None:
        with pytest.raises(TerminalTimeoutError) as raised:
            list(values(reactivex.never(), 0.01))
        assert raised.value.delivery == "unknown"
        found = values(reactivex.concat(reactivex.just(1), reactivex.never()), 0.01)
        assert next(found) == 1
        with pytest.raises(TerminalTimeoutError) as raised:
            next(found)
        assert raised.value.delivery == "started"

    def test_what_came_in_time_is_not_lost(self) -> None:
        assert list(values(reactivex.of(1, 2), 1e-9)) == [1, 2]


class TestTicks:
    def test_values_and_ticks(self) -> None:
        source: Subject[int] = Subject()
        found = values(source, tick=0.001)
        assert next(found) is None
        source.on_next(1)
        assert next(found) == 1
        assert next(found) is None
        source.on_completed()
        assert list(found) == []

    def test_the_time_is_over(self) -> None:
        found = values(reactivex.never(), 0.2, tick=0.001)
        assert next(found) is None
        with pytest.raises(TerminalTimeoutError):
            list(found)

    def test_the_error(self) -> None:
        found = values(reactivex.throw(RuntimeError("boom")), tick=60)
        with pytest.raises(RuntimeError, match="boom"):
            next(found)
