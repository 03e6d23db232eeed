from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses import ConfigurationError, OutputParseError, ResponseIncompleteError
from rxresponses.operators import elements
from rxresponses.wire.events import ServerEvent

from ..support.events import completed, created, delta, incomplete, message, text_done
from ..support.marbles import ManualSource, marbles, run


@dataclasses.dataclass
class Place:
    city: str


def seen_of(operator: Any, *pieces: str) -> list[Any]:
    return run(operator, created(), *map(delta, pieces), completed()).values


def test_marble_of_the_docstring() -> None:
    steps = [(210, created()), (220, delta('[{"city": "Rome"}')), (230, delta(', {"city": "Os')), (240, delta('lo"}]'))]
    seen = marbles(elements(Place), *steps, (250, completed()), (260, None))

    assert seen.timed == [(220, Place("Rome")), (240, Place("Oslo"))]
    assert seen.completions == [260]


@pytest.mark.parametrize("at", [None, "value"])
def test_the_list_inside_the_object_that_the_service_needs(at: str | None) -> None:
    assert seen_of(elements(int, at=at), '{"value": [1', ", 2", ", 3", "]}") == [1, 2, 3]


@pytest.mark.parametrize("at", [None, "b", ["b"], ("b",)])
def test_a_member_of_the_answer(at: Any) -> None:
    assert seen_of(elements(int, at=at), '{"a": {"b": [0]}, "b": [1', ', 2], "c": [3]}') == [1, 2]


def test_a_list_farther_inside() -> None:
    text = '{"a": {"x": [0], "b": [[1, 2], [3]]}, "b": [4]}'

    assert seen_of(elements(list[int], at=("a", "b")), *text) == [[1, 2], [3]]
    assert seen_of(elements(list[int], at=("a", "b")), text) == [[1, 2], [3]]


def test_elements_come_once_whatever_repeats_the_text() -> None:
    events = [created(), delta("[1, 2"), text_done("[1, 2]"), completed(message("[1, 2]"))]

    assert run(elements(int), *events).values == [1, 2]


def test_elements_that_only_the_terminal_event_has() -> None:
    assert run(elements(int), created(), completed(message("[1, 2]"))).values == [1, 2]
    assert run(elements(int), created(), delta("[1, "), completed(message("[1, 2]"))).values == [1, 2]


def test_several_responses_in_a_row() -> None:
    events = [created(), delta("[1]"), completed(), created(), delta("[2, 3"), delta("]"), completed()]

    assert run(elements(int), *events).values == [1, 2, 3]


def test_no_elements() -> None:
    assert seen_of(elements(int), '{"value": []}') == []
    assert seen_of(elements(int, at="a"), '{"a": null}') == []


def test_an_element_that_does_not_fit_ends_the_stream_at_once() -> None:
    seen = marbles(
        elements(Place), (210, created()), (220, delta('[{"city": "Rome"}, {"city": 7}')), (230, delta(", "))
    )

    assert seen.values == [Place("Rome")]
    (at, error), *_ = seen.errors
    assert at == 220
    assert isinstance(error, OutputParseError)
    assert (error.text, error.path, error.response_id) == ('{"city": 7}', "$.city", "resp_1")
    assert seen.subscriptions == [(200, 220)]


@pytest.mark.parametrize("text", ['{"a": 1}', "7", '[1, 2, "x', "[1, 2] x"])
def test_an_answer_without_the_list_is_an_error_at_the_end(text: str) -> None:
    seen = run(elements(int), created(), delta(text), delta(" "), completed())

    (at, error), *_ = seen.errors
    assert at == 213
    assert isinstance(error, OutputParseError)
    assert error.text == f"{text} "


def test_the_elements_of_a_cut_answer_are_emitted_before_the_error() -> None:
    seen = run(elements(int), created(), delta("[1, 2"), delta(", 3"), incomplete())

    assert seen.values == [1, 2]
    assert isinstance(seen.errors[0][1], ResponseIncompleteError)
    assert seen.errors[0][1].text == "[1, 2, 3"


@pytest.mark.parametrize("at", [7, (), ("a", 7), {"a"}])
def test_a_wrong_path_is_an_error_at_once(at: Any) -> None:
    with pytest.raises(ConfigurationError, match="`at`"):
        elements(int, at=at)


def test_types() -> None:
    events = ManualSource[ServerEvent]().observable
    union: Any = int | None

    assert_type(events.pipe(elements(Place)), Observable[Place])
    assert_type(events.pipe(elements(union, at="all")), Observable[Any])
