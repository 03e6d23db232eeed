"""When a request was written, from the connection to the code that measures."""

from __future__ import annotations

from contextvars import copy_context

from rxresponses.net.timing import Timings, current_timings, recording


def test_by_default_there_are_no_timings() -> None:
    assert current_timings() is None


def test_a_request_that_is_subscribed_inside_marks_its_time() -> None:
    timings = Timings(lambda: 7.0)
    with recording(timings):
        found = current_timings()
    assert current_timings() is None

    assert found is timings
    assert timings.sent is None
    found.mark_sent()
    assert timings.sent == 7.0


def test_nested_timings_are_all_marked_each_on_its_own_clock() -> None:
    outer = Timings(lambda: 1.0)
    with recording(outer):
        inner = Timings(lambda: 2.0)
        with recording(inner):
            found = current_timings()
        assert current_timings() is outer
    assert found is not None
    found.mark_sent()

    assert (outer.sent, inner.sent) == (1.0, 2.0)


def test_a_further_try_marks_the_time_again() -> None:
    times = iter([1.0, 5.0])
    timings = Timings(lambda: next(times))
    timings.mark_sent()
    timings.mark_sent()

    assert timings.sent == 5.0


def test_a_request_that_waits_to_be_sent_again_is_not_sent() -> None:
    outer = Timings(lambda: 1.0)
    with recording(outer):
        inner = Timings(lambda: 2.0)
    inner.mark_sent()
    inner.mark_unsent()

    assert (outer.sent, inner.sent) == (None, None)


def test_a_context_that_outlives_the_subscription_has_no_timings() -> None:
    timings = Timings(lambda: 1.0)
    with recording(timings):
        left = copy_context()  # as a task or a callback copies it
        assert left.run(current_timings) is timings

    assert left.run(current_timings) is None
    with recording(timings):  # a further try of the same subscription
        with recording(timings):
            pass
        assert current_timings() is timings


def test_recording_none_does_nothing() -> None:
    with recording(None):
        assert current_timings() is None
