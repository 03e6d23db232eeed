from __future__ import annotations

from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import usage
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.models import ResponseUsage

from ..support.events import USAGE, completed, created, incomplete
from ..support.marbles import ManualSource, marbles, run


def test_marble_of_the_docstring() -> None:
    seen = marbles(usage(), (210, created()), (240, completed(usage=USAGE)), (250, None))

    assert seen.timed == [(240, USAGE)]
    assert seen.completions == [250]


def test_scenario_02_usage_of_an_incomplete_response() -> None:
    assert run(usage(), created(), incomplete()).values == [USAGE]


def test_scenario_49_a_server_without_usage() -> None:
    seen = run(usage(), created(), completed())

    assert not seen.values
    assert seen.completions == [212]


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(usage()), Observable[ResponseUsage])
