"""Frames that end a request although their type says nothing: they are read as an `error` or a `response.done`.

Gateways and frameworks answer with their own frames when something fails: an `error` object without a type, or with a
type of their own; `{"message": …, "connectionId": …}`; `{"detail": …}`; `{"success": false, …}`.  Other servers end a
response with a type that no list has, such as `done` or `response.timeout`, or tell by the status of the response that
it has ended.  Such a frame must not leave the request open.  A frame about a part of a response, such as a failed tool
call, ends nothing, nor does one that tells of success.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_FINAL_STATUSES = frozenset({"completed", "failed", "incomplete", "cancelled", "canceled", "expired"})
_PART_FIELDS = ("item_id", "output_index", "item")
_FRAME_OF_GATEWAY = ("connectionId", "requestId", "code", "status", "status_code", "statusCode", "__type")
_STATUS_FIELDS = ("status", "status_code", "statusCode", "code")
_SUCCESS = frozenset({"0", "ok", "success", "succeeded"})
_MESSAGE_FIELDS = ("message", "error_message", "errorMessage", "error_description", "msg", "faultstring", "title")
_ERROR_WORDS = ("error", "exception", "failure", "fault")
_FIRST_ERROR = 400  # the lowest HTTP status of an error

_END = re.compile(
    r"(?:(?:response|stream|request)[._])?(?:(done|end|ended|finish|finished|stop|stopped|complete|completed)"
    r"|(aborted|closed|expired|failed|interrupted|rejected|terminated|timeout|timed_out))"
    r"|(message_stop)|((?:session|connection)[._](?:end|ended|closed|expired|terminated|timeout|timed_out))"
)
"""Types that say that the request has ended, and no less; with a failure, by the second and the fourth group."""
_END_OF_STREAM = frozenset({"[DONE]", "data: [DONE]"})
_LONGEST_MARK = 32  # characters


def is_end_of_stream(text: bytes | str) -> bool:
    """Whether a frame that is no JSON is the mark with which servers of other protocols end a stream."""
    text = text[:_LONGEST_MARK]
    return (text if isinstance(text, str) else text.decode("latin-1")).strip() in _END_OF_STREAM


def read_ending(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of the terminal event that a frame without a known type means, `None` if it ends nothing."""
    kind = data.get("type")
    if not isinstance(kind, str):
        kind = ""
    response = data.get("response")
    if isinstance(response, Mapping) and response.get("status") in _FINAL_STATUSES:
        return {**data, "type": "response.done"}
    has_status = not kind and data.get("status") in _FINAL_STATUSES
    if has_status and data.get("object") == "response":
        return _done(data, data)
    if kind and (any(name in data for name in _PART_FIELDS) or (kind.startswith("response.") and kind.count(".") > 1)):
        return None
    facts = _error_of(data, kind)
    if facts is not None:
        return _error_event(data, facts, kind)
    if has_status and "object" not in data:
        return _done(data, data)
    end = _END.fullmatch(kind)
    if end is None:
        return None
    if end[2] is None and end[4] is None:
        return {**data, "type": "response.done"}
    words = _message_of(data)
    error = {"code": kind, "message": None if words is None else _words(words)}
    return _done(data, {"id": data.get("response_id"), "status": "failed", "error": error})


def _done(data: Mapping[str, Any], response: Mapping[str, Any]) -> dict[str, Any]:
    routing = {name: data[name] for name in ("stream_id", "sequence_number") if name in data}
    return {**routing, "type": "response.done", "response": response}


def _error_of(data: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the facts of the error that a frame carries, `None` if it carries none."""
    if not kind:
        data = {name[:1].lower() + name[1:]: value for name, value in data.items()}  # `Message`, `Error`
    errors = data.get("errors")
    error = data.get("error") or (errors[0] if isinstance(errors, list) and errors else None)
    if isinstance(error, str):
        return {"message": error}
    if isinstance(error, Mapping) and any(error.get(name) for name in ("code", "message", "type")):
        return error
    words = _message_of(data)
    if kind:
        is_error = kind.lower().endswith(_ERROR_WORDS) or (_http_status(data) or 0) >= _FIRST_ERROR
        return {**data, "message": words} if is_error and words else None
    fault = data.get("fault")
    if isinstance(fault, Mapping):
        return {**fault, "message": _message_of(fault)}
    if data.get("success") is False or data.get("ok") is False:
        return {**data, "message": words}
    if data.get("detail"):
        return {**data, "message": words or data["detail"]} if "title" in data else {**data, "message": data["detail"]}
    if data.get("object") == "error" or "error_message" in data or "errorMessage" in data:
        return {**data, "message": words}
    if words and (error or any(name in data for name in _FRAME_OF_GATEWAY)) and not _tells_success(data):
        return {**data, "message": words}
    return None


def _message_of(data: Mapping[str, Any]) -> object:
    return next((data[name] for name in _MESSAGE_FIELDS if data.get(name)), None)


def _tells_success(data: Mapping[str, Any]) -> bool:
    """Whether a frame with a message says that something went well."""
    status = _http_status(data)
    words = (str(data.get(name)).lower() for name in _STATUS_FIELDS)
    return data.get("success") is True or not _SUCCESS.isdisjoint(words) or (status or _FIRST_ERROR) < _FIRST_ERROR


def _http_status(*sources: Mapping[str, Any]) -> int | None:
    """Return the HTTP status that a frame states."""
    found = (source.get(name) for source in sources for name in _STATUS_FIELDS)
    return next((value for value in found if type(value) is int and 100 <= value < 600), None)


def _error_event(data: Mapping[str, Any], facts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    headers = facts.get("headers") or data.get("headers")
    own = kind or data.get("type")
    is_frame = facts.get("type") == own  # the facts are those of the frame itself
    detail = {
        "type": None if is_frame else _text(facts.get("type")),
        "code": _text(facts.get("code")),
        "message": None if facts.get("message") is None else _words(facts["message"]),
        "param": _text(facts.get("param")),
        "headers": {str(name): str(value) for name, value in headers.items()} if isinstance(headers, Mapping) else None,
    }
    detail["type"] = detail["type"] or _text(own)
    return {**data, **detail, "type": "error", "status": _http_status(data, facts), "error": detail}


def _words(value: object) -> str:
    """Return an error text of any shape as text: that of each problem, where the frame lists problems."""
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    if isinstance(value, Mapping):
        return _words(value.get("msg") or value.get("message") or str(dict(value)))
    return str(value)


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None
