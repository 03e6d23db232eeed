"""`accumulate_response`: the growing response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

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
from ._results import subscribe_to_results
from ._text import split_half

M = TypeVar("M", bound=Model)


def accumulate_response() -> Callable[[Observable[ServerEvent]], Observable[Response]]:
    """Emit the response as far as it has come, each time something is added to it.

    Marble::

        events:                --created--item--"He"--"llo"--completed|
        accumulate_response(): --R0-------R1----R2----R3-----R--------|

    Each emission is a snapshot that never changes; what did not change is shared with the one before.
    Items, content parts, text, refusals, annotations, reasoning, its summary, and the arguments, input or
    code of tool calls grow; progress that shows in none of these waits for its item to be done.  Of
    a character that was cut in two (a lone surrogate) the first half waits for the second.
    The terminal event gives the server's own response, completed with the items seen on the way
    where the server leaves its `output` empty.  Before the response is known (`response.created`)
    nothing is emitted.  Of several responses in a row, each starts anew.

    Runs on the source's thread; disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, `response.steer.pending` becomes
    `on_error(SteerPendingError)`, and a terminal event that could not be decoded
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

        return Observable(subscribe)

    return operator


@dataclass(frozen=True)
class _Place:
    """Where a growing text belongs: in a field of an item, or of a part in one of the item's lists."""

    item: type[Model]
    field: str
    parts: str = ""
    index: str = ""
    part: type[Model] = Model


_TEXT = _Place(ResponseOutputMessage, "text", "content", "content_index", ResponseOutputText)
_REFUSAL = _Place(ResponseOutputMessage, "refusal", "content", "content_index", ResponseOutputRefusal)
_REASONING = _Place(ResponseReasoningItem, "text", "content", "content_index", ReasoningText)
_SUMMARY = _Place(ResponseReasoningItem, "text", "summary", "summary_index", SummaryText)
_FUNCTION = _Place(ResponseFunctionToolCall, "arguments")
_CUSTOM = _Place(ResponseCustomToolCall, "input")
_MCP = _Place(McpCall, "arguments")
_CODE = _Place(ResponseCodeInterpreterToolCall, "code")

_DELTAS: Mapping[type[ServerEvent], _Place] = {
    ResponseTextDeltaEvent: _TEXT,
    ResponseRefusalDeltaEvent: _REFUSAL,
    ResponseReasoningTextDeltaEvent: _REASONING,
    ResponseReasoningSummaryTextDeltaEvent: _SUMMARY,
    ResponseFunctionCallArgumentsDeltaEvent: _FUNCTION,
    ResponseCustomToolCallInputDeltaEvent: _CUSTOM,
    ResponseMcpCallArgumentsDeltaEvent: _MCP,
    ResponseCodeInterpreterCallCodeDeltaEvent: _CODE,
}
_WHOLES: Mapping[type[ServerEvent], _Place] = {
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
    """One response under construction; nothing that it hands out is changed afterwards."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.base: Response | None = None
        self._items: dict[int, Model] = {}  # by output index
        self._halves: dict[tuple[int, str, int], str] = {}  # first halves of characters, by place

    def snapshot(self, base: Response) -> Response:
        items = cast("list[ResponseOutputItem]", [self._items[index] for index in sorted(self._items)])
        return _evolve(base, output=items) if items else base

    def add(self, event: ServerEvent) -> bool:
        """Take an event in; return whether it changed anything."""
        kind = type(event)
        if (place := _DELTAS.get(kind)) is not None:
            return self._write(cast("ItemEvent", event), place, event.delta, append=True)  # type: ignore[attr-defined]
        if (place := _WHOLES.get(kind)) is not None:
            return self._write(cast("ItemEvent", event), place, getattr(event, place.field), append=False)
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
            return False  # its neighbour is missing; the item's own `done` will bring it
        self._items[index] = _evolve(item, **{parts: [*old[:position], part, *old[position + 1 :]]})
        return True

    def _write(self, event: ItemEvent, place: _Place, text: str, *, append: bool) -> bool:
        index, item = self._item(event)
        if item is None:
            item = place.item(id=event.item_id)  # a server that announces no items
        if not isinstance(item, place.item):
            return False
        position = _position(event, place.index)
        key = index, place.parts, position
        half = self._halves.pop(key, "")
        if append:
            text, half = split_half(half + text)
            if half:
                self._halves[key] = half
            if not text:
                return False
        if not place.parts:
            before = (getattr(item, place.field) or "") if append else ""
            self._items[index] = _evolve(item, **{place.field: before + text})
            return True
        parts: list[Model] = getattr(item, place.parts) or []
        part = parts[position] if position < len(parts) else place.part()
        if not isinstance(part, place.part):
            return False
        before = getattr(part, place.field) if append else ""
        return self._replace_part(index, item, place.parts, position, _evolve(part, **{place.field: before + text}))

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
        """Find the item of an event: by its index, which some servers omit, else by its id, which some change."""
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
    """Copy a model with some fields changed, unknown fields kept; much cheaper than `dataclasses.replace`."""
    copy: M = object.__new__(type(model))
    copy.__dict__.update(model.__dict__, **changes)
    return copy
