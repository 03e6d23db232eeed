from __future__ import annotations

import math

import pytest

from rxresponses.backoff import Backoff
from rxresponses.pool.rate_limit import RateLimit


@pytest.fixture
def throttle() -> RateLimit:
    return RateLimit(Backoff(initial=1.0, max_delay=8.0, jitter=0.0))


def test_without_a_limit_anything_goes(throttle: RateLimit) -> None:
    assert throttle.allows(0.0, 10**6)
    assert throttle.pause(0.0) is None


def test_a_refusal_pauses_everything_for_as_long_as_the_server_says(throttle: RateLimit) -> None:
    throttle.limited(10.0, 8, 30.0, limits=throttle.limits)
    assert throttle.resumes_at == 40.0
    assert throttle.pause(15.0) == 25.0
    assert not throttle.allows(39.9, 0)
    assert throttle.allows(40.0, 0)
    assert throttle.pause(40.0) is None


def test_without_a_hint_the_pauses_grow(throttle: RateLimit) -> None:
    throttle.limited(0.0, 8, None, limits=throttle.limits)
    assert throttle.resumes_at == 1.0
    throttle.limited(1.0, 8, None, limits=throttle.limits)
    assert throttle.resumes_at == 3.0
    throttle.limited(3.0, 8, None, limits=throttle.limits)
    assert throttle.resumes_at == 7.0


def test_a_success_makes_the_next_pause_short_again(throttle: RateLimit) -> None:
    throttle.limited(0.0, 8, None, limits=throttle.limits)
    throttle.limited(1.0, 8, None, limits=throttle.limits)
    throttle.succeeded(1, limits=throttle.limits)
    throttle.limited(3.0, 8, None, limits=throttle.limits)
    assert throttle.resumes_at == 4.0


def test_half_as_many_may_run_then(throttle: RateLimit) -> None:
    throttle.limited(0.0, 8, None, limits=throttle.limits)
    assert throttle.allows(1.0, 3)
    assert not throttle.allows(1.0, 4)
    throttle.limited(1.0, 4, None, limits=throttle.limits)
    assert throttle.limit == 2


@pytest.mark.parametrize("active", [0, 1])
def test_one_may_always_run(throttle: RateLimit, active: int) -> None:
    throttle.limited(0.0, active, None, limits=throttle.limits)
    assert throttle.limit == 1
    assert throttle.allows(1.0, 0)
    assert not throttle.allows(1.0, 1)


def test_those_refused_together_count_once(throttle: RateLimit) -> None:
    for active in (8, 7, 6, 5):
        throttle.limited(0.0, active, None, limits=throttle.limits)
    assert throttle.limit == 4
    assert throttle.resumes_at == 1.0
    throttle.limited(0.5, 4, 10.0, limits=throttle.limits)  # but the longest wait counts
    assert throttle.resumes_at == 10.5
    assert throttle.limit == 4


def test_those_sent_before_it_count_no_more(throttle: RateLimit) -> None:
    """Also when they are refused, or answered, only after the pause."""
    throttle.limited(0.0, 8, None, limits=0)
    throttle.limited(2.0, 8, None, limits=0)
    assert throttle.limit == 4
    assert throttle.resumes_at == 3.0
    for _ in range(100):
        throttle.succeeded(1, limits=0)
    assert throttle.limit == 4
    throttle.limited(3.0, 4, None, limits=1)
    assert throttle.limit == 2
    assert throttle.resumes_at == 5.0  # there was no success in between


def test_one_more_runs_whenever_as_many_have_succeeded(throttle: RateLimit) -> None:
    throttle.limited(0.0, 8, None, limits=0)
    for _ in range(4):
        assert not throttle.allows(1.0, 5)
        throttle.succeeded(4, limits=1)
    assert 4.8 < throttle.limit < 5
    throttle.succeeded(4, limits=1)
    assert throttle.allows(1.0, 4)
    assert throttle.allows(1.0, 5)
    assert not throttle.allows(1.0, 6)


def test_what_is_far_from_being_reached_limits_nothing(throttle: RateLimit) -> None:
    throttle.limited(0.0, 8, None, limits=0)
    throttle.limit = 2 * 10 + 16
    throttle.succeeded(11, limits=1)
    assert throttle.limit < math.inf
    throttle.succeeded(10, limits=1)
    assert throttle.allows(1.0, 10**6)
