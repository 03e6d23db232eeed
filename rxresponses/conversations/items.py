"""Items of a conversation: which calls wait for an answer, and how few bytes an item needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from ..wire.requests import EasyInputMessage, InputItem

ANSWERS = {
    "apply_patch_call": "apply_patch_call_output",
    "computer_call": "computer_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "function_call": "function_call_output",
    "local_shell_call": "local_shell_call_output",
    "mcp_approval_request": "mcp_approval_response",
    "shell_call": "shell_call_output",
    "tool_search_call": "tool_search_output",
}
"""The types of the calls that the client answers, each with the type of its answer."""

ANSWER_TYPES = frozenset(ANSWERS.values())

OpenCall = tuple[str, str]
"""A call without an answer: the type of the item that answers it, and its call id."""


def calls_open_after(items: Iterable[InputItem], open_calls: Iterable[OpenCall] = ()) -> tuple[OpenCall, ...]:
    """Return the calls that have no answer after these items, if `open_calls` had none before.

    A call that was cut short cannot be answered, and a call that the server executes needs no answer.
    """
    calls = dict.fromkeys(open_calls)
    for item in items:
        kind = item_type(item)
        if kind in ANSWERS:
            if not is_cut(item) and item_field(item, "execution") != "server":
                calls[ANSWERS[kind], call_id_of(item, kind)] = None
        elif kind in ANSWER_TYPES:
            calls.pop((kind, call_id_of(item, kind)), None)
    return tuple(calls)


def as_input(items: Sequence[InputItem]) -> str | list[InputItem]:
    """Return items as the `input` of a request: a single text of the user as mere text, which means the same."""
    item = items[0] if len(items) == 1 else None
    if isinstance(item, EasyInputMessage) and item.role == "user" and item.phase is UNSET and not item.extra:
        return item.content if isinstance(item.content, str) else list(items)
    return list(items)


def call_id_of(item: InputItem, kind: str) -> str:
    """Return the id by which a call and its answer name each other, `""` if there is none."""
    names = {"mcp_approval_request": ("id",), "mcp_approval_response": ("approval_request_id",)}
    found = (item_field(item, name) for name in names.get(kind, ("call_id", "id")))
    return str(next(filter(None, found), ""))


def is_cut(item: InputItem) -> bool:
    """Whether an item ended before it was whole."""
    return bool(item_field(item, "status") == "incomplete")


def item_type(item: InputItem) -> str:
    """Return the type of an item, of which a file that was damaged may have anything; "" if it has none."""
    kind = item_field(item, "type")
    return kind if isinstance(kind, str) else ""


def item_field(item: InputItem, name: str) -> Any:
    """Return a field of an item, `None` if the item does not have it."""
    value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
    return None if value is UNSET else value
