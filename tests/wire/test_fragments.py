"""A message in fragments takes the memory of its bytes, and not endlessly many fragments."""

from __future__ import annotations

import tracemalloc

from rxresponses.wire.fragments import MAX_FRAGMENTS, FragmentedMessage


def test_fragments_become_one_message_after_another() -> None:
    message = FragmentedMessage()
    assert all(message.add(fragment) for fragment in (b"a", bytearray(b"b"), memoryview(b"c"), b""))
    assert message.take() == b"abc"
    assert message.add(b"d")
    assert message.take() == b"d"


def test_scenario_77_fragments_of_two_bytes_take_no_more_memory_than_their_bytes() -> None:
    message = FragmentedMessage()
    tracemalloc.start()
    try:
        for _ in range(MAX_FRAGMENTS // 8):
            message.add(b"xy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2 * MAX_FRAGMENTS // 8 + 4096


def test_scenario_77_empty_fragments_have_a_limit() -> None:
    message = FragmentedMessage()
    assert all(message.add(b"") for _ in range(MAX_FRAGMENTS))
    assert message.take() == b""
    assert all(message.add(b"") for _ in range(MAX_FRAGMENTS))
    assert not message.add(b"")
