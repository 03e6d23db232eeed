"""One output item of a response that is being assembled: its model, its parts, and the texts that grow in them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .assembly_part import Part, take_text
from .base import Model, UnknownItem
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
from .ordered import Key, Ordered


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


class Item:
    """An output item.  `number` tells the items of an assembly apart; `index` is its place in the order."""

    __slots__ = ("_built", "index", "is_done", "model", "number", "parts", "text_field", "was_added")

    def __init__(self, number: int, index: int, model: Model) -> None:
        self.number = number
        self.index = index
        self.model = model
        self.text_field = GrowingText()
        self.parts: dict[str, Ordered[Part]] = {}
        self.was_added = False  # by `response.output_item.added`
        self.is_done = False  # by `response.output_item.done`, or by the terminal event
        self._built: Model | None = None

    @property
    def key(self) -> Key:
        """The place in the order: items of one index stay as they came."""
        return self.index, self.number

    @property
    def is_whole(self) -> bool:
        """Whether the server finished the item, or each of its texts."""
        if self.is_done or type(self.model) in _FIELDS:
            return self.is_done or self.text_field.is_whole
        texts = (text for parts in self.parts.values() for part in parts for text in part.texts.values())
        first = next(texts, None)  # without a list: an item may have thousands of texts
        return first is not None and first.is_whole and all(text.is_whole for text in texts)

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
        return [text for parts in self.parts.values() for part in parts for text in part.texts.values()]

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
        return self._part_of(self._list(name), (position, 0))

    def count(self, name: str) -> int:
        """How many parts one of the lists has."""
        return self._list(name).count

    def touch(self, name: str, position: int) -> None:
        """Note that a text changes which was taken from a part before."""
        self._built = None
        self._list(name).touch((position, 0))

    def _list(self, name: str) -> Ordered[Part]:
        parts = self.parts.get(name)
        if parts is None:
            parts = self.parts[name] = Ordered(Part.build, Part.output_text)
        return parts

    @staticmethod
    def _part_of(parts: Ordered[Part], key: Key) -> Part:
        part = parts.get(key)
        if part is None:
            part = Part()
            parts.add(key, part)
        else:
            parts.touch(key)
        return part

    def take(self, model: Model, *, announced: bool) -> str:
        """Take the item as the server sent it; return the output text that it adds."""
        if type(model) is not type(self.model):  # an id that the server uses again for an item of another type
            self.parts, self.text_field = {}, GrowingText()
        piece = ""
        for name in _LISTS.get(type(model), ()):
            piece += self._take_list(name, _listed(model, name), announced=announced)
        if field := _FIELDS.get(type(model)):
            source = model.operation if isinstance(model, ResponseApplyPatchToolCall) else model
            value = getattr(source, field, None)
            if value and not (announced and value == "{}"):  # no text, but a place for that of the deltas
                take_text(self.text_field, value, announced=announced)
        self.model = merge(self.model, model)
        self._built = None
        if self.build() == model and not _has_more(self.model, model):
            self._built = model
        return piece

    def take_parts_of(self, others: list[Item]) -> None:
        """Take the parts of other messages, which a server lists as a single one."""
        parts = self._list("content")
        for other in others:
            at = max(parts.keys(), default=(0, 0))
            for number, part in enumerate(other._list("content"), 1):
                parts.add((at[0], at[1] + number), part)
        self._built = None

    def _take_list(self, name: str, listed: list[Any], *, announced: bool) -> str:
        parts = self._list(name)
        _join_texts(parts, listed)
        known = [(key, part) for key, part in zip(parts.keys(), parts, strict=True) if part.model is not None]
        keys = [key for key, _ in known]
        pairs = pair([(key[0], _as_model(part.build())) for key, part in known], [_as_model(part) for part in listed])
        keys_of = {place: keys[number] for number, place in pairs.items()}
        next_keys: list[Key | None] = [None] * len(listed)  # place → key of the next listed part that is known
        for place in reversed(range(len(listed) - 1)):
            next_keys[place] = keys_of.get(place + 1, next_keys[place + 1])
        # The index that an unknown part has in its events: some servers count from another number than 0.
        offset = next((max(key[0] - place, 0) for place, key in sorted(keys_of.items())), 0)
        at: Key = (-1, 0)
        piece = ""
        for place, part in enumerate(listed):
            key = keys_of.get(place)
            if key is None:
                key = _new_key(parts, keys, at, next_keys[place], (place + offset, 0))
            elif key[1] == 0:
                offset = max(key[0] - place, 0)
            at = key
            piece += self._part_of(parts, key).take(part, announced=announced)
        return piece

    def close(self) -> str:
        """Take what is left of the texts when no event follows; return the output text that this adds."""
        self._built = None if any(text.half or text.announced for text in self.texts()) else self._built
        pieces = [text.close() for text in self.output_texts()]
        for text in self.texts():
            text.close()
        for parts in self.parts.values():
            parts.touch_all()
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
        return self._list("content").text() if isinstance(self.model, ResponseOutputMessage) else ""

    def is_of_phase(self, phase: str) -> bool:
        """Whether a message is of a phase."""
        return is_of_phase(self.model, phase)

    def last_output_text(self) -> GrowingText | None:
        """Return the last text of a message; `None` of any other item."""
        parts = reversed(self._list("content"))
        return next((part.text("text") for part in parts if isinstance(part.model, ResponseOutputText)), None)

    def output_texts(self) -> list[GrowingText]:
        """Return the texts of a message, in order."""
        if not isinstance(self.model, ResponseOutputMessage):
            return []
        return [part.text("text") for part in self._list("content") if isinstance(part.model, ResponseOutputText)]

    def build(self) -> Model:
        """Return the item so far; the same object as before if nothing changed."""
        if self._built is None:
            self._built = self._build()
        return self._built

    def _build(self) -> Model:
        model = self.model
        changes: dict[str, Any] = {}
        for name, parts in self.parts.items():
            built = parts.built()
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


def _join_texts(parts: Ordered[Part], listed: list[Any]) -> None:
    """Join all parts of text if the server joins them too: it lists a single part that begins with their texts."""
    if len(listed) != 1 or not isinstance(listed[0], ResponseOutputText) or len(parts) < 2:
        return
    texts = [
        (key, part) for key, part in zip(parts.keys(), parts, strict=True) if isinstance(part.model, ResponseOutputText)
    ]
    whole = parts.text()
    if len(texts) > 1 and whole and without_halves(listed[0].text).startswith(whole):
        (first_key, first), *others = texts
        for key, part in others:
            first.logprobs += part.logprobs
            parts.remove(key)
        first.text("text").complete(whole)
        parts.touch(first_key)


def _new_key(parts: Ordered[Part], keys: list[Key], at: Key, following: Key | None, wanted: Key) -> Key:
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


def _is_taken(parts: Ordered[Part], key: Key) -> bool:
    part = parts.get(key)
    return part is not None and part.model is not None


def _listed(model: Model, name: str) -> list[Any]:
    if isinstance(model, ResponseFunctionShellToolCall):
        return [] if model.action is None else model.action.commands
    listed = getattr(model, name) or []
    if isinstance(model, ResponseOutputMessage):
        text = model.extra.get("content")  # some servers have a text in place of the parts
        return [ResponseOutputText(text=text)] if isinstance(text, str) and text else [*map(_as_output, listed)]
    return listed


def _as_output(part: Model) -> Model:
    """Return a part of a message; a part of the type `text`, as some servers have it, as output text."""
    text = part.extra.get("text") if isinstance(part, UnknownItem) and str(part.type) == "text" else None
    return ResponseOutputText(text=text) if isinstance(text, str) else part


def _as_model(part: Any) -> Any:
    return ResponseOutputText(text=part) if isinstance(part, str) else part


def _has_more(one: Model, other: Model) -> bool:
    return not one.extra.keys() <= other.extra.keys()


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


def is_of_phase(message: object, phase: str) -> bool:
    """Whether a message is of a phase.

    A message without a phase is a final answer: models without phases send only such messages.
    """
    return (getattr(message, "phase", None) or "final_answer") == phase
