"""Which responses ended without a whole answer though they did not fail: refused ones, and incomplete ones.

Programs that cannot use such a response have an operator for each that makes an error of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import RequestError
from .events import ResponseOutputItemDoneEvent, ResponseRefusalDeltaEvent, ResponseRefusalDoneEvent, ServerEvent

_CUT = ("incomplete", "cancelled", "canceled")
_FAILURES = ("response.failed", "error")


class ResponseRefusedError(RequestError):
    """The model declined to answer, and `raise_on_refusal` made an error of it.

    `refusal` is what the model said.  `event` is the terminal event, with the whole response.
    """

    def __init__(
        self, refusal: str, *, event: object, response_id: str | None = None, stream_id: str | None = None
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
    """The response ended before its answer was whole, and `raise_on_incomplete` made an error of it.

    `reason` is the server's, such as "max_output_tokens" or "content_filter", and `None` if there is none.  `event` is
    the terminal event; its response has the answer so far.
    """

    def __init__(
        self, reason: str | None, *, event: object, response_id: str | None = None, stream_id: str | None = None
    ) -> None:
        super().__init__(
            f"the response is incomplete: {reason or 'no reason given'}",
            delivery="started",
            response_id=response_id,
            stream_id=stream_id,
        )
        self.reason = reason
        self.event = event


class RefusalReader:
    """Reads the events of one response after another; tells at the terminal event whether the model refused."""

    __slots__ = ("_deltas", "_items", "_texts")

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._deltas: list[str] = []
        self._texts: list[str] = []  # of refusals that are complete
        self._items: list[object] = []

    def read(self, event: ServerEvent) -> str | None:
        """Return what the model said, from the fullest source, if this is the terminal event of a refused response."""
        if event.is_terminal:
            refusal = None
            if event.type not in _FAILURES:
                refusal = refusal_of(output_of(response_in(event)) or self._items)
                if refusal is None and (self._texts or self._deltas):
                    refusal = "".join(self._texts or self._deltas)
            self._reset()
            return refusal
        if isinstance(event, ResponseRefusalDeltaEvent):
            self._deltas.append(event.delta)
        elif isinstance(event, ResponseRefusalDoneEvent):
            self._texts.append(event.refusal)
        elif isinstance(event, ResponseOutputItemDoneEvent):
            self._items.append(event.item)
        elif event.type == "response.created":
            self._reset()
        return None


def response_in(event: ServerEvent) -> object:
    """Return the response of an event, as an object or, if the event could not be read, as a mapping."""
    return getattr(event, "response", None) or event.extra.get("response")


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
