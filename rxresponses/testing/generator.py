"""The events of one response, in the order and the form of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from .history import IdGenerator
from .items import CALL_OUTPUTS, pieces
from .jsontext import JSON, encode
from .replies import Failure, FunctionCall, Output, Reasoning, Refusal, Text
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
    ) -> None:
        self.response = response
        self.steered = False
        self._ids = ids
        self._clock = clock
        self._input_tokens = input_tokens
        self._cached_tokens = cached_tokens
        self._encrypted = encrypted
        self._output: list[JSON] = []
        self._output_tokens = 0
        self._reasoning_tokens = 0
        self._early_end: str | None = None  # the reason why the response ends early

    def events(self, outputs: Sequence[Output]) -> Iterator[Event | Frame]:
        """Yield the events for `outputs`, without `sequence_number` and `stream_id`, which the session adds."""
        yield self._response_event("created")
        yield self._response_event("in_progress")
        for output in outputs:
            self._check_early_end()
            if self._early_end:
                break
            yield from self._events_of(output)
        yield self._terminal_event()

    def failure(self, failure: Failure, *, created: bool) -> Iterator[JSON]:
        """Yield the `error` event, and `response.failed` if the client knows the response already (`created`)."""
        error: JSON = {
            "type": failure.error_type,
            "code": failure.code,
            "message": failure.message,
            "param": failure.param,
        }
        if failure.headers is not None:
            error["headers"] = dict(failure.headers)
        yield {"type": "error", "status": failure.http_status, "error": error}
        if created:
            self.response |= {"status": "failed", "error": {"code": failure.code, "message": failure.message}}
            yield self._response_event("failed")

    def _events_of(self, output: Output) -> Iterator[Event | Frame]:
        if isinstance(output, Text):
            yield from self._message("output_text", "text", output.deltas or pieces(output.text))
        elif isinstance(output, Refusal):
            yield from self._message("refusal", "refusal", pieces(output.text))
        elif isinstance(output, Reasoning):
            yield from self._reasoning(output)
        elif isinstance(output, FunctionCall):
            yield from self._function_call(output)
        else:
            yield from (Frame.exactly(frame) for frame in output.frames)

    def _message(self, part_type: str, field: str, deltas: Iterable[str]) -> Iterator[JSON]:
        item: JSON = {"id": self._ids.new("msg"), "type": "message", "status": "in_progress"}
        item |= {"role": "assistant", "content": []}
        part: JSON = {"type": part_type, field: ""}
        extra: JSON = {}
        if part_type == "output_text":
            part |= {"annotations": [], "logprobs": []}
            extra = {"logprobs": []}
        yield self._item_event("added", item)
        position = {"item_id": item["id"], "output_index": len(self._output), "content_index": 0}
        yield {"type": "response.content_part.added", **position, "part": part}
        text = ""
        for delta in self._deltas(deltas):
            text += delta
            yield {"type": f"response.{part_type}.delta", **position, "delta": delta, **extra}
        part = {**part, field: text}
        yield {"type": f"response.{part_type}.done", **position, field: text, **extra}
        yield {"type": "response.content_part.done", **position, "part": part}
        yield self._item_event("done", {**item, "status": self._item_status(), "content": [part]})

    def _reasoning(self, output: Reasoning) -> Iterator[JSON]:
        texts = [output.summary] if isinstance(output.summary, str) else output.summary
        item: JSON = {"id": self._ids.new("rs"), "type": "reasoning", "summary": []}
        if self._encrypted:
            item["encrypted_content"] = self._ids.new("enc")
        yield self._item_event("added", item)
        summary = []
        before = self._output_tokens
        for index, text in enumerate(texts):
            position = {"item_id": item["id"], "output_index": len(self._output), "summary_index": index}
            empty = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", **position, "part": empty}
            sent = ""
            for delta in self._deltas(pieces(text), interruptible=False):
                sent += delta
                yield {"type": "response.reasoning_summary_text.delta", **position, "delta": delta}
            part = {**empty, "text": sent}
            yield {"type": "response.reasoning_summary_text.done", **position, "text": sent}
            yield {"type": "response.reasoning_summary_part.done", **position, "part": part}
            summary.append(part)
            if self._early_end:
                break
        self._reasoning_tokens += self._output_tokens - before
        yield self._item_event("done", {**item, "summary": summary})

    def _function_call(self, output: FunctionCall) -> Iterator[JSON]:
        arguments = output.arguments if isinstance(output.arguments, str) else encode(dict(output.arguments))
        item: JSON = {"id": self._ids.new("fc"), "type": "function_call", "status": "in_progress", "arguments": ""}
        item |= {"call_id": output.call_id or self._ids.new("call"), "name": output.name}
        yield self._item_event("added", item)
        position = {"item_id": item["id"], "output_index": len(self._output)}
        sent = ""
        for delta in self._deltas(pieces(arguments), interruptible=False):
            sent += delta
            yield {"type": "response.function_call_arguments.delta", **position, "delta": delta}
        yield {"type": "response.function_call_arguments.done", **position, "name": output.name, "arguments": sent}
        yield self._item_event("done", {**item, "status": self._item_status(), "arguments": sent})

    def _item_event(self, phase: str, item: JSON) -> JSON:
        """Return the event that an item was `added` or is `done`."""
        event = {"type": f"response.output_item.{phase}", "output_index": len(self._output), "item": item}
        if phase == "done":
            self._output.append(item)
        return event

    def _item_status(self) -> str:
        return "incomplete" if self._early_end else "completed"

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
        called = any(item["type"] in CALL_OUTPUTS for item in self._output)
        if self.steered and interruptible and not called:  # after a call the next input must be its output
            self._early_end = "steered"
        elif self._output_tokens == self.response["max_output_tokens"]:
            self._early_end = "max_output_tokens"

    def _terminal_event(self) -> JSON:
        self.response |= {"usage": self._usage(), "service_tier": "default"}
        if self._early_end:
            self.response |= {"status": "incomplete", "incomplete_details": {"reason": self._early_end}}
            return self._response_event("incomplete")
        self.response |= {"status": "completed", "completed_at": int(self._clock())}
        return self._response_event("completed")

    def _response_event(self, phase: str) -> JSON:
        self.response["output"] = list(self._output)
        return {"type": f"response.{phase}", "response": dict(self.response)}

    def _usage(self) -> JSON:
        return {
            "input_tokens": self._input_tokens,
            "input_tokens_details": {"cached_tokens": self._cached_tokens, "cache_write_tokens": 0},
            "output_tokens": self._output_tokens,
            "output_tokens_details": {"reasoning_tokens": self._reasoning_tokens},
            "total_tokens": self._input_tokens + self._output_tokens,
        }
