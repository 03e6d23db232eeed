"""Delivery in the context of the subscription."""

from __future__ import annotations

import contextvars
from typing import Any

from reactivex.abc import ObserverBase

from rxresponses.net.context import in_subscribers_context
from rxresponses.net.timing import Timings, recording

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")


class Seen(ObserverBase[str]):
    """Notes the variable at each notification."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_next(self, value: str) -> None:
        self.seen.append((value, NAME.get()))

    def on_error(self, error: Exception) -> None:
        self.seen.append((str(error), NAME.get()))

    def on_completed(self) -> None:
        self.seen.append(("completed", NAME.get()))


def wrapped(observer: ObserverBase[Any], name: str) -> ObserverBase[Any]:
    def wrap() -> ObserverBase[Any]:
        NAME.set(name)
        return in_subscribers_context(observer)

    return contextvars.copy_context().run(wrap)


def test_scenario_66_notifications_see_the_variables_of_the_subscriber() -> None:
    seen = Seen()
    observer = wrapped(seen, "a")
    observer.on_next("value")
    observer.on_error(ValueError("error"))
    observer.on_completed()
    assert seen.seen == [("value", "a"), ("error", "a"), ("completed", "a")]
    assert NAME.get() == "none"


def test_scenario_66_what_an_observer_sets_is_there_at_its_next_notification() -> None:
    class Setter(Seen):
        def on_next(self, value: str) -> None:
            super().on_next(value)
            NAME.set(value)

    seen = Setter()
    observer = wrapped(seen, "a")
    observer.on_next("b")
    observer.on_next("c")
    observer.on_completed()
    assert seen.seen == [("b", "a"), ("c", "b"), ("completed", "c")]
    assert NAME.get() == "none"


def test_scenario_66_an_observer_that_ends_its_own_stream() -> None:
    class Closer(Seen):
        def on_next(self, value: str) -> None:
            super().on_next(value)
            observer.on_error(ValueError("error"))

    seen = Closer()
    observer = wrapped(seen, "a")
    observer.on_next("value")
    assert seen.seen == [("value", "a"), ("error", "a")]


def test_scenario_66_without_variables_there_is_nothing_in_between() -> None:
    """The variable that passes `Timings` to requests is none of the program's."""
    seen = Seen()
    assert contextvars.Context().run(in_subscribers_context, seen) is seen

    def with_timings() -> ObserverBase[Any]:
        with recording(Timings(lambda: 0.0)):
            return in_subscribers_context(seen)

    assert contextvars.Context().run(with_timings) is seen


def test_scenario_66_two_observers_of_one_source() -> None:
    seen = Seen(), Seen()
    observers = wrapped(seen[0], "a"), wrapped(seen[1], "b")
    for value in ("1", "2"):
        for observer in observers:
            observer.on_next(value)
    assert [one.seen for one in seen] == [[("1", "a"), ("2", "a")], [("1", "b"), ("2", "b")]]
