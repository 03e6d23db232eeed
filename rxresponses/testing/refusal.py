"""The errors with which the server refuses a message, in the form of the service, and the checks of single values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

from .jsontext import JSON

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "an array": (list,),
    "a boolean": (bool,),
    "a number": (int, float),
    "an integer": (int,),
    "a string": (str,),
    "a string or an array": (str, list),
    "a string or an object": (str, dict),
    "an object": (dict,),
}
_NAME = r"^[a-zA-Z0-9_-]+$"
_LONGEST_NAME = 64
_LONGEST_MESSAGE = 2_000  # characters: messages repeat names and values of the request


class RequestError(Exception):
    """The server refuses a message.  The connection stays open."""

    def __init__(
        self, message: str, *, code: str | None, param: str | None = None, status: int = 400, type: str | None = None
    ) -> None:
        self.message = _shortened(message)
        super().__init__(self.message)
        self.code = code
        self.param = _shortened(param) if param is not None else None
        self.status = status
        self.type = type or "invalid_request_error"

    def event(self) -> JSON:
        """Return the `error` event for the client."""
        error = {"type": self.type, "code": self.code, "message": self.message, "param": self.param}
        return {"type": "error", "status": self.status, "error": error}


def check_field(field: str, value: object, expected: str) -> None:
    """Raise an error if a field is neither absent nor of a type, such as `a string`."""
    types = _PYTHON_TYPES[expected]
    if value is None or (isinstance(value, types) and (not isinstance(value, bool) or bool in types)):
        return
    raise wrong_type(field, value, expected)


def require(field: str, value: object, expected: str) -> None:
    """Raise an error if a field is absent, or not of a type, such as `a string`."""
    if value is None:
        raise missing(field)
    check_field(field, value, expected)


def check_value(field: str, value: object, supported: Sequence[str]) -> None:
    """Raise an error if the value of a field is none of those that are supported."""
    if value not in supported:
        names = ", ".join(f"'{name}'" for name in supported)
        message = f"Invalid value: {value!r}. Supported values are: {names}."
        raise RequestError(message, code="invalid_value", param=field)


def check_known(path: str, value: JSON, known: Collection[str]) -> None:
    """Raise an error for the first field of an object that the service does not know.

    Args:
        path: the path of the object, empty for the request itself.
        value: the object.
        known: the names of its fields.
    """
    for field in value:
        if field not in known:
            param = f"{path}.{field}" if path else field
            similar = difflib.get_close_matches(field[:_LONGEST_NAME], known, n=1)
            hint = f" Did you mean '{similar[0]}'?" if similar else ""
            raise RequestError(f"Unknown parameter: '{param}'.{hint}", code="unknown_parameter", param=param)


def check_length(path: str, value: str, most: int, least: int = 0) -> None:
    """Raise an error if a string is too short or too long."""
    if len(value) > most:
        rule = f"string too long. Expected a string with maximum length {most}, but got one with length {len(value)}"
        raise RequestError(f"Invalid '{path}': {rule} instead.", code="string_above_max_length", param=path)
    if len(value) < least:
        rule = f"string too short. Expected a string with minimum length {least}, but got one with length {len(value)}"
        code = "string_below_min_length" if value else "empty_string"
        raise RequestError(f"Invalid '{path}': {rule} instead.", code=code, param=path)


def check_name(path: str, value: str) -> None:
    """Raise an error if a string cannot be the name of a tool or of a schema."""
    check_length(path, value, _LONGEST_NAME, 1)
    if re.match(_NAME, value) is None or value.endswith("\n"):
        rule = f"string does not match pattern. Expected a string that matches the pattern '{_NAME}'."
        raise RequestError(f"Invalid '{path}': {rule}", code="invalid_value", param=path)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


def missing(field: str) -> RequestError:
    """Return the error for a required field that is absent."""
    return RequestError(f"Missing required parameter: '{field}'.", code="missing_required_parameter", param=field)


def wrong_type(field: str, value: object, expected: str) -> RequestError:
    """Return the error for a field that is not of the expected type."""
    message = f"Invalid type for '{field}': expected {expected}, but got {type_name(value)} instead."
    return RequestError(message, code="invalid_type", param=field)


def type_name(value: object) -> str:
    """Return the name of the type of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "an integer", float: "a number", list: "an array"}
    return names.get(type(value), "an object")
