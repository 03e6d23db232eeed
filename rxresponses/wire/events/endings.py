"""Frames that end a request although their type says nothing: they are read as an `error` or a `response.done`.

Gateways and frameworks answer with their own frames when something fails: an `error` object without a type, or with a
type of their own; `{"message": …, "connectionId": …}`; `{"detail": …}`.  Other servers end a response with a type that
no list has, and tell by the status of the response that it has ended.  Such a frame must not leave the request open.
A frame about a part of a response, such as a failed tool call, ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FINAL_STATUSES = frozenset({"completed", "failed", "incomplete", "cancelled", "canceled", "expired"})
_PART_FIELDS = ("item_id", "output_index", "item")
_FRAME_OF_GATEWAY = ("connectionId", "requestId", "code", "status", "status_code", "statusCode")
_STATUS_FIELDS = ("status", "status_code", "statusCode", "code")


def read_ending(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of the terminal event that a frame without a known type means, `None` if it ends nothing."""
    kind = data.get("type")
    if not isinstance(kind, str):
        kind = ""
    response = data.get("response")
    if isinstance(response, Mapping) and response.get("status") in _FINAL_STATUSES:
        return {**data, "type": "response.done"}
    if not kind and data.get("object") == "response" and data.get("status") in _FINAL_STATUSES:
        routing = {name: data[name] for name in ("stream_id", "sequence_number") if name in data}
        return {**routing, "type": "response.done", "response": data}
    facts = _error_of(data, kind)
    return None if facts is None else _error_event(data, facts, kind)


def _error_of(data: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the facts of the error that a frame carries, `None` if it carries none."""
    if kind and (any(name in data for name in _PART_FIELDS) or (kind.startswith("response.") and kind.count(".") > 1)):
        return None
    errors = data.get("errors")
    error = data.get("error") or (errors[0] if isinstance(errors, list) and errors else None)
    if isinstance(error, str):
        return {"message": error}
    if isinstance(error, Mapping) and any(error.get(name) for name in ("code", "message", "type")):
        return error
    if kind:
        return data if kind.lower().endswith("error") and data.get("message") else None
    if data.get("detail"):
        return {**data, "message": _words(data["detail"])}
    if data.get("object") == "error" or (data.get("message") and any(name in data for name in _FRAME_OF_GATEWAY)):
        return data
    return None


def _error_event(data: Mapping[str, Any], facts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    statuses = (source.get(name) for source in (data, facts) for name in _STATUS_FIELDS)
    status = next((value for value in statuses if type(value) is int and 100 <= value < 600), None)
    headers = facts.get("headers") or data.get("headers")
    own = kind or data.get("type")
    detail = {
        "type": _text(facts.get("type")) if facts is not data else None,
        "code": _text(facts.get("code")),
        "message": None if facts.get("message") is None else _words(facts["message"]),
        "param": _text(facts.get("param")),
        "headers": {str(name): str(value) for name, value in headers.items()} if isinstance(headers, Mapping) else None,
    }
    detail["type"] = detail["type"] or _text(own)
    return {**data, **detail, "type": "error", "status": status, "error": detail}


def _words(value: object) -> str:
    """Return an error text of any shape as text: that of each problem, where the frame lists problems."""
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    if isinstance(value, Mapping):
        return _words(value.get("msg") or value.get("message") or str(dict(value)))
    return str(value)


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None
