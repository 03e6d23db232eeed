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
    outcome, response_id = outcome_of(response), response_id_in(response)
    if outcome == "refused":
        refusal = refusal_of(output_of(response)) or ""
        return ResponseRefusedError(refusal, event=None, response_id=response_id)
    if outcome == "incomplete":
        return ResponseIncompleteError(reason_of(response), event=None, response_id=response_id)
    return None


def response_id_in(response: Mapping[str, Any]) -> str | None:
    """Return the id of a response, `None` if the server told none."""
    id = response.get("id")
    return id if isinstance(id, str) else None


def text_of(response: object) -> str | None:
    """Return the text of the last message that is no commentary, `None` if the response has no text."""
    output = response.get("output") if isinstance(response, Mapping) else None
    for item in reversed(output if isinstance(output, list) else []):
        if not isinstance(item, Mapping) or item.get("type") != "message" or item.get("phase") == "commentary":
            continue
        content = item.get("content")
        parts = [part for part in (content if isinstance(content, list) else []) if isinstance(part, Mapping)]
        texts = [part.get("text") for part in parts if part.get("type") == "output_text"]
        if text := "".join(text for text in texts if isinstance(text, str)):
            return text
    return None
