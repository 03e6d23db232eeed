"""Events that this library makes itself, and emits between the events of the server in the stream of a conversation."""

from __future__ import annotations

import json
from dataclasses import field
from typing import Any, Literal

from ..raised import named_text
from ..wire.base import Model, model
from ..wire.events import ServerEvent
from ..wire.json_config import json_config
from ..wire.requests import InputItem, ResponseCreate
from ..wire.requests.sent import plain_json
from .settings import without_secrets


def _text_of_error(error: object) -> str:
    return named_text(error) if isinstance(error, BaseException) else str(error)


@model
class ConversationEvent(ServerEvent):
    """Base of the events that this library makes itself: `isinstance(event, ConversationEvent)` tells them apart.

    They are `ServerEvent`s, so that every operator accepts the stream of a conversation; the operators for the events
    of the server ignore them.  No frame of a server becomes such an event, whatever its `type`.  `raw` is `None`.
    """

    def __init_subclass__(cls) -> None:
        """Do not register the class as `ServerEvent` does: frames of a server would be decoded to it."""


@model
class TurnStartedEvent(ConversationEvent):
    """A turn begins: `request` is sent next.  `turn` is its number, from 1 in each subscription."""

    turn: int
    request: ResponseCreate
    type: Literal["rxresponses.turn_started"] = "rxresponses.turn_started"

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return plain JSON data, without the credentials of tools: events are logged, requests are not."""
        request = self.request.to_dict(encode_json)
        shown = {name: without_secrets(name, value) for name, value in request.items()}
        return {**super().to_dict(encode_json), "request": shown}


@model
class HistorySentEvent(ConversationEvent):
    """The whole conversation is sent, in place of the new items only; `reason` says why.

    `items` is the number of input items, new ones included.  The model reads them all again, which costs time, and
    money where they are not cached.
    """

    reason: str = ""  # with a default, because `ServerEvent` has a property of this name
    items: int = 0
    type: Literal["rxresponses.history_sent"] = "rxresponses.history_sent"


@model
class ToolCallEvent(ConversationEvent):
    """Base of the events about one call: `call` is its output item, and `name` the name of its tool.

    `arguments` is what the call asks for: the JSON data of the arguments of a function, the text for a custom tool, or
    the whole item for a shell, a patch or a computer.  Arguments that are no JSON are there as the text that came.
    """

    call: Model
    call_id: str
    name: str
    arguments: Any = None


@model
class ToolApprovalEvent(ToolCallEvent):
    """A call waits for the user: `approve` of the run is asked with this event."""

    type: Literal["rxresponses.tool_approval"] = "rxresponses.tool_approval"


@model
class ToolCallStartedEvent(ToolCallEvent):
    """The tool starts to run; its output or its error follows in a `ToolCallOutputEvent` or a `ToolCallFailedEvent`.

    A call that is not made has no such event: its arguments do not fit, no tool has its name, the user did not approve
    it, the response was cut inside it, or its output comes from the ledger of an earlier run.
    """

    type: Literal["rxresponses.tool_call_started"] = "rxresponses.tool_call_started"


@model
class ToolCallOutputEvent(ToolCallEvent):
    """A call has an output: `output` is the input item for the next request, `seconds` is how long the tool ran.

    `seconds` is 0 if the output comes from the ledger of an earlier run, and for an approval request of the server.
    `text` is the output alone, to be shown.
    """

    output: InputItem
    seconds: float
    type: Literal["rxresponses.tool_call_output"] = "rxresponses.tool_call_output"

    @property
    def text(self) -> str:
        """What the model reads: the text of the output, and JSON for an output of several parts."""
        item = plain_json(self.output)
        found = item.get("output", item) if isinstance(item, dict) else item
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)


@model
class ToolCallFailedEvent(ToolCallEvent):
    """A call has no result: `error` says why; `output` is the input item for the model, `None` if the run ends.

    `error` is the exception of the tool, a `DecodeError` for arguments that do not fit, or a `ToolCallError`, whose
    `reason` says why the call was not made or not awaited.  Only a call that was made has a `ToolCallStartedEvent`
    before.
    """

    error: Any = field(metadata=json_config(encoder=_text_of_error))
    output: InputItem | None
    seconds: float
    type: Literal["rxresponses.tool_call_failed"] = "rxresponses.tool_call_failed"


@model
class BudgetReachedEvent(ConversationEvent):
    """The run ends before the model is done: its responses have used `tokens`, and `max_tokens` are allowed.

    The calls of the last response wait for an answer.  `outputs` holds the answers to those that were made.
    """

    tokens: int
    max_tokens: int
    outputs: list[InputItem] = field(default_factory=list)
    type: Literal["rxresponses.budget_reached"] = "rxresponses.budget_reached"


def _texts_of_errors(errors: Any) -> list[str]:
    return [_text_of_error(error) for error in errors]


@model
class FallbackEvent(ConversationEvent):
    """A choice of a fallback answers: the events that follow are its own.

    `choice` is its number, counted from 0, and `name` its model or its sender.  `errors` are those of the choices that
    were tried before, in order; their names are in `tried`.
    """

    choice: int
    name: str
    tried: list[str] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list, metadata=json_config(encoder=_texts_of_errors))
    type: Literal["rxresponses.fallback"] = "rxresponses.fallback"
