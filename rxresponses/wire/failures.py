"""Turns the events that mean a failure into errors; no other module does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import Delivery, ResponseFailedError, SteerPendingError, UnreadableResponseError
from ..redaction import error_text
from ..waits import stated_time, stated_wait
from .base import Model
from .events import (
    TERMINAL_TYPES,
    LifecycleEvent,
    ResponseErrorEvent,
    ResponseSteerPendingEvent,
    ServerEvent,
    SteerError,
    UnknownEvent,
)
from .events.base import ERROR_TYPES
from .fields import named_response_id, response_id_of
from .merging import evolve
from .models import Response
from .redacted import hide_secrets, without_secrets

_STATUS_FIELDS = ("status", "status_code", "statusCode", "http_status")
_CODE = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")  # such as `rate_limit_exceeded`, where a message is due
_STATUS_TEXT = re.compile(r"[0-9]{3}(?![^ ])")
_DEPTH = 3  # errors below each other that are looked into
_TOKEN_FIELDS = ("input_tokens", "output_tokens", "total_tokens")
_ADVICE = {
    "context_length_exceeded": "shorten the input",
    "insufficient_quota": "the account has no credit left; waiting does not help",
    "invalid_stream_id": "a lane name is 1 to 256 letters, digits, '_', '-' or '.'",
    "model_mismatch": "this connection serves another model; open one for this model",
    "previous_response_not_found": "start again with the full input and no previous_response_id",
    "rate_limit_exceeded": "wait, for the time in the retry-after header if there is one, and send it again",
    "response_already_in_flight": "wait for the running response to end, or open another connection",
    "server_error": "send it again after a while",
    "usage_limit_reached": "the limit of the plan is used up; wait until it is renewed",
    "websocket_connection_limit_reached": "open a new connection",
    "websocket_queue_full": "wait for running responses to end, or open another connection",
    "websocket_stream_limit_reached": "reuse a lane or open another connection",
}

_ANY_ENDING = frozenset({"response.done", "response.cancelled", "response.canceled"})
"""Terminal types that do not tell by themselves whether the response failed."""


_STATUSES = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.cancelled": "cancelled",
    "response.canceled": "cancelled",
}
"""The status of a response whose terminal event carries no response."""


def failure_of(
    event: ServerEvent, first: ServerEvent | None = None, *, has_output: bool = True
) -> ResponseFailedError | None:
    """Return the error that `event` means, `None` when the event is no failure.

    A failure is `error`, `response.error`, `response.failed`, another terminal event whose response has the status
    `failed`, `response.done` or `response.cancelled` with an error in it, or a refused steer.  An `UnknownEvent` of
    these types is read as far as possible.  `first` is the first event of the response: an `error` without an event
    before it means that the server rejected the request.  `has_output` says whether an event from `first` on showed
    output (`shows_output`); without output and usage, the request may be repeated.

    If the server has sent secrets back, they are hidden in all that the error holds; see `without_secrets`.
    """
    failure = _failure_of(event, first, has_output)
    if failure is None:
        return None
    shown = without_secrets(event)
    if shown is not event:
        failure = _failure_of(shown, first, has_output) or _error(shown, first, {}, has_output=has_output)
    if failure.response_id is not None:
        failure.response_id = hide_secrets(event, failure.response_id)  # it may be that of `first`
    return failure


def _failure_of(event: ServerEvent, first: ServerEvent | None, has_output: bool) -> ResponseFailedError | None:
    if event.type == "response.steer.failed":
        return _steer_failure(event)
    if event.type not in TERMINAL_TYPES:
        return None
    if isinstance(event, ResponseErrorEvent):
        return _error(event, first, _facts_of_error(event), has_output=has_output)
    if isinstance(event, UnknownEvent):
        return _unknown_failure(event, first, has_output)
    response = getattr(event, "response", None)
    extra = getattr(response, "extra", {})
    facts = _facts_of(getattr(response, "error", None)) or _facts_of_response(extra)
    if event.type in _ANY_ENDING and not facts:
        facts = error_facts(event.extra.get("error"))
    if not _has_failed(event.type, getattr(response, "status", None), facts):
        return None
    return _error(event, first, {**event.extra, **facts}, has_output=has_output)


def pending_of(event: ServerEvent) -> SteerPendingError:
    """Return the error for `response.steer.pending`, for operators whose observer waits for a result."""
    event = without_secrets(event)
    if not isinstance(event, ResponseSteerPendingEvent):  # its fields did not validate
        return SteerPendingError((), event=event, stream_id=event.stream_id)
    target = event.steer.previous_response_id
    return SteerPendingError(event.required_input, event=event, response_id=target, stream_id=event.stream_id)


def response_of(event: ServerEvent) -> Response | None:
    """Return the response of a terminal event, `None` when the event could not be read."""
    return event.response if isinstance(event, LifecycleEvent) else None


def response_at_end(event: ServerEvent, base: Response | None) -> Response | None:
    """Return the response of a terminal event, `None` when the event could not be read.

    Some servers end a response with an event that carries no response, such as `{"type": "response.done"}`.  The
    response is then `base`, as an event before said it, with the status that the type tells.
    """
    response = response_of(event)
    if response is not None or event.type not in _STATUSES or event.extra.get("response") is not None:
        return response
    known = Response(id=named_response_id(event) or "") if base is None else base
    return evolve(known, status=_STATUSES[event.type], output=[])


def unreadable(event: ServerEvent) -> UnreadableResponseError:
    """Return the error for a terminal event whose response is needed and cannot be read."""
    event = without_secrets(event)
    return UnreadableResponseError(
        f"the response in {event.type} cannot be read: {getattr(event, 'reason', None)}; the response has ended at the "
        "server, and `event` of this error has all that came",
        event=event,
        response_id=response_id_of(event),
        stream_id=event.stream_id,
    )


def _steer_failure(event: ServerEvent) -> ResponseFailedError:
    error = getattr(event, "error", None) or event.extra.get("error")
    facts = vars(error) if isinstance(error, SteerError) else error_facts(error)
    code, kind, message = _text(facts.get("code")), _text(facts.get("type")), _text(facts.get("message"))
    first = "correct it, then " if code == "invalid_input" else ""
    return ResponseFailedError(
        f"the server refused the steer{_reason(code, kind)}: {message or 'no reason given'} "
        f"[the input came back: {first}send it as a request of its own]",
        delivery="rejected",  # also after the server accepted the steer: it returns the input unused
        event=event,
        code=code,
        type=kind,
        stream_id=event.stream_id,
    )


def _unknown_failure(event: UnknownEvent, first: ServerEvent | None, has_output: bool) -> ResponseFailedError | None:
    extra = event.extra
    if event.type in ERROR_TYPES:
        # The fields are at the top level or nested in `error`; some simple servers have a mere string there.
        facts: Mapping[str, Any] = error_facts(extra.get("error"))
        if not isinstance(extra.get("error"), Mapping):
            facts = {**facts, **extra}  # a text beside other fields is the less precise of the two
        return _error(event, first, {**extra, "type": None, **facts}, has_output=has_output)
    response = _mapping(extra.get("response"))
    facts = _facts_of_response(response)
    if event.type in _ANY_ENDING and not facts:
        facts = error_facts(extra.get("error"))
    if not _has_failed(event.type, response.get("status"), facts):
        return None
    return _error(event, first, {**extra, **facts}, has_output=has_output)


def _has_failed(kind: str, status: object, facts: Mapping[str, Any]) -> bool:
    return kind == "response.failed" or status == "failed" or (kind in _ANY_ENDING and bool(facts))


def error_facts(error: object) -> Mapping[str, Any]:
    """Return the facts of an error in any shape: an object, a text, a code, or a list of which the first is taken."""
    if not error:
        return {}
    if isinstance(error, list):
        error = error[0]
    for _ in range(_DEPTH):  # gateways pass an error on below an error of their own that says nothing
        if isinstance(error, Mapping) and isinstance(error.get("error"), Mapping) and not _says_anything(error):
            error = error["error"]
    if isinstance(error, str) and error:
        return {"message": error, "code": error} if _CODE.fullmatch(error) else {"message": error}
    return _mapping(error)


def _says_anything(error: Mapping[str, Any]) -> bool:
    return any(error.get(name) for name in ("code", "message", "type"))


def _error(
    event: ServerEvent,
    first: ServerEvent | None,
    facts: Mapping[str, Any],
    *,
    has_output: bool,
) -> ResponseFailedError:
    code, kind, message = _text(facts.get("code")), _text(facts.get("type")), _text(facts.get("message"))
    delivery: Delivery = "rejected" if event.type in ERROR_TYPES and first is None else "started"
    what = "the server rejected the request" if delivery == "rejected" else "the response failed"
    advice = _ADVICE.get(code or kind or "")
    return ResponseFailedError(
        f"{what}{_reason(code, kind)}: {message or 'no reason given'}" + (f" [{advice}]" if advice else ""),
        delivery=delivery,
        event=event,
        code=code,
        type=kind,
        status=_http_status(facts),
        param=_text(facts.get("param")),
        headers={str(name): str(value) for name, value in _headers(facts).items()},
        response_id=response_id_of(event) or response_id_of(first),
        stream_id=event.stream_id,
        without_output=not (first is not None and has_output) and _is_empty(event, first),
        retry_after=stated_wait(facts),
        resets_at=stated_time(facts),
    )


def _facts_of_response(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts of the error in a response; servers of other protocols have them in `status_details`."""
    return error_facts(fields.get("error")) or error_facts(_mapping(fields.get("status_details")).get("error"))


def _facts_of_error(event: ResponseErrorEvent) -> dict[str, Any]:
    odd = error_facts(event.extra.get("error"))
    facts = {
        **odd,
        **error_facts(_facts_of(event.error)),
        **_facts_of(event),
        "type": event.error_type or odd.get("type"),
    }
    if event.type == "response.error" and not any(facts.get(name) for name in ("code", "message", "param", "type")):
        facts |= _mapping(_mapping(event.extra.get("response")).get("error"))
    return facts


def _facts_of(model: Model | None) -> Mapping[str, Any]:
    """Return the fields that an error or its event has, unknown ones included."""
    if model is None:
        return {}
    return {**{name: value for name, value in vars(model).items() if value is not None}, **model.extra}


def _is_empty(event: ServerEvent, first: ServerEvent | None) -> bool:
    """Whether a terminal event has a response without output, for which no tokens were used.

    An `error` carries no response.  Inside a response, the service sends it before `response.failed`; so far, there is
    no output and no usage.
    """
    if event.type in ERROR_TYPES:
        return first is not None
    response = event.extra.get("response") if isinstance(event, UnknownEvent) else getattr(event, "response", None)
    fields = _facts_of(response) if isinstance(response, Model) else _mapping(response)
    usage = fields.get("usage")
    usage = _facts_of(usage) if isinstance(usage, Model) else usage
    used = any(usage.get(name) for name in _TOKEN_FIELDS) if isinstance(usage, Mapping) else bool(usage)
    return bool(fields) and not used and not fields.get("output")


def _reason(code: str | None, kind: str | None) -> str:
    return f" ({code or kind})" if code or kind else ""


def _http_status(facts: Mapping[str, Any]) -> int | None:
    """Return the HTTP status of an error; some services put it where the code is due."""
    for name in _STATUS_FIELDS:
        status = _status(facts.get(name))
        if status is not None:
            return status
    status = _status(facts.get("code"))
    return status if status is not None and 400 <= status < 600 else None


def _status(value: object) -> int | None:
    """Return an HTTP status, which some servers send as a float or as text, as in "429 Too Many Requests"."""
    if isinstance(value, str):
        found = _STATUS_TEXT.match(value)
        return None if found is None else int(found[0])
    value = _integral(value)
    return value if type(value) is int and 100 <= value < 1000 else None


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _headers(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the headers in an error: an object or a list of pairs, each value a text or a list of texts."""
    headers = facts.get("headers") or _mapping(facts.get("metadata")).get("headers")
    if isinstance(headers, list):  # of names and values
        headers = {pair[0]: pair[1] for pair in headers if isinstance(pair, list) and len(pair) == 2}
    return {name: value[0] if isinstance(value, list) and value else value for name, value in _mapping(headers).items()}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return None if value is None else error_text(str(_integral(value)))
