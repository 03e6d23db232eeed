"""Assembles a response from its events.

Events repeat one another: a text comes in deltas, in `done` events, in its finished part and item, and in the terminal
event.  Each server leaves some of them out, and some leave a field empty.  So each event adds to what is known of its
item and its part, the fullest source wins, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .assembly_item import FUNCTION, ITEMS_OF_PARTS, STDERR, STDOUT, TEXT, Item, Part, Place, join_messages
from .base import Model
from .events import (
    LifecycleEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputTextAnnotationAddedEvent,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseShellCallOutputContentDeltaEvent,
    ResponseShellCallOutputContentDoneEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ServerEvent,
)
from .failures import response_at_end
from .growing_text import GrowingText
from .merging import evolve, pair
from .models import (
    Response,
    ResponseFunctionShellToolCallOutput,
    ResponseFunctionToolCall,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
)

Fold = Callable[["Assembly", Any], bool]
"""Adds an event of one type; returns whether it changed the response."""


@dataclass(frozen=True)
class Scope:
    """The events that an assembly looks at; the others cost nothing.  With `only_text`, also only items with text."""

    folds: Mapping[type[ServerEvent], Fold]
    only_text: bool = False


class Assembly:
    """One response after another, from their events."""

    __slots__ = (
        "_by_id",
        "_by_index",
        "_folds",
        "_items",
        "_next_index",
        "_only_text",
        "_order",
        "base",
        "item",
        "piece",
        "text",
    )

    def __init__(self, scope: Scope) -> None:
        self._folds = scope.folds
        self._only_text = scope.only_text
        self.reset()

    def reset(self) -> None:
        """Forget the response."""
        self.base: Response | None = None
        """The response as the latest event that carries it says, without what other events added."""
        self.piece = ""
        """The output text that the latest event added at the end of its part."""
        self.text: GrowingText | None = None
        """The text that the latest event changed, if it was a delta of output text."""
        self.item: Item | None = None
        """The item of the latest event with a whole item."""
        self._items: list[Item] = []
        self._by_index: dict[int, list[Item]] = {}
        self._by_id: dict[str, Item] = {}
        self._next_index = 0  # for an item without an index
        self._order = True  # `_items` is in order

    def looks_at(self, event: ServerEvent) -> bool:
        """Whether `add` does anything with events of this type."""
        return type(event) in self._folds

    def add(self, event: ServerEvent) -> bool:
        """Add an event before the terminal event; return whether it changed the response."""
        fold = self._folds.get(type(event))
        if fold is None:
            return False
        self.piece, self.text = "", None
        return fold(self, event)

    def items(self) -> list[Item]:
        """Return the items in order."""
        if not self._order:
            self._items.sort(key=lambda item: item.index)  # stable: items of one index stay as they came
            self._order = True
        return self._items

    def output_text(self) -> str:
        """Return the text of all messages so far, in the order of items and parts."""
        return "".join([item.output_text() for item in self.items()])

    def last_text(self) -> GrowingText | None:
        """Return the last text of the messages, in the order of items and parts."""
        return next((text for item in reversed(self.items()) if (text := item.last_output_text()) is not None), None)

    def has_one_part(self) -> bool:
        """Whether there is only one item with one part."""
        return len(self._items) == 1 and self._items[0].count("content") == 1

    def snapshot(self, base: Response) -> Response:
        """Return `base` with the items so far; it never changes."""
        output = [item.build() for item in self.items()]
        return evolve(base, output=output) if output else base

    def close(self) -> str:
        """Take what is left of all texts when no event follows; return the output text that this adds."""
        return "".join([item.close() for item in self.items()])

    def finish(self, event: ServerEvent) -> Response | None:
        """Add the terminal event; return the whole response, `None` when the event could not be read.

        It is the server's own object if the earlier events have nothing more.  The items stay until `reset`.
        """
        self.piece = ""
        response = response_at_end(event, self.base)
        if response is None:
            self.piece = self.close()
            return None
        listed = self._take_output(response.output)
        self.piece += self.close()
        status = response.status or event.type.removeprefix("response.")
        for item in self._items:
            if item.number not in listed:
                item.settle(status)
        changes: dict[str, Any] = {}
        if response.usage is None and self.base is not None and self.base.usage is not None:
            changes["usage"] = self.base.usage
        output = [item.build() for item in self._items]
        if len(output) != len(response.output) or any(
            mine is not its for mine, its in zip(output, response.output, strict=True)
        ):
            changes["output"] = output
        return evolve(response, **changes) if changes else response

    def _take_output(self, output: list[ResponseOutputItem]) -> set[int]:
        """Take the items of a terminal event, put all items in order, and return the numbers of the listed ones."""
        known = self.items()
        wanted = [item for item in output if not self._only_text or isinstance(item, ResponseOutputMessage)]
        known = self._items = join_messages(known, wanted)
        pairs = pair([(item.index, item.build()) for item in known], wanted)
        by_place = {place: number for number, place in pairs.items()}
        before: dict[int, list[Item]] = {}  # place in the list → items that the list leaves out, and that come before
        left_out: list[Item] = []
        for number, item in enumerate(known):
            if number not in pairs:
                left_out.append(item)
            elif left_out:
                before.setdefault(pairs[number], []).extend(left_out)
                left_out = []
        ordered: list[Item] = []
        listed = set()
        for place, model in enumerate(wanted):
            ordered += before.get(place, ())
            item = known[by_place[place]] if place in by_place else self._make(place, model)
            self.piece += item.take(model, announced=False)
            item.is_done = True
            listed.add(item.number)
            ordered.append(item)
        self._items, self._order = ordered + left_out, True
        return listed

    # What follows adds one kind of event each; the scopes name them.

    def add_lifecycle(self, event: LifecycleEvent) -> bool:
        response = event.response
        if isinstance(event, ResponseCreatedEvent) and self.base is not None:
            ids = self.base.id, response.id
            if all(ids) and ids[0] != ids[1]:  # some servers repeat the event; another id is another response
                self.reset()
        if response.output and not self._only_text:
            for index, model in enumerate(response.output):
                self._add_item(index, model, announced=True)
        self.base = response
        return True

    def add_item_added(self, event: ResponseOutputItemAddedEvent) -> bool:
        return self._add_item(event.output_index, event.item, announced=True)

    def add_item_done(self, event: ResponseOutputItemDoneEvent) -> bool:
        return self._add_item(event.output_index, event.item, announced=False)

    def _add_item(self, index: int | None, model: Model, *, announced: bool) -> bool:
        if self._only_text and not isinstance(model, ResponseOutputMessage):
            return False
        item = self._item_of(index, model, announced=announced)
        if item is None:
            item = self._make(index, model)
        self.item = item
        if announced:
            item.was_added = True
        else:
            item.is_done = True
        self.piece = item.take(model, announced=announced)
        if item_id := getattr(model, "id", None):
            self._by_id[item_id] = item
        return True

    def _item_of(self, index: int | None, model: Model, *, announced: bool) -> Item | None:
        """Find the item that an event with a whole item is about, `None` if it is new."""
        model_id, call_id = getattr(model, "id", None), getattr(model, "call_id", None)
        if index is None and model_id is not None and model_id in self._by_id:
            return self._by_id[model_id]
        candidates = self.items() if index is None else self._by_index.get(index, ())
        for item in reversed(candidates):
            its_id, its_call_id = getattr(item.model, "id", None), getattr(item.model, "call_id", None)
            if type(item.model) is not type(model):
                continue
            if model_id and model_id == its_id:  # even if the call id changes, as that of a tool search does
                return item
            if call_id and its_call_id and call_id != its_call_id:
                continue
            differs = bool(model_id and its_id and model_id != its_id)
            if index is None:
                if not (differs or item.is_done or announced):
                    return item
            elif not differs or not (item.is_done or (announced and item.was_added)):
                return item
        return None

    def _make(self, index: int | None, model: Model) -> Item:
        if index is None or index < 0:
            index = self._next_index
        self._next_index = max(self._next_index, index + 1)
        item = Item(len(self._items), index, model)
        if self._items and self._items[-1].index > index:
            self._order = False
        self._items.append(item)
        self._by_index.setdefault(index, []).append(item)
        if item_id := getattr(model, "id", None):
            self._by_id.setdefault(item_id, item)
        return item

    def _find(self, event: Any, cls: type[Model], whole: str | None = None) -> Item | None:
        """Find the item of an event about a part of it; make it if no event announced it.

        The output index decides, since some servers give an item another id in each event.  Some servers omit the
        index; then the id decides, and without a known id, the latest item that is not finished.  Returns `None` if the
        item is of another class.
        """
        index, item_id = event.output_index, getattr(event, "item_id", None)
        if index is None:
            item = self._by_id.get(item_id) if item_id is not None else None
            if item is None:
                item = self.items()[-1] if self._items else None
                if item is not None and (type(item.model) is not cls or item.is_over(whole)):
                    item = None
            if item is None:
                return self._make(None, cls(id=item_id))
            return item if type(item.model) is cls else None
        same = self._by_index.get(index)
        if same is None:
            return self._make(index, cls(id=item_id))
        item = (
            next((item for item in same if getattr(item.model, "id", None) == item_id), None) if len(same) > 1 else None
        )
        item = item or same[-1]
        if type(item.model) is cls:
            return item
        its_id = getattr(item.model, "id", None)
        if item_id and its_id and item_id != its_id:
            return self._make(index, cls(id=item_id))
        return None

    def write(self, event: Any, place: Place, text: str, *, is_delta: bool) -> bool:
        if is_delta and not text:
            return False
        item = self._find(event, place.item, None if is_delta else text)
        if item is None:
            return False
        growing = item.text(place, _position(event, place.index))
        if growing is None:
            return False
        if is_delta:
            piece = growing.append(text)
            if place is TEXT:
                self.piece, self.text = piece, growing
            return bool(piece)
        before = str(growing)
        piece = growing.complete(text)
        if place is TEXT:
            self.piece = piece
        return str(growing) != before

    def add_text_delta(self, event: ResponseTextDeltaEvent) -> bool:
        changed = self.write(event, TEXT, event.delta, is_delta=True)
        return self._add_logprobs(event) or changed if event.logprobs else changed

    def add_text_done(self, event: ResponseTextDoneEvent) -> bool:
        changed = self.write(event, TEXT, event.text, is_delta=False)
        return self._add_logprobs(event) or changed if event.logprobs else changed

    def _add_logprobs(self, event: ResponseTextDeltaEvent | ResponseTextDoneEvent) -> bool:
        item = self._find(event, ResponseOutputMessage)
        if item is None:
            return False
        part = item.part("content", _position(event, "content_index"))
        if isinstance(event, ResponseTextDeltaEvent):
            part.logprobs.extend(event.logprobs)
        elif len(event.logprobs) >= len(part.logprobs):
            part.logprobs = list(event.logprobs)
        return True

    def add_part_added(self, event: ResponseContentPartAddedEvent) -> bool:
        return self._set_part(event, "content", "content_index", event.part, announced=True)

    def add_part_done(self, event: ResponseContentPartDoneEvent) -> bool:
        return self._set_part(event, "content", "content_index", event.part, announced=False)

    def add_summary_added(self, event: ResponseReasoningSummaryPartAddedEvent) -> bool:
        return self._set_part(event, "summary", "summary_index", event.part, announced=True)

    def add_summary_done(self, event: ResponseReasoningSummaryPartDoneEvent) -> bool:
        return self._set_part(event, "summary", "summary_index", event.part, announced=False)

    def _set_part(self, event: Any, name: str, index_name: str, model: Model, *, announced: bool) -> bool:
        cls = ITEMS_OF_PARTS.get(type(model))
        text = getattr(model, "text", "") or getattr(model, "refusal", "")
        if cls is None or (self._only_text and not isinstance(model, ResponseOutputText)):
            return False
        if event.output_index is not None and event.output_index not in self._by_index and not text:
            return False  # the events that bring its text make the item
        item = self._find(event, cls, text)
        if item is None:
            return False
        position = _position(event, index_name)
        if not text and position > item.count(name):
            return False
        part: Part = item.part(name, position)
        if part.model is not None and type(part.model) is not type(model):
            return False
        self.piece = part.take(model, announced=announced)
        return True

    def add_annotation(self, event: ResponseOutputTextAnnotationAddedEvent) -> bool:
        if event.annotation is None or (event.output_index is not None and event.output_index not in self._by_index):
            return False
        item = self._find(event, ResponseOutputMessage)
        if item is None:
            return False
        part = item.part("content", _position(event, "content_index"))
        index = event.annotation_index
        part.annotations[len(part.annotations) if index is None else index] = event.annotation
        return isinstance(part.model, ResponseOutputText)

    def add_arguments_done(self, event: ResponseFunctionCallArgumentsDoneEvent) -> bool:
        changed = self.write(event, FUNCTION, event.arguments, is_delta=False)
        item = self._find(event, ResponseFunctionToolCall) if event.name else None
        if item is not None and isinstance(item.model, ResponseFunctionToolCall) and not item.model.name:
            item.take(evolve(item.model, name=event.name), announced=True)
            changed = True
        return changed

    def set_status(self, event: Any, cls: type[Model], status: str) -> bool:
        """Give the item of an event the status that the type of the event says."""
        item = self._find(event, cls)
        return item is not None and item.set_status(status)

    def add_shell_output_delta(self, event: ResponseShellCallOutputContentDeltaEvent) -> bool:
        changed = self.write(event, STDOUT, event.delta.stdout or "", is_delta=True)
        return self.write(event, STDERR, event.delta.stderr or "", is_delta=True) or changed

    def add_shell_output_done(self, event: ResponseShellCallOutputContentDoneEvent) -> bool:
        item = self._find(event, ResponseFunctionShellToolCallOutput)
        if item is None:
            return False
        for number, output in enumerate(event.output):
            item.part("output", _position(event, "command_index") + number).take(output, announced=False)
        return bool(event.output)


def _position(event: Any, index_name: str) -> int:
    position = getattr(event, index_name, None) if index_name else None
    return max(position or 0, 0)
