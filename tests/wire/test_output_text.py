"""Halves of characters, which `text_deltas`, `accumulate_text` and `collect_text` share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rxresponses.operators import accumulate_text, collect_text, text_deltas
from rxresponses.wire.growing_text import split_half

from ..support.events import EMOJI, HIGH, LOW, completed, delta
from ..support.marbles import run


def units(text: str) -> list[str]:
    """Cut into UTF-16 code units: every character beyond the BMP becomes two lone surrogates."""
    data = text.encode("utf-16-le")
    return [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]


@st.composite
def texts_in_pieces(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = draw(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("a\u00e9\u4e16" + EMOJI)))
    rest = units(text)
    pieces = []
    while rest:
        size = draw(st.integers(1, len(rest)))
        pieces.append("".join(rest[:size]))
        rest = rest[size:]
    return text, pieces


@given(texts_in_pieces())
def test_scenario_51_any_split_of_any_text_is_restored(case: tuple[str, list[str]]) -> None:
    text, pieces = case
    events = [delta(piece) for piece in pieces]

    deltas = run(text_deltas(), *events, completed()).values
    growing = run(accumulate_text(), *events, completed()).values
    assert "".join(deltas) == text
    assert run(collect_text(), *events, completed()).values == [text]
    assert growing == ["".join(deltas[: count + 1]) for count in range(len(deltas))]
    assert all(piece and piece.encode() for piece in deltas)


@given(st.lists(st.text(st.characters() | st.sampled_from(HIGH + LOW))))
def test_whatever_comes_can_be_printed_and_the_ways_agree(pieces: list[str]) -> None:
    events = [delta(piece) for piece in pieces]

    deltas = run(text_deltas(), *events, completed()).values
    growing = run(accumulate_text(), *events, completed()).values
    [whole] = run(collect_text(), *events, completed()).values
    whole.encode()
    assert "".join(deltas) == whole
    assert (growing or [""])[-1] == whole
    assert whole == "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def test_split_half() -> None:
    assert split_half("") == ("", "")
    assert split_half("plain") == ("plain", "")
    assert split_half("h\u00e9") == ("h\u00e9", "")
    assert split_half(HIGH) == ("", HIGH)
    assert split_half("a" + HIGH) == ("a", HIGH)
    assert split_half("a" + HIGH + LOW) == ("a" + EMOJI, "")
    assert split_half(LOW + "a") == ("\ufffda", "")
    assert split_half(HIGH + "a") == ("\ufffda", "")
    assert split_half(HIGH + HIGH) == ("\ufffd", HIGH)
