from __future__ import annotations

from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.errors import ResponseFailedError
from rxresponses.operators import function_calls
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.models import ResponseFunctionToolCall

from ..support.events import call, completed, created, failed, incomplete, item_added, item_done, message
from ..support.marbles import ManualSource, marbles, run


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        function_calls(),
        (210, created()),
        (220, item_added(call(arguments=""))),
        (230, item_done(call())),
        (240, completed(call())),
        (250, None),
    )

    assert seen.timed == [(230, call())]
    assert seen.completions == [250]


def test_other_items_are_none_of_its_business() -> None:
    assert not run(function_calls(), item_done(message("x")), completed(message("x"))).values


def test_several_calls_each_once() -> None:
    events = [item_done(call(1), 0), item_done(call(2), 1), item_done(call(2), 1), completed(call(1), call(2))]

    assert run(function_calls(), *events).values == [call(1), call(2)]


def test_a_server_without_item_events() -> None:
    assert run(function_calls(), created(), completed(message("x"), call(1), call(2))).values == [call(1), call(2)]
    assert run(function_calls(), item_done(message("x")), incomplete(call(1))).values == [call(1)]


def test_a_server_that_renames_items_in_its_terminal_event() -> None:
    renamed = call(7)

    assert run(function_calls(), item_done(call(1)), completed(renamed)).values == [call(1)]


def test_a_server_without_call_ids() -> None:
    nameless = call(call_id="", id=None)
    known = call(call_id="", id="fc")
    events = [item_done(nameless, 0), item_done(nameless, 1), item_done(known, 2), item_done(known, 2)]

    assert run(function_calls(), *events).values == [nameless, nameless, known]


def test_a_call_cut_short_is_left_out() -> None:
    cut = call(status="incomplete", arguments='{"ci')

    assert not run(function_calls(), item_done(cut), incomplete(cut)).values
    assert not run(function_calls(), incomplete(cut)).values


def test_several_responses_in_a_row_may_use_the_same_ids() -> None:
    events = [
        created(),
        item_done(call()),
        completed(call()),
        created("cut"),
        item_done(call()),
        created(),
        completed(call()),
    ]

    assert run(function_calls(), *events).values == [call(), call(), call()]


def test_a_failure_after_a_call() -> None:
    seen = run(function_calls(), item_done(call()), failed())

    assert seen.values == [call()]
    assert isinstance(seen.error, ResponseFailedError)


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(function_calls()), Observable[ResponseFunctionToolCall])
