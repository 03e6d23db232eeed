"""When to try again, and how long to wait."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from rxresponses import errors
from rxresponses.backoff import (
    Backoff,
    is_rate_limit,
    is_retryable,
    is_spent,
    requested_wait,
    retry_after,
    wait_after_handshake,
)
from rxresponses.errors import Delivery


def least() -> float:
    return 0.0


def most() -> float:
    return 1.0


def test_delays_grow_to_their_cap() -> None:
    backoff = Backoff(initial=1.0, factor=3.0, max_delay=20.0)
    assert [backoff.delay(retry, draw=least) for retry in (1, 2, 3, 4, 5)] == [1.0, 3.0, 9.0, 20.0, 20.0]


def test_delays_never_overflow() -> None:
    assert Backoff(max_delay=7.0, jitter=0.0).delay(10**6) == 7.0


def test_jitter_takes_a_share_off() -> None:
    backoff = Backoff(initial=1.0, jitter=0.25)
    assert backoff.delay(1, draw=most) == 0.75
    assert 0.75 <= backoff.delay(1) <= 1.0


def test_a_retry_after_of_the_server_is_obeyed_with_jitter() -> None:
    backoff = Backoff(initial=1.0, max_delay=5.0, jitter=0.5)
    assert backoff.delay(1, 60.0, draw=least) == 60.0  # longer than any delay of its own
    assert backoff.delay(9, 0.1, draw=most) == 0.6


def test_a_retry_after_may_be_too_long() -> None:
    backoff = Backoff(initial=1.0, jitter=0.5, max_retry_after=60.0)
    assert [backoff.is_too_long(hint) for hint in (None, 0.0, 60.0, 60.1, 1e300)] == [False, False, False, True, True]
    assert backoff.delay(1, 1e300, draw=least) == 60.0  # if a caller asks for the delay all the same
    assert not Backoff().is_too_long(600.0)


def test_the_error_says_that_the_retry_after_is_too_long() -> None:
    error = errors.ConnectFailedError("refused", status=429)
    Backoff(max_retry_after=60.0).tell(error, 90_000.0)
    assert str(error).startswith("refused; the server asks to wait 90000 s, more than `max_retry_after`")
    assert "(60 s)" in str(error)
    other = ValueError("of the program's own")
    Backoff().tell(other, 90_000.0)
    assert str(other) == "of the program's own"


@pytest.mark.parametrize(
    "options",
    [
        {"initial": -1},
        {"initial": float("inf")},
        {"initial": "1"},
        {"factor": 0.5},
        {"max_delay": float("nan")},
        {"jitter": 1.5},
        {"jitter": True},
        {"max_retry_after": -1},
        {"max_retry_after": float("inf")},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": True},
    ],
)
def test_invalid_options_are_named(options: dict[str, object]) -> None:
    with pytest.raises(errors.ConfigurationError, match=next(iter(options))):
        Backoff(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"Retry-After": "9", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After-Ms": "soon", "Retry-After": "2"}, 2.0),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "later"}, None),
        ({"Retry-After": "Mon, 99 Foo 2026 00:00:00 GMT"}, None),
        ({"Retry-After": formatdate(1_000_012, usegmt=True)}, 12.0),
        ({"Retry-After": formatdate(999_000, usegmt=True)}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1_000_000.0) == seconds


def test_a_date_is_compared_with_the_time_of_day() -> None:
    assert retry_after({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0.0


def failed(delivery: Delivery = "rejected", **facts: object) -> errors.ResponseFailedError:
    return errors.ResponseFailedError("no", delivery=delivery, event=None, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (errors.ConnectFailedError("no"), True),
        (errors.ConnectTimeoutError("no"), True),
        *((errors.ConnectFailedError("no", status=status), True) for status in (429, 500, 503)),
        *((errors.ConnectFailedError("no", status=one), False) for one in (301, 400, 401, 403, 404, 408, 425, 426)),
        (errors.ConnectFailedError("no", status=429, code="insufficient_quota"), False),
        (errors.ConnectFailedError("no", status=429, type="insufficient_quota"), False),
        (errors.ConnectionLostError("no", delivery="not_sent"), True),
        (errors.ConnectionLostError("no", delivery="unknown"), False),
        (errors.ConnectionLostError("no", delivery="started"), False),
        (errors.MessageTooBigError("no", delivery="not_sent"), False),
        (errors.QueueTimeoutError(1.0), True),
        (errors.FirstEventTimeoutError(1.0, delivery="unknown"), False),
        (errors.SocketClosedError("no", delivery="not_sent"), False),
        (errors.LaneLimitError("no", delivery="not_sent"), False),
        (errors.InvalidRequestError("no"), False),
        (errors.ConfigurationError("no"), False),
        (ValueError("no"), False),
        (failed(code="rate_limit_exceeded"), True),
        (failed(code="server_error"), True),
        (failed(type="server_error"), True),
        (failed(status=503), True),
        (failed(status=429), True),
        (failed(status=429, code="insufficient_quota"), False),
        (failed(status=429, type="insufficient_quota"), False),
        (failed(status=400), False),
        (failed(status=408), False),
        (failed(code="context_length_exceeded"), False),
        (failed(), False),
        (failed("started", code="server_error"), False),
    ],
)
def test_which_errors_are_retryable(error: Exception, answer: bool) -> None:
    assert is_retryable(error) is answer


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (failed(code="rate_limit_exceeded"), True),
        (failed("started", code="rate_limit_exceeded"), True),
        (failed(status=429), True),
        (failed(status=429, code="insufficient_quota"), False),
        (failed(status=500), False),
        (errors.ConnectFailedError("no", status=429), True),
        (errors.ConnectFailedError("no", status=429, code="insufficient_quota"), False),
        (ValueError("no"), False),
    ],
)
def test_which_errors_are_rate_limits(error: Exception, answer: bool) -> None:
    assert is_rate_limit(error) is answer


USED_UP = {"x-ratelimit-reset-requests": "9s", "x-ratelimit-remaining-requests": "0"}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ValueError("no"), None),
        (failed(code="rate_limit_exceeded"), None),
        (failed(headers={"retry-after": "7"}, retry_after=3.0, resets_at=1_000_002.0), 7.0),
        (failed(retry_after=0.2, resets_at=1_000_002.0), 0.2),
        (failed(resets_at=1_000_002.0), 2.0),
        (failed(resets_at=999_000.0), 0.0),
        (failed(status=429, headers=USED_UP), 9.0),
        (failed(code="slow_down", headers=USED_UP), 9.0),
        (failed(type="usage_limit_reached", headers=USED_UP), 9.0),
        (failed(status=500, headers=USED_UP), None),
        (errors.ConnectFailedError("no", status=429, headers=USED_UP), 9.0),
        (errors.ConnectFailedError("no", status=429, retry_after=4.0), 4.0),
    ],
)
def test_scenario_64_the_wait_that_a_server_asks_for(error: Exception, seconds: float | None) -> None:
    assert requested_wait(error, now=1_000_000.0) == seconds


def test_scenario_64_a_point_in_time_is_compared_with_the_time_of_day() -> None:
    assert requested_wait(failed(resets_at=5.0)) == 0.0


@pytest.mark.parametrize(
    ("error", "spent", "limited", "retryable"),
    [
        (failed(code="insufficient_quota"), True, False, False),
        (failed(type="insufficient_quota", retry_after=1.0), True, False, False),
        (failed(type="usage_not_included", status=429), True, False, False),
        (failed(status=402), True, False, False),
        (errors.ConnectFailedError("no", status=402), True, False, False),
        # the limit of a plan is renewed, and only the server knows when
        (failed(type="usage_limit_reached", status=429), True, False, False),
        (failed(type="usage_limit_reached", retry_after=2.0), False, True, True),
        (errors.ConnectFailedError("no", status=429, type="usage_limit_reached"), True, False, False),
        (errors.ConnectFailedError("no", status=429, type="usage_limit_reached", resets_at=5.0), False, True, True),
        # a response that was created
        (failed("started", code="rate_limit_exceeded", without_output=True), False, True, True),
        (failed("started", code="server_is_overloaded", without_output=True), False, False, True),
        (failed("started", code="server_error", without_output=True), False, False, False),
        (failed("started", code="server_error", without_output=True, retry_after=3.0), False, False, True),
        (failed("started", code="server_error", retry_after=3.0), False, False, False),
        (failed("started", code="invalid_prompt", without_output=True), False, False, False),
        (failed("started", code="rate_limit_exceeded"), False, True, False),
        # the words of other services
        (failed(code="RateLimitReached"), False, True, True),
        (failed(code="RESOURCE_EXHAUSTED"), False, True, True),
        (failed(type="Too Many Requests"), False, True, True),
        (failed(type="overloaded_error"), False, False, True),
        (failed(code="Insufficient-Quota", status=429), True, False, False),
        # no code, and a message such as "try again in 0.2s"
        (failed(retry_after=0.2), False, True, True),
        (failed(code="invalid_prompt", retry_after=0.2), False, False, False),
        (failed(status=400, retry_after=0.2), False, False, False),
        (failed("started", code="insufficient_quota", without_output=True), True, False, False),
        (SystemExit(["no code"]), False, False, False),
    ],
)
def test_scenario_64_a_spent_quota_and_a_limit(
    error: BaseException, spent: bool, limited: bool, retryable: bool
) -> None:
    assert (is_spent(error), is_rate_limit(error), is_retryable(error)) == (spent, limited, retryable)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": formatdate(1_000_002.0, usegmt=True)}, 2.0),
        ({**USED_UP, "Retry-After": "2"}, 2.0),
        (USED_UP, 9.0),
        ({"x-ratelimit-reset-requests": "9s"}, None),
    ],
)
def test_scenario_64_the_wait_that_an_accepted_handshake_asks_for(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert wait_after_handshake(headers, now=1_000_000.0) == seconds


def test_scenario_64_the_time_of_day_is_read_if_it_is_not_passed() -> None:
    assert wait_after_handshake({"Retry-After": formatdate(0, usegmt=True)}) == 0.0
