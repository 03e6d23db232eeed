from __future__ import annotations

import dataclasses
import json
import typing
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses import OutputParseError
from rxresponses.operators import partial_output
from rxresponses.wire.events import ServerEvent

from ..effort import examples
from ..support.events import completed, created, delta, item_done, message, text_done
from ..support.marbles import ManualSource, marbles, run
from ..support.strategies import json_values


@dataclasses.dataclass
class Day:
    name: str
    stops: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Trip:
    city: str
    days: list[Day]
    note: str | None = None


def seen_of(operator: Any, *pieces: str) -> list[Any]:
    return run(operator, created(), *map(delta, pieces), completed()).values


def test_marble_of_the_docstring() -> None:
    steps = [(210, created()), (220, delta('{"city": "Ro')), (230, delta('me", "days": 1')), (240, delta("2}"))]
    seen = marbles(partial_output(Trip), *steps, (250, completed()), (260, None))

    assert seen.timed == [(220, {"city": "Ro"}), (230, {"city": "Rome"}), (240, {"city": "Rome", "days": 12})]
    assert seen.completions == [260]


def test_nothing_is_emitted_when_nothing_has_changed() -> None:
    events = [created(), delta('{"city"'), delta(": "), delta('"Rome"'), delta("}"), text_done('{"city": "Rome"}')]

    assert run(partial_output(Trip), *events, item_done(message('{"city": "Rome"}')), completed()).values == [
        {},
        {"city": "Rome"},
    ]


def test_values_that_were_emitted_do_not_change() -> None:
    pieces = list('{"city": "Rome", "days": [{"name": "one", "stops": ["a", "b"]}, {"name": "two"}]}')
    values: list[Any] = []
    texts: list[str] = []
    source = ManualSource[ServerEvent]()

    def keep(value: object) -> None:
        values.append(value)
        texts.append(json.dumps(value))

    source.observable.pipe(partial_output(Trip)).subscribe(keep)
    source.emit(created(), *map(delta, pieces), completed())

    assert [json.dumps(value) for value in values] == texts
    assert all(before != after for before, after in pairwise(texts))


def test_a_list_is_emitted_without_the_object_around_it() -> None:
    pieces = ['{"val', 'ue": ', "[1", ", 2", "]}"]

    assert seen_of(partial_output(list[int]), *pieces) == [[], [1], [1, 2]]
    assert seen_of(partial_output(list[int], validate=True), *pieces) == [[], [1], [1, 2]]
    assert seen_of(partial_output(list[int]), "[1, ", "2]") == [[1], [1, 2]]
    assert seen_of(partial_output(list[int]), "{", "}") == []


def test_half_a_member_of_an_enum_is_not_emitted() -> None:
    pieces = ['{"value": ["ye', "s", '", ', '"n', 'o"', "]}"]

    assert seen_of(partial_output(list[typing.Literal["yes", "no"]]), *pieces) == [[], ["yes"], ["yes", "no"]]
    assert seen_of(partial_output(list[str]), *pieces)[:2] == [["ye"], ["yes"]]


def test_validated_values_are_the_largest_part_that_fits() -> None:
    pieces = [
        *('{"city": "Ro', 'me", "days"', ': [{"name": "o', 'ne"', '}, {"sto', 'ps": ["a"], ', '"name": "two"'),
        *('}], "no', 'te": nu', "ll", "}"),
    ]
    one, two = Day("one"), Day("two", ["a"])

    assert seen_of(partial_output(Trip, validate=True), *pieces) == [
        Trip("Rome", [Day("o")]),
        Trip("Rome", [one]),
        Trip("Rome", [one, two]),
    ]


def test_a_part_that_breaks_a_rule_of_the_type_is_left_out() -> None:
    pieces = ['{"value": ["ye', 's", ', '"n', 'o"', "]}"]
    answers = list[typing.Literal["yes", "no"]]

    assert seen_of(partial_output(answers, validate=True), *pieces) == [[], ["yes"], ["yes", "no"]]


class Odd(msgspec.Struct):
    numbers: list[int]

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError


def test_values_that_cannot_be_compared_count_as_different() -> None:
    values = seen_of(partial_output(Odd, validate=True), '{"numbers": [1', ", 2", "]}")

    assert [value.numbers for value in values] == [[], [1], [1, 2]]


def test_the_whole_answer_must_fit_if_it_is_validated() -> None:
    pieces = ['{"city": "Rome", "days": [', "7]}"]
    seen = run(partial_output(Trip, validate=True), created(), *map(delta, pieces), completed())

    assert seen.values == [Trip("Rome", [])]
    assert isinstance(seen.errors[0][1], OutputParseError)
    assert seen.errors[0][1].path == "$.days[0]"
    assert seen_of(partial_output(Trip), *pieces) == [{"city": "Rome", "days": []}, {"city": "Rome", "days": [7]}]


@pytest.mark.parametrize("pieces", [['{"city": "Rome"', "}}"], ['{"city": "Rome"', " x", ', "days": 1}']])
def test_text_that_is_no_json_is_an_error_at_the_end(pieces: list[str]) -> None:
    seen = run(partial_output(Trip), created(), *map(delta, pieces), completed())

    assert seen.values[:1] == [{"city": "Rome"}]
    assert isinstance(seen.errors[0][1], OutputParseError)
    assert seen.errors[0][0] == 210 + len(pieces) + 1


def test_a_text_that_the_terminal_event_corrects() -> None:
    events = [created(), delta('{"city": "Rime"}'), completed(message('{"city": "Rome", "days": []}'))]

    assert run(partial_output(Trip), *events).values == [{"city": "Rime"}, {"city": "Rome", "days": []}]
    assert run(partial_output(Trip, validate=True), *events).values == [Trip("Rome", [])]


@given(st.dictionaries(st.text(max_size=4), json_values, min_size=1, max_size=4), st.lists(st.integers(0, 10**6)))
@settings(max_examples=examples(100))
def test_cutting_does_not_matter_for_the_last_value(value: dict[str, Any], numbers: list[int]) -> None:
    text = json.dumps(value)
    cuts = sorted({number % len(text) for number in numbers} | {0, len(text)})
    values = seen_of(partial_output(dict[str, Any]), *(text[start:end] for start, end in pairwise(cuts)))

    assert values[-1] == json.loads(text)


def test_long_answers_are_emitted_in_fewer_steps() -> None:
    values: list[dict[str, Any]] = []
    source = ManualSource[ServerEvent]()
    source.observable.pipe(partial_output(dict[str, Any])).subscribe(values.append)
    source.emit(created(), delta("{"))
    source.emit(*(delta(f'{"," * (number > 0)}"{number}": {number} ') for number in range(6000)), delta("}"))

    assert [len(value) for value in values[:400]] == list(range(400))
    assert len(values[-1]) == 6000
    assert 6000 / 12 < len(values) < 6000 / 3


def test_types() -> None:
    events = ManualSource[ServerEvent]().observable

    assert_type(events.pipe(partial_output(Trip)), Observable[dict[str, Any]])
    assert_type(events.pipe(partial_output(list[Trip])), Observable[list[Any]])
    assert_type(events.pipe(partial_output(Trip, validate=True)), Observable[Trip])
    assert_type(events.pipe(partial_output(list[Trip], validate=True)), Observable[list[Trip]])
