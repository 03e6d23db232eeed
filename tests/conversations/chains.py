"""What the tests of chains need: items, responses, and what a request sends."""

from __future__ import annotations

import json
from typing import Any

from rxresponses.models import Response
from rxresponses.wire import codec
from rxresponses.wire.requests import ResponseCreate

SETTINGS: dict[str, Any] = {"model": "m", "instructions": "be brief"}
UNSTORED: dict[str, Any] = {**SETTINGS, "store": False}


def user(text: str) -> dict[str, Any]:
    """Return a message of the user."""
    return {"type": "message", "role": "user", "content": text}


def says(text: str, **fields: Any) -> dict[str, Any]:
    """Return a message of the model."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": f"msg_{text}", "role": "assistant", "content": content, **fields}


def call(call_id: str, **fields: Any) -> dict[str, Any]:
    """Return a function call."""
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", **fields}


def result(call_id: str) -> dict[str, Any]:
    """Return the output of a function call."""
    return {"type": "function_call_output", "call_id": call_id, "output": "done"}


def reasoning(number: int, **fields: Any) -> dict[str, Any]:
    """Return a reasoning item."""
    return {"type": "reasoning", "id": f"rs_{number}", "summary": [], **fields}


def response(response_id: str, *output: dict[str, Any], **fields: Any) -> Response:
    """Return a response with this output."""
    return Response.from_dict({"id": response_id, "status": "completed", **fields, "output": list(output)})


def sent(create: ResponseCreate) -> dict[str, Any]:
    """Return the JSON of a request."""
    data: dict[str, Any] = json.loads(codec.encode(create))
    return data
