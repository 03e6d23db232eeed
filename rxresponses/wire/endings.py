"""Which responses ended without an answer that a program can use, though they did not fail, and the error for each.

They are refused, incomplete, or of another type than the program asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import DecodeError, RequestError
from .assembly import Assembly
from .assembly_scopes import REFUSALS
from .events import TERMINAL_TYPES, ResponseRefusalDeltaEvent, ServerEvent
from .fields import response_id_of
from .redacted import hide_secrets, without_secrets

_PLACE = " - at `"  # what the readers of answers write between a mistake and its path
_CUT = ("incomplete", "cancelled", "canceled")
_FAILURES = ("response.failed", "error")


class ResponseRefusedError(RequestError):
    """The model declined to answer.

    Emitted by `raise_on_refusal`, and by the operators that make values of the answer.  `refusal` is the text of
    the refusal.  `event` is the terminal event, with the whole response.
    """

    def __init__(
        self, refusal: str, *, event: ServerEvent | None, response_id: str | None = None, stream_id: str | None = None
    ) -> None:
        super().__init__(
            f"the model refused to answer: {refusal or 'no reason given'}",
            delivery="started",
            response_id=response_id,
            stream_id=stream_id,
        )
        self.refusal = refusal
        self.event = event


class ResponseIncompleteError(RequestError):
    """The response ended before its answer was whole.

    Emitted by `raise_on_incomplete`, and by the operators that make values of the answer.  `reason` is the server's,
    such as "max_output_tokens" or "content_filter", and `None` if there is none.  `text` is the output text so far.
    `event` is the terminal event; that of a run of tools which ended at its `max_tokens` is a `BudgetReachedEvent`.
    """

    def __init__(
        self,
        reason: str | None,
        *,
        event: ServerEvent | None,
        text: str = "",
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        super().__init__(
            f"the response is incomplete: {reason or 'no reason given'}",
            delivery="started",
            response_id=response_id,
            stream_id=stream_id,
        )
        self.reason = reason
        self.text = text
        self.event = event


class OutputParseError(RequestError, DecodeError):
    """The answer is whole, but its text is no JSON, or does not fit the type.

    Emitted by the operators that make values of the answer.  `text` is the text of the answer, or of the element of a
    list.  `reason` says what is wrong with it.  `path` is the place of the mistake, such as `$.days[0].name`; `None` if
    the text is no JSON.  Of several mistakes, `reason` has the place of each, and `path` is the first.  The text of the
    error has all of that; a program can show it, or send it to the model.
    """

    def __init__(
        self,
        reason: str,
        *,
        text: str,
        path: str | None = None,
        has_format: bool = False,
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        place = "" if path is None or _PLACE in reason else f"{_PLACE}{path}`"
        advice = "" if has_format else "ask for the type with `text_format`, or "
        super().__init__(
            f"the answer does not fit: {reason}{place}; {advice}send the request again",
            delivery="started",
            response_id=response_id,
            stream_id=stream_id,
        )
        self.reason = reason
        self.text = text
        self.path = path


class RefusalReader:
    """Reads the events of one response after another; tells at the terminal event whether the model refused."""

    __slots__ = ("_assembly",)

    def __init__(self) -> None:
        self._assembly = Assembly(REFUSALS)

    def read(self, event: ServerEvent) -> str | None:
        """Return what the model said, from the fullest source, if this is the terminal event of a refused response."""
        if event.type not in TERMINAL_TYPES:
            if type(event) in REFUSALS.folds:
                self._assembly.add(event)
            return None
        refusal = None
        if event.type not in _FAILURES:
            whole = self._assembly.finish(event)
            # The event may be one that could not be read.
            refusal = refusal_of(output_of(response_in(event) if whole is None else whole))
            if refusal is None:
                refusal = refusal_of([item.build() for item in self._assembly.items()])
        self._assembly.reset()
        return refusal


class RefusalPieces:
    """Reads the refusals of one response after another, in the pieces in which they come."""

    __slots__ = ("_assembly", "_read")

    def __init__(self) -> None:
        self._assembly = Assembly(REFUSALS)
        self._read = ""  # of the running response

    def read(self, event: ServerEvent) -> str:
        """Return what an event adds to the refusal; failures add nothing."""
        assembly = self._assembly
        if event.type in TERMINAL_TYPES:
            response = assembly.finish(event)
            piece = self._rest(refusal_of(None if response is None else response.output))
            assembly.reset()
            self._read = ""
            return piece
        if not assembly.add(event):
            return ""
        if isinstance(event, ResponseRefusalDeltaEvent):
            self._read += assembly.piece
            return assembly.piece
        if event.type == "response.created" and not assembly.items():
            self._read = ""  # the response before was cut off
        return self._rest(refusal_of([item.build() for item in assembly.items()]))

    def _rest(self, whole: str | None) -> str:
        if whole is None or not whole.startswith(self._read):
            return ""
        piece, self._read = whole[len(self._read) :], whole
        return piece


def refused(event: ServerEvent, refusal: str) -> ResponseRefusedError:
    """Return the error for the terminal event of a refused response."""
    shown = without_secrets(event)
    return ResponseRefusedError(
        hide_secrets(event, refusal), event=shown, response_id=response_id_of(shown), stream_id=event.stream_id
    )


def cut(event: ServerEvent, text: str) -> ResponseIncompleteError:
    """Return the error for the terminal event of an incomplete response, with the text so far."""
    shown = without_secrets(event)
    return ResponseIncompleteError(
        reason_of(response_in(shown)),
        event=shown,
        text=hide_secrets(event, text),
        response_id=response_id_of(shown),
        stream_id=event.stream_id,
    )


def response_in(event: ServerEvent) -> object:
    """Return the response of an event, as an object or, if the event could not be read, as a mapping."""
    return getattr(event, "response", None) or event.extra.get("response")


def has_json_format(event: ServerEvent) -> bool:
    """Whether the response of an event says that its request asked for JSON of a schema."""
    kind: object = _get(_get(_get(response_in(event), "text"), "format"), "type")
    return kind == "json_schema"


def refusal_of(output: object) -> str | None:
    """Return what the model said when it refused, `None` if no message of these output items is a refusal."""
    refusals = [part for item in _list(output) for part in _refusals(item)]
    return "".join(refusals) if refusals else None


def output_of(response: object) -> object:
    """Return the output items of a response."""
    return _get(response, "output")


def is_incomplete(response: object) -> bool:
    """Whether the response ended before its answer was whole."""
    return _get(response, "status") in _CUT


def is_cut(event: ServerEvent) -> bool:
    """Whether a terminal event ends an incomplete response."""
    return event.type == "response.incomplete" or is_incomplete(response_in(event))


def reason_of(response: object) -> str | None:
    """Return why a response is incomplete, `None` if the server gives no reason."""
    reason = _get(_get(response, "incomplete_details"), "reason")
    return reason if isinstance(reason, str) else None


def _refusals(item: object) -> Iterator[str]:
    for part in _list(_get(item, "content")):
        if _get(part, "type") == "refusal":
            yield str(_get(part, "refusal") or "")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _get(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
