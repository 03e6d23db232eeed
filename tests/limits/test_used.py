"""What a response has used: by its terminal event, and by the error that ended its stream."""

from __future__ import annotations

import pytest

from rxresponses.errors import BudgetExceededError, ConnectionLostError
from rxresponses.limits.admission import NOTHING_USED, UNKNOWN_USAGE
from rxresponses.limits.used import usage_at_error, usage_of
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.failures import failure_of
from rxresponses.wire.models import ResponseUsage
from tests.support.events import completed, created, delta, error_event, failed, incomplete, wire_event

USED = ResponseUsage(input_tokens=3, output_tokens=4)


@pytest.mark.parametrize(
    ("event", "usage"),
    [
        (completed(usage=USED), USED),
        (incomplete(), ResponseUsage(input_tokens=3, output_tokens=4, total_tokens=7)),
        (completed(usage=None), UNKNOWN_USAGE),
        (completed(usage=ResponseUsage()), UNKNOWN_USAGE),
        (wire_event("response.completed", response=7), UNKNOWN_USAGE),
    ],
)
def test_the_terminal_event_tells_it(event: ServerEvent, usage: ResponseUsage) -> None:
    assert usage_of(event) == usage


@pytest.mark.parametrize(
    ("before", "event", "usage"),
    [
        ([], error_event(), NOTHING_USED),
        ([created()], error_event(), NOTHING_USED),
        ([created()], failed(), NOTHING_USED),
        ([created(), delta("a")], failed(), UNKNOWN_USAGE),
        ([created(), delta("a")], error_event(), UNKNOWN_USAGE),
    ],
    ids=["refused", "an error without output", "failed without output", "failed with output", "an error with output"],
)
def test_what_failed_without_output_has_used_nothing(
    before: list[ServerEvent], event: ServerEvent, usage: ResponseUsage
) -> None:
    failure = failure_of(event, before[0] if before else None, has_output=len(before) > 1)
    assert usage_of(event, failure) is usage


def test_an_error_tells_whether_the_request_was_sent() -> None:
    assert usage_at_error(BudgetExceededError("no", unit=None, limit=0, spent=0)) is None
    assert usage_at_error(ConnectionLostError("no", delivery="rejected")) is NOTHING_USED
    assert usage_at_error(ConnectionLostError("no", delivery="started")) is UNKNOWN_USAGE
    assert usage_at_error(ValueError("of an operator")) is UNKNOWN_USAGE
