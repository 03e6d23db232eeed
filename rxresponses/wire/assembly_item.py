"""One output item of a response that is being assembled: its model, its parts, and the texts that grow in them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from .base import Model
from .growing_text import GrowingText, without_halves
from .merging import RUNNING, evolve, merge, pair
from .models import (
    McpCall,
    OperationUpdateFile,
    ReasoningText,
    ResponseApplyPatchToolCall,
    ResponseCodeInterpreterToolCall,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
    ResponseFunctionShellToolCallOutput,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ShellCallAction,
    ShellCommandOutput,
    SummaryText,
)


@dataclass(frozen=True)
class Place:
    """Where a growing text belongs: in a field of an item, or in a field of a part in a list of the item."""

    item: type[Model]
    field: str
    parts: str = ""
    index: str = ""
    part: type[Model] = Model


TEXT = Place(ResponseOutputMessage, "text", "content", "content_index", ResponseOutputText)
REFUSAL = Place(ResponseOutputMessage, "refusal", "content", "content_index", ResponseOutputRefusal)
REASONING = Place(ResponseReasoningItem, "text", "content", "content_index", ReasoningText)
SUMMARY = Place(ResponseReasoningItem, "text", "summary", "summary_index", SummaryText)
STDOUT = Place(ResponseFunctionShellToolCallOutput, "stdout", "output", "command_index", ShellCommandOutput)
STDERR = Place(ResponseFunctionShellToolCallOutput, "stderr", "output", "command_index", ShellCommandOutput)
COMMAND = Place(ResponseFunctionShellToolCall, "command", "commands", "command_index")
FUNCTION = Place(ResponseFunctionToolCall, "arguments")
CUSTOM = Place(ResponseCustomToolCall, "input")
MCP = Place(McpCall, "arguments")
CODE = Place(ResponseCodeInterpreterToolCall, "code")
DIFF = Place(ResponseApplyPatchToolCall, "diff")

_FIELDS: Mapping[type[Model], str] = {place.item: place.field for place in (FUNCTION, CUSTOM, MCP, CODE, DIFF)}
_LISTS: Mapping[type[Model], tuple[str, ...]] = {
    ResponseOutputMessage: ("content",),
    ResponseReasoningItem: ("content", "summary"),
    ResponseFunctionShellToolCallOutput: ("output",),
    ResponseFunctionShellToolCall: ("commands",),
}
ITEMS_OF_PARTS: Mapping[type[Model], type[Model]] = {
    ResponseOutputText: ResponseOutputMessage,
    ResponseOutputRefusal: ResponseOutputMessage,
    ReasoningText: ResponseReasoningItem,
    SummaryText: ResponseReasoningItem,
}
_PART_TEXTS: Mapping[type[Model], tuple[str, ...]] = {
    ResponseOutputText: ("text",),
    ResponseOutputRefusal: ("refusal",),
    ReasoningText: ("text",),
    SummaryText: ("text",),
    ShellCommandOutput: ("stdout", "stderr"),
}


Key: TypeAlias = "tuple[int, int | Fraction]"
"""The place of a part in its list: the index that its events have and 0, or a place behind such an index."""


class Part:
    """A part of an item: what is known of it, and its texts.  Without a model it is not in the item yet."""

    __slots__ = ("_built", "_source", "annotations", "logprobs", "model", "texts")

    def __init__(self) -> None:
        self.model: Model | str | None = None
        self.texts: dict[str, GrowingText] = {}
        self.annotations: dict[int, Any] = {}
        self.logprobs: list[Any] = []
        self._built: Any = None
        self._source: Model | None = None  # the model from which `_built` was made

    def text(self, field: str) -> GrowingText:
        text = self.texts.get(field)
        if text is None:
            text = self.texts[field] = GrowingText()
        return text

    def take(self, model: Model | str, *, announced: bool) -> str:
        """Take a part as the server sent it; return the output text that it adds at the end."""
        if isinstance(model, str):
            self.model = ""
            return _take_text(self.text("command"), model, announced=announced)
        piece = ""
        for field in _PART_TEXTS.get(type(model), ()):
            if value := getattr(model, field):
                piece = _take_text(self.text(field), value, announced=announced)
        self.model = merge(self.model, model) if isinstance(self.model, Model) else model
        return piece if isinstance(model, ResponseOutputText) else ""

    def build(self) -> Any:
        if not isinstance(self.model, Model):
            return str(self.text("command"))
        model = self._built if self._source is self.model else self.model
        changes: dict[str, Any] = {}
        for field, text in self.texts.items():
            if (whole := str(text)) != (getattr(model, field) or ""):
                changes[field] = whole
        if isinstance(model, ResponseOutputText):
            if len(self.annotations) > len(model.annotations):
                changes["annotations"] = [self.annotations[index] for index in sorted(self.annotations)]
            if len(self.logprobs) > len(model.logprobs or ()):
                changes["logprobs"] = list(self.logprobs)
        self._built, self._source = evolve(model, **changes) if changes else model, self.model
        return self._built


class Item:
    """An output item.  `number` tells the items of an assembly apart; `index` is its place in the order."""

    __slots__ = ("_built", "index", "is_done", "model", "number", "parts", "text_field", "was_added")

    def __init__(self, number: int, index: int, model: Model) -> None:
        self.number = number
        self.index = index
        self.model = model
        self.text_field = GrowingText()
        self.parts: dict[str, dict[Key, Part]] = {}
        self.was_added = False  # by `response.output_item.added`
        self.is_done = False  # by `response.output_item.done`, or by the terminal event
        self._built: Model | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the server finished the item, or each of its texts."""
        texts = self.texts()
        return self.is_done or (bool(texts) and all(text.is_whole for text in texts))

    @property
    def has_text(self) -> bool:
        """Whether any text of the item is known."""
        return any(map(str, self.texts()))

    def is_over(self, whole: str | None) -> bool:
        """Whether an event that names no item is about a new item; `whole` is its text if it has a whole text."""
        if self.is_whole:
            return whole is None or self.output_text() != whole
        is_message = isinstance(self.model, ResponseOutputMessage)
        return is_message and whole is not None and not whole.startswith(self.output_text())

    def texts(self) -> list[GrowingText]:
        if type(self.model) in _FIELDS:
            return [self.text_field]
        return [text for parts in self.parts.values() for part in parts.values() for text in part.texts.values()]

    def text(self, place: Place, position: int) -> GrowingText | None:
        """Return the text of this place, to be changed; `None` if another kind of part is there."""
        self._built = None
        if not place.parts:
            return self.text_field
        part = self.part(place.parts, position)
        if place is COMMAND:
            part.model = ""
        elif part.model is None:
            part.model = place.part()
        elif type(part.model) is not place.part:
            return None
        return part.text(place.field)

    def part(self, name: str, position: int) -> Part:
        """Return the part at a position of one of the lists, to be changed."""
        self._built = None
        parts = self.parts.setdefault(name, {})
        part = parts.get((position, 0))
        if part is None:
            part = parts[position, 0] = Part()
        return part

    def count(self, name: str) -> int:
        return sum(part.model is not None for part in self.parts.get(name, {}).values())

    def take(self, model: Model, *, announced: bool) -> str:
        """Take the item as the server sent it; return the output text that it adds."""
        if type(model) is not type(self.model):  # an id that the server uses again for an item of another type
            self.parts, self.text_field = {}, GrowingText()
        piece = ""
        for name in _LISTS.get(type(model), ()):
            piece += self._take_list(name, _listed(model, name), announced=announced)
        if field := _FIELDS.get(type(model)):
            source = model.operation if isinstance(model, ResponseApplyPatchToolCall) else model
            if value := getattr(source, field, None):
                _take_text(self.text_field, value, announced=announced)
        self.model = merge(self.model, model)
        self._built = None
        if self.build() == model and not _has_more(self.model, model):
            self._built = model
        return piece

    def take_parts_of(self, others: list[Item]) -> None:
        """Take the parts of other messages, which a server lists as a single one."""
        parts = self.parts.setdefault("content", {})
        for other in others:
            at = max(parts, default=(0, 0))
            for number, (_, part) in enumerate(sorted(other.parts.get("content", {}).items(), key=_key), 1):
                parts[at[0], at[1] + number] = part
        self._built = None

    def _take_list(self, name: str, listed: list[Any], *, announced: bool) -> str:
        parts = self.parts.setdefault(name, {})
        _join_texts(parts, listed)
        keys = sorted(key for key, part in parts.items() if part.model is not None)
        pairs = pair([(key[0], _as_model(parts[key].build())) for key in keys], [_as_model(part) for part in listed])
        keys_of = {place: keys[number] for number, place in pairs.items()}
        next_keys: list[Key | None] = [None] * len(listed)  # place → key of the next listed part that is known
        for place in reversed(range(len(listed) - 1)):
            next_keys[place] = keys_of.get(place + 1, next_keys[place + 1])
        at: Key = (-1, 0)
        piece = ""
        for place, part in enumerate(listed):
            key = keys_of.get(place)
            if key is None:
                key = _new_key(parts, keys, at, next_keys[place], (place, 0))
            at = key
            piece += parts.setdefault(key, Part()).take(part, announced=announced)
        return piece

    def close(self) -> str:
        """Take what is left of the texts when no event follows; return the output text that this adds."""
        self._built = None if any(text.half or text.announced for text in self.texts()) else self._built
        pieces = [text.close() for text in self.output_texts()]
        for text in self.texts():
            text.close()
        return "".join(pieces)

    def settle(self, response_status: str | None) -> None:
        """Give the item the status that it has after its response ended, if the server did not say it."""
        if getattr(self.model, "status", None) in RUNNING:
            status = "completed" if response_status == "completed" or self.is_whole else "incomplete"
            self.set_status(status)

    def set_status(self, status: str) -> bool:
        """Set the status; return whether it changed."""
        before = getattr(self.model, "status", status)
        if before == status or (status in RUNNING and before is not None and before not in RUNNING):
            return False
        self.model, self._built = evolve(self.model, status=status), None
        return True

    def output_text(self) -> str:
        """Return the text of a message, `""` of any other item."""
        return "".join(map(str, self.output_texts()))

    def last_output_text(self) -> GrowingText | None:
        """Return the last text of a message, without sorting the texts; `None` of any other item."""
        parts = self.parts.get("content", {})
        key = max((key for key, part in parts.items() if isinstance(part.model, ResponseOutputText)), default=None)
        return None if key is None else parts[key].text("text")

    def output_texts(self) -> list[GrowingText]:
        """Return the texts of a message, in order."""
        if not isinstance(self.model, ResponseOutputMessage):
            return []
        parts = sorted(self.parts.get("content", {}).items(), key=_key)
        return [part.text("text") for _, part in parts if isinstance(part.model, ResponseOutputText)]

    def build(self) -> Model:
        """Return the item so far; the same object as before if nothing changed."""
        if self._built is None:
            self._built = self._build()
        return self._built

    def _build(self) -> Model:
        model = self.model
        changes: dict[str, Any] = {}
        for name, parts in self.parts.items():
            built = [part.build() for _, part in sorted(parts.items(), key=_key) if part.model is not None]
            if not built:
                continue
            if isinstance(model, ResponseFunctionShellToolCall):
                changes["action"] = evolve(model.action or ShellCallAction(), commands=built)
            else:
                changes[name] = built
        if field := _FIELDS.get(type(model)):
            text = str(self.text_field)
            if isinstance(model, ResponseApplyPatchToolCall):
                operation = model.operation or OperationUpdateFile()
                if text and getattr(operation, "diff", text) != text:
                    changes["operation"] = evolve(operation, diff=text)
            elif text:
                changes[field] = text
        changes = {name: value for name, value in changes.items() if getattr(model, name) != value}
        return evolve(model, **changes) if changes else model


def _join_texts(parts: dict[Key, Part], listed: list[Any]) -> None:
    """Join all parts of text if the server joins them too: it lists a single part that begins with their texts."""
    if len(listed) != 1 or not isinstance(listed[0], ResponseOutputText) or len(parts) < 2:
        return
    keys = [key for key in sorted(parts) if isinstance(parts[key].model, ResponseOutputText)]
    whole = "".join([str(parts[key].text("text")) for key in keys])
    if len(keys) > 1 and whole and without_halves(listed[0].text).startswith(whole):
        first = parts[keys[0]]
        for key in keys[1:]:
            first.logprobs += parts[key].logprobs
            del parts[key]
        first.text("text").complete(whole)


def _new_key(parts: Mapping[Key, Part], keys: list[Key], at: Key, following: Key | None, wanted: Key) -> Key:
    """Return a key for a new part between two listed parts, behind known parts there that the list leaves out."""
    if following is not None and at < following:
        at = max(at, keys[bisect_left(keys, following) - 1] if following > keys[0] else at)
    else:
        following = None
    if at < wanted and (following is None or wanted < following) and not _is_taken(parts, wanted):
        return wanted
    key: Key = at[0], at[1] + 1
    if following is not None and key >= following:
        return at[0], Fraction(at[1] + following[1]) / 2
    while _is_taken(parts, key):
        key = key[0], key[1] + 1
    return key


def _is_taken(parts: Mapping[Key, Part], key: Key) -> bool:
    return key in parts and parts[key].model is not None


def _take_text(text: GrowingText, value: str, *, announced: bool) -> str:
    if announced:
        text.announce(value)
        return ""
    return text.complete(value)


def _listed(model: Model, name: str) -> list[Any]:
    if isinstance(model, ResponseFunctionShellToolCall):
        return [] if model.action is None else model.action.commands
    return getattr(model, name) or []


def _as_model(part: Any) -> Any:
    return ResponseOutputText(text=part) if isinstance(part, str) else part


def _has_more(one: Model, other: Model) -> bool:
    return not one.extra.keys() <= other.extra.keys()


def _key(entry: tuple[Key, Part]) -> Key:
    return entry[0]


def join_messages(items: list[Item], listed: Sequence[Model]) -> list[Item]:
    """Join all messages if the server joins them too: it lists a single message that begins with their texts."""
    messages = [item for item in items if isinstance(item.model, ResponseOutputMessage)]
    wanted = [item for item in listed if isinstance(item, ResponseOutputMessage)]
    if len(messages) < 2 or len(wanted) != 1:
        return items
    whole = "".join([item.output_text() for item in messages])
    text = "".join([part.text for part in wanted[0].content if isinstance(part, ResponseOutputText)])
    if not whole or not text.startswith(whole):
        return items
    messages[0].take_parts_of(messages[1:])
    return [item for item in items if item is messages[0] or not isinstance(item.model, ResponseOutputMessage)]
