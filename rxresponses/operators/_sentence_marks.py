"""Whether a sentence ends at a mark: by the word before, and by what follows."""

# ruff: noqa: RUF001 - other scripts have marks that look like Latin ones

from __future__ import annotations

import re

from ._sentence_words import (
    AFTER_AN_ORDINAL,
    BEFORE_AN_ORDINAL,
    BEGINNINGS,
    ENDS_WITH_A_MARK,
    LABELS,
    LAST_BEFORE_A_BEGINNING,
    NEVER_LAST,
    NEVER_LAST_IN_ANY_CASE,
    NOT_BEFORE_A_NUMBER,
)

WAIT = -1
"""In place of a position: the next character decides."""

NO = -2
"""In place of a position: no sentence ends here."""

LATIN_MARKS = ".!?…‽"
"""Marks behind which a sentence ends only with a space."""

OTHER_MARKS = "。！？｡．؟۔।॥։።፧၊။។៕"
"""Marks behind which no space is needed."""

MARKS = LATIN_MARKS + OTHER_MARKS
CLOSING = "\"'‘’“”»«›)]}*_`~」』】〉》）］｝"
"""Quotes, brackets and Markdown that belong to the sentence if they follow its mark."""

NEWLINES = "\n\u2028\u2029"

_RUNS = {characters: re.compile(f"[{re.escape(characters)}]*") for characters in (MARKS, CLOSING, "`")}
CONTINUING = frozenset(",;:)]}、，；：" + MARKS)
_OPENING = "([{<\"'“‘«„¿¡*_~`「『（"
_EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u2775\u2794-\u27bf\u200d\ufe0f\U000e0020-\U000e007f]+")
_NOTE = re.compile(r"\[[^\]\s]{0,24}\]|【[^】\n]{0,80}】|(?<=\])\([^()\s]*\)")
_BEGUN_NOTE = re.compile(r"(?:\[[^\]\s]{0,24}|【[^】\n]{0,80}|(?<=\])\([^()\s]*)\Z")
_LETTERS = re.compile(r"[^\W\d_]*")
_WORD = re.compile(r"\S*\Z")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|Ph\.D|[BM]\.Sc|Sc\.D")
_ROMAN = re.compile(r"[IVX]{2,5}")
_ONE = re.compile(r"[:;(]\s*1\Z")
_TWO_WORDS = re.compile(r"(?:([^\W\d_]+)\s+)?([^\W\d_]+)\s+\d+\Z")
_LABEL = re.compile(r"[\W_]*(?:([^\W\d_]+)\s+)?(?:\d{1,3}(?:\.\d{1,3})*|[ivx]{1,4}|[IVX]{1,4}|[^\W\d_])")
_LONGEST_WORD = 24  # characters of a word that may be an abbreviation
_LONGEST_LABEL = 40

_PARTS_OF_BEGINNINGS = frozenset(word[:end] for word in BEGINNINGS for end in range(1, len(word) + 1))
_PARTS_AFTER_ORDINALS = frozenset(word[:end] for word in AFTER_AN_ORDINAL for end in range(1, len(word) + 1))


class Window:
    """The characters that rules may look at: those of `text` before `limit`; `is_last` if none follows."""

    __slots__ = ("is_last", "limit", "text")

    def __init__(self, text: str, limit: int, *, is_last: bool) -> None:
        self.text = text
        self.limit = limit
        self.is_last = is_last

    def after_run(self, characters: str, at: int) -> int:
        """Return where a run of these characters ends: `MARKS`, `CLOSING` or backquotes."""
        run = _RUNS[characters].match(self.text, at, self.limit)
        assert run is not None  # it matches no characters, too
        return run.end()

    def after_blank(self, at: int) -> int:
        """Return where the white space ends that belongs to a sentence: at the next word, or behind an empty line."""
        newlines = 0
        while at < self.limit:
            if not self.text[at].isspace():
                return at
            newlines += self.text[at] in NEWLINES
            at += 1
            if newlines == 2:
                return at
        return at if self.is_last else WAIT

    def newlines(self, start: int, end: int) -> int:
        """Return the number of newlines between two positions."""
        return sum(self.text[at] in NEWLINES for at in range(start, end))


def end_at_marks(window: Window, start: int, at: int) -> int:
    """Return where the sentence ends that began at `start`, and whose marks begin at `at`."""
    text = window.text
    marks = window.after_run(MARKS, at)
    after = _after_closing(window, start, marks)
    if after == WAIT:
        return WAIT
    if after == window.limit:
        return NO if window.is_last else WAIT
    has_closing = any(character in CLOSING for character in text[marks:after])
    needs_space = text[marks - 1] in LATIN_MARKS
    if not text[after].isspace():
        joins = text[after] in CONTINUING or (has_closing and text[after].isalpha())
        if not needs_space:
            return NO if joins or (text[marks - 1] == "．" and text[after].isdigit()) else after
        is_between_ideographs = at > start and _is_ideograph(text[at - 1]) and _is_ideograph(text[after])
        return after if is_between_ideographs and not joins else NO
    end = window.after_blank(after)
    if end == WAIT or end == window.limit or window.newlines(after, end) > 1:
        return end
    has_newline = window.newlines(after, end) > 0
    if not has_newline and _EMOJI.match(text, end):
        return _after_emoji(window, end)
    if text[end] in CONTINUING:
        return NO
    if not needs_space:
        return end
    begins_small = text[end].islower()
    if text[at:marks] == "." and not has_closing:
        return _end_at_point(window, start, at, end, has_newline=has_newline)
    if text[marks - 1] in "!?‽" and not has_closing:
        is_name = _word_before(text, start, at).lower() in ENDS_WITH_A_MARK
        return NO if begins_small and (is_name or text[at - 1 : at].isspace()) else end
    return NO if begins_small and not has_newline else end


def _after_closing(window: Window, start: int, at: int) -> int:
    """Return where the quotes, brackets, emoji, links and numbers of notes behind a mark end."""
    text = window.text
    while True:
        before = at
        at = window.after_run(CLOSING, at)
        if emoji := _EMOJI.match(text, at, window.limit):
            at = emoji.end()
        if (
            at < window.limit
            and text[at] in " \u00a0\u202f"
            and text.count("«", start, at) > text.count("»", start, at)
        ):
            if at + 1 == window.limit and not window.is_last:
                return WAIT
            at += 2 if text[at + 1 : at + 2] == "»" else 0
        if note := _NOTE.match(text, at, window.limit):
            at = note.end()
        elif not window.is_last and _BEGUN_NOTE.match(text, at, window.limit):
            return WAIT
        if at == before:
            return at


def _after_emoji(window: Window, at: int) -> int:
    """Return where the emoji behind a sentence end, with the white space: they belong to it."""
    end = at
    while end != WAIT and (emoji := _EMOJI.match(window.text, end, window.limit)):
        if emoji.end() == window.limit and not window.is_last:
            return WAIT
        end = window.after_blank(emoji.end())
    return end


def _end_at_point(window: Window, start: int, at: int, end: int, *, has_newline: bool) -> int:
    """Return whether the sentence ends at a single point: its `end`, or `NO` or `WAIT`."""
    text = window.text
    word = _word_before(text, start, at)
    small = word.lower()
    if word in NEVER_LAST or small in NEVER_LAST_IN_ANY_CASE or _is_label(text, start, at):
        return NO
    if text[end].isdigit() and small in NOT_BEFORE_A_NUMBER:
        return NO
    if text[end].islower():
        return end if has_newline and len(word) > 1 else NO
    if has_newline:
        return end
    if len(word) == 1 and word.isalpha():
        return _end_before_one_of(window, end, BEGINNINGS, _PARTS_OF_BEGINNINGS)
    if small in LAST_BEFORE_A_BEGINNING or _DOTTED.fullmatch(word) or _ROMAN.fullmatch(word):
        return _end_before_one_of(window, end, BEGINNINGS, _PARTS_OF_BEGINNINGS)
    if word.isdigit() and len(word) <= 2:
        if word == "1" and _ONE.search(text, start, at):
            return NO
        if _is_ordinal(text, start, at):
            return _end_before_one_of(window, end, BEGINNINGS, _PARTS_OF_BEGINNINGS)
        follows = _end_before_one_of(window, end, AFTER_AN_ORDINAL, _PARTS_AFTER_ORDINALS)
        return {WAIT: WAIT, NO: end}.get(follows, NO)
    return end


def _end_before_one_of(window: Window, at: int, words: frozenset[str], parts: frozenset[str]) -> int:
    """Return `at` if one of these words follows there, else `NO`."""
    letters = _LETTERS.match(window.text, at, window.limit)
    assert letters is not None  # it matches no letters, too
    word = letters[0]
    if letters.end() == window.limit and not window.is_last:
        return WAIT if word in parts else NO
    is_initial = len(word) == 1 and window.text[letters.end() : letters.end() + 1] == "."
    return at if word in words and not is_initial else NO


def _word_before(text: str, start: int, at: int) -> str:
    word = _WORD.search(text, max(start, at - _LONGEST_WORD), at)
    return "" if word is None else word[0].lstrip(_OPENING)


def _is_ordinal(text: str, start: int, at: int) -> bool:
    """Whether the number that ends at `at` is an ordinal, by the German word before; in `I am 25`, it is not."""
    words = _TWO_WORDS.search(text, max(start, at - _LONGEST_WORD), at)
    return words is not None and words[2].lower() in BEFORE_AN_ORDINAL and words[1] != "I"


def _is_label(text: str, start: int, at: int) -> bool:
    """Whether the sentence so far is the number of a list, or a heading such as `Step 1`."""
    label = _LABEL.fullmatch(text, start, at) if at - start <= _LONGEST_LABEL else None
    return label is not None and (label[1] is None or label[1].lower() in LABELS)


def _is_ideograph(character: str) -> bool:
    return "\u3040" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff"
