"""How long a server asks to wait, in other places than `Retry-After`."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.waits import stated_time, stated_wait, wait_for_limits, wait_for_used_up_limits

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"date": "today", "x-reset": "5"}, None),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"X-RateLimit-Reset-Requests": "200ms", "X-RateLimit-Remaining-Requests": "0"}, 0.2),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-remaining-requests": "9"}, None),
        (
            {
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "1h2m3s",
                "x-ratelimit-remaining-tokens": "0",
            },
            3723.0,
        ),
        ({"ratelimit-reset": "17"}, 17.0),
        ({"x-ratelimit-reset": str(int(NOW) + 30)}, 30.0),
        ({"x-ratelimit-reset": str((int(NOW) + 30) * 1000)}, 30.0),
        ({"x-ratelimit-reset": str(int(NOW) - 30)}, 0.0),
        ({"anthropic-ratelimit-tokens-reset": "2027-01-15T08:01:00Z"}, 60.0),
        ({"anthropic-ratelimit-tokens-reset": "2027-01-15T08:01:00"}, 60.0),
        ({"x-codex-primary-reset-after-seconds": "90", "x-codex-primary-used-percent": "100.0"}, 90.0),
        ({"x-codex-primary-reset-at": str(int(NOW) + 45)}, 45.0),
        ({"x-codex-secondary-reset-at": str(int(NOW) + 45), "x-codex-secondary-used-percent": "15"}, None),
        ({"x-ratelimit-reset-requests": "soon"}, None),
        ({"x-ratelimit-reset-requests": "1e400"}, None),
        ({"x-ratelimit-reset-requests": "-1"}, None),
    ],
)
def test_scenario_64_limits_told_in_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_for_limits(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1.5s"}, None),
        ({"x-ratelimit-reset-requests": "1.5s", "x-ratelimit-remaining-requests": "7"}, None),
        ({"x-ratelimit-reset-requests": "1.5s", "x-ratelimit-remaining-requests": "many"}, None),
        ({"X-RateLimit-Reset-Requests": "1.5s", "X-RateLimit-Remaining-Requests": "0"}, 1.5),
        (
            {"anthropic-ratelimit-tokens-reset": "2027-01-15T08:01:00Z", "anthropic-ratelimit-tokens-remaining": "0"},
            60.0,
        ),
        ({"x-ratelimit-remaining-requests": "0"}, None),
        # perhaps a limit of handshakes
        ({"x-ratelimit-reset": "9", "x-ratelimit-remaining": "0"}, None),
    ],
)
def test_scenario_64_limits_told_in_the_headers_of_an_answer_that_refuses_nothing(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert wait_for_used_up_limits(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({}, None),
        ({"message": None}, None),
        ({"message": "slow down"}, None),
        ({"message": "Rate limit reached. Please try again in 0.2s."}, 0.2),
        ({"message": "Please try again in 20ms. Visit the page to learn more."}, 0.02),
        ({"message": "please try again in 1m30.5s"}, 90.5),
        ({"message": "Try again in 5 days 3 hours 2 minutes."}, 5 * 86400 + 3 * 3600 + 120),
        ({"message": "Try again in about 1 hour and 2 minutes"}, 3720.0),
        ({"message": "Please retry after 6 seconds."}, 6.0),
        ({"message": "Please wait 7 secs"}, 7.0),
        ({"message": "The limit resets in 2 hrs"}, 7200.0),
        ({"message": "Please try again in 1m2.5s"}, 62.5),
        ({"message": "Please try again in 20ms"}, 0.02),
        ({"message": "Please retry in 18.453s."}, 18.453),
        ({"message": "Try your request again in 5s"}, 5.0),
        ({"message": "try again in 5 months"}, None),
        ({"message": "you sent 20s of audio"}, None),
        ({"message": "try again in " + "9" * 400 + "s"}, None),
        ({"message": "x" * 3000 + " try again in 1s"}, None),
        ({"resets_in_seconds": 3600}, 3600.0),
        ({"resets_in_seconds": "12.5"}, 12.5),
        ({"resets_in_seconds": True}, None),
        ({"resets_in_seconds": 10**400, "message": "try again in 1s"}, 1.0),
        ({"resets_in_seconds": float("nan")}, None),
        ({"retry_after": 3, "message": "try again in 1s"}, 3.0),
        ({"retry_after": "1m"}, 60.0),
        ({"retry_after": "tomorrow"}, None),
        ({"retry_after_ms": 1500, "retry_after": 2}, 1.5),
        ({"retry_after_ms": "20ms"}, 0.02),
        ({"retryAfter": 4}, 4.0),
        ({"metadata": {"retry_after_seconds": 4}}, 4.0),
        ({"details": [{"reason": "x"}, 7, {"retryDelay": "18s"}]}, 18.0),
        ({"details": {"resets_in": "2m"}}, 120.0),
        ({"details": [{}] * 20 + [{"retryDelay": "18s"}]}, None),
        ({"metadata": 7, "details": "none"}, None),
    ],
)
def test_scenario_64_waits_told_in_an_error(error: dict[str, Any], seconds: float | None) -> None:
    assert stated_wait(error) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("error", "time"),
    [
        ({}, None),
        ({"resets_at": 1_800_000_060}, NOW + 60),
        ({"resets_at": 1_800_000_060_000}, NOW + 60),
        ({"reset_at": "2027-01-15T08:01:00+00:00"}, NOW + 60),
        ({"resets_at": "later"}, None),
        ({"resets_at": ["now"]}, None),
        ({"metadata": {"reset_time": NOW + 60}}, NOW + 60),
        ({"resets_at": 10**400}, None),
    ],
)
def test_scenario_64_the_time_at_which_a_limit_is_renewed(error: dict[str, Any], time: float | None) -> None:
    assert stated_time(error) == time
