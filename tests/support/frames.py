"""Builders of the events that a server sends, as JSON objects."""

from __future__ import annotations

from typing import Any

Frame = dict[str, Any]


def created(response_id: str = "r1", **fields: Any) -> Frame:
    return {"type": "response.created", "response": {"id": response_id}, **fields}


def delta(text: str = "x", **fields: Any) -> Frame:
    return {"type": "response.output_text.delta", "delta": text, **fields}


def completed(response_id: str = "r1", **fields: Any) -> Frame:
    return {"type": "response.completed", "response": {"id": response_id}, **fields}


def response(response_id: str, *texts: str, **fields: Any) -> list[Frame]:
    """Return a whole response: created, a delta for each text, completed; `fields` (a `stream_id`) are in each."""
    deltas = [delta(text, **fields) for text in texts]
    return [created(response_id, **fields), *deltas, completed(response_id, **fields)]


def accepted(steer_id: str = "s1", response_id: str = "r1") -> Frame:
    """Return the event that accepts a steer of a response."""
    return {"type": "response.steer.accepted", "steer": {"id": steer_id, "previous_response_id": response_id}}
