"""The calls that a client answers, of whichever type; and the input item that answers a call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from ..errors import DecodeError
from ..wire.base import Model
from ..wire.client_calls import is_client_call
from ..wire.models import (
    LocalShellCall,
    LocalShellCallOutput,
    McpApprovalRequest,
    McpApprovalResponse,
    OutputOutcomeExit,
    OutputOutcomeTimeout,
    ResponseApplyPatchToolCall,
    ResponseComputerToolCall,
    ResponseComputerToolCallOutputScreenshot,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
    ResponseFunctionToolCall,
    ResponseToolSearchCall,
    ShellCommandOutput,
)
from ..wire.requests import (
    ApplyPatchCallOutput,
    ComputerCallOutput,
    FunctionCallOutput,
    InputItem,
    ResponseCustomToolCallOutput,
    ResponseToolSearchOutputItemParam,
    ShellCallOutput,
)
from ..wire.requests.parts import output_of, text_of_value
from ..wire.requests.sent import plain_json
from .items import ANSWER_TYPES, ANSWERS, call_id_of

_BESIDES = ("id", "call_id", "status", "type", "created_by")  # fields that do not say what a call asks for


@dataclass(frozen=True)
class ClientCall:
    """A call that the client answers: an item of a response, and what all types of calls have in common."""

    item: Model
    """The output item as it was received."""
    call_id: str
    """The id that the answer names; that of an approval request is the id of its item."""
    name: str
    """The name of the function or the custom tool; of other calls, the type of their tool."""
    is_cut: bool = False
    """Whether the response ended before the call was whole, or may have: such a call is answered, but never made."""
    place: int = 0
    """The place of the item in its response."""
    reasoning: tuple[Model, ...] = ()
    """The encrypted reasoning before the call; empty if the call was not whole before the response ended."""

    @property
    def type(self) -> str:
        """The type of the item, such as `function_call`."""
        return str(getattr(self.item, "type", ""))

    @property
    def text(self) -> str:
        """What the call asks for, as text: the arguments, the input, or the other fields as JSON."""
        for field in ("arguments", "input"):
            value = getattr(self.item, field, None)
            if isinstance(value, str):
                return value
        fields = {name: value for name, value in plain_json(self.item).items() if name not in _BESIDES}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False)


def client_call(item: object, **fields: Any) -> ClientCall | None:
    """Return an output item as a call, `None` if it is none, or if the server answers the call itself.

    Raises `DecodeError` for a call without an id, because no answer could name it.
    """
    if not is_client_call(item):
        return None
    call_id = call_id_of(item, item.type)
    if not call_id:
        raise DecodeError(
            f"the server sent a {item.type} without a `call_id`, so no output can answer it, and it was not made"
        )
    name = getattr(item, "name", None) or item.type.removesuffix("_call")
    return ClientCall(item, call_id, name, **fields)


def answered_ids(items: Sequence[object]) -> frozenset[str]:
    """Return the ids of the calls for which the items of a response hold the answers of the server."""
    answers = [item for item in items if getattr(item, "type", None) in ANSWER_TYPES]
    return frozenset(call_id for item in answers if (call_id := getattr(item, "call_id", None)))


# The answer.


def output_item(call: ClientCall, value: object) -> InputItem:
    """Return the input item that answers a call with what its tool returned.

    A whole item of the right type, as an object or as a mapping, is taken as it is.  Otherwise:

    - function, custom tool: a text goes to the model as it is, and so do content parts and lists of these; any other
      value as its JSON.
    - shell: a list with an output for each command, or the text that the commands wrote to `stdout`.
    - local shell: as a function, without content parts.  Patch: `True` or a text for a change that was made, else
      `False`.
    - computer: the screenshot, or its URL.  Search for tools: the list of the tools.  Approval: whether it is given.

    Raises `InvalidRequestError` for a value that does not fit.
    """
    kind = ANSWERS[call.type]
    if getattr(value, "type", None) == kind or (isinstance(value, Mapping) and value.get("type") == kind):
        return value  # type: ignore[return-value]
    item = call.item
    if isinstance(item, ResponseFunctionToolCall):
        return FunctionCallOutput(call_id=call.call_id, output=output_of(value), caller=item.caller or UNSET)
    if isinstance(item, ResponseCustomToolCall):
        return ResponseCustomToolCallOutput(call_id=call.call_id, output=output_of(value), caller=item.caller or UNSET)
    if isinstance(item, McpApprovalRequest):
        return McpApprovalResponse(approval_request_id=call.call_id, approve=value is True)
    if isinstance(item, LocalShellCall):
        return LocalShellCallOutput(id=call.call_id, output=text_of_value(value))
    if isinstance(item, ResponseApplyPatchToolCall):
        status = "failed" if value is False else "completed"
        output = UNSET if value is None or isinstance(value, bool) else text_of_value(value)
        return ApplyPatchCallOutput(call_id=call.call_id, status=status, output=output, caller=item.caller or UNSET)
    if isinstance(item, ResponseFunctionShellToolCall):
        return _shell_output(call, item, _shell_outputs(value))
    if isinstance(item, ResponseToolSearchCall):
        return ResponseToolSearchOutputItemParam(call_id=call.call_id, execution="client", tools=value)  # type: ignore[arg-type]
    shot = ResponseComputerToolCallOutputScreenshot(image_url=value) if isinstance(value, str) else value
    # The user has approved the checks before the call was made.
    checks = getattr(item, "pending_safety_checks", None) or UNSET
    return ComputerCallOutput(call_id=call.call_id, output=shot, acknowledged_safety_checks=checks)  # type: ignore[arg-type]


def failure_item(call: ClientCall, text: str, *, timed_out: bool = False) -> InputItem | None:
    """Return the input item that tells the model why a call has no result; `None` if there is no such item."""
    item = call.item
    if isinstance(item, McpApprovalRequest):
        return McpApprovalResponse(approval_request_id=call.call_id, approve=False, reason=text)
    if isinstance(item, ResponseComputerToolCall):
        return None  # the only answer is a screenshot
    if isinstance(item, ResponseToolSearchCall):
        return output_item(call, [])
    if isinstance(item, ResponseApplyPatchToolCall):
        return ApplyPatchCallOutput(call_id=call.call_id, status="failed", output=text, caller=item.caller or UNSET)
    if isinstance(item, ResponseFunctionShellToolCall):
        outcome = OutputOutcomeTimeout() if timed_out else OutputOutcomeExit(exit_code=1)
        return _shell_output(call, item, [ShellCommandOutput(stdout="", stderr=text, outcome=outcome)])
    return output_item(call, {"error": text})


def _shell_outputs(value: object) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    text = "" if value is None else text_of_value(value)
    return [ShellCommandOutput(stdout=text, stderr="", outcome=OutputOutcomeExit(exit_code=0))]


def _shell_output(call: ClientCall, item: ResponseFunctionShellToolCall, outputs: Sequence[Any]) -> ShellCallOutput:
    # The service wants the limit that it set to be repeated.
    limit = item.action.max_output_length if item.action is not None else None
    return ShellCallOutput(
        call_id=call.call_id,
        output=outputs,
        max_output_length=UNSET if limit is None else limit,
        caller=item.caller or UNSET,
    )
