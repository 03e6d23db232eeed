"""Lines about events, for the user, besides the text of the answer: tools that are called, history that is sent."""

from __future__ import annotations

import json
from typing import Any

from ..conversations.events import (
    BudgetReachedEvent,
    HistorySentEvent,
    ToolApprovalEvent,
    ToolCallEvent,
    ToolCallFailedEvent,
    ToolCallOutputEvent,
    ToolCallStartedEvent,
)
from ..redaction import shortened, shown_data
from ..wire.events import ResponseOutputItemDoneEvent, ServerEvent
from ..wire.requests.sent import plain_json
from .error_line import error_line

_LONGEST = 300  # characters of arguments and of an output
_KEPT_END = 40  # of these
_OF_CLIENT = frozenset({"function_call", "custom_tool_call"})  # `ToolCallEvent`s tell of these calls


def line_of(event: ServerEvent) -> str | None:
    """Return a line about an event, `None` for most events.  The line may hold control characters."""
    if isinstance(event, ToolCallEvent):
        return _line_of_call(event)
    if isinstance(event, HistorySentEvent):
        return f"the whole conversation is sent ({event.items} items): {event.reason}"
    if isinstance(event, BudgetReachedEvent):
        return f"stopped at {event.tokens} tokens; {event.max_tokens} are allowed"
    if isinstance(event, ResponseOutputItemDoneEvent):
        kind = event.item.type
        if kind.endswith("_call") and kind not in _OF_CLIENT:
            return f"tool: {kind.removesuffix('_call')}"
    return None


def json_of(event: ServerEvent) -> str:
    """Return an event that no server has sent as JSON, without the credentials in its request."""
    return json.dumps(shown_data(event.to_dict()), ensure_ascii=False, default=str)


def arguments_of(call: Any) -> str:
    """Return the arguments of a call as text: the arguments, the input, or all of the item."""
    for name in ("arguments", "input"):
        value = getattr(call, name, None)
        if isinstance(value, str):
            return _short(value)
    return _short(json.dumps(plain_json(call), ensure_ascii=False, default=str))


def _line_of_call(event: ToolCallEvent) -> str | None:
    if isinstance(event, ToolCallStartedEvent):
        return f"tool: {event.name} {arguments_of(event.call)}"
    if isinstance(event, ToolCallOutputEvent):
        return f"tool: {event.name} -> {_short(event.text)} ({event.seconds:.1f} s)"
    if isinstance(event, ToolCallFailedEvent):
        return f"tool: {event.name} failed: {_short(error_line(event.error))}"
    if isinstance(event, ToolApprovalEvent):
        return f"tool: {event.name} waits for approval"
    return None


def _short(text: str) -> str:
    return shortened(" ".join(text.split()), _LONGEST, _KEPT_END)
