"""The type and the lane of an event, read without the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.errors import FrameError
from rxresponses.wire.codec import decode
from rxresponses.wire.head import read_head

from ..effort import examples

VALUES = st.sampled_from(["response.output_text.delta", "response.completed", "a", "", None, 7, {}, {"type": "b"}, [1]])


@pytest.mark.parametrize(
    "frame",
    [b"", b"{", b"[]", b"null", b'"type"', b'{"type": 1}', b"{}", b'{"type": "a", "stream_id": 1}', b"[" * 9999],
)
def test_none_for_what_has_no_head(frame: bytes) -> None:
    assert read_head(frame) is None


@given(st.lists(st.tuples(st.sampled_from(["type", "stream_id", "delta", "item"]), VALUES), max_size=6))
@settings(max_examples=examples(300))
def test_a_head_is_that_of_the_event(fields: list[tuple[str, Any]]) -> None:
    """Also if a name comes twice."""
    frame = ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in fields) + "}").encode()
    head = read_head(frame)
    if head is not None:
        event = decode(frame)
        assert (head.type, head.stream_id) == (event.type, event.stream_id)


def test_text_that_is_no_utf_8_is_not_looked_at() -> None:
    frame = b'{"type": "response.output_text.delta", "delta": "\xff"}'
    head = read_head(frame)
    assert head is not None
    assert head.type == "response.output_text.delta"
    with pytest.raises(FrameError):
        decode(frame)
