"""After which errors another choice is tried, and which one."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses import (
    AttemptTimeoutError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidRequestError,
    PreviousResponseLostError,
    QueueTimeoutError,
    ResponseFailedError,
    SocketClosedError,
)
from rxresponses.conversations.fallback_rules import may_fall_back, next_of, order_of


def rejected(code: str | None = None, **facts: Any) -> ResponseFailedError:
    return ResponseFailedError("no", **{"delivery": "rejected", "event": None, "code": code, **facts})


@pytest.mark.parametrize(
    "error",
    [
        rejected("rate_limit_exceeded", status=429),
        rejected("insufficient_quota", status=429),
        rejected("server_error", status=500),
        rejected("overloaded_error"),
        rejected("model_not_found", status=404),
        rejected("DeploymentNotFound"),
        rejected("model_mismatch"),
        rejected(None, type="unsupported_model"),
        rejected("invalid_value", param="model", status=400),
        rejected("invalid_api_key", status=401),
        rejected("unsupported_country_region_territory", status=403),
        rejected("server_error", delivery="started", without_output=True),
        rejected("insufficient_quota", delivery="started", without_output=True),
        ConnectFailedError("no"),
        ConnectFailedError("no", status=401, lasting=True),
        ConnectionLostError("lost", delivery="not_sent"),
        QueueTimeoutError(1.0),
        AttemptTimeoutError(1.0, delivery="unknown"),
    ],
    ids=repr,
)
def test_another_choice_is_asked(error: Exception) -> None:
    assert may_fall_back(error)


@pytest.mark.parametrize(
    "error",
    [
        rejected("invalid_value", param="input", status=400),
        rejected("context_length_exceeded", status=400),
        rejected("previous_response_not_found", status=400),
        rejected("server_error", delivery="started"),
        rejected("model_not_found", delivery="started"),
        ConnectionLostError("lost", delivery="unknown"),
        ConnectionLostError("lost", delivery="started"),
        PreviousResponseLostError("lost", previous_response_id="r"),
        SocketClosedError("closed", delivery="not_sent"),
        InvalidRequestError("wrong"),
        ConfigurationError("wrong"),
        OSError("anything"),
    ],
    ids=repr,
)
def test_no_other_choice_is_asked(error: Exception) -> None:
    assert not may_fall_back(error)


def test_the_order() -> None:
    senders = [0, 1, 0, 1]

    assert order_of(senders, 0, None, continues=False) == [0, 1, 2, 3]
    assert order_of(senders, 2, None, continues=False) == [2, 0, 1, 3]
    assert order_of(senders, 0, 1, continues=True) == [1, 3]
    assert order_of(senders, 3, 1, continues=True) == [3, 1]
    assert order_of(senders, 0, None, continues=True) == [0, 2]


def test_the_next_choice() -> None:
    order, senders = [0, 1, 2], [0, 0, 1]

    assert next_of(order, senders, [0], rejected()) == 1
    assert next_of(order, senders, [0], ConnectFailedError("no")) == 2
    assert next_of(order, senders, [0, 1], rejected()) == 2
    assert next_of(order, senders, [0, 1, 2], rejected()) is None
    assert next_of([0, 1], senders, [0], ConnectFailedError("no")) is None
