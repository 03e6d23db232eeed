"""When the circuit breaker of a member opens, lets a trial through, and closes."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rxresponses.backoff import Backoff
from rxresponses.errors import (
    BufferOverflowError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectTimeoutError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    InvalidRequestError,
    MessageTooBigError,
    PongTimeoutError,
    QueueTimeoutError,
    ResponseFailedError,
)
from rxresponses.options import BreakerOptions
from rxresponses.pool.breaker import Breaker, may_go_elsewhere, verdict_of
from rxresponses.wire.events import ResponseErrorEvent
from tests.effort import examples

STEADY = Backoff(initial=1.0, factor=2.0, max_delay=4.0, jitter=0.0, max_retries=2)
DOWN = ConnectFailedError("refused")


def failure(code: str | None = None, status: int | None = None, **facts: Any) -> ResponseFailedError:
    """Return the error of a request that the server refused."""
    facts = {"delivery": "rejected", "without_output": True, **facts}
    return ResponseFailedError("failed", event=ResponseErrorEvent(message="failed"), code=code, status=status, **facts)


def breaker(**options: Any) -> Breaker:
    """Return a closed breaker with delays of 1, 2, 4, 4, … seconds."""
    return Breaker(BreakerOptions(**options), STEADY)


def opened(**options: Any) -> Breaker:
    """Return a breaker that has opened at 0.0."""
    made = breaker(**options)
    assert made.failed(made.sending(), 0.0, DOWN, gone=True)
    return made


def test_a_closed_breaker_opens_after_failures_in_a_row() -> None:
    one = breaker(failures=3)
    for _ in range(2):
        assert not one.failed(one.sending(), 0.0, failure())
    one.succeeded(one.sending())
    assert one.failures == 0
    for _ in range(2):
        assert not one.failed(one.sending(), 0.0, failure())
        assert one.state == "closed"
        assert one.allows(0.0)
    error = failure()
    assert one.failed(one.sending(), 5.0, error)
    assert (one.state, one.failures, one.error, one.trial_at) == ("open", 3, error, 6.0)
    assert not one.allows(5.9)
    assert one.allows(6.0)


def test_a_closed_breaker_opens_at_a_share_of_failures() -> None:
    one = breaker(failures=100, share=0.5, window=4)
    assert not one.failed(one.sending(), 0.0, failure())
    one.succeeded(one.sending())
    assert not one.failed(one.sending(), 0.0, failure())
    one.succeeded(one.sending())  # two of four have failed, but this request has not
    assert one.state == "closed"
    one.succeeded(one.sending())  # the first failure is older than the window now
    assert one.failed(one.sending(), 0.0, failure())


def test_few_requests_are_no_share() -> None:
    one = breaker(failures=100, share=0.1, window=10)
    for _ in range(9):
        assert not one.failed(one.sending(), 0.0, failure())
    assert one.failed(one.sending(), 0.0, failure())


def test_a_member_that_is_gone_opens_at_once() -> None:
    one = breaker()
    assert one.failed(one.sending(), 0.0, DOWN, gone=True)
    assert not one.is_hopeless


def test_exactly_one_trial_is_let_through_and_closes_the_breaker() -> None:
    one = opened()
    trial = one.sending()
    assert one.state == "half_open"
    assert one.is_trial(trial)
    assert not one.allows(math.inf)
    one.succeeded(trial)
    assert (one.failures, one.error) == (0, None)
    assert not one.is_trial(trial)
    assert one.allows(0.0)


def test_failed_trials_take_longer_and_longer() -> None:
    one = opened()
    now, delays = 0.0, []
    for _ in range(4):
        delays.append(one.trial_at - now)
        now = one.trial_at
        assert one.failed(one.sending(), now, failure())
    assert delays == [1.0, 2.0, 4.0, 4.0]
    one.succeeded(one.sending())
    assert one.failed(one.sending(), 100.0, DOWN, gone=True)
    assert one.trial_at == 101.0  # it begins again


def test_a_trial_without_an_outcome_gives_way_to_another_one() -> None:
    one = opened()
    trial = one.sending()
    one.undecided(trial - 1)
    assert one.is_trial(trial)
    one.undecided(trial)
    assert not one.is_trial(trial)
    assert one.allows(1.0)
    one.succeeded(trial)  # it was disposed, and has ended all the same
    assert one.state == "open"


def test_requests_that_were_on_their_way_say_nothing() -> None:
    one = breaker(failures=2)
    generation = one.sending()
    assert not one.failed(generation, 0.0, failure())
    assert one.failed(generation, 0.0, failure())
    assert not one.failed(generation, 7.0, failure())
    one.succeeded(generation)
    one.undecided(generation)
    assert (one.state, one.trial_at, one.failures) == ("open", 1.0, 2)
    trial = one.sending()
    one.succeeded(generation)
    assert not one.failed(generation, 7.0, failure())
    assert one.is_trial(trial)


def test_the_server_says_how_long_to_wait() -> None:
    one = breaker()
    assert one.failed(one.sending(), 0.0, DOWN, gone=True, requested_wait=30.0)
    assert one.trial_at == 30.0
    assert not one.is_hopeless
    two = breaker()
    assert two.failed(two.sending(), 0.0, DOWN, gone=True, requested_wait=9999.0)
    assert two.is_hopeless
    assert two.trial_at == STEADY.max_retry_after


def test_a_breaker_is_hopeless_after_the_last_trial_or_a_lasting_error() -> None:
    one = opened()
    for _ in range(STEADY.max_retries):
        assert not one.is_hopeless
        one.failed(one.sending(), one.trial_at, failure())
    assert one.is_hopeless
    one.sending()
    assert not one.is_hopeless  # the trial may succeed
    two = breaker()
    two.failed(two.sending(), 0.0, ConnectFailedError("no", status=401), gone=True)
    assert two.is_hopeless
    two.succeeded(two.sending())
    assert not two.is_hopeless


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (DOWN, "gone"),
        (ConnectFailedError("no", status=401), "gone"),
        (ConnectFailedError("no", status=503), "gone"),
        (ConnectFailedError("no", status=429), "busy"),
        (ConnectTimeoutError("no"), "gone"),
        (ConnectionLostError("lost", delivery="started", close_code=1006), "ill"),
        (ConnectionLostError("lost", delivery="unknown", close_code=1012), "ill"),
        (PongTimeoutError("lost", delivery="started", close_code=1006), "ill"),
        (ConnectionLostError("closed by this side", delivery="started"), "well"),
        (ConnectionLostError("old", delivery="started", code="websocket_connection_limit_reached"), "well"),
        (MessageTooBigError("long", delivery="unknown", close_code=1009), "well"),
        (FirstEventTimeoutError(5, delivery="unknown"), "ill"),
        (IdleTimeoutError(5, delivery="started"), "ill"),
        (QueueTimeoutError(5), "well"),
        (BufferOverflowError(5), "well"),
        (InvalidRequestError("no"), "well"),
        (failure("server_error"), "ill"),
        (failure("server_is_overloaded"), "ill"),
        (failure(status=500), "ill"),
        (failure(status=502), "ill"),
        (failure("rate_limit_exceeded"), "busy"),
        (failure(status=429), "busy"),
        (failure("insufficient_quota", status=429), "gone"),
        (failure(status=401), "gone"),
        (failure(status=402), "gone"),
        (failure("invalid_prompt", status=400), "well"),
        (failure("context_length_exceeded"), "well"),
        (failure("response_already_in_flight"), "well"),
        (failure("websocket_queue_full", status=503), "well"),
        (failure("websocket_stream_limit_reached"), "well"),
        (failure("previous_response_not_found", status=400), "well"),
        (ValueError("of an observer"), "well"),
    ],
    ids=str,
)
def test_what_a_failure_says_of_the_member(error: Exception, verdict: str) -> None:
    assert verdict_of(error) == verdict


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (DOWN, True),
        (ConnectFailedError("no", status=401), True),
        (ConnectionLostError("lost", delivery="not_sent", close_code=1006), True),
        (ConnectionLostError("lost", delivery="unknown", close_code=1006), False),
        (ConnectionLostError("lost", delivery="started", close_code=1006), False),
        (FirstEventTimeoutError(5, delivery="unknown"), False),
        (failure("server_error"), True),
        (failure("server_error", delivery="started"), False),
        (failure("server_error", delivery="started", without_output=False), False),
        (failure("rate_limit_exceeded", delivery="started"), True),
        (failure("insufficient_quota"), True),
        (failure("insufficient_quota", delivery="started"), True),
        (failure("insufficient_quota", delivery="started", without_output=False), False),
        (failure(status=401), True),
        (failure("invalid_prompt", status=400), False),
        (InvalidRequestError("no"), False),
        (ValueError("of an observer"), False),
    ],
    ids=str,
)
def test_which_requests_may_go_elsewhere(error: Exception, may: bool) -> None:
    assert may_go_elsewhere(error) is may


STEPS = st.lists(
    st.tuples(st.sampled_from(["send", "succeed", "fail", "gone", "undecided", "wait"]), st.integers(0, 5)), max_size=60
)


@settings(max_examples=examples(300))
@given(STEPS)
def test_whatever_happens_nothing_goes_to_an_open_breaker_and_one_trial_at_most(steps: list[tuple[str, int]]) -> None:
    one, now = breaker(failures=2, window=4), 0.0
    running: list[tuple[int, str]] = []  # the generation of each request, and the state that it was sent in
    for what, number in steps:
        if what == "wait":
            now += number
        elif what == "send":
            before = one.state
            if one.allows(now):
                assert before == "closed" or (before == "open" and now >= one.trial_at)
                running.append((one.sending(), before))
            else:
                assert before != "closed"
        elif running:
            generation, _ = running.pop(number % len(running))
            was_open = one.state == "open"
            if what == "succeed":
                one.succeeded(generation)
            elif what == "undecided":
                one.undecided(generation)
            else:
                one.failed(generation, now, failure(), gone=what == "gone")
            assert not was_open or one.state == "open"  # only a trial closes it
        trials = [generation for generation, _ in running if one.is_trial(generation)]
        assert len(trials) == (one.state == "half_open")
