"""Texts on one line: what cannot be shown, how wide it is, and where it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.marbles.texts import LONGEST, cells, fitted, number, one_line, piece, seconds


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\r\nb\nc\td", "a↵b↵c⇥d"),
        ("\u2028\u2029\v\f\x85\r", "↵↵↵↵↵↵"),
        ("half \ud83d", "half \ufffd"),
        ("\x00\x1b\x7f\u202e", "\ufffd\ufffd\ufffd\ufffd"),
        ("\ufffe\uffff", "\ufffd\ufffd"),
        ("x" * 300, "x" * (LONGEST - 1) + "…"),
    ],
)
def test_a_text_on_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text(st.characters()))
def test_a_text_on_one_line_can_be_written_into_a_file_of_xml(text: str) -> None:
    shown = one_line(text)
    shown.encode()
    assert not any(ord(character) < 32 or ord(character) in (0xFFFE, 0xFFFF) for character in shown)
    assert len(shown) <= LONGEST


def test_white_space_alone_is_visible() -> None:
    assert piece("  ") == "··"
    assert piece(" " * 9) == "···"
    assert piece("") == ""
    assert piece("a ") == "a "


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("😀", 2), ("e\u0301", 1), ("مرحبا", 5), ("", 0)])
def test_the_width_of_a_text(text: str, width: int) -> None:
    assert cells(text) == width


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("日本", 2, ""), ("abc", 1, ""), ("abc", -5, "")],
)
def test_a_text_that_is_cut(text: str, room: int, shown: str) -> None:
    assert fitted(text, room) == shown


@given(st.text(), st.integers(0, 20))
def test_a_text_that_is_cut_fits(text: str, room: int) -> None:
    assert cells(fitted(text, room)) <= room


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.000123, "0.12 ms"),
        (0.0052, "5.2 ms"),
        (0.0104, "10 ms"),
        (0.3124, "312 ms"),
        (0.9996, "1 s"),
        (4.211, "4.21 s"),
        (42.36, "42.4 s"),
        (99.96, "100 s"),
        (192, "3 min 12 s"),
        (119.6, "120 s"),
        (7325, "2 h 2 min"),
    ],
)
def test_a_duration(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_number_with_its_noun() -> None:
    assert number(1, "event") == "1 event"
    assert number(10_000, "event") == "10,000 events"
    assert number(0, "event") == "0 events"
