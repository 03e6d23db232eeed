"""What the codes, types and messages of services mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.backoff import is_rate_limit, is_retryable, is_spent, requested_wait
from rxresponses.codec import decode
from rxresponses.reasons import reason_of, tells_of_rate_limit, tells_of_spent_quota
from rxresponses.wire.failures import failure_of

WORDS: dict[str | None, list[object]] = {
    "spent": [
        *("insufficient_quota", "InsufficientBalance", "insufficient_funds", "budget_exceeded", "ExceededBudget"),
        *("billing_hard_limit_reached", "Arrearage", "payment_required", "out_of_credits", "credits_exhausted"),
    ],
    "usage limit": [
        *("usage_limit_reached", "QuotaExceeded", "exceeded_current_quota_error", "spending_limit_reached"),
        *("daily_limit_exceeded", "monthly_token_limit"),
    ],
    "rate limit": [
        *("rate_limit_exceeded", "RateLimitReached", "rate_limit_reached_error", "model_rate_limit", "ERR_RATE_LIMIT"),
        *("Throttling.RateQuota", "throttling_error", "ServiceQuotaExceededException", "tokens_per_minute"),
        *("Some resource has been exhausted", "RESOURCE_EXHAUSTED", "429", "http_429", "concurrency_limit_exceeded"),
        *("TooManyRequestsException", "limit_requests", "slow_down", "token_limit_exceeded"),
    ],
    "busy": [
        *("engine_overloaded_error", "overloaded_error", "ServiceUnavailableError", "UNAVAILABLE", "NoCapacity"),
        *("service_tier_capacity_exceeded", "server_busy", "ModelNotReadyException"),
    ],
    "failing": [
        *("server_error", "internal_server_error", "InternalServerError", "InternalServerException", "api_error"),
        *("internal_error", "bad_gateway", "websocket_queue_full"),
    ],
    None: [
        *("invalid_prompt", "context_length_exceeded", "input_token_limit_exceeded", "invalid_request_error", "1429"),
        *("previous_response_not_found", "content_filter", "string_above_max_length", "model_not_found", "", "4290"),
        *("DeploymentNotFound", "permission_denied", "unknown_error", 429, None, "x" * 300 + "rate_limit"),
    ],
}


@pytest.mark.parametrize(("reason", "word"), [(reason, word) for reason, words in WORDS.items() for word in words])
def test_scenario_64_words_of_services(reason: str | None, word: object) -> None:
    assert reason_of(word) == reason


def test_scenario_64_words_in_messages() -> None:
    assert tells_of_spent_quota("Your credit balance is too low to use the API")
    assert tells_of_spent_quota("Your team has either used all available credits or reached its spending limit")
    assert not tells_of_spent_quota("Rate limit reached, try again in 1 s")
    assert not tells_of_spent_quota("x" * 3000 + "insufficient balance")
    assert tells_of_rate_limit("Rate limit exceeded")
    assert tells_of_rate_limit("Too Many Requests")
    assert not tells_of_rate_limit("this model does not exist")


@pytest.mark.parametrize(
    ("meaning", "wait", "error"),
    [
        # Azure
        (
            "limit",
            24,
            {"code": "429", "message": "exceeded token rate limit of your tier. Please retry after 24 seconds."},
        ),
        ("spent", None, {"code": "QuotaExceeded", "message": "m", "status": 403}),
        ("retry", None, {"code": "InternalServerError", "message": "m"}),
        ("fails", None, {"code": "content_filter", "message": "m", "status": 400}),
        # gateways
        ("limit", 60, {"code": "429", "message": "No deployments available. Try again in 60 seconds.", "type": "None"}),
        ("spent", None, {"code": "400", "type": "budget_exceeded", "message": "Budget has been exceeded!"}),
        ("spent", None, {"code": 402, "message": "Insufficient credits"}),
        ("retry", None, {"code": 502, "message": "Provider returned error", "metadata": {}}),
        ("retry", None, {"code": 503, "type": "ServiceUnavailableError", "message": "m", "object": "error"}),
        ("fails", None, {"code": 400, "type": "BadRequestError", "message": "m", "object": "error"}),
        ("limit", None, {"error": {"error": {"code": "rate_limit_exceeded", "message": "m"}}}),
        # a code that means any limit, and the message that says more
        ("limit", None, {"code": "Some resource has been exhausted", "message": "Too many requests"}),
        (
            "spent",
            None,
            {"code": "Some resource has been exhausted", "message": "Your team has used all available credits"},
        ),
        ("spent", None, {"status": 429, "message": "You exceeded your current quota, please check your plan"}),
        ("limit", 43.2, {"status": 429, "message": "You exceeded your current quota. Please retry in 43.2s."}),
        ("spent", None, {"message": "Insufficient Balance"}),
        ("limit", None, {"message": "Rate limit exceeded"}),
        ("fails", None, {"code": "invalid_prompt", "message": "the prompt has 'insufficient balance', 'rate limit'"}),
        ("fails", None, {"message": "no such model"}),
        # statuses, waits and headers in other shapes
        ("limit", None, {"status": "429 Too Many Requests", "message": "m"}),
        ("limit", 60, {"status": 429, "message": "try again in a minute"}),
        ("limit", 3600, {"status": 429, "message": "Try again in an hour."}),
        ("limit", 12, {"status": 429, "message": "Too many requests, retry-after: 12"}),
        ("limit", None, {"status": 429, "message": "retry-after: 12 months"}),
        ("limit", 3, {"status": 429, "message": "m", "headers": {"Retry-After": ["3"]}}),
        ("limit", 3, {"status": 429, "message": "m", "headers": [["Retry-After", "3"], "odd", ["x"]]}),
    ],
)
@pytest.mark.parametrize("is_nested", [True, False])
def test_scenario_64_errors_of_services(
    error: dict[str, Any], meaning: str, wait: float | None, is_nested: bool
) -> None:
    flat = {**error, "error": {"type": error.get("type")}, "type": "error"}
    frame = {"type": "error", "error": error} if is_nested or "error" in error else flat
    failure = failure_of(decode(json.dumps(frame)))

    assert failure is not None
    assert is_spent(failure) is (meaning == "spent")
    assert is_rate_limit(failure) is (meaning == "limit")
    assert is_retryable(failure) is (meaning in ("limit", "retry"))
    assert requested_wait(failure) == wait
