"""Which responses ended without a whole answer though they did not fail: refused ones, and incomplete ones.

Programs that cannot use such a response have an operator for each that makes an error of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import RequestError
from .assembly import Assembly
from .assembly_scopes import REFUSALS
from .events import TERMINAL_TYPES, ServerEvent

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
