"""The errors of conversations, runs of tools and fallbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..errors import ResponsesError, ResponseTimeoutError
from ..raised import named_text
from ..wire.models import Response
from .ledger import CallRecord, ToolLedger

Reason: TypeAlias = Literal["timeout", "denied", "unknown", "cut", "no_tool"]


class ToolCallError(ResponsesError):
    """A call has no result, though its tool raised nothing.  The model gets the text, `ToolCallFailedEvent` the error.

    `reason` is `timeout` (the tool took longer than allowed, and may go on), `denied` (the user did not approve the
    call), `unknown` (the run was interrupted during the call), `cut` (the response ended inside the call), or
    `no_tool` (the model called a name that no tool has).
    """

    def __init__(self, message: str, *, reason: Reason, call_id: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.call_id = call_id


class ToolCallsInterruptedError(ResponsesError):
    """Tasks of a run were cancelled by other code: it is unknown whether the calls that ran took effect."""


class AttemptTimeoutError(ResponseTimeoutError):
    """A choice of a fallback showed no output within `seconds`, the `attempt_timeout`."""

    _text = (
        "no output within {seconds:g} s; the client gave this attempt up, and the server may still answer it: allow "
        "more time, or add another choice to the fallback"
    )


class ToolRunError(ResponsesError):
    """A run ended with an error after it had made calls; the error is its `__cause__`.

    `calls` lists the calls that were attempted, those of earlier turns included, each with its output if the call has
    finished.  The same request with this `ledger` goes on where the run stood.
    """

    def __init__(self, message: str, *, ledger: ToolLedger) -> None:
        unknown = ledger.unknown
        told = f"; {_counted(ledger.calls)} attempted, {len(unknown)} of them not finished" if ledger.calls else ""
        super().__init__(f"{message}{told}; to go on, send the same input with `ledger`, that of this error")
        self.ledger = ledger
        self.calls: Sequence[CallRecord] = ledger.calls


class MaxTurnsError(ToolRunError):
    """The model called tools in the last turn that `max_turns` allows.

    These calls were not made: no request could bring their outputs.  `response` is the response with the calls; `None`
    if the run went on with a ledger that was read from JSON.
    """

    def __init__(self, max_turns: int, *, ledger: ToolLedger, response: Response | None) -> None:
        told = "1 turn" if max_turns == 1 else f"{max_turns} turns"
        super().__init__(f"the model still calls tools after {told}, the limit `max_turns`", ledger=ledger)
        self.max_turns = max_turns
        self.response = response


def run_error(error: Exception, ledger: ToolLedger) -> Exception:
    """Return the error that ends a run: the error itself as long as no call was attempted."""
    if not ledger.calls or isinstance(error, ToolRunError):
        return error
    ended = ToolRunError(f"the run of tools ended with {named_text(error)}", ledger=ledger)
    ended.__cause__ = error
    return ended


def _counted(calls: Sequence[CallRecord]) -> str:
    return "1 call was" if len(calls) == 1 else f"{len(calls)} calls were"
