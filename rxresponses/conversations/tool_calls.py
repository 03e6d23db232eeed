"""Which calls of a response are whole, so that they may start; and which of them may run at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from ..wire.assembly import Assembly
from ..wire.assembly_item import Item
from ..wire.assembly_scopes import CLIENT_CALLS
from ..wire.base import Model
from ..wire.endings import is_cut
from ..wire.events import ResponseFunctionCallArgumentsDoneEvent, ResponseOutputItemDoneEvent, ServerEvent
from ..wire.failures import failure_of
from ..wire.models import (
    McpApprovalRequest,
    Response,
    ResponseFunctionShellToolCall,
    ResponseFunctionToolCall,
    ResponseReasoningItem,
)
from .client_calls import ClientCall, answered_ids, client_call


class CallReader:
    """Reads the events of one response, and returns each call once, as soon as the call is whole.

    A call may have an effect that cannot be undone.  So a call that the response cut short never starts.  Before the
    terminal event, a function call is whole only if its arguments are a whole JSON object: a server that cuts the
    arguments says first that they are done, and only afterwards that the call is incomplete.
    """

    def __init__(self, *, has_shell: bool = False) -> None:
        self._assembly = Assembly(CLIENT_CALLS)
        self._has_shell = has_shell  # the client has a shell, so a shell call that names no place is for it
        self._told: dict[int, ClientCall] = {}  # by the number of the item
        self._ids: set[str] = set()  # of the calls that were told
        self.response: Response | None = None
        """The response of the terminal event, with what only the events before it had."""

    def read(self, event: ServerEvent) -> list[ClientCall]:
        """Return the calls that become whole with this event, which is not the terminal event."""
        assembly = self._assembly
        if not assembly.looks_at(event):
            return []
        if event.type == "response.created":
            base = assembly.base
            assembly.add(event)
            if base is not None and not assembly.items():  # another response
                self._told.clear()
                self._ids.clear()
            return []
        assembly.item = None
        assembly.add(event)
        item = assembly.item
        if item is None or not isinstance(event, (ResponseFunctionCallArgumentsDoneEvent, ResponseOutputItemDoneEvent)):
            return []
        return self._take(item, reasoning=self._reasoning_before(item)) if self._is_whole_already(item) else []

    def finish(self, event: ServerEvent) -> list[ClientCall]:
        """Return the whole calls that no event before the terminal event has told; a failed response has none."""
        if failure_of(event) is not None:
            return []
        self.response = self._assembly.finish(event)
        if self.response is None:  # the event could not be read
            return []
        models = [item.build() for item in self._assembly.items()]
        answered = answered_ids(models)
        cut = is_cut(event)
        calls = []
        for item, model in zip(self._assembly.items(), models, strict=True):
            if getattr(model, "status", None) != "incomplete" and getattr(model, "call_id", None) not in answered:
                calls += self._take(item, may_be_cut=cut)
        return calls

    def _is_whole_already(self, item: Item) -> bool:
        model = item.build()
        if isinstance(model, ResponseFunctionToolCall):
            named = bool(model.name and model.call_id)
            # Arguments that are no JSON may be cut.  Some servers send the arguments in the terminal event only.
            is_final = item.is_done and model.status == "completed" and bool(model.arguments)
            return named and model.status != "incomplete" and (is_object(model.arguments) or is_final)
        if isinstance(model, ResponseFunctionShellToolCall) and model.environment is None and not self._has_shell:
            return False  # only the items behind it tell whether the server answers the call itself
        return item.is_done and getattr(model, "status", None) != "incomplete"

    def in_order(self) -> list[ClientCall]:
        """Return the calls that were told, in the order of the response."""
        return [self._told[item.number] for item in self._assembly.items() if item.number in self._told]

    def _reasoning_before(self, item: Item) -> tuple[Model, ...]:
        """Return the reasoning that led to a call.  Calls in between followed from the same reasoning."""
        for before in reversed([other for other in self._assembly.items() if other.key < item.key]):
            model = before.build()
            if isinstance(model, ResponseReasoningItem):
                return (model,) if before.is_done and model.encrypted_content else ()
        return ()

    def _take(self, item: Item, *, may_be_cut: bool = False, reasoning: tuple[Model, ...] = ()) -> list[ClientCall]:
        model = item.build()
        call = None if item.number in self._told else client_call(model, place=item.index, reasoning=reasoning)
        if call is None or call.call_id in self._ids:  # a server that repeats an id gets one answer
            return []
        if may_be_cut and not _is_surely_whole(model):
            call = replace(call, is_cut=True)
        self._told[item.number] = call
        self._ids.add(call.call_id)
        return [call]


def _is_surely_whole(model: object) -> bool:
    """Whether a call is whole although its response was cut short.  Free text tells nothing: only its status does."""
    if isinstance(model, ResponseFunctionToolCall):
        return is_object(model.arguments)
    return isinstance(model, McpApprovalRequest) or getattr(model, "status", None) == "completed"


def is_object(text: str) -> bool:
    """Whether a text is a whole JSON object."""
    try:
        return isinstance(msgspec.json.decode(text), Mapping)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False


class CallQueue:
    """Decides which calls run: in their order, at most `limit` at once, and an exclusive call alone.

    A call behind an exclusive call waits, so that other calls do not keep the exclusive call from starting.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[str, bool]] = deque()
        self._running: set[str] = set()
        self._alone = False  # an exclusive call runs

    @property
    def running(self) -> int:
        """How many calls run."""
        return len(self._running)

    def add(self, call_id: str, *, exclusive: bool) -> None:
        """Add a call that may start."""
        self._waiting.append((call_id, exclusive))

    def start(self) -> str | None:
        """Return the id of the next call to start, which runs from now on; `None` if none may start."""
        if not self._waiting or self._alone or len(self._running) >= self._limit:
            return None
        call_id, exclusive = self._waiting[0]
        if exclusive and self._running:
            return None
        self._waiting.popleft()
        self._running.add(call_id)
        self._alone = exclusive
        return call_id

    def finish(self, call_id: str) -> None:
        """Note that a call has ended."""
        self._running.remove(call_id)
        self._alone = False
