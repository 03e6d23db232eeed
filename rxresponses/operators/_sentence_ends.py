"""`SentenceCutter`: where the sentences of a growing text end.

Where a text is cut depends on the text alone, not on the pieces in which it comes.  So each rule looks at the
characters in their order, and either decides by those that have come, or waits for the next one.
"""

# ruff: noqa: RUF001 - other scripts have marks that look like Latin ones

from __future__ import annotations

import re
import unicodedata

from ._sentence_marks import (
    CLOSING,
    CONTINUING,
    LATIN_MARKS,
    MARKS,
    NEWLINES,
    NO,
    OTHER_MARKS,
    WAIT,
    Window,
    end_at_marks,
)

_STOP = re.compile(f"[{re.escape(MARKS)}`{NEWLINES}]")
_NEWLINE = re.compile(f"[{NEWLINES}]")
_WORD = re.compile(r"[^\W_]")
_FENCE = re.compile(r"[ \t]*(?:(`{3,})[^`\n]*|(~{3,})[^\n]*)\n")
_BEGUN_FENCE = re.compile(r"[ \t]*(?:`{0,2}|~{1,2}|`{3,}[^`\n]*|~{3,}[^\n]*)\Z")
_HEADING = re.compile(r"#{1,6}[ \t]")
_BEGUN_HEADING = re.compile(r"#{1,6}\Z")
_CLAUSE = re.compile(
    f"[,;:{re.escape(LATIN_MARKS)}–—][{re.escape(CLOSING)}]*\\s+|[，、；：{OTHER_MARKS}][{re.escape(CLOSING)}]*|[{NEWLINES}]+"
)
_LINE = re.compile(f"[^{NEWLINES}]*[{NEWLINES}]+")
_SPACE = re.compile(r"\s+")
_CONTROLS = ("Cc", "Zl", "Zp")  # categories of characters to which no other character is joined
_CONTINUING = CONTINUING | frozenset("»”")


class SentenceCutter:
    """Cuts one text after another into sentences of at most `max_length` characters.

    With `code=False`, code blocks are left out.
    """

    def __init__(self, max_length: int, *, code: bool = True) -> None:
        self._max_length = max_length
        self._keeps_code = code
        self._text = ""
        self._begin_text()

    def _begin_text(self) -> None:
        self._fence = ""  # the opening fence of the code block that the sentence is in
        self._begin(0, at_line_start=True)

    def _begin(self, start: int, *, at_line_start: bool) -> None:
        self._start = start  # of the sentence
        self._at = start  # the position of the next character to look at
        self._at_line_start = at_line_start
        self._is_known = not at_line_start  # whether the line at `_at` is code, a heading, a row of a table, or text
        self._is_line = False  # whether the sentence is a heading or a row, which only the end of its line ends
        self._is_closed = False  # whether the code block ends with the sentence

    def feed(self, piece: str) -> list[str]:
        """Add a piece of the text, and return the sentences that have ended."""
        self._text += piece
        return self._cut(is_last=False)

    def flush(self) -> list[str]:
        """Return what is left of the text; the next piece begins another text."""
        sentences = self._cut(is_last=True)
        rest, self._text = self._text, ""
        if rest and (self._keeps_code or not self._fence):
            sentences.append(rest)
        self._begin_text()
        return sentences

    def _cut(self, *, is_last: bool) -> list[str]:
        sentences: list[str] = []
        while (end := self._next_end(is_last=is_last)) >= 0:
            sentence = self._text[self._start : end]
            if self._keeps_code or not self._fence:
                sentences.append(sentence)
            if self._is_closed:
                self._fence = ""
            blank = sentence[len(sentence.rstrip()) :]
            self._begin(end, at_line_start=_NEWLINE.search(blank) is not None)
        if self._start:
            self._text = self._text[self._start :]
            self._at -= self._start
            self._start = 0
        return sentences

    def _next_end(self, *, is_last: bool) -> int:
        """Return where the sentence ends, `WAIT` if that is not known yet."""
        available, longest = len(self._text), self._start + self._max_length
        if self._start == available:
            return WAIT
        # Rules look one character ahead, so they see the character behind the longest sentence, and no other.
        window = Window(self._text, min(available, longest + 1), is_last=is_last and available <= longest)
        end = self._end_of_code(window) if self._fence else self._end_of_text(window)
        return self._best_end(longest) if end > longest or (end == WAIT and available > longest) else end

    def _end_of_text(self, window: Window) -> int:
        while True:
            if not self._is_known:
                if not self._know_line(window):
                    return WAIT
                if self._fence:
                    return self._end_of_code(window)
            stop = _STOP.search(window.text, self._at, window.limit)
            if stop is None:
                self._at = window.limit
                return WAIT
            at, character = stop.start(), stop[0]
            go_on = at + 1
            if character in NEWLINES:
                end = self._end_of_line(window, at)
            elif self._is_line:
                end = NO
            elif character == "`":
                end, go_on = _after_code(window, at)
            else:
                end, go_on = end_at_marks(window, self._start, at), window.after_run(MARKS, at)
            self._at = at
            if end == WAIT:
                return WAIT
            if end != NO and is_boundary(window.text, end, self._start):
                if _WORD.search(window.text, self._start, end):
                    return end
                # A row of dashes, for example, cannot be spoken alone: it goes with the next sentence.
                self._is_known, go_on = character not in NEWLINES, end
            self._at = go_on

    def _know_line(self, window: Window) -> bool:
        """Find out what kind of line begins at `_at`; return whether that can be told yet."""
        blank = _SPACE.match(window.text, self._at, window.limit)
        at = self._at if blank is None else blank.end()
        fence = _FENCE.match(window.text, at, window.limit)
        may_begin = (_BEGUN_FENCE, _BEGUN_HEADING)
        if not window.is_last and any(begun.match(window.text, at, window.limit) for begun in may_begin):
            return False
        self._is_known = True
        if fence is not None:
            self._fence, self._at = fence[1] or fence[2], fence.end()
        self._is_line = window.text[at : at + 1] == "|" or _HEADING.match(window.text, at, window.limit) is not None
        return True

    def _end_of_line(self, window: Window, at: int) -> int:
        """Return where the sentence ends if the line ends at `at`."""
        end = window.after_blank(at)
        if end == WAIT or self._is_line or end == window.limit or window.newlines(at, end) > 1:
            return end
        following = window.text[end]
        return NO if following.islower() or following in _CONTINUING else end

    def _end_of_code(self, window: Window) -> int:
        """Return where the code block ends: behind the line with its closing fence."""
        while True:
            newline = _NEWLINE.search(window.text, self._at, window.limit)
            if newline is None and not window.is_last:
                return WAIT
            end = newline.start() if newline else window.limit
            line = window.text[self._at : end].strip()
            is_whole = self._at > self._start or self._at_line_start
            if is_whole and line.startswith(self._fence) and not line.strip(self._fence[0]):
                end = window.limit if newline is None else newline.end()
                if end == window.limit and not window.is_last:
                    return WAIT
                self._is_closed = True
                has_empty_line = end < self._start + self._max_length and window.text[end : end + 1] == "\n"
                return end + 1 if has_empty_line else end
            if newline is None:
                return WAIT
            self._at = newline.end()

    def _best_end(self, longest: int) -> int:
        """Return where to cut what is too long: behind a clause, a line of code, a word, or else a character."""
        text, start = self._text, self._start
        self._is_closed = False
        least = start + self._max_length // 3
        for pattern, after in ((_LINE if self._fence else _CLAUSE, least), (_SPACE, start)):
            ends = [match.end() for match in pattern.finditer(text, start, longest) if match.end() > after]
            for end in reversed(ends):
                if is_boundary(text, end, start) and (self._fence or _WORD.search(text, start, end)):
                    return end
        return next((end for end in range(longest, start, -1) if is_boundary(text, end, start)), longest)


def _after_code(window: Window, at: int) -> tuple[int, int]:
    """Return `NO` and the end of the code in a line, at whose marks no sentence ends; `WAIT` if that is not known."""
    after = window.after_run("`", at)
    if after == window.limit:
        return (NO if window.is_last else WAIT), after
    newline = _NEWLINE.search(window.text, after, window.limit)
    end = newline.start() if newline else window.limit
    closing = re.search(f"(?<!`){window.text[at:after]}(?!`)", window.text[after:end])
    if closing is not None and (after + closing.end() < window.limit or window.is_last):
        return NO, after + closing.end()
    return (NO, after) if newline or window.is_last else (WAIT, after)


def is_boundary(text: str, at: int, start: int = 0) -> bool:
    """Whether a text may be cut at a position without cutting a character that readers see; look back to `start`."""
    if not start < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if unicodedata.category(before) in _CONTROLS or unicodedata.category(after) in _CONTROLS:
        return before + after != "\r\n"
    if unicodedata.category(after)[0] == "M" or "\u200d" in (before, after) or after in "\u200c\u0e33\u0eb3":
        return False
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return False  # the colour of a skin, and the letters in the flag of a region
    if _is_flag_letter(after):
        letters = at
        while letters > start and _is_flag_letter(text[letters - 1]):
            letters -= 1
        return (at - letters) % 2 == 0
    if "\u1160" <= after <= "\u11ff":  # a vowel or a final consonant of a Korean syllable
        return not ("\u1100" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3")
    if "\ud800" <= before <= "\udbff":
        return not "\udc00" <= after <= "\udfff"
    return not (unicodedata.combining(before) == 9 and unicodedata.category(after)[0] == "L")  # joined consonants


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
