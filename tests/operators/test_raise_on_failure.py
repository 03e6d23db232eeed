from __future__ import annotations

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.errors import ResponseFailedError
from rxresponses.operators import filter_by_type, raise_on_failure
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseTextDeltaEvent, ServerEvent

from ..support.events import (
    HEARTBEAT_TYPES,
    accepted,
    completed,
    created,
    delta,
    error_event,
    failed,
    incomplete,
    pending,
    wire_event,
)
from ..support.marbles import ManualSource, marbles, run


def test_marble_of_the_docstring() -> None:
    end = failed()
    seen = marbles(raise_on_failure(), (210, created()), (220, delta("He")), (230, end), (240, None))

    assert seen.timed == [(210, created()), (220, delta("He"))]
    assert isinstance(seen.error, ResponseFailedError)
    assert seen.error.event is end


def test_scenario_02_all_other_events_pass() -> None:
    events = [created(), delta("x"), incomplete(), created(), completed(), decode('{"type": "new"}')]
    seen = run(raise_on_failure(), *events)

    assert seen.values == events
    assert not seen.errors


def test_scenario_53_completed_with_the_status_incomplete_passes() -> None:
    end = completed(status="incomplete")

    assert run(raise_on_failure(), created(), end).values == [created(), end]


def test_scenario_54_a_bare_error_after_deltas() -> None:
    error = run(raise_on_failure(), delta("x"), decode('{"type": "error", "message": "cut"}')).error

    assert isinstance(error, ResponseFailedError)
    assert error.delivery == "started"


def test_scenario_37_a_pending_steer_passes() -> None:
    seen = run(raise_on_failure(), accepted(), pending())

    assert seen.values == [accepted(), pending()]
    assert seen.completions == [212]


def test_type_is_kept() -> None:
    source = ManualSource[ServerEvent]().observable

    assert_type(source.pipe(raise_on_failure()), Observable[ServerEvent])
    assert_type(
        source.pipe(filter_by_type(ResponseTextDeltaEvent), raise_on_failure()), Observable[ResponseTextDeltaEvent]
    )


@pytest.mark.parametrize("kind", HEARTBEAT_TYPES)
def test_scenario_63_heartbeats_before_an_error_leave_it_a_rejection(kind: str) -> None:
    error = run(raise_on_failure(), wire_event(kind), error_event()).error

    assert isinstance(error, ResponseFailedError)
    assert error.delivery == "rejected"
