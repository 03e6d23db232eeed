"""Rules that every operator keeps: how it ends, how it is disposed, and separate state for each subscription."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.testing import TestScheduler

from rxresponses import Budget
from rxresponses import operators as rops
from rxresponses.wire.events import ResponseTextDeltaEvent, ServerEvent

from ..support.events import USAGE, call, completed, created, delta, item_done, message, wire_event
from ..support.marbles import ManualSource, Operator, marbles

EVENTS: list[ServerEvent] = [created(), delta("a"), delta("b"), item_done(call(), 1), completed(usage=USAGE)]
ANSWER: list[ServerEvent] = [
    *(created(), delta('{"all": [1, '), delta("2, 3]}")),
    *(item_done(message('{"all": [1, 2, 3]}')), completed(usage=USAGE)),
]
REFUSAL: list[ServerEvent] = [
    created(),
    wire_event("response.refusal.delta", delta="I can", item_id="msg_1", output_index=0, content_index=0),
    wire_event("response.refusal.delta", delta="not.", item_id="msg_1", output_index=0, content_index=0),
    wire_event("response.refusal.done", refusal="I cannot.", item_id="msg_1", output_index=0, content_index=0),
    completed(usage=USAGE),
]


@dataclass
class Case:
    make: Callable[[], Operator[Any]]
    count: int  # of values from the events
    on_empty: int = 0
    events: list[ServerEvent] = field(default_factory=EVENTS.copy)


CASES = {
    "accumulate_response": Case(rops.accumulate_response, 5),
    "accumulate_text": Case(rops.accumulate_text, 2),
    "charge": Case(lambda: rops.charge(Budget()), 5),
    "collect_text": Case(rops.collect_text, 1, on_empty=1),
    "elements": Case(lambda: rops.elements(int), 3, events=ANSWER),
    "filter_by_type": Case(lambda: rops.filter_by_type(ResponseTextDeltaEvent), 2),
    "final_response": Case(rops.final_response, 1),
    "first_event_timeout": Case(lambda: rops.first_event_timeout(5000), 5),
    "function_calls": Case(rops.function_calls, 1),
    "idle_timeout": Case(lambda: rops.idle_timeout(5000), 5),
    "metrics": Case(lambda: rops.metrics(scheduler=TestScheduler()), 1),
    "metrics(into)": Case(lambda: rops.metrics(str), 5),
    "observe_pipeline": Case(lambda: rops.observe_pipeline(lambda record: None), 5),
    "parse_output": Case(lambda: rops.parse_output(dict[str, list[int]]), 1, events=ANSWER),
    "partial_output": Case(lambda: rops.partial_output(dict[str, list[int]]), 2, events=ANSWER),
    "partial_output(validate)": Case(
        lambda: rops.partial_output(dict[str, list[int]], validate=True), 2, events=ANSWER
    ),
    "raise_on_failure": Case(rops.raise_on_failure, 5),
    "raise_on_incomplete": Case(rops.raise_on_incomplete, 5),
    "raise_on_refusal": Case(rops.raise_on_refusal, 5),
    "record": Case(lambda: rops.record(os.devnull, existing="overwrite"), 5),
    "refusals": Case(rops.refusals, 2, events=REFUSAL),
    "retry_with_backoff": Case(rops.retry_with_backoff, 5),
    "sentences": Case(rops.sentences, 1),
    "text_deltas": Case(rops.text_deltas, 2),
    "timeout_on_terminal": Case(lambda: rops.timeout_on_terminal(5000), 5),
    "usage": Case(rops.usage, 1),
}
NOT_REDUCING = {
    "charge",
    "filter_by_type",
    "first_event_timeout",
    "idle_timeout",
    "metrics",
    "metrics(into)",
    "observe_pipeline",
    "raise_on_incomplete",
    "raise_on_refusal",
    "record",
    "retry_with_backoff",
    "timeout_on_terminal",
}
ANSWERING = {"elements", "parse_output", "partial_output", "partial_output(validate)"}
"""To these, an incomplete response is an error."""
REDUCING = sorted(CASES.keys() - NOT_REDUCING)

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def test_every_operator_is_exported_and_has_a_case() -> None:
    assert set(rops.__all__) == {name.partition("(")[0] for name in CASES} | {"to_async_iterable"}
    assert all(callable(getattr(rops, name)) for name in rops.__all__)


@each
def test_never_stays_silent_until_disposed(case: Case) -> None:
    seen = marbles(case.make(), disposed=500)

    assert not seen.timed
    assert not seen.errors
    assert not seen.completions
    assert seen.subscriptions == [(200, 500)]


@each
def test_empty_completes(case: Case) -> None:
    seen = marbles(case.make(), (250, None))

    assert len(seen.values) == case.on_empty
    assert seen.completions == [250]
    assert seen.subscriptions == [(200, 250)]


@each
def test_values_then_completion(case: Case) -> None:
    times = [210, 220, 230, 240, 250]
    seen = marbles(case.make(), *zip(times, case.events, strict=True), (260, None))

    assert len(seen.values) == case.count
    assert seen.completions == [260]
    assert not seen.errors
    assert seen.subscriptions == [(200, 260)]


@each
def test_an_error_of_the_source_passes_unchanged(case: Case) -> None:
    error = OSError("lost")
    seen = marbles(case.make(), (210, created()), (250, error))

    assert seen.error is error
    assert seen.errors[0][0] == 250
    assert seen.subscriptions == [(200, 250)]


@each
def test_unsubscribing_early_disposes_the_source(case: Case) -> None:
    seen = marbles(case.make(), (210, case.events[0]), (300, case.events[1]), disposed=250)

    assert all(time < 250 for time, _ in seen.timed)
    assert seen.subscriptions == [(200, 250)]


@each
def test_scenario_11_take_one_disposes_the_source_inside_on_next(case: Case) -> None:
    times = [210, 220, 230, 240, 250]
    operator = case.make()
    seen = marbles(
        lambda source: source.pipe(operator, ops.take(1)), *zip(times, case.events, strict=True), (260, None)
    )

    assert len(seen.values) == 1
    first = seen.timed[0][0]
    assert seen.completions == [first]
    assert seen.subscriptions == [(200, first)]


@each
def test_scenario_11_dispose_twice_and_inside_on_next(case: Case) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    seen: list[object] = []

    def take(value: object) -> None:
        seen.append(value)
        subscription.dispose()
        subscription.dispose()

    subscription = source.observable.pipe(case.make()).subscribe(take)
    source.emit(*case.events)
    source.complete()
    subscription.dispose()

    assert len(seen) == 1
    assert source.disposals == 1


@each
def test_state_belongs_to_the_subscription(case: Case) -> None:
    piped = reactivex.from_iterable(case.events).pipe(case.make())
    first: list[Any] = []
    again: list[Any] = []
    piped.subscribe(first.append)
    piped.subscribe(again.append)

    assert len(first) == case.count
    assert again == first


@each
def test_a_disposed_subscription_leaves_no_state_to_the_next(case: Case) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    piped = source.observable.pipe(case.make())
    whole: list[Any] = []
    again: list[Any] = []
    piped.subscribe(whole.append)
    source.emit(*case.events)
    piped.subscribe().dispose()
    disposed = piped.subscribe()
    source.emit(*case.events[:4])
    disposed.dispose()
    piped.subscribe(again.append)
    source.emit(*case.events)

    assert again == whole


@each
def test_retry_starts_from_the_beginning(case: Case) -> None:
    error = OSError("lost")
    attempts = iter([reactivex.concat(reactivex.from_iterable(case.events[:3]), reactivex.throw(error))])
    whole = reactivex.from_iterable(case.events)
    source = reactivex.defer(lambda _: next(attempts, whole))
    seen: list[Any] = []
    expected: list[Any] = []
    source.pipe(case.make(), ops.retry(2)).subscribe(seen.append)
    whole.pipe(case.make()).subscribe(expected.append)

    assert seen[len(seen) - case.count :] == expected


@each
def test_an_observer_that_raises_raises_in_its_producer_and_harms_no_other_observer(case: Case) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    piped = source.observable.pipe(case.make())
    problem = ZeroDivisionError("observer")
    good: list[object] = []

    def bad(_: object) -> None:
        raise problem

    piped.subscribe(bad)
    bad_side = source.observers[-1]
    piped.subscribe(good.append)

    def produce() -> None:
        for event in case.events:
            bad_side.on_next(event)

    with pytest.raises(ZeroDivisionError) as caught:
        produce()
    source.emit(*case.events)

    assert caught.value is problem
    assert len(good) == case.count


@each
def test_the_scheduler_of_the_subscription_is_passed_to_the_source(case: Case) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    scheduler = TestScheduler()
    source.observable.pipe(case.make()).subscribe(scheduler=scheduler).dispose()

    assert source.schedulers == [scheduler]
