"""The events of one response, in the order and the shape of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from .history import Ids
from .items import CALL_OUTPUTS, pieces
from .replies import Failure, FunctionCall, Output, Reasoning, Refusal, Text
from .transcript import Frame
from .wire import JSON, encode

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
"""What a response repeats of its request, with the defaults of the service."""

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


class Answer:
    """Builds the events of one response, one at a time, as they are asked for.

    Set `steered` to make it end at the next safe boundary.
    """

    def __init__(
        self,
        response: JSON,
        *,
        ids: Ids,
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
        self._cut: str | None = None  # why the response ends early

    def events(self, outputs: Sequence[Output]) -> Iterator[Event | Frame]:
        """Yield the events for `outputs`: without `sequence_number` and `stream_id`, which are the session's."""
        yield self._lifecycle("created")
        yield self._lifecycle("in_progress")
        for output in outputs:
            self._look_for_cut()
            if self._cut:
                break
            yield from self._events_of(output)
        yield self._end()

    def failure(self, failure: Failure, *, created: bool) -> Iterator[JSON]:
        """Yield the `error`, and `response.failed` if the response was `created`."""
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
            yield self._lifecycle("failed")

    def _events_of(self, output: Output) -> Iterator[Event | Frame]:
        if isinstance(output, Text):
            yield from self._message("output_text", "text", output.deltas)
        elif isinstance(output, Refusal):
            yield from self._message("refusal", "refusal", pieces(output.text))
        elif isinstance(output, Reasoning):
            yield from self._reasoning(output)
        elif isinstance(output, FunctionCall):
            yield from self._function_call(output)
        else:
            yield from (Frame.exactly(frame) for frame in output.frames)

    def _message(self, kind: str, field: str, deltas: Iterable[str]) -> Iterator[JSON]:
        item: JSON = {"id": self._ids.new("msg"), "type": "message", "status": "in_progress"}
        item |= {"role": "assistant", "content": []}
        part: JSON = {"type": kind, field: ""}
        extra: JSON = {}
        if kind == "output_text":
            part |= {"annotations": [], "logprobs": []}
            extra = {"logprobs": []}
        yield self._item("added", item)
        place = {"item_id": item["id"], "output_index": len(self._output), "content_index": 0}
        yield {"type": "response.content_part.added", **place, "part": part}
        text = ""
        for delta in self._spend(deltas):
            text += delta
            yield {"type": f"response.{kind}.delta", **place, "delta": delta, **extra}
        part = {**part, field: text}
        yield {"type": f"response.{kind}.done", **place, field: text, **extra}
        yield {"type": "response.content_part.done", **place, "part": part}
        yield self._item("done", {**item, "status": self._item_status(), "content": [part]})

    def _reasoning(self, output: Reasoning) -> Iterator[JSON]:
        texts = [output.summary] if isinstance(output.summary, str) else output.summary
        item: JSON = {"id": self._ids.new("rs"), "type": "reasoning", "summary": []}
        if self._encrypted:
            item["encrypted_content"] = self._ids.new("enc")
        yield self._item("added", item)
        summary = []
        before = self._output_tokens
        for index, text in enumerate(texts):
            place = {"item_id": item["id"], "output_index": len(self._output), "summary_index": index}
            empty = {"type": "summary_text", "text": ""}
            yield {"type": "response.reasoning_summary_part.added", **place, "part": empty}
            told = ""
            for delta in self._spend(pieces(text), interruptible=False):
                told += delta
                yield {"type": "response.reasoning_summary_text.delta", **place, "delta": delta}
            part = {**empty, "text": told}
            yield {"type": "response.reasoning_summary_text.done", **place, "text": told}
            yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
            summary.append(part)
            if self._cut:
                break
        self._reasoning_tokens += self._output_tokens - before
        yield self._item("done", {**item, "summary": summary})

    def _function_call(self, output: FunctionCall) -> Iterator[JSON]:
        arguments = output.arguments if isinstance(output.arguments, str) else encode(dict(output.arguments))
        item: JSON = {"id": self._ids.new("fc"), "type": "function_call", "status": "in_progress", "arguments": ""}
        item |= {"call_id": output.call_id or self._ids.new("call"), "name": output.name}
        yield self._item("added", item)
        place = {"item_id": item["id"], "output_index": len(self._output)}
        told = ""
        for delta in self._spend(pieces(arguments), interruptible=False):
            told += delta
            yield {"type": "response.function_call_arguments.delta", **place, "delta": delta}
        yield {"type": "response.function_call_arguments.done", **place, "name": output.name, "arguments": told}
        yield self._item("done", {**item, "status": self._item_status(), "arguments": told})

    def _item(self, phase: str, item: JSON) -> JSON:
        event = {"type": f"response.output_item.{phase}", "output_index": len(self._output), "item": item}
        if phase == "done":
            self._output.append(item)
        return event

    def _item_status(self) -> str:
        return "incomplete" if self._cut else "completed"

    def _spend(self, deltas: Iterable[str], *, interruptible: bool = True) -> Iterator[str]:
        """Yield `deltas`, each taken for one token, until the response has to end."""
        for delta in deltas:
            self._look_for_cut(interruptible=interruptible)
            if self._cut:
                return
            self._output_tokens += 1
            yield delta

    def _look_for_cut(self, *, interruptible: bool = True) -> None:
        called = any(item["type"] in CALL_OUTPUTS for item in self._output)
        if self.steered and interruptible and not called:  # a call has to be answered before anything else
            self._cut = "steered"
        elif self._output_tokens == self.response["max_output_tokens"]:
            self._cut = "max_output_tokens"

    def _end(self) -> JSON:
        self.response |= {"usage": self._usage(), "service_tier": "default"}
        if self._cut:
            self.response |= {"status": "incomplete", "incomplete_details": {"reason": self._cut}}
            return self._lifecycle("incomplete")
        self.response |= {"status": "completed", "completed_at": int(self._clock())}
        return self._lifecycle("completed")

    def _lifecycle(self, phase: str) -> JSON:
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
