"""When the next connection may be tried."""

from __future__ import annotations

import math

import pytest

from rxresponses.backoff import Backoff
from rxresponses.pool.reconnect import ReconnectBackoff


@pytest.fixture
def backoff() -> ReconnectBackoff:
    return ReconnectBackoff(Backoff(initial=1.0, max_delay=8.0, jitter=0.0, max_retries=2))


def test_without_a_failure_there_is_no_wait(backoff: ReconnectBackoff) -> None:
    assert backoff.retry_at == -math.inf
    assert backoff.allows(0.0, connecting=7)
    assert not backoff.is_exhausted


def test_the_waits_grow_and_one_connection_is_tried_at_a_time(backoff: ReconnectBackoff) -> None:
    backoff.failed(0.0, None, 0)
    assert backoff.retry_at == 1.0
    assert not backoff.allows(0.9, connecting=0)
    assert backoff.allows(1.0, connecting=0)
    assert not backoff.allows(1.0, connecting=1)
    backoff.failed(1.0, None, backoff.attempt)
    assert backoff.retry_at == 3.0


def test_connections_of_one_attempt_fail_once_however_far_apart(backoff: ReconnectBackoff) -> None:
    for now in (0.0, 0.5, 20.0):
        backoff.failed(now, None, 0)
    assert backoff.attempt == 1
    assert backoff.retry_at == 21.0
    backoff.failed(21.0, None, 1)
    assert backoff.retry_at == 23.0


def test_the_longest_requested_wait_of_an_attempt_counts(backoff: ReconnectBackoff) -> None:
    backoff.failed(0.0, 5.0, 0)
    backoff.failed(0.5, None, 0)
    assert backoff.retry_at == 5.0
    backoff.skip_wait()
    assert backoff.retry_at == 5.0
    backoff.failed(1.0, 60.0, 0)
    assert backoff.retry_at == 61.0


def test_exhausted_after_max_retries(backoff: ReconnectBackoff) -> None:
    for now in (0.0, 10.0, 20.0):
        assert not backoff.is_exhausted
        backoff.failed(now, None, backoff.attempt)
    assert backoff.is_exhausted


def test_skip_wait_unless_the_server_asked_to_wait(backoff: ReconnectBackoff) -> None:
    backoff.failed(0.0, None, 0)
    backoff.skip_wait()
    assert backoff.allows(0.0, connecting=0)
    backoff.failed(0.0, 30.0, 1)
    backoff.skip_wait()
    assert backoff.retry_at == 30.0
    backoff.failed(30.0, None, 2)  # without a requested wait
    backoff.skip_wait()
    assert backoff.allows(30.0, connecting=0)


def test_an_open_connection_ends_the_wait_but_resets_no_failures(backoff: ReconnectBackoff) -> None:
    backoff.failed(0.0, 30.0, 0)
    backoff.given_up = True
    backoff.opened()
    assert not backoff.given_up
    assert backoff.allows(0.0, connecting=0)
    assert not backoff.allows(0.0, connecting=1)
