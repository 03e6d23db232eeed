from __future__ import annotations

from typing import Any

import pytest

from rxresponses.wire.codec import decode
from rxresponses.wire.events import ServerEvent, UnknownEvent
from rxresponses.wire.fields import (
    error_field,
    item_ids_of,
    named_response_id,
    response_field,
    response_id_of,
    shows_output,
    steer_ids_of,
    was_steered,
)

from ..support.events import accepted, completed, created, delta, error_event, incomplete, wire_event


def unreadable(kind: str, **fields: Any) -> ServerEvent:
    event = wire_event(kind, **fields)
    assert type(event) is UnknownEvent or event.__dict__["_reason"]
    return event


@pytest.mark.parametrize(
    ("event", "response_id"),
    [
        (None, None),
        (delta("x"), None),
        (created(id="r"), "r"),
        (wire_event("response.created", response={"id": "r1"}), "r1"),
        (unreadable("response.created", response={"id": "r", "output": 7}), "r"),
        (unreadable("response.created", response=7), None),
        (unreadable("response.new", response={"id": "r2"}), "r2"),
        (unreadable("response.new", response={"id": 5}), None),
        (unreadable("response.new", response=None), None),
    ],
)
def test_the_id_of_a_response(event: ServerEvent | None, response_id: str | None) -> None:
    assert response_id_of(event) == response_id


def test_a_text_field_of_a_response() -> None:
    for response in ({"id": "r2", "previous_response_id": "r1"}, {"previous_response_id": "r1"}):
        event = wire_event("response.created", response=response)
        assert response_field(event, "previous_response_id") == "r1"
    assert response_field(created(), "previous_response_id") is None


@pytest.mark.parametrize(
    ("fields", "response_id", "is_read"),
    [
        (b"", None, False),
        (b',"response_id":"r"', "r", True),
        (b',"response_id" : ""', None, True),
        (b',"response_id":7', None, True),
        (rb',"response\u005fid":"r"', "r", True),
        (rb',"obfuscation":"\u00e9"', None, True),
        (b',"obfuscation":"response_id"', None, True),
        (b',"response":{"response_id":"r"}', None, True),
    ],
)
def test_the_rest_of_a_frame_is_read_only_if_it_may_name_the_response(
    fields: bytes, response_id: str | None, is_read: bool
) -> None:
    event = decode(b'{"type":"response.output_text.delta","delta":"a"' + fields + b"}")
    assert named_response_id(event) == response_id
    assert ("_extra" in vars(event)) is is_read
    assert event.extra.get("response_id") in (response_id, "", 7)
    assert named_response_id(event) == response_id


def test_the_named_response_of_an_event_without_bytes() -> None:
    assert named_response_id(delta("a")) is None
    assert named_response_id(decode('{"type":"response.output_text.delta","delta":"a","response_id":"r"}')) == "r"
    assert named_response_id(decode(b'{"type":"error","response_id":"r"}')) == "r"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (incomplete(reason="steered"), True),
        (incomplete(reason="max_output_tokens"), False),
        (wire_event("response.incomplete", response={"id": "r1"}), False),
        (completed(), False),
        (unreadable("response.incomplete", response="?"), False),
    ],
)
def test_why_a_response_ended(event: ServerEvent, expected: bool) -> None:
    assert was_steered(event) is expected


@pytest.mark.parametrize(("details", "expected"), [({"reason": "steered"}, True), ({"reason": 5}, False), ("?", False)])
def test_why_an_unreadable_response_ended(details: object, expected: bool) -> None:
    response = {"id": "r1", "created_at": "yesterday", "incomplete_details": details}
    assert was_steered(unreadable("response.incomplete", response=response)) is expected


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (error_event("server_error"), "server_error"),
        (wire_event("error", code="server_error"), "server_error"),
        (unreadable("error", error={"code": "server_error"}, status="x"), "server_error"),
        (unreadable("error", code="server_error", status="x"), "server_error"),
        (unreadable("error", error={"code": 5}, status="x"), None),
        (unreadable("error", error="?", status="x"), None),
        (unreadable("error", error={"code": "server_error"}, stream_id=5), "server_error"),
        (unreadable("error", code="server_error", stream_id=5), "server_error"),
        (delta("x"), None),
    ],
)
def test_a_text_field_of_an_error(event: ServerEvent, code: str | None) -> None:
    assert error_field(event, "code") == code


@pytest.mark.parametrize(
    ("event", "ids"),
    [
        (accepted(), ("steer_1", "resp_1")),
        (wire_event("response.steer.accepted", steer={}), (None, None)),
        (
            unreadable("response.steer.pending", steer={"id": "s", "previous_response_id": "r"}, required_input=5),
            ("s", "r"),
        ),
        (unreadable("response.steer.failed", steer={"id": 5, "previous_response_id": ["r1"]}), (None, None)),
        (unreadable("response.steer.failed", steer="?"), (None, None)),
    ],
)
def test_the_ids_of_a_steer(event: ServerEvent, ids: tuple[str | None, str | None]) -> None:
    assert steer_ids_of(event) == ids


@pytest.mark.parametrize(
    ("kind", "shows"),
    [
        ("response.created", False),
        ("response.queued", False),
        ("response.in_progress", False),
        ("response.output_item.added", True),
        ("response.output_text.delta", True),
        ("response.new", True),
        ("response.steer.accepted", True),
        ("codex.keepalive", False),
        ("", False),
    ],
)
def test_scenario_64_which_events_show_output(kind: str, shows: bool) -> None:
    assert shows_output(wire_event(kind)) is shows


def test_the_ids_of_the_items_of_a_response() -> None:
    output = [{"type": "message", "id": "m"}, {"type": "message"}, {"type": "new", "id": "n"}]
    items = wire_event("response.completed", response={"id": "r", "output": output})
    assert list(item_ids_of(items)) == ["m"]
    assert not list(item_ids_of(unreadable("response.completed", response=7)))
