"""An operator that gets something else than events says so, with its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import reactivex

from rxresponses import Budget, ResponsesClient, ResponseTextDeltaEvent
from rxresponses import operators as rops
from rxresponses.testing import ResponsesServer

from ..support.recorder import Recorder


@dataclass
class Answer:
    text: str


TAKES_ANYTHING = {"retry_with_backoff", "to_async_iterable", "observe_pipeline", "sentences"}
"""`sentences` takes texts as well as events."""


def operators(folder: Path) -> dict[str, Any]:
    """Return each operator that takes events only."""
    return {
        "parse_output": rops.parse_output(Answer),
        "partial_output": rops.partial_output(Answer),
        "elements": rops.elements(Answer),
        "filter_by_type": rops.filter_by_type("error"),
        "charge": rops.charge(Budget()),
        "record": rops.record(folder / "stream.jsonl"),
        "idle_timeout": rops.idle_timeout(60),
        "first_event_timeout": rops.first_event_timeout(60),
        "timeout_on_terminal": rops.timeout_on_terminal(60),
        **{
            name: getattr(rops, name)()
            for name in rops.__all__
            if name.startswith("raise_on")
            or name
            in {
                *("text_deltas", "accumulate_text", "collect_text", "accumulate_response", "final_response"),
                *("function_calls", "usage", "metrics", "refusals"),
            }
        },
    }


NAMES = sorted(set(rops.__all__) - TAKES_ANYTHING)


def error_of(operator: Any, value: object) -> str:
    """Return the text of the error with which a pipeline ends."""
    error = Recorder(reactivex.of(value).pipe(operator)).error
    assert type(error) is TypeError
    return str(error)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("value", "kind"), [("Hello", "a str"), ({"a": 1}, "a dict"), (1, "an int")])
def test_what_is_no_event(name: str, value: object, kind: str, tmp_path: Path) -> None:
    expected = f"`{name}` takes the events of a response, and got {kind}: put `{name}` directly behind `send_request`"
    assert error_of(operators(tmp_path)[name], value).startswith(expected)


def test_a_class_of_events_to_filter_by() -> None:
    assert error_of(rops.filter_by_type(ResponseTextDeltaEvent), "Hello").startswith("`filter_by_type` takes the")


def test_sentences_take_texts_but_no_values() -> None:
    assert error_of(rops.sentences(), {"a": 1}).startswith("`sentences` takes the events of a response, and got a dict")


def test_two_operators_that_reduce_in_a_row(responses_server: ResponsesServer) -> None:
    with ResponsesClient(responses_server.url) as client:
        events: Any = client.send_request({"model": "m", "input": "Hi"})
        with pytest.raises(TypeError, match=r"^`parse_output` takes the events of a response, and got a str"):
            events.pipe(rops.collect_text(), rops.parse_output(Answer)).run()
