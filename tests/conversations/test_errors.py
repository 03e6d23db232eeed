"""The errors of runs: what they tell, and that copies keep it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import (
    ConnectionLostError,
    MaxTurnsError,
    ResponsesError,
    ToolCallError,
    ToolCallsInterruptedError,
    ToolLedger,
    ToolRunError,
)
from rxresponses.conversations.errors import run_error

from .chains import response
from .test_ledger import filled


def save(ledger: ToolLedger) -> None:
    """Save nothing."""


ALL: list[Callable[[], ResponsesError]] = [
    lambda: ToolCallError("broken", reason="timeout", call_id="call_1"),
    lambda: ToolCallsInterruptedError("broken"),
    lambda: ToolRunError("broken", ledger=filled(save=lambda ledger: None)),
    lambda: MaxTurnsError(3, ledger=filled(save=save), response=response("resp_1")),
]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_keep_everything(make: Callable[[], Any], clone: Callable[[Any], Any]) -> None:
    error = make()
    again = clone(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    shown = {name: value for name, value in vars(again).items() if name != "ledger"}
    assert shown == {name: value for name, value in vars(error).items() if name != "ledger"}
    if "ledger" in vars(error):
        assert again.ledger.to_json() == error.ledger.to_json()
        again.ledger.end_response(again.ledger.chain, [], 0)


def test_the_error_of_a_run_tells_what_was_done() -> None:
    lost = ConnectionLostError("gone", delivery="started")
    error = run_error(lost, filled())
    assert str(error) == (
        "the run of tools ended with ConnectionLostError: gone; 2 calls were attempted, 1 of them not finished; to "
        "go on, send the same input with `ledger`, that of this error"
    )
    assert error.__cause__ is lost
    assert run_error(lost, ToolLedger()) is lost
    assert run_error(error, filled()) is error
