from __future__ import annotations

import math

import pytest

from rxresponses.backoff import Backoff
from rxresponses.pool.reconnect import ReconnectBackoff


@pytest.fixture
def outage() -> ReconnectBackoff:
    return ReconnectBackoff(Backoff(initial=1.0, max_delay=8.0, jitter=0.0, max_retries=2))


def test_without_a_failure_nobody_waits(outage: ReconnectBackoff) -> None:
    assert outage.retries_at == -math.inf
    assert outage.allows(0.0, coming=7)
    assert not outage.is_over_the_limit


def test_the_waits_grow_and_then_one_is_tried_at_a_time(outage: ReconnectBackoff) -> None:
    outage.failed(0.0, None, 0)
    assert outage.retries_at == 1.0
    assert not outage.allows(0.9, coming=0)
    assert outage.allows(1.0, coming=0)
    assert not outage.allows(1.0, coming=1)
    outage.failed(1.0, None, outage.round)
    assert outage.retries_at == 3.0


def test_what_was_tried_together_fails_once_however_far_apart(outage: ReconnectBackoff) -> None:
    for now in (0.0, 0.5, 20.0):
        outage.failed(now, None, 0)
    assert outage.round == 1
    assert outage.retries_at == 21.0
    outage.failed(21.0, None, 1)
    assert outage.retries_at == 23.0


def test_what_was_tried_together_waits_for_the_longest(outage: ReconnectBackoff) -> None:
    outage.failed(0.0, 5.0, 0)
    outage.failed(0.5, None, 0)
    assert outage.retries_at == 5.0
    outage.hurry()
    assert outage.retries_at == 5.0
    outage.failed(1.0, 60.0, 0)
    assert outage.retries_at == 61.0


def test_after_so_many_tries_it_is_over_the_limit(outage: ReconnectBackoff) -> None:
    for now in (0.0, 10.0, 20.0):
        assert not outage.is_over_the_limit
        outage.failed(now, None, outage.round)
    assert outage.is_over_the_limit


def test_whoever_has_not_waited_yet_does_not_unless_the_server_says_so(outage: ReconnectBackoff) -> None:
    outage.failed(0.0, None, 0)
    outage.hurry()
    assert outage.allows(0.0, coming=0)
    outage.failed(0.0, 30.0, 1)
    outage.hurry()
    assert outage.retries_at == 30.0
    outage.failed(30.0, None, 2)  # this time it does not
    outage.hurry()
    assert outage.allows(30.0, coming=0)


def test_one_that_opens_ends_the_wait_but_proves_nothing(outage: ReconnectBackoff) -> None:
    outage.failed(0.0, 30.0, 0)
    outage.given_up = True
    outage.opened()
    assert not outage.given_up
    assert outage.allows(0.0, coming=0)
    assert not outage.allows(0.0, coming=1)
