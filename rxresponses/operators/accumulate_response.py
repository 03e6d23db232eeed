"""`accumulate_response`: the response so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.base import Model
from ..wire.events import (
    ItemEvent,
    LifecycleEvent,
    ResponseCodeInterpreterCallCodeDeltaEvent,
    ResponseCodeInterpreterCallCodeDoneEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseCustomToolCallInputDeltaEvent,
    ResponseCustomToolCallInputDoneEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseMcpCallArgumentsDeltaEvent,
    ResponseMcpCallArgumentsDoneEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputTextAnnotationAddedEvent,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ServerEvent,
)
from ..wire.failures import response_of, unreadable
from ..wire.models import (
    McpCall,
    ReasoningText,
    Response,
    ResponseCodeInterpreterToolCall,
    ResponseCustomToolCall,
    ResponseFunctionToolCall,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    SummaryText,
)
from ..wire.output_text import split_half
from ._arguments import makes_operator
from ._results import subscribe_to_results

M = TypeVar("M", bound=Model)


@makes_operator
def accumulate_response() -> Callable[[Observable[ServerEvent]], Observable[Response]]:
    """Emit the response so far, each time an event adds to it.

    Marble::

        events:                --created--item--"He"--"llo"--completed|
        accumulate_response(): --R0-------R1----R2----R3-----R--------|

    Nothing is emitted before `response.created`, because no response is known yet.  Then each emission is a
    snapshot that never changes; it shares its unchanged parts with the snapshot before.

    Items, content parts, text, refusals, annotations, reasoning, its summary, and the arguments, input or code
    of tool calls grow event by event.  Other progress shows when its item is done.  The first half of a
    character that the server cut in two (a lone surrogate) waits for the second half.

    The terminal event emits the server's own response.  If the server leaves its `output` empty, the items that
    came before are filled in.  Of several responses in a row, each starts anew.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  A terminal event that could not be decoded becomes
    `on_error(UnreadableResponseError)`.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[Response]:
        def subscribe(observer: ObserverBase[Response], scheduler: SchedulerBase | None = None) -> DisposableBase:
            builder = _Builder()

            def on_event(event: ServerEvent) -> None:
                if builder.add(event) and builder.base is not None:
                    observer.on_next(builder.snapshot(builder.base))

            def on_result(event: ServerEvent) -> None:
                response = response_of(event)
                if response is None:
                    observer.on_error(unreadable(event))
                    return
                whole = response if response.output else builder.snapshot(response)
                builder.reset()
                observer.on_next(whole)

            return subscribe_to_results(source, observer, scheduler, on_event=on_event, on_result=on_result)

        return EventObservable(subscribe)

    return operator


@dataclass(frozen=True)
class _TextField:
    """Where a growing text belongs: in a field of an item, or in a field of a part in a list of the item."""

    item: type[Model]
    field: str
    parts: str = ""
    index: str = ""
    part: type[Model] = Model


_TEXT = _TextField(ResponseOutputMessage, "text", "content", "content_index", ResponseOutputText)
_REFUSAL = _TextField(ResponseOutputMessage, "refusal", "content", "content_index", ResponseOutputRefusal)
_REASONING = _TextField(ResponseReasoningItem, "text", "content", "content_index", ReasoningText)
_SUMMARY = _TextField(ResponseReasoningItem, "text", "summary", "summary_index", SummaryText)
_FUNCTION = _TextField(ResponseFunctionToolCall, "arguments")
_CUSTOM = _TextField(ResponseCustomToolCall, "input")
_MCP = _TextField(McpCall, "arguments")
_CODE = _TextField(ResponseCodeInterpreterToolCall, "code")

_DELTAS: Mapping[type[ServerEvent], _TextField] = {
    ResponseTextDeltaEvent: _TEXT,
    ResponseRefusalDeltaEvent: _REFUSAL,
    ResponseReasoningTextDeltaEvent: _REASONING,
    ResponseReasoningSummaryTextDeltaEvent: _SUMMARY,
    ResponseFunctionCallArgumentsDeltaEvent: _FUNCTION,
    ResponseCustomToolCallInputDeltaEvent: _CUSTOM,
    ResponseMcpCallArgumentsDeltaEvent: _MCP,
    ResponseCodeInterpreterCallCodeDeltaEvent: _CODE,
}
_DONE_TEXTS: Mapping[type[ServerEvent], _TextField] = {
    ResponseTextDoneEvent: _TEXT,
    ResponseRefusalDoneEvent: _REFUSAL,
    ResponseReasoningTextDoneEvent: _REASONING,
    ResponseReasoningSummaryTextDoneEvent: _SUMMARY,
    ResponseFunctionCallArgumentsDoneEvent: _FUNCTION,
    ResponseCustomToolCallInputDoneEvent: _CUSTOM,
    ResponseMcpCallArgumentsDoneEvent: _MCP,
    ResponseCodeInterpreterCallCodeDoneEvent: _CODE,
}
_PARTS: Mapping[type[ServerEvent], tuple[str, str]] = {
    ResponseContentPartAddedEvent: ("content", "content_index"),
    ResponseContentPartDoneEvent: ("content", "content_index"),
    ResponseReasoningSummaryPartAddedEvent: ("summary", "summary_index"),
    ResponseReasoningSummaryPartDoneEvent: ("summary", "summary_index"),
}


class _Builder:
    """Builds one response after another from their events; a snapshot is never changed."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.base: Response | None = None
        self._items: dict[int, Model] = {}  # by output index
        self._halves: dict[tuple[int, str, int], str] = {}  # first halves of characters: (output index, list, position)

    def snapshot(self, base: Response) -> Response:
        items = cast("list[ResponseOutputItem]", [self._items[index] for index in sorted(self._items)])
        return _evolve(base, output=items) if items else base

    def add(self, event: ServerEvent) -> bool:
        """Add an event; return whether it changed the response."""
        kind = type(event)
        if (target := _DELTAS.get(kind)) is not None:
            return self._write(cast("ItemEvent", event), target, event.delta, append=True)  # type: ignore[attr-defined]
        if (target := _DONE_TEXTS.get(kind)) is not None:
            return self._write(cast("ItemEvent", event), target, getattr(event, target.field), append=False)
        if (parts := _PARTS.get(kind)) is not None:
            return self._set_part(cast("ItemEvent", event), *parts, event.part)  # type: ignore[attr-defined]
        if isinstance(event, (ResponseOutputItemAddedEvent, ResponseOutputItemDoneEvent)):
            return self._set_item(event)
        if isinstance(event, ResponseOutputTextAnnotationAddedEvent):
            return self._annotate(event)
        if isinstance(event, LifecycleEvent):
            if isinstance(event, ResponseCreatedEvent):
                self.reset()
            self.base = event.response
            return True
        return False

    def _set_item(self, event: ResponseOutputItemAddedEvent | ResponseOutputItemDoneEvent) -> bool:
        index = event.output_index
        if index is None:
            known = self._find(getattr(event.item, "id", None))
            index = len(self._items) if known is None else known
        self._items[index] = event.item
        return True

    def _set_part(self, event: ItemEvent, parts: str, index_name: str, part: Model) -> bool:
        index, item = self._item(event)
        if item is None or not hasattr(item, parts):
            return False
        return self._replace_part(index, item, parts, _position(event, index_name), part)

    def _replace_part(self, index: int, item: Model, parts: str, position: int, part: Model) -> bool:
        old: list[Model] = getattr(item, parts) or []
        if position > len(old):
            return False  # a part before it is missing; the `done` event of the item brings both
        self._items[index] = _evolve(item, **{parts: [*old[:position], part, *old[position + 1 :]]})
        return True

    def _write(self, event: ItemEvent, target: _TextField, text: str, *, append: bool) -> bool:
        index, item = self._item(event)
        if item is None:
            item = target.item(id=event.item_id)  # the server sends no `response.output_item.added`
        if not isinstance(item, target.item):
            return False
        position = _position(event, target.index)
        key = index, target.parts, position
        half = self._halves.pop(key, "")
        if append:
            text, half = split_half(half + text)
            if half:
                self._halves[key] = half
            if not text:
                return False
        if not target.parts:
            before = (getattr(item, target.field) or "") if append else ""
            self._items[index] = _evolve(item, **{target.field: before + text})
            return True
        parts: list[Model] = getattr(item, target.parts) or []
        part = parts[position] if position < len(parts) else target.part()
        if not isinstance(part, target.part):
            return False
        before = getattr(part, target.field) if append else ""
        return self._replace_part(index, item, target.parts, position, _evolve(part, **{target.field: before + text}))

    def _annotate(self, event: ResponseOutputTextAnnotationAddedEvent) -> bool:
        index, item = self._item(event)
        position = _position(event, "content_index")
        if event.annotation is None or not isinstance(item, ResponseOutputMessage) or position >= len(item.content):
            return False
        part = item.content[position]
        if not isinstance(part, ResponseOutputText):
            return False
        part = _evolve(part, annotations=[*part.annotations, event.annotation])
        return self._replace_part(index, item, "content", position, part)

    def _item(self, event: ItemEvent) -> tuple[int, Model | None]:
        """Find the item of an event by its output index, else by its id.

        Some servers omit the index, and some give an item another id in each event.
        """
        index = event.output_index
        if index is None:
            index = self._find(event.item_id)
        if index is None:
            index = max(self._items, default=0)
        return index, self._items.get(index)

    def _find(self, item_id: str | None) -> int | None:
        if item_id is not None:
            for index, item in self._items.items():
                if getattr(item, "id", None) == item_id:
                    return index
        return None


def _position(event: ItemEvent, index_name: str) -> int:
    position = getattr(event, index_name, None) if index_name else None
    return max(position or 0, 0)


def _evolve(model: M, **changes: Any) -> M:
    """Copy a model with changed fields, and keep its unknown fields; much faster than `dataclasses.replace`."""
    copy: M = object.__new__(type(model))
    copy.__dict__.update(model.__dict__, **changes)
    return copy
