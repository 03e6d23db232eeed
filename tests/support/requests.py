"""Requests for tests of what is sent, and values that no request takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses.errors import InvalidRequestError
from rxresponses.wire import codec
from rxresponses.wire.base import Model
from rxresponses.wire.requests import ResponseCreate
from rxresponses.wire.requests.sent import frame_json

endless: list[Any] = []
endless.append(endless)
deep: list[Any] = []
for _ in range(200_000):
    deep = [deep]


def any_create(**fields: Any) -> ResponseCreate:
    return ResponseCreate(**({"model": "m"} | fields))


def sent(value: Model) -> Any:
    """Return the JSON that a server reads; it is the same when written from copies of all values."""
    data = json.loads(codec.encode(frame_json(value)))
    assert data == json.loads(codec.encode(value))
    return data


def refused(make: Callable[[], object], field: str | None) -> str:
    """Check that a request is refused for this field; return the text of the error."""
    with pytest.raises(InvalidRequestError) as caught:
        make()
    assert caught.value.field == field
    assert caught.value.delivery == "not_sent"
    assert len(str(caught.value)) < 250
    return str(caught.value)
