"""How an answer ended: answered, refused by the model, or incomplete; and the errors of those that are to fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from ..errors import RequestError
from ..wire.endings import (
    ResponseIncompleteError,
    ResponseRefusedError,
    is_incomplete,
    output_of,
    reason_of,
    refusal_of,
)

Outcome: TypeAlias = Literal["refused", "incomplete"]


def outcome_of(response: Mapping[str, Any] | None) -> Outcome | None:
    """Return why a response is no whole answer, `None` if it is one."""
    if refusal_of(output_of(response)) is not None:
        return "refused"
    return "incomplete" if is_incomplete(response) else None


def error_of(response: Mapping[str, Any]) -> RequestError | None:
    """Return the error of a response that is no whole answer, `None` if it is one."""
    outcome, id = outcome_of(response), response.get("id")
    response_id = id if isinstance(id, str) else None
    if outcome == "refused":
        refusal = refusal_of(output_of(response)) or ""
        return ResponseRefusedError(refusal, event=None, response_id=response_id)
    if outcome == "incomplete":
        return ResponseIncompleteError(reason_of(response), event=None, response_id=response_id)
    return None
