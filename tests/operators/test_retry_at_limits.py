"""`retry_with_backoff` and responses that were created, and failed at a limit without output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import operators as rops
from rxresponses.operators import retry_with_backoff
from rxresponses.wire.events import ServerEvent

from ..support.events import completed, created, delta, failed
from .test_retry_with_backoff import STEADY, WHOLE, Script

LIMITED = failed("rate_limit_exceeded", "Rate limit reached. Please try again in 30s.")


def test_scenario_64_a_response_that_fails_at_a_limit_without_output_is_repeated() -> None:
    script = Script([(1, created()), (2, LIMITED), (3, None)], WHOLE)
    received = script.play(retry_with_backoff(STEADY))

    assert [event for _, event in received] == [created(), created(), delta("He"), completed(), None]
    assert script.subscriptions[0] == (200, 202)
    assert script.subscriptions[1][0] == 202 + 30  # as the message says


@pytest.mark.parametrize("reducer", [rops.collect_text, rops.raise_on_failure, rops.final_response])
def test_scenario_64_such_a_response_is_repeated_behind_other_operators(reducer: Callable[[], Any]) -> None:
    script = Script([(1, created()), (2, LIMITED), (3, None)], WHOLE)
    received = script.play(lambda source: source.pipe(reducer(), retry_with_backoff(STEADY)))

    assert len(script.subscriptions) == 2
    assert received[-1][1] is None


@pytest.mark.parametrize(
    "before",
    [
        [created(), delta("He")],
        [created(), failed()],  # no limit
        [created(), failed("insufficient_quota")],
        [created(), failed("rate_limit_exceeded", "Please try again in 2h")],
    ],
    ids=["output", "no limit", "a spent quota", "too long a wait"],
)
def test_scenario_64_other_failures_of_a_created_response_are_emitted(before: list[ServerEvent]) -> None:
    events = [*before, LIMITED]
    script = Script([(number, event) for number, event in enumerate(events, 1)], WHOLE)

    assert [event for _, event in script.play(retry_with_backoff(STEADY))] == events
    assert len(script.subscriptions) == 1
