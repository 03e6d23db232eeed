"""The events of one response, in the order and the form of the service."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from .history import IdGenerator
from .items import CALL_OUTPUTS, pieces
from .jsontext import JSON
from .outputs import (
    ApplyPatchCall,
    CustomToolCall,
    FunctionCall,
    Interleaved,
    Item,
    Json,
    LocalShellCall,
    McpApprovalRequest,
    Output,
    Reasoning,
    Refusal,
    ShellCall,
    Text,
    arguments_text,
)
from .replies import INTERVENTIONS, Failure, Intervention, Usage
from .transcript import Frame

_ECHOED: JSON = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "model": "embedded-test-server",
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
"""The fields of a request that its response repeats, with the defaults of the service."""

Event = JSON


def new_response(body: JSON, response_id: str, created_at: int) -> JSON:
    """Return the response object as it is when the response is created."""
    echoed = {key: body[key] if body.get(key) is not None else value for key, value in _ECHOED.items()}
    optional = {key: body[key] for key in ("prompt", "conversation") if body.get(key) is not None}
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        **echoed,
        **optional,
    }


class EventGenerator:
    """Makes the events of one response, each only when it is needed.

    When `steered` is set, the response ends before its next output or its next delta of a message.  Reasoning
    and the arguments of a call are finished first.  If the response has a call, a steer does not end it early.

    Args:
        response: the response object, as `new_response` returns it.  It is changed as the response proceeds.
        ids: makes the ids of the output items.
        clock: the wall time in seconds, for the timestamps inside the response.
        input_tokens: the number of input tokens to report.
        cached_tokens: how many of them to report as cached.
        encrypted: whether reasoning items have `encrypted_content`.
        usage: numbers of tokens to report instead of those that are counted.
        cut: the reason why the response is incomplete after its last output, `None` if it is complete.
    """

    def __init__(
        self,
        response: JSON,
        *,
        ids: IdGenerator,
        clock: Callable[[], float],
        input_tokens: int = 0,
        cached_tokens: int = 0,
        encrypted: bool = False,
        usage: Usage | None = None,
        cut: str | None = None,
    ) -> None:
        self.response = response
        self.steered = False
        self._ids = ids
        self._clock = clock
        self._input_tokens = input_tokens
        self._cached_tokens = cached_tokens
        self._encrypted = encrypted
        self._reported = usage or Usage()
        self._cut = cut
        self._is_last = False  # whether the output is the last one
        self._items = 0  # items that were added
        self._output: dict[int, JSON] = {}  # the items that are done, by their index
        self._output_tokens = 0
        self._reasoning_tokens = 0
        self._early_end: str | None = None  # the reason why the response ends early

    def events(self, outputs: Sequence[Output | Intervention]) -> Iterator[Event | Frame | Intervention]:
        """Yield the events for `outputs`, without `sequence_number` and `stream_id`, which the session adds.

        Interventions are yielded at their place.
        """
        yield self._response_event("created")
        yield self._response_event("in_progress")
        last = max((index for index, output in enumerate(outputs) if not isinstance(output, INTERVENTIONS)), default=-1)
        for index, output in enumerate(outputs):
            self._check_early_end()
            if self._early_end:
                break
            self._is_last = index == last
            if isinstance(output, INTERVENTIONS):
                yield output
            else:
                yield from self._events_of(output)
        yield self._terminal_event()

    def failure(self, failure: Failure, *, created: bool) -> Iterator[JSON]:
        """Yield the `error` event, and `response.failed` if the client knows the response already (`created`)."""
        error: JSON = {
            "type": failure.error_type,
            "code": failure.code,
            "message": failure.error_message,
            "param": failure.param,
        }
        if failure.headers is not None:
            error["headers"] = dict(failure.headers)
        yield {"type": "error", "status": failure.http_status, "error": error}
        if created:
            self.response |= {"status": "failed", "error": {"code": failure.code, "message": failure.error_message}}
            yield self._response_event("failed")

    def _events_of(self, output: Output) -> Iterator[Event | Frame]:
        if isinstance(output, Text):
            yield from self._message("output_text", "text", output.deltas or pieces(output.text), output.phase)
        elif isinstance(output, Json):
            yield from self._message("output_text", "text", pieces(output.text))
        elif isinstance(output, Refusal):
            yield from self._message("refusal", "refusal", pieces(output.text))
        elif isinstance(output, Reasoning):
            yield from self._reasoning(output)
        elif isinstance(output, FunctionCall):
            item: JSON = {"type": "function_call", "status": "in_progress", "arguments": ""}
            item |= {"call_id": output.call_id or self._ids.new("call"), "name": output.name}
            yield from self._call("fc", item, "function_call_arguments", "arguments", arguments_text(output.arguments))
        elif isinstance(output, CustomToolCall):
            item = {"type": "custom_tool_call", "status": "in_progress", "input": ""}
            item |= {"call_id": output.call_id or self._ids.new("call"), "name": output.name}
            yield from self._call("ctc", item, "custom_tool_call_input", "input", output.input)
        elif isinstance(output, ApplyPatchCall):
            yield from self._apply_patch_call(output)
        elif isinstance(output, ShellCall):
            yield from self._shell_call(output)
        elif isinstance(output, LocalShellCall):
            yield from self._local_shell_call(output)
        elif isinstance(output, McpApprovalRequest):
            item = {"id": output.id or self._ids.new("mcpr"), "type": "mcp_approval_request"}
            item |= {"arguments": arguments_text(output.arguments), "name": output.name}
            yield from self._whole({**item, "server_label": output.server_label})
        elif isinstance(output, Item):
            yield from self._whole({"id": self._ids.new("item"), **output.item})
        elif isinstance(output, Interleaved):
            yield from self._interleaved(output.outputs)
        else:
            yield from (Frame.exactly(frame) for frame in output.frames)

    def _interleaved(self, outputs: Sequence[Output]) -> Iterator[Event | Frame]:
        running = [self._events_of(output) for output in outputs]
        while running:
            for events in list(running):
                event = next(events, None)
                if event is None:
                    running.remove(events)
                else:
                    yield event

    def _message(self, part_type: str, field: str, deltas: Iterable[str], phase: str | None = None) -> Iterator[JSON]:
        item: JSON = {"id": self._ids.new("msg"), "type": "message", "status": "in_progress"}
        item |= {"role": "assistant", "content": []} | ({"phase": phase} if phase is not None else {})
        part: JSON = {"type": part_type, field: ""}
        extra: JSON = {}
        if part_type == "output_text":
            part |= {"annotations": [], "logprobs": []}
            extra = {"logprobs": []}
        index = self._take_index()
        yield self._added(index, item)
        position = {"item_id": item["id"], "output_index": index, "content_index": 0}
        yield {"type": "response.content_part.added", **position, "part": part}
        text = ""
        for delta in self._deltas(deltas):
            text += delta
            yield {"type": f"response.{part_type}.delta", **position, "delta": delta, **extra}
        part = {**part, field: text}
        yield {"type": f"response.{part_type}.done", **position, field: text, **extra}
        yield {"type": "response.content_part.done", **position, "part": part}
        yield self._done(index, {**item, "status": self._item_status(), "content": [part]})

    def _reasoning(self, output: Reasoning) -> Iterator[JSON]:
        item: JSON = {"id": self._ids.new("rs"), "type": "reasoning", "summary": []}
        if self._encrypted:
            item["encrypted_content"] = output.encrypted_content or self._ids.new("enc")
        index = self._take_index()
        yield self._added(index, item)
        before = self._output_tokens
        done = dict(item)
        if output.text is not None:
            position = {"item_id": item["id"], "output_index": index, "content_index": 0}
            done["content"] = yield from self._reasoning_part("reasoning_text", "content_part", position, output.text)
        for number, text in enumerate([output.summary] if isinstance(output.summary, str) else output.summary):
            if self._early_end:
                break
            position = {"item_id": item["id"], "output_index": index, "summary_index": number}
            part = yield from self._reasoning_part("summary_text", "reasoning_summary_part", position, text)
            done["summary"] = done["summary"] + part
        self._reasoning_tokens += self._output_tokens - before
        yield self._done(index, done)

    def _reasoning_part(
        self, kind: str, part_event: str, position: JSON, text: str
    ) -> Generator[JSON, None, list[JSON]]:
        text_event = "reasoning_text" if kind == "reasoning_text" else "reasoning_summary_text"
        empty = {"type": kind, "text": ""}
        yield {"type": f"response.{part_event}.added", **position, "part": empty}
        sent = ""
        for delta in self._deltas(pieces(text), interruptible=False):
            sent += delta
            yield {"type": f"response.{text_event}.delta", **position, "delta": delta}
        part = {**empty, "text": sent}
        yield {"type": f"response.{text_event}.done", **position, "text": sent}
        yield {"type": f"response.{part_event}.done", **position, "part": part}
        return [part]

    def _call(self, prefix: str, item: JSON, event: str, field: str, text: str) -> Iterator[JSON]:
        """Yield the events of a call whose input is a text in the field `field`."""
        item = {"id": self._ids.new(prefix), **item}
        index = self._take_index()
        yield self._added(index, item)
        position = {"item_id": item["id"], "output_index": index}
        sent = ""
        for delta in self._deltas(pieces(text), interruptible=False):
            sent += delta
            yield {"type": f"response.{event}.delta", **position, "delta": delta}
        name = {"name": item["name"]} if item["type"] == "function_call" else {}
        yield {"type": f"response.{event}.done", **position, **name, field: sent}
        yield self._done(index, {**item, "status": self._item_status(), field: sent})

    def _apply_patch_call(self, output: ApplyPatchCall) -> Iterator[JSON]:
        item: JSON = {"id": self._ids.new("apc"), "type": "apply_patch_call", "status": "in_progress"}
        item["call_id"] = output.call_id or self._ids.new("call")
        operation: JSON = {"type": output.operation, "path": output.path}
        if output.diff is None:
            yield from self._whole({**item, "status": "completed", "operation": operation})
            return
        index = self._take_index()
        yield self._added(index, {**item, "operation": {**operation, "diff": ""}})
        position = {"item_id": item["id"], "output_index": index}
        sent = ""
        for delta in self._deltas(pieces(output.diff), interruptible=False):
            sent += delta
            yield {"type": "response.apply_patch_call_operation_diff.delta", **position, "delta": delta}
        yield {"type": "response.apply_patch_call_operation_diff.done", **position, "diff": sent}
        yield self._done(index, {**item, "status": self._item_status(), "operation": {**operation, "diff": sent}})

    def _shell_call(self, output: ShellCall) -> Iterator[JSON]:
        action: JSON = {"max_output_length": output.max_output_length, "timeout_ms": output.timeout_ms}
        item: JSON = {"id": self._ids.new("sh"), "type": "shell_call", "status": "in_progress"}
        item["call_id"] = output.call_id or self._ids.new("call")
        index = self._take_index()
        yield self._added(index, {**item, "action": {"commands": [], **action}})
        commands = []
        for number, command in enumerate(output.commands):
            position = {"output_index": index, "command_index": number}
            yield {"type": "response.shell_call_command.added", **position, "command": ""}
            sent = ""
            for delta in self._deltas(pieces(command), interruptible=False):
                sent += delta
                yield {"type": "response.shell_call_command.delta", **position, "delta": delta}
            yield {"type": "response.shell_call_command.done", **position, "command": sent}
            commands.append(sent)
        yield self._done(index, {**item, "status": self._item_status(), "action": {"commands": commands, **action}})

    def _local_shell_call(self, output: LocalShellCall) -> Iterator[JSON]:
        action: JSON = {"type": "exec", "command": list(output.command), "env": dict(output.env)}
        optional = {name: getattr(output, name) for name in ("timeout_ms", "user", "working_directory")}
        action |= {name: value for name, value in optional.items() if value is not None}
        item: JSON = {"id": self._ids.new("lsh"), "type": "local_shell_call", "status": "completed", "action": action}
        yield from self._whole({**item, "call_id": output.call_id or self._ids.new("call")})

    def _whole(self, item: JSON) -> Iterator[JSON]:
        """Yield the events of an item that comes in one piece."""
        index = self._take_index()
        yield self._added(index, {**item, "status": "in_progress"} if "status" in item else item)
        yield self._done(index, item)

    def _take_index(self) -> int:
        """Return the index of the next item, and count it."""
        self._items += 1
        return self._items - 1

    def _added(self, index: int, item: JSON) -> JSON:
        return {"type": "response.output_item.added", "output_index": index, "item": item}

    def _done(self, index: int, item: JSON) -> JSON:
        self._output[index] = item
        return {"type": "response.output_item.done", "output_index": index, "item": item}

    def _item_status(self) -> str:
        return "incomplete" if self._early_end or (self._cut is not None and self._is_last) else "completed"

    def _deltas(self, deltas: Iterable[str], *, interruptible: bool = True) -> Iterator[str]:
        """Yield `deltas` until the response has to end early.  Each delta counts as one token."""
        for delta in deltas:
            self._check_early_end(interruptible=interruptible)
            if self._early_end:
                return
            self._output_tokens += 1
            yield delta

    def _check_early_end(self, *, interruptible: bool = True) -> None:
        """Set the reason why the response ends here, if there is a reason.  If not `interruptible`, ignore steers."""
        called = any(item["type"] in CALL_OUTPUTS for item in self._output.values())
        if self.steered and interruptible and not called:  # after a call the next input must be its output
            self._early_end = "steered"
        elif self._output_tokens == self.response["max_output_tokens"]:
            self._early_end = "max_output_tokens"

    def _terminal_event(self) -> JSON:
        self.response |= {"usage": self._usage(), "service_tier": "default"}
        reason = self._early_end or self._cut
        if reason is not None:
            self.response |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
            return self._response_event("incomplete")
        self.response |= {"status": "completed", "completed_at": int(self._clock())}
        return self._response_event("completed")

    def _response_event(self, phase: str) -> JSON:
        self.response["output"] = [item for _, item in sorted(self._output.items())]
        return {"type": f"response.{phase}", "response": dict(self.response)}

    def _usage(self) -> JSON:
        reported = self._reported
        input_tokens = _given(reported.input_tokens, self._input_tokens)
        output_tokens = _given(reported.output_tokens, self._output_tokens)
        cached = _given(reported.cached_tokens, self._cached_tokens)
        return {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": _given(reported.reasoning_tokens, self._reasoning_tokens)},
            "total_tokens": input_tokens + output_tokens,
        }


def _given(value: int | None, default: int) -> int:
    return value if value is not None else default
