"""The responses of a recording that were steered: where each one waits for its steer, and what followed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..recording.format import EventRecord, Recording, RequestRecord
from .items import normalize_input
from .jsontext import JSON


@dataclass
class SteeredResponses:
    """What a playback needs to know of the steers of a recording."""

    holds: dict[str, list[int]] = field(default_factory=dict)
    """After how many events of its answer a request was steered, for each steer that the server accepted."""

    successors: dict[str, tuple[RequestRecord, Sequence[EventRecord]]] = field(default_factory=dict)
    """The `response.create` that the server makes of accepted steers, and its answer, by the name of a steer."""


def steered_responses(
    session: Recording, requests: Mapping[str, RequestRecord], events: Mapping[str, Sequence[EventRecord]]
) -> SteeredResponses:
    """Return what a recording says of steers.  `requests` and `events` are those of the recording, by their names."""
    order = session.events()
    steered = SteeredResponses()
    bodies = {name: record.frame for name, record in requests.items() if not _is_steer(record)}
    by_target: dict[str, dict[str, EventRecord]] = {}  # the id of a response → its steers → how each was accepted
    for name, record in requests.items():
        target_id = record.frame.get("previous_response_id")
        accepted = _accepted(events.get(name, ())) if _is_steer(record) else None
        if accepted is not None and isinstance(target_id, str):
            by_target.setdefault(target_id, {})[name] = accepted
    for target_id, steers in by_target.items():
        target = _request_of(target_id, events)
        if target is None or target not in bodies:
            continue
        for accepted in steers.values():
            before = [event for event in order[: order.index(accepted)] if event.request == target]
            steered.holds.setdefault(target, []).append(len(_answer(before)))
        for name in steers:
            successor = _answer(events[name])
            if successor:  # the events are those of one of the steers that the successor answers
                body = successor_body(bodies[target], target_id, [requests[each].frame.get("input") for each in steers])
                bodies[name] = body
                steered.successors[name] = (replace(requests[name], frame=body, t=successor[0].t), successor)
    return steered


def successor_body(target: JSON, response_id: str, inputs: Iterable[Any]) -> JSON:
    """Return the `response.create` for the successor of a response.

    Args:
        target: the `response.create` of the response.
        response_id: the id of the response.
        inputs: the input of each accepted steer of the response.
    """
    items = [item for value in inputs for item in normalize_input(value)]
    return {**target, "previous_response_id": response_id, "input": items}


def _is_steer(record: RequestRecord) -> bool:
    return record.frame.get("type") == "response.steer"


def _type(event: EventRecord) -> str:
    return str((event.frame or {}).get("type"))


def _accepted(events: Iterable[EventRecord]) -> EventRecord | None:
    return next((event for event in events if _type(event) == "response.steer.accepted"), None)


def _answer(events: Sequence[EventRecord]) -> list[EventRecord]:
    """Return the events of a response, without those of steers."""
    return [event for event in events if not _type(event).startswith("response.steer.")]


def _request_of(response_id: str, events: Mapping[str, Sequence[EventRecord]]) -> str | None:
    """Return the name of the request that a response answers."""
    for name, some in events.items():
        for event in some:
            response: JSON | None = (event.frame or {}).get("response")
            if isinstance(response, dict) and response.get("id") == response_id:
                return name
    return None
