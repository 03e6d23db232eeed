"""Shared by the operators that make values of an answer: the text of the answer, and the endings without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..wire.base import Model
from ..wire.client_calls import is_client_call
from ..wire.endings import (
    OutputParseError,
    RefusalReader,
    ResponseIncompleteError,
    cut,
    has_json_format,
    is_cut,
    refused,
)
from ..wire.events import ResponseOutputItemAddedEvent, ResponseOutputItemDoneEvent, ServerEvent
from ..wire.fields import response_id_of, was_steered
from ..wire.output_text import TextReader
from ..wire.redacted import hide_secrets
from ._results import read_results

_PATH = re.compile(r" - at `(\$[^`]*)`")


class Answers:
    """Reads the answers of one response after another.

    An answer is the text of the last message that is no commentary, in a response that calls no function of the
    program.  The operator sets the functions `on_…`, which get the answer.
    """

    def __init__(self, observer: ObserverBase[Any], operator: str) -> None:
        self.on_begin: Callable[[], None] = _ignore
        """Called when a message begins, which may be the answer."""
        self.on_piece: Callable[[str], None] | None = None
        """Called with each piece of the text of this message."""
        self.on_answer: Callable[[str], None] = _ignore
        """Called with the text of the answer when the response has ended."""
        self._observer = observer
        self._operator = operator
        self._text = TextReader("final_answer")
        self._refusals = RefusalReader()
        self._calls: set[str] = set()  # ids of the calls in the response that the program has to answer
        self._outputs: set[str] = set()  # ids of the calls that the server has answered
        self._message: object = None
        self._latest: ServerEvent | None = None  # the latest event that is no piece of text
        self._has_format = False  # the response says that its request asked for the type
        self._response_id: str | None = None  # that of `_latest`, if it is a terminal event

    def subscribe(self, source: Observable[ServerEvent], scheduler: SchedulerBase | None) -> DisposableBase:
        """Subscribe to the events."""
        on_other = read_results(
            self._observer, on_event=self._on_event, on_result=self._on_result, operator=self._operator
        )
        on_next = self._text.reader(on_other, self.on_piece)
        return source.subscribe(on_next, self._observer.on_error, self._observer.on_completed, scheduler=scheduler)

    def _on_event(self, event: ServerEvent) -> None:
        self._latest = event
        if event.type == "rxresponses.budget_reached":
            self._observer.on_error(_without_answer(event))
        if event.type == "response.created":
            self._has_format = has_json_format(event)
            self._forget_calls()
        if isinstance(event, (ResponseOutputItemAddedEvent, ResponseOutputItemDoneEvent)):
            self._note(event.item)
        self._refusals.read(event)
        piece = self._text.read(event)
        if piece and self.on_piece is not None:
            self._begin(self._text.message)
            self.on_piece(piece)

    def _on_result(self, event: ServerEvent) -> None:
        self._latest, self._response_id = event, response_id_of(event) or self._text.response_id
        self._has_format = self._has_format or has_json_format(event)
        refusal = self._refusals.read(event)
        problem = self._text.finish(event)
        for item in getattr(getattr(event, "response", None), "output", ()):
            self._note(item)
        is_turn_of_tools = bool(self._calls - self._outputs)
        self._forget_calls()
        if refusal is not None:
            self._observer.on_error(refused(event, refusal))
        elif was_steered(event):
            pass  # the response that follows has the answer
        elif is_cut(event):
            self._observer.on_error(cut(event, self._text.last_message))
        elif isinstance(problem, DecodeError):
            self._observer.on_error(problem)
        elif self._text.last_message and not is_turn_of_tools:
            self._begin(self._text.message)
            self.on_answer(self._text.last_message)
        self._message = self._response_id = None
        self._has_format = False

    def _note(self, item: Model) -> None:
        call_id = getattr(item, "call_id", None) or getattr(item, "id", None) or ""
        if is_client_call(item):
            self._calls.add(call_id)
        elif str(getattr(item, "type", "")).endswith("_output"):
            self._outputs.add(call_id)

    def _forget_calls(self) -> None:
        self._calls.clear()
        self._outputs.clear()

    def _begin(self, message: object) -> None:
        if message is not self._message:
            self._message = message
            self.on_begin()

    def fail(self, error: Exception, text: str) -> None:
        """End with an error: `OutputParseError` for a text that does not fit, any other error as it is."""
        if isinstance(error, DecodeError):
            assert self._latest is not None  # the event that began the message
            shown, cause = hide_secrets(self._latest, str(error)), error
            paths = _PATH.findall(shown)
            error = OutputParseError(
                shown if len(paths) > 1 else _PATH.sub("", shown),
                text=hide_secrets(self._latest, text),
                path=paths[0] if paths else None,
                has_format=self._has_format,
                response_id=self._response_id or self._text.response_id,
                stream_id=self._latest.stream_id,
            )
            if shown == str(cause) and error.text == text:  # no secrets are in the cause
                error.__cause__ = cause
        self._observer.on_error(error)


def _without_answer(event: Any) -> ResponseIncompleteError:
    reason = (
        f"the run of tools has used {event.tokens} tokens before the model has answered, and its `max_tokens` allows "
        f"{event.max_tokens}: allow more"
    )
    return ResponseIncompleteError(reason, event=event, stream_id=event.stream_id)


def _ignore(*_: object) -> None:
    pass
