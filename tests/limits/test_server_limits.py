"""Which limits a minute are read of a server's headers and messages."""

from __future__ import annotations

import pytest

from rxresponses.headers import Headers
from rxresponses.limits.admission import ServerLimits
from rxresponses.limits.server_limits import limits_in_headers, limits_in_message


def test_the_headers_of_the_service_tell_both_limits() -> None:
    headers = Headers(
        {
            "X-RateLimit-Limit-Requests": "500",
            "x-ratelimit-limit-tokens": "30000",
            "x-ratelimit-remaining-requests": "499",
            "x-ratelimit-reset-requests": "120ms",
        }
    )
    assert limits_in_headers(headers) == ServerLimits(requests=500, tokens=30000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x-ratelimit-limit-input-tokens", ServerLimits(input_tokens=5)),
        ("x-ratelimit-limit-output-tokens", ServerLimits(output_tokens=5)),
        ("x-ratelimit-limit-tokens-minute", ServerLimits(tokens=5)),
        ("ratelimit-limit-requests-per-minute", ServerLimits(requests=5)),
        ("anthropic-ratelimit-requests-limit", ServerLimits(requests=5)),
        ("anthropic-ratelimit-output-tokens-limit", ServerLimits(output_tokens=5)),
        ("x-ratelimit-limit-requests-day", ServerLimits()),
        ("x-ratelimit-limit", ServerLimits()),
        ("x-ratelimit-remaining-tokens", ServerLimits()),
        ("retry-after", ServerLimits()),
    ],
)
def test_other_spellings(name: str, expected: ServerLimits) -> None:
    assert limits_in_headers({name: "5"}) == expected


@pytest.mark.parametrize("value", ["", "many", "-1", "0", "0.5", "1e-300", "nan", "inf", "5, 6"])
def test_what_is_no_limit_is_none(value: str) -> None:
    assert limits_in_headers({"x-ratelimit-limit-requests": value}) == ServerLimits()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Rate limit reached for gpt-4.1 in organization org-1 on tokens per min (TPM): Limit 30000, Used 29874, "
            "Requested 406. Please try again in 560ms.",
            ServerLimits(tokens=30000),
        ),
        ("Rate limit reached for m on requests per min (RPM): Limit 3, Used 3, Requested 1.", ServerLimits(requests=3)),
        ("Request too large on tokens per min (TPM): Limit: 10000, Requested 12000.", ServerLimits(tokens=10000)),
        ("Limit reached on input tokens per minute: limit 700", ServerLimits(input_tokens=700)),
        ("Rate limit reached on requests per day (RPD): Limit 200, Used 200.", ServerLimits()),
        ("Rate limit reached on tokens per min (TPM): Limit 0, Used 0.", ServerLimits()),
        ("try again", ServerLimits()),
        ("", ServerLimits()),
    ],
)
def test_the_message_of_an_error_tells_a_limit(message: str, expected: ServerLimits) -> None:
    assert limits_in_message(message) == expected
