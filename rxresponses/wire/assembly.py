"""Assembles a response from its events.

Events repeat one another: a text comes in deltas, in `done` events, in its finished part and item, and in the terminal
event.  Each server leaves some of them out, and some leave a field empty.  So each event adds to what is known of its
item and its part, the fullest source wins, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .assembly_item import FUNCTION, ITEMS_OF_PARTS, REFUSAL, STDERR, STDOUT, TEXT, Item, Place, join_messages
from .assembly_items import Items
from .assembly_part import Part
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
    """One response after another, from their events.

    With a `phase`, only the messages of this phase count as output text.
    """

    __slots__ = (
        "_finished",
        "_folds",
        "_items",
        "_only_text",
        "_phase",
        "base",
        "item",
        "piece",
        "text",
        "text_place",
    )

    def __init__(self, scope: Scope, phase: str | None = None) -> None:
        self._folds = scope.folds
        self._phase = phase
        self._only_text = scope.only_text
        self.reset()

    def reset(self) -> None:
        """Forget the response."""
        self.base: Response | None = None
        """The response as the latest event that carries it says, without what other events added."""
        self.piece = ""
        """The output text that the latest event added at the end of its part; of a delta of a refusal, that text."""
        self.text: GrowingText | None = None
        """The text that the latest event changed, if it was a delta of output text."""
        self.text_place: tuple[Item, int] | None = None
        """The item of `text`, and the position of its part there."""
        self.item: Item | None = None
        """The item of the latest event about output text, with a whole item, or with the whole arguments of a call."""
        self._items = Items() if self._phase is None else Items(partial(_text_of_phase, self._phase))
        self._finished: list[Item] | None = None  # in the order of the terminal event

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
        return list(self._items) if self._finished is None else self._finished

    def output_text(self) -> str:
        """Return the text of all messages so far, in the order of items and parts."""
        if self._finished is not None:
            return "".join([item.output_text() for item in self.items() if self._counts(item)])
        return self._items.text()

    def last_message(self) -> Item | None:
        """Return the last message that has any text."""
        return next((item for item in reversed(self.items()) if self._counts(item) and item.output_text()), None)

    def _counts(self, item: Item) -> bool:
        return self._phase is None or item.is_of_phase(self._phase)

    def last_text(self) -> GrowingText | None:
        """Return the last text of the last item, `None` if that has none."""
        last = next(reversed(self._items), None)
        return None if last is None else last.last_output_text()

    def has_one_part(self) -> bool:
        """Whether there is only one item with one part."""
        return len(self._items) == 1 and next(iter(self._items)).count("content") == 1

    def touch(self, place: tuple[Item, int]) -> None:
        """Note that a text changes that `text` and `text_place` told."""
        item, position = place
        item.touch("content", position)
        self._items.touch(item.key)

    def snapshot(self, base: Response) -> Response:
        """Return `base` with the items so far; it never changes."""
        output = self._items.built()
        return evolve(base, output=output) if output else base

    def close(self) -> str:
        """Take what is left of all texts when no event follows; return the output text that this adds."""
        self._items.touch_all()
        return "".join([piece for item in self.items() if (piece := item.close()) and self._counts(item)])

    def finish(self, event: ServerEvent) -> Response | None:
        """Add the terminal event; return the whole response, `None` when the event could not be read.

        It is the server's own object if the earlier events have nothing more.  The items stay until `reset`.
        """
        self.piece = ""
        response = response_at_end(event, self.base)
        if response is None:
            self.piece = self.close()
            return None
        self._finished, listed = self._take_output(response.output)
        text = response.extra.get("output_text")
        # Some servers have the text only there.
        if isinstance(text, str) and text and not any(item.output_text() for item in self._finished):
            message = ResponseOutputMessage(role="assistant", content=[ResponseOutputText(text=text)])
            item = self._items.make(len(self._finished), message)
            self.piece += self._counted(item, item.take(message, announced=False))
            self._finished.append(item)
        self.piece += self.close()
        status = response.status or event.type.removeprefix("response.")
        for item in self._finished:
            if item.number not in listed:
                item.settle(status)
        changes: dict[str, Any] = {}
        if response.usage is None and self.base is not None and self.base.usage is not None:
            changes["usage"] = self.base.usage
        output = [item.build() for item in self._finished]
        if len(output) != len(response.output) or any(
            mine is not its for mine, its in zip(output, response.output, strict=True)
        ):
            changes["output"] = output
        return evolve(response, **changes) if changes else response

    def _take_output(self, output: list[ResponseOutputItem]) -> tuple[list[Item], set[int]]:
        """Take the items of a terminal event; return all items in order, and the numbers of the listed ones."""
        wanted = [item for item in output if not self._only_text or isinstance(item, ResponseOutputMessage)]
        known = join_messages(self.items(), wanted)
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
            item = known[by_place[place]] if place in by_place else self._items.make(place, model)
            self.piece += self._counted(item, item.take(model, announced=False))
            item.is_done = True
            listed.add(item.number)
            ordered.append(item)
        return ordered + left_out, listed

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
        item = self.item = self._items.of_model(index, model, announced=announced)
        if announced:
            item.was_added = True
        else:
            item.is_done = True
        self.piece = self._counted(item, item.take(model, announced=announced))
        return True

    def _counted(self, item: Item, piece: str) -> str:
        return piece if self._counts(item) else ""

    def write(self, event: Any, place: Place, text: str, *, is_delta: bool) -> bool:
        if is_delta and not text:
            return False
        item = self._items.of_event(event, place.item, None if is_delta else text)
        if item is None:
            return False
        growing = item.text(place, _position(event, place.index))
        if growing is None:
            return False
        if is_delta:
            piece = growing.append(text)
            if place is TEXT:
                self.item = item
                if self._counts(item):
                    self.piece, self.text, self.text_place = piece, growing, (item, _position(event, place.index))
            elif place is REFUSAL:
                self.piece = piece
            return bool(piece)
        before = str(growing)
        piece = growing.complete(text)
        if place is TEXT:
            self.item, self.piece = item, self._counted(item, piece)
        return str(growing) != before

    def add_text_delta(self, event: ResponseTextDeltaEvent) -> bool:
        changed = self.write(event, TEXT, event.delta, is_delta=True)
        return self._add_logprobs(event) or changed if event.logprobs else changed

    def add_text_done(self, event: ResponseTextDoneEvent) -> bool:
        changed = self.write(event, TEXT, event.text, is_delta=False)
        return self._add_logprobs(event) or changed if event.logprobs else changed

    def _add_logprobs(self, event: ResponseTextDeltaEvent | ResponseTextDoneEvent) -> bool:
        item = self._items.of_event(event, ResponseOutputMessage)
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
        if not text and self._items.lacks_index(event.output_index):
            return False  # the events that bring its text make the item
        item = self._items.of_event(event, cls, text)
        if item is None:
            return False
        position = _position(event, index_name)
        if not text and position > item.count(name):
            return False
        part: Part = item.part(name, position)
        if part.model is not None and type(part.model) is not type(model):
            return False
        self.item, self.piece = item, self._counted(item, part.take(model, announced=announced))
        return True

    def add_annotation(self, event: ResponseOutputTextAnnotationAddedEvent) -> bool:
        if event.annotation is None or self._items.lacks_index(event.output_index):
            return False
        item = self._items.of_event(event, ResponseOutputMessage)
        if item is None:
            return False
        part = item.part("content", _position(event, "content_index"))
        part.annotate(event.annotation_index, event.annotation)
        return isinstance(part.model, ResponseOutputText)

    def add_arguments_done(self, event: ResponseFunctionCallArgumentsDoneEvent) -> bool:
        changed = self.write(event, FUNCTION, event.arguments, is_delta=False)
        item = self._items.of_event(event, ResponseFunctionToolCall)
        if item is None or not isinstance(item.model, ResponseFunctionToolCall):
            return changed
        self.item = item
        call, call_id = item.model, None if item.model.call_id else event.extra.get("call_id")
        name = call.name or event.name or ""
        call_id = call_id if isinstance(call_id, str) else call.call_id
        if (name, call_id) == (call.name, call.call_id):
            return changed
        item.take(evolve(call, name=name, call_id=call_id), announced=True)
        return True

    def set_status(self, event: Any, cls: type[Model], status: str) -> bool:
        """Give the item of an event the status that the type of the event says."""
        item = self._items.of_event(event, cls)
        return item is not None and item.set_status(status)

    def add_shell_output_delta(self, event: ResponseShellCallOutputContentDeltaEvent) -> bool:
        changed = self.write(event, STDOUT, event.delta.stdout or "", is_delta=True)
        return self.write(event, STDERR, event.delta.stderr or "", is_delta=True) or changed

    def add_shell_output_done(self, event: ResponseShellCallOutputContentDoneEvent) -> bool:
        item = self._items.of_event(event, ResponseFunctionShellToolCallOutput)
        if item is None:
            return False
        for number, output in enumerate(event.output):
            item.part("output", _position(event, "command_index") + number).take(output, announced=False)
        return bool(event.output)


def _text_of_phase(phase: str, item: Item) -> str:
    return item.output_text() if item.is_of_phase(phase) else ""


def _position(event: Any, index_name: str) -> int:
    position = getattr(event, index_name, None) if index_name else None
    return max(position or 0, 0)
