from __future__ import annotations

import threading
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import ObserverBase
from reactivex.observer import Observer

from rxresponses.net.direct_observer import DirectObserver
from rxresponses.net.run_check import check_run, check_shared_run, note_thread
from tests.support.calls import count_calls


def checked(observer: Any, _: Any = None) -> Any:
    check_run(observer)
    observer.on_next(1)
    observer.on_completed()


def test_scenario_58_outside_a_run_nothing_is_raised() -> None:
    seen: list[int] = []
    Observable(checked).subscribe(seen.append)
    assert seen == [1]


@pytest.mark.parametrize(
    "operator", [ops.map(str), ops.take(1), ops.to_list(), ops.share(), ops.replay(mapper=ops.first())]
)
def test_scenario_58_a_subscription_of_the_run_is_refused(operator: Any) -> None:
    with pytest.raises(RuntimeError, match=r"wait for ever.*await.*ops\.flat_map"):
        Observable(checked).pipe(operator).run()


class InSlots(ObserverBase[Any]):
    """An observer without a dictionary of its attributes."""

    __slots__ = ("target",)

    def __init__(self, target: ObserverBase[Any]) -> None:
        self.target = target

    def on_next(self, value: Any) -> None:
        self.target.on_next(value)

    def on_error(self, error: Exception) -> None:
        self.target.on_error(error)

    def on_completed(self) -> None:
        self.target.on_completed()


@pytest.mark.parametrize("kind", [InSlots, lambda target: DirectObserver(target.on_next, target.on_error)])
def test_scenario_58_the_search_goes_through_observers_with_slots(kind: Any) -> None:
    with pytest.raises(RuntimeError, match="wait for ever"):
        Observable(lambda observer, _: checked(kind(observer))).run()


def test_scenario_58_a_subscription_beside_the_run_is_not_refused() -> None:
    seen: list[int] = []

    def beside(_: int) -> None:
        Observable(checked).pipe(ops.map(abs)).subscribe(seen.append)

    assert rx.of(7).pipe(ops.do_action(beside)).run() == 7
    assert seen == [1]


def test_scenario_58_a_run_that_has_its_end_is_not_refused() -> None:
    def subscribe(observer: Any, _: Any = None) -> Any:
        observer.on_completed()
        check_run(observer)

    Observable(subscribe).pipe(ops.to_list()).run()


def test_scenario_58_the_search_ends_in_endless_and_unset_closures() -> None:
    chain: Any = None
    for _ in range(20_000):
        chain = lambda error, following=chain: following(error)  # noqa: E731
        chain = Observer(on_error=chain).on_error

    def subscribe(observer: Any, _: Any = None) -> Any:
        check_run(Observer(on_error=lambda error: print(unset)))
        check_run(Observer(on_error=chain))
        observer.on_completed()
        unset = 1

    Observable(subscribe).pipe(ops.to_list()).run()


def test_a_subscription_does_not_look_at_the_observers_of_others() -> None:
    living: list[ObserverBase[object]] = [Observer(), Observer()]
    for observer in living:
        note_thread(observer, threading.get_ident())
    few = count_calls(lambda: check_shared_run(living[0]))
    living += [Observer() for _ in range(500)]
    for observer in living:
        note_thread(observer, threading.get_ident())
    assert count_calls(lambda: check_shared_run(living[0])) == few
