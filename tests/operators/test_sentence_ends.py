"""Where sentences end: hard cases, and the rules that hold for any text."""

# ruff: noqa: RUF001 - other scripts have marks that look like Latin ones

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.operators._sentence_ends import SentenceCutter, is_boundary

from ..effort import examples
from .sentence_cases import CASES, CODE

TOKEN = re.compile(r" ?[^\W_]+| ?[^\w\s]+\n*| ?_+|\s+?(?= \S)|\s+")
"""Deltas as models make them: words with the space before, marks with the newlines behind."""

WAITS_FOR_A_WORD = {
    "I at the end",
    "Russian",
    "company at the end",
    "country at the end",
    "one letter at the end",
    "roman number",
    "street",
}
"""Cases whose first sentence ends with what may be an abbreviation, so that the whole next word must be known."""

PIECES = [
    *("ab", " AB", ".", ". ", "!", "? ", "。", "！", "」", '"', "'", "(", ")", "[", "]", "](", "`", "``", "~~~", "#"),
    *("# ", "|", "\n", "\n\n", " ", "1", "1. ", "25. ", "😊", " 😊", "\u200d", "\u0301", "\ufe0f", "«", " »", "…"),
    *("🇩🇪", "-", "*", "Dr.", "Th", " The ", "e.g.", "U.S. ", "```\n", "\n```\n", "Ma", "rch", "各", "र्", "नि", "한"),
    *("\u1100\u1161", "\r\n", ",", ";"),
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


def cut(text: str, max_length: int = 500, *, code: bool = True) -> list[str]:
    return cut_pieces([text], max_length, code=code)


def cut_pieces(pieces: list[str], max_length: int = 500, *, code: bool = True) -> list[str]:
    cutter = SentenceCutter(max_length, code=code)
    return [sentence for piece in pieces for sentence in cutter.feed(piece)] + cutter.flush()


@pytest.mark.parametrize("case", CASES)
def test_hard_case(case: str) -> None:
    sentences = CASES[case]

    assert cut("".join(sentences)) == sentences
    assert cut_pieces(list("".join(sentences))) == sentences


def test_there_are_sixty_hard_cases() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES)
def test_the_first_sentence_leaves_within_one_delta_of_its_end(case: str) -> None:
    first, *others = CASES[case]
    deltas = TOKEN.findall("".join(CASES[case]))
    assert "".join(deltas) == "".join(CASES[case])
    if others:
        assert deltas_behind(first, deltas) <= (2 if case in WAITS_FOR_A_WORD else 1)


def deltas_behind(first: str, deltas: list[str]) -> int:
    """Return how many deltas behind its end the first sentence leaves: behind its mark, or the end of its line."""
    end = len(first.rstrip())
    end += first[end:].find("\n") + 1
    cutter = SentenceCutter(500)
    length = 0
    ended = None
    for number, delta in enumerate(deltas):
        length += len(delta)
        ended = number if ended is None and length >= end else ended
        if cutter.feed(delta):
            assert ended is not None
            return number - ended
    return len(deltas)


@settings(max_examples=examples(2000))
@given(text=texts, max_length=st.sampled_from([1, 2, 7, 30, 500]), cuts=st.lists(st.integers(1, 9)), code=st.booleans())
def test_no_text_is_lost_and_the_deltas_do_not_matter(text: str, max_length: int, cuts: list[int], code: bool) -> None:
    pieces, rest = [], text
    for length in cuts:
        pieces.append(rest[:length])
        rest = rest[length:]
    sentences = cut(text, max_length, code=code)

    assert cut_pieces([*pieces, rest], max_length, code=code) == sentences
    assert cut_pieces(list(text), max_length, code=code) == sentences
    assert not code or "".join(sentences) == text
    assert all(len(sentence) <= max_length for sentence in sentences)


@given(text=texts)
def test_no_character_is_cut(text: str) -> None:
    at = 0
    for sentence in cut(text, 200):
        assert is_boundary(text, at)
        at += len(sentence)


@given(text=texts)
def test_a_sentence_has_a_letter_or_a_digit_except_the_last(text: str) -> None:
    for sentence in cut(text, 10_000)[:-1]:
        assert re.search(r"[^\W_]", sentence) or "```" in sentence or "~~~" in sentence


def test_a_line_separator_is_no_part_of_a_character() -> None:
    text = "One\u2028\u2028\u200dtwo"
    assert cut_pieces(list(text)) == cut(text) == ["One\u2028\u2028", "\u200dtwo"]


def test_a_text_begins_anew_behind_a_flush() -> None:
    cutter = SentenceCutter(500)

    assert cutter.feed("A. B") == []
    assert cutter.flush() == ["A. B"]
    assert cutter.feed("```\nx\n") == []
    assert cutter.flush() == ["```\nx\n"]
    assert cutter.feed("# A. B\nOne. Two") == ["# A. B\n", "One. "]
    assert cutter.flush() == ["Two"]
    assert cutter.flush() == []


class TestLength:
    def test_behind_a_clause(self) -> None:
        assert cut("one two three, four five six seven", 20) == ["one two three, ", "four five six seven"]
        assert cut("一二三四五六，七八九十", 9) == ["一二三四五六，", "七八九十"]

    def test_behind_a_word_if_the_clause_is_short(self) -> None:
        assert cut("Yes, this is a sentence", 16) == ["Yes, this is a ", "sentence"]

    def test_within_a_word_if_there_is_no_other_place(self) -> None:
        assert cut("abcdefgh", 3) == ["abc", "def", "gh"]
        assert cut("\n\nabcdefgh", 4) == ["\n\nab", "cdef", "gh"]

    def test_exactly(self) -> None:
        assert cut("abc", 3) == ["abc"]
        assert cut("Abc. Def.", 5) == ["Abc. ", "Def."]
        assert cut("Abc.   Def.", 5) == ["Abc. ", "  Def", "."]

    @pytest.mark.parametrize(
        "character",
        [
            "e\u0301",
            "👍🏽",
            "👨‍👩‍👧",
            "❤\ufe0f",
            "🇩🇪",
            "क्षि",
            "\u1112\u1161\u11ab",
            "\r\n",
            "\U0001f3f4\U000e0067\U000e007f",
            "กำ",
        ],
    )
    def test_not_within_a_character(self, character: str) -> None:
        length = len(character)
        text = "a" * (10 - length + 1) + character * 3

        assert cut(text, 10) == ["a" * (10 - length + 1), *cut(character * 3, 10)]
        assert all(len(part) % length == 0 for part in cut(character * 8, max(8, length)))

    def test_a_character_that_is_too_long_is_cut(self) -> None:
        assert cut("a" + "\u0301" * 9, 5) == ["a" + "\u0301" * 4, "\u0301" * 5]

    def test_two_flags_are_two_characters(self) -> None:
        assert cut("🇩🇪🇫🇷🇮🇹", 5) == ["🇩🇪🇫🇷", "🇮🇹"]

    def test_halves_of_a_character(self) -> None:
        assert cut("a\ud83c\udf89", 2) == ["a", "\ud83c\udf89"]
        assert cut("a\ud83cb", 2) == ["a\ud83c", "b"]

    def test_white_space_alone(self) -> None:
        assert cut(" " * 12, 5) == [" " * 5, " " * 5, " " * 2]

    def test_a_row_or_a_heading(self) -> None:
        assert cut("| aaa. Bbb | ccc |\nNext", 11) == ["| aaa. ", "Bbb | ccc ", "|\nNext"]

    def test_code_behind_a_line(self) -> None:
        assert cut("```\nabc def\nghi = 1\n```\nSo. On", 14) == ["```\nabc def\n", "ghi = 1\n```\n", "So. ", "On"]

    def test_code_in_a_line_that_is_too_long(self) -> None:
        assert cut("```\n" + "a b" * 5 + "\n```\nSo. On", 10)[-2:] == ["So. ", "On"]


class TestCode:
    def test_is_left_out(self) -> None:
        assert cut(f"Try:\n\n{CODE}Good.", code=False) == ["Try:\n\n", "Good."]
        assert cut("A\n\n```\nnot closed\n\n``", code=False) == ["A\n\n"]
        assert cut("```\n" + "long line\n" * 99 + "```\nB", 50, code=False) == ["B"]

    def test_with_the_empty_line_behind_it(self) -> None:
        assert cut("~~~~\n~~~\n~~~~\n\nBb. C") == ["~~~~\n~~~\n~~~~\n\n", "Bb. ", "C"]

    def test_closed_by_the_last_line(self) -> None:
        assert cut("```\na. B\n```") == ["```\na. B\n```"]
        assert cut("```\na. B\n``` no\n```  ") == ["```\na. B\n``` no\n```  "]

    def test_fences_within_a_line_are_none(self) -> None:
        assert cut("```a. B``` is. C") == ["```a. B``` is. ", "C"]
        assert cut("Use ```. C\n") == ["Use ```. ", "C\n"]
        assert cut("```") == ["```"]

    def test_a_backquote_alone_is_none(self) -> None:
        assert cut("The ` key. Next.\nMore") == ["The ` key. ", "Next.\n", "More"]
        assert cut("The ` key. Next.") == ["The ` key. ", "Next."]

    def test_behind_a_rule(self) -> None:
        assert cut("---\n```\na. B\n```\nC") == ["---\n```\na. B\n```\n", "C"]


class TestCorners:
    @pytest.mark.parametrize(
        "text",
        [
            "He was at node.js. and so on",  # a small letter follows
            "It is at 5 .5 or 6",
            "no . , yes",
            "It is 25. März 2020",
            "C. I. A. Files",
            "a ? b : c",
            "«Oui. » dit-il",
            "「はい。」、と",
            "３．１４",
            "Das steht auf S. 5 hier",
            "A.\u0301 B",
            "one. \u0301two",
            "first line\n, and on",
            "Hello。, he",
            "Hello. 😊",
            "It ends.[not a note, but more",
            "It ends.[",
            "« It ends. »",
        ],
    )
    def test_one_sentence(self, text: str) -> None:
        assert cut(text) == [text]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("He came at 25. ", "Ma"),
            ("It is in the U.S. ", "He"),
            ("It is old.\n", "and new"),
            ("It is old. ", "(And new"),
            ("C’est « Oui. » ", "Il"),
            ("太好了！🎉", "下一"),
            ("Fertig.【4:0†a】 ", "So"),
            ("See e.g.\n", "This"),
            ("It ends. ", "»So"),
            ("Done!\n", "🎉 Next"),
            ("In the U.S.\n", "Europe"),
            ("Hi! ", "how are you"),
            ('He said "no." ', "So"),
            ("One .\n\n", "and"),
            ("1. ", ""),
        ],
    )
    def test_two_sentences(self, first: str, second: str) -> None:
        assert cut(first + second) == [part for part in (first, second) if part]
        assert cut_pieces(list(first + second)) == [part for part in (first, second) if part]
