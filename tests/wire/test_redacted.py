"""Errors and reprs hold no secret that the server has sent back in an event."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from rxresponses.codec import decode
from rxresponses.events import ResponseErrorEvent, ServerEvent, UnknownEvent
from rxresponses.known_secrets import LONGEST, Secrets
from rxresponses.wire.codec import _by_type
from rxresponses.wire.events import TERMINAL_TYPES
from rxresponses.wire.events.base import secrets_of
from rxresponses.wire.failures import failure_of
from rxresponses.wire.redacted import hide_secrets, without_secrets

SECRET = "sk-very-secret-key"
KNOWN = Secrets([SECRET])


def event(secrets: Secrets | None = KNOWN, **fields: Any) -> ServerEvent:
    return decode(json.dumps({"type": "error", "message": "m", **fields}).encode(), secrets)


def test_scenario_74_an_event_without_secrets_is_its_own_copy() -> None:
    for plain in (
        event(),
        event(None, message=SECRET),
        event(Secrets(), message=SECRET),
        ResponseErrorEvent(message=SECRET),
    ):
        assert without_secrets(plain) is plain
    nameless = decode(json.dumps({"x": SECRET}).encode(), KNOWN)
    assert without_secrets(nameless) is nameless
    assert SECRET not in repr(nameless)


def test_scenario_74_a_copy_has_no_secret_and_the_event_stays_as_it_is() -> None:
    came = event(message=f"wrong: {SECRET}", param=SECRET, headers={"x": SECRET}, code="c", more=[SECRET])
    copy = without_secrets(came)
    assert isinstance(came, ResponseErrorEvent)
    assert isinstance(copy, ResponseErrorEvent)
    assert (copy.message, copy.param, copy.code) == ("wrong: (hidden)", "(hidden)", "c")
    assert SECRET not in repr([copy, copy.raw, dict(copy.extra)])
    assert SECRET.encode() not in pickle.dumps(copy)
    assert secrets_of(copy) is KNOWN
    assert without_secrets(copy) is copy
    assert came.message == f"wrong: {SECRET}"
    assert SECRET in str(came.raw)
    assert SECRET not in repr(came)


def test_scenario_74_an_event_that_does_not_validate() -> None:
    came = decode(json.dumps({"type": "response.failed", "response": SECRET}).encode(), KNOWN)
    failure = failure_of(came)
    assert failure is not None
    assert SECRET not in repr([failure, vars(failure), came])
    assert isinstance(came, UnknownEvent) is isinstance(failure.event, UnknownEvent)


def test_scenario_74_a_secret_that_is_a_word_of_the_protocol() -> None:
    known = Secrets(["response.failed", '"response":'])
    frame = {
        "type": "response.failed",
        "response": {"id": "r", "status": "failed", "error": {"code": "c", "message": "m"}},
    }
    for text in (json.dumps(frame), json.dumps(frame, separators=(",", ":"))):
        failure = failure_of(decode(text.encode(), known))
        assert failure is not None
        assert (failure.code, failure.response_id) == ("c", "r")


def test_scenario_74_a_long_frame_is_copied_in_part() -> None:
    """To search it all would block the loop for seconds."""
    came = event(
        message=f"wrong: {SECRET}",
        junk=["x" * 9000] * 200,
        text="y" * LONGEST,
        error={"code": "c", "list": [1] * 50_000},
    )
    failure = failure_of(came)
    assert failure is not None
    assert str(failure).startswith("the server rejected the request (c): wrong: (hidden)")
    assert isinstance(failure.event, ResponseErrorEvent)
    assert len(failure.event.raw or "") < LONGEST
    assert "characters left out" in str(failure.event.extra["text"])


def test_scenario_74_texts_of_a_response() -> None:
    assert hide_secrets(event(), f"no {SECRET}") == "no (hidden)"
    assert hide_secrets(event(None), SECRET) == SECRET


@pytest.mark.parametrize("kind", [*sorted(TERMINAL_TYPES), "response.steer.failed", "response.steer.pending"])
def test_scenario_74_each_event_that_may_become_an_error_knows_the_secrets(kind: str) -> None:
    """The events that msgspec reads do not, because deltas are many, and no error is made of them."""
    assert _by_type[kind] is None
    assert secrets_of(decode(json.dumps({"type": kind}).encode(), KNOWN)) is KNOWN


def test_scenario_74_a_delta_takes_the_short_way() -> None:
    delta = decode(b'{"type": "response.output_text.delta", "delta": "a"}', KNOWN)
    assert secrets_of(delta) is None
