"""Decides of which family an event is, which events are pieces of a longer text, and what is written under a marble."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..recording.format import EventRecord


class Family(NamedTuple):
    """A kind of event: it has its own colour, and its own shape and letter for those who see no colours."""

    name: str
    letter: str
    shape: str


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("lifecycle", "L", "rounded"),
        Family("items", "I", "square"),
        Family("reasoning", "R", "hexagon"),
        Family("text", "T", "circle"),
        Family("tools", "F", "diamond"),
        Family("audio", "A", "pentagon"),
        Family("steering", "S", "triangle"),
        Family("error", "!", "octagon"),
        Family("unknown", "?", "ring"),
        Family("value", "V", "circle"),  # what an operator of an observed pipeline emits
    )
}
"""All families by name, in the order of the legend."""

NOT_JSON = "(no JSON object)"
NO_TYPE = "(no type)"

_LIFECYCLE = frozenset(
    f"response.{name}"
    for name in ("created", "queued", "in_progress", "completed", "incomplete", "done", "cancelled", "canceled")
)
_ERRORS = frozenset({"error", "response.error", "response.failed"})
_PREFIXES = (
    ("response.output_text.", "text"),
    ("response.refusal.", "text"),
    ("response.reasoning", "reasoning"),
    ("response.audio.", "audio"),
    ("response.output_item.", "items"),
    ("response.content_part.", "items"),
    ("response.compaction.", "items"),
    ("response.steer.", "steering"),
)
_TOOL = re.compile(r"response\.(?:\w*_call(?:_\w+)?|mcp_\w+|custom_tool\w*)\.")
_TEXT_DELTAS = frozenset({"response.output_text.delta", "response.refusal.delta"})
_LEFT_OUT = re.compile(r"^(?:response\.)?(?:output_|content_)?")


def kind_of(event: EventRecord) -> str:
    """Return the type of an event, as the diagram names it."""
    if event.frame is None:
        return NOT_JSON
    kind = event.frame.get("type")
    return kind if isinstance(kind, str) and kind else NO_TYPE


def family_of(kind: str) -> str:
    """Return the name of the family of an event type."""
    if kind in _LIFECYCLE:
        return "lifecycle"
    if kind in _ERRORS:
        return "error"
    for prefix, family in _PREFIXES:
        if kind.startswith(prefix):
            return family
    return "tools" if _TOOL.match(kind) else "unknown"


def is_piece(kind: str) -> bool:
    """Whether events of this type come in great numbers, each of them a piece of a longer text or of an image."""
    return kind.endswith((".delta", ".partial_image"))


def is_text(kind: str) -> bool:
    """Whether an event of this type is the text for which the user waits."""
    return kind in _TEXT_DELTAS


def short_name(kind: str) -> str:
    """Return an event type in few words: `response.output_item.added` is `item added`."""
    return re.sub(r"[._]+", " ", _LEFT_OUT.sub("", kind)) or kind


def words_of(kind: str, frame: Mapping[str, Any]) -> str:
    """Return what an event says, in a few words: its piece of text, its error, its item, or the name of its type."""
    delta = frame.get("delta")
    if isinstance(delta, str):
        return delta
    if family_of(kind) == "error":
        return error_words(frame) or short_name(kind)
    item = frame.get("item")
    if isinstance(item, Mapping):
        for field in ("name", "type"):
            if isinstance(name := item.get(field), str):
                verb = kind.rpartition(".")[2]
                return f"{name} {verb}" if field == "name" else f"{name.replace('_', ' ')} {verb}"
    return short_name(kind)


def error_words(frame: Mapping[str, Any]) -> str:
    """Return code and message of the error that an event carries, an empty text if it carries none."""
    response = frame.get("response")
    carriers = (response, frame) if isinstance(response, Mapping) else (frame,)
    for carrier in carriers:
        error = carrier.get("error")
        facts = error if isinstance(error, Mapping) else carrier
        words = [facts[field] for field in ("code", "message") if isinstance(facts.get(field), str)]
        if words:
            return ": ".join(words)
    return ""
