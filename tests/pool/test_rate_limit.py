"""How many requests may run after a rate limit."""

from __future__ import annotations

import math

import pytest

from rxresponses.backoff import Backoff
from rxresponses.pool.rate_limit import RateLimit


@pytest.fixture
def rate_limit() -> RateLimit:
    return RateLimit(Backoff(initial=1.0, max_delay=8.0, jitter=0.0))


def test_without_a_limit_any_number_may_run(rate_limit: RateLimit) -> None:
    assert rate_limit.allows(0.0, 10**6)
    assert rate_limit.remaining_pause(0.0) is None


def test_a_refusal_pauses_all_requests_for_as_long_as_the_server_says(rate_limit: RateLimit) -> None:
    rate_limit.limited(10.0, 8, 30.0, hits_when_sent=rate_limit.hits)
    assert rate_limit.resumes_at == 40.0
    assert rate_limit.remaining_pause(15.0) == 25.0
    assert not rate_limit.allows(39.9, 0)
    assert rate_limit.allows(40.0, 0)
    assert rate_limit.remaining_pause(40.0) is None


def test_without_a_requested_wait_the_pauses_grow(rate_limit: RateLimit) -> None:
    rate_limit.limited(0.0, 8, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.resumes_at == 1.0
    rate_limit.limited(1.0, 8, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.resumes_at == 3.0
    rate_limit.limited(3.0, 8, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.resumes_at == 7.0


def test_a_success_makes_the_next_pause_short_again(rate_limit: RateLimit) -> None:
    rate_limit.limited(0.0, 8, None, hits_when_sent=rate_limit.hits)
    rate_limit.limited(1.0, 8, None, hits_when_sent=rate_limit.hits)
    rate_limit.succeeded(1, hits_when_sent=rate_limit.hits)
    rate_limit.limited(3.0, 8, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.resumes_at == 4.0


def test_half_as_many_may_run_after_a_limit(rate_limit: RateLimit) -> None:
    rate_limit.limited(0.0, 8, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.allows(1.0, 3)
    assert not rate_limit.allows(1.0, 4)
    rate_limit.limited(1.0, 4, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.max_active == 2


@pytest.mark.parametrize("active", [0, 1])
def test_one_request_may_always_run(rate_limit: RateLimit, active: int) -> None:
    rate_limit.limited(0.0, active, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.max_active == 1
    assert rate_limit.allows(1.0, 0)
    assert not rate_limit.allows(1.0, 1)


def test_requests_refused_together_count_once(rate_limit: RateLimit) -> None:
    for active in (8, 7, 6, 5):
        rate_limit.limited(0.0, active, None, hits_when_sent=rate_limit.hits)
    assert rate_limit.max_active == 4
    assert rate_limit.resumes_at == 1.0
    rate_limit.limited(0.5, 4, 10.0, hits_when_sent=rate_limit.hits)  # the longest wait counts
    assert rate_limit.resumes_at == 10.5
    assert rate_limit.max_active == 4


def test_requests_sent_before_the_latest_limit_do_not_count(rate_limit: RateLimit) -> None:
    """Also when they are refused, or answered, only after the pause."""
    rate_limit.limited(0.0, 8, None, hits_when_sent=0)
    rate_limit.limited(2.0, 8, None, hits_when_sent=0)
    assert rate_limit.max_active == 4
    assert rate_limit.resumes_at == 3.0
    for _ in range(100):
        rate_limit.succeeded(1, hits_when_sent=0)
    assert rate_limit.max_active == 4
    rate_limit.limited(3.0, 4, None, hits_when_sent=1)
    assert rate_limit.max_active == 2
    assert rate_limit.resumes_at == 5.0  # there was no success in between


def test_one_more_may_run_each_time_that_as_many_have_succeeded(rate_limit: RateLimit) -> None:
    rate_limit.limited(0.0, 8, None, hits_when_sent=0)
    for _ in range(4):
        assert not rate_limit.allows(1.0, 5)
        rate_limit.succeeded(4, hits_when_sent=1)
    assert 4.8 < rate_limit.max_active < 5
    rate_limit.succeeded(4, hits_when_sent=1)
    assert rate_limit.allows(1.0, 4)
    assert rate_limit.allows(1.0, 5)
    assert not rate_limit.allows(1.0, 6)


def test_a_limit_far_above_the_demand_is_lifted(rate_limit: RateLimit) -> None:
    rate_limit.limited(0.0, 8, None, hits_when_sent=0)
    rate_limit.max_active = 2 * 10 + 16
    rate_limit.succeeded(11, hits_when_sent=1)
    assert rate_limit.max_active < math.inf
    rate_limit.succeeded(10, hits_when_sent=1)
    assert rate_limit.allows(1.0, 10**6)
