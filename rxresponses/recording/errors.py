"""How the error of a stream is kept in a recording, and how a replay makes it again."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, get_args

from .. import errors
from ..errors import Delivery, RequestError, ResponsesError
from ..headers import Headers
from ..raised import text_of

# Headers that say when to try again, or which request it was.  Others, such as cookies, may be secret.
_KEPT_HEADERS = ("retry-after", "retry-after-ms", "x-request-id")
_RATE_LIMITS = "x-ratelimit-"
_CLASSES: Mapping[str, type[ResponsesError]] = {
    name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ResponsesError)
}
# What attributes of an error are where the recording does not say.
_ABSENT: dict[str, Any] = {
    "close_code": None,
    "close_reason": "",
    "lasting": False,
    "headers": {},
    "without_output": False,
}
_ABSENT |= dict.fromkeys(("code", "type", "status", "param", "field", "event", "retry_after", "resets_at", "why"))
_ABSENT |= {"seconds": 0.0, "max_buffered": 0, "unit": "values", "limit": math.nan, "spent": math.nan}
_ABSENT |= {"previous_response_id": "", "required_input": ()}


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return the `error` of an `EndRecord`: the name of its class, its text, its `delivery`, and what else is plain."""
    fields: dict[str, Any] = {"type": type(error).__name__, "message": text_of(error)}
    attributes: dict[str, Any] = {}
    if not isinstance(error, ResponsesError):
        return fields  # the attributes of a program's own errors may hold anything, and a replay does not need them
    for name, value in vars(error).items():
        if name == "delivery":
            fields["delivery"] = value
        elif name == "headers" and isinstance(value, Mapping):
            attributes["headers"] = {
                header: text
                for header, text in value.items()
                if header.lower() in _KEPT_HEADERS or header.lower().startswith(_RATE_LIMITS)
            }
        elif not name.startswith("_") and _is_kept(name, value):
            attributes[name] = value
    if attributes:
        fields["attributes"] = attributes
    return fields


def _is_kept(name: str, value: object) -> bool:
    if value is None:
        return _ABSENT.get(name) is not None  # else it is `None` again without being kept
    if isinstance(value, float):
        return math.isfinite(value)  # JSON has no other numbers
    return isinstance(value, (str, int, bool))


def error_from(fields: Mapping[str, Any]) -> ResponsesError:
    """Return the error of an `EndRecord`, of its class; of `RequestError` if the library has no class of this name."""
    name, message = str(fields.get("type", "")), str(fields.get("message", ""))
    cls = _CLASSES.get(name)
    if cls is None:
        return RequestError(f"{name}: {message}", delivery="unknown")
    error = cls.__new__(cls, message)
    error.args = (message,)
    attributes = fields.get("attributes")
    known = {name: _ABSENT.get(name) for name in inspect.signature(cls.__init__).parameters if name in _ABSENT}
    known |= attributes if isinstance(attributes, dict) else {}
    if "headers" in known:
        known["headers"] = Headers(known["headers"] if isinstance(known["headers"], dict) else {})
    if issubclass(cls, RequestError):
        delivery = fields.get("delivery")
        known = {"response_id": None, "stream_id": None, **known}
        known["delivery"] = delivery if delivery in get_args(Delivery) else "unknown"
    error.__dict__.update(known)
    return error
