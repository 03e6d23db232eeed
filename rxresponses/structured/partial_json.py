"""JSON text that comes in pieces: the value so far, in time that is linear in the length of the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ..errors import DecodeError
from .cut_text import CutText, Unexpected
from .growing_texts import Growing

NOTHING: Final[Any] = object()
"""`PartialJson.value` returns this as long as there is no value."""

_DEPTH = 500  # levels of nesting: Python's own parser and `repr` give up at about 1000
_SHARE = 500  # elements of open lists and objects that each piece of text may copy, at any length of the text
_SHARE_OF_CHARACTER = 8  # elements that each character allows on top
_CHARACTERS_OF_VALUE = 2  # characters of a whole value that cost as much as an element of a list, for each open level
_CHARACTERS = 64  # characters of an open text that cost as much as an element of a list

_SPACE = re.compile(r"[ \t\n\r]*")
_INFO = re.compile(r"[^\n{\[]*")
_DIGITS = re.compile(r"[-+.eE0-9]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_FENCE = "```"

_State: TypeAlias = "Callable[[PartialJson, str, int], int]"


class PartialJson:
    """Reads JSON text piece by piece.

    `value` is the value so far: texts, lists and objects are there from their first character on and grow; numbers,
    `true`, `false` and `null` are there when they are whole, because `12` may become `123`; so are names.  The text may
    be in a Markdown fence (three backquotes), with any text before and after it.

    `growing` has the rules for texts that are there only when they are whole.  With `is_read_whole`, the caller looks
    at all of each value, and not only at its new parts; then `feed` asks for a value less often.

    `watched` is the list at `path`, the names of members from the outermost object on; `None` as long as it has not
    begun.  It is not copied, and grows by each element that is whole.  Without a path, it is the outermost value, or
    the first list that is directly in the outermost object.
    """

    __slots__ = (
        "_containers",
        "_credit",
        "_digits",
        "_growing",
        "_has_changed",
        "_is_fenced",
        "_is_read_whole",
        "_is_text_shown",
        "_keys",
        "_name",
        "_offset",
        "_parts",
        "_path",
        "_size",
        "_state",
        "_text",
        "_token",
        "_value",
        "_word",
        "has_null",
        "watched",
    )

    def __init__(
        self, path: tuple[str, ...] | None = None, *, is_read_whole: bool = False, growing: Growing | None = None
    ) -> None:
        self.watched: list[Any] | None = None
        self.has_null = False
        """Whether there is a `null` in the value."""
        self._path = path
        self._is_read_whole = is_read_whole
        self._growing = growing
        self._parts: list[Growing] = []  # for each open list and object, if `growing` is given
        self._state: _State = _start
        self._containers: list[Any] = []  # the open lists and objects, without the element that is open in each
        self._keys: list[str] = []  # the name that comes next, for each of them; "" in lists
        self._size = 0  # elements of all open lists and objects
        self._value: Any = NOTHING  # the whole value
        self._text: CutText | None = None  # that is open, and no name
        self._is_text_shown = True  # while it grows
        self._name: CutText | None = None  # that is open
        self._digits: list[str] = []  # of the open number
        self._token = ""  # what is left of a word; the begin of a fence
        self._word: Any = None  # the value of that word
        self._offset = 0  # characters before the current piece
        self._is_fenced = False
        self._has_changed = False  # since `feed` said to look at the value
        self._credit = 0  # elements that may be copied

    def feed(self, text: str) -> bool:
        """Read the next piece; return whether to look at the value now, because it has changed.

        `value` copies the open lists and objects, so that what it has returned never changes.  If it were called for
        each piece of a long text, the time would grow with the square of the length.  So with long lists and texts,
        `feed` returns `True` for the changes of several pieces together.

        Raises `DecodeError` for text that cannot become JSON any more.
        """
        position, end = 0, len(text)
        try:
            while position < end:
                position = self._state(self, text, position)
        except Unexpected as found:
            raise DecodeError(
                f"the text is not valid JSON: {found.expected} was expected at character "
                f"{self._offset + found.position}, not {text[found.position]!r}"
            ) from None
        self._offset += end
        if not self._has_changed:
            return False
        self._credit += _SHARE + _SHARE_OF_CHARACTER * end
        if self.cost > self._credit and self._value is NOTHING:
            return False
        self._has_changed, self._credit = False, 0
        return True

    @property
    def cost(self) -> int:
        """The cost of a call of `value`, in elements that are copied or read."""
        if self._is_read_whole:
            return self._offset // _CHARACTERS_OF_VALUE * self.depth
        return self._size + (0 if self._text is None else self._text.length // _CHARACTERS)

    @property
    def depth(self) -> int:
        """How many levels are open, with the text that is open."""
        return len(self._containers) + (self._text is not None)

    def value(self, depth: int | None = None) -> Any:
        """Return the value so far, which never changes; `NOTHING` if there is none.

        Lists and objects that are whole are parts of all values from then on, and not copied.  With `depth`, the parts
        that are open below so many levels are left out.
        """
        shown = self._containers if depth is None else self._containers[:depth]
        value = self._value
        if self._text is not None and self._is_text_shown and (depth is None or depth >= self.depth):
            value = str(self._text)
        for container, key in zip(reversed(shown), reversed(self._keys[: len(shown)]), strict=True):
            copy = container.copy()
            if value is NOTHING:
                pass
            elif isinstance(copy, list):
                copy.append(value)
            else:
                copy[key] = value
            value = copy
        return value

    def _open(self, container: list[Any] | dict[str, Any]) -> None:
        if len(self._containers) == _DEPTH:
            raise DecodeError(f"the JSON text is nested deeper than {_DEPTH} levels")
        if self.watched is None and isinstance(container, list) and self._is_watched():
            self.watched = container
        if self._growing is not None:
            self._parts.append(self._part(self._growing))
        self._containers.append(container)
        self._keys.append("")
        self._has_changed = True

    def _open_text(self) -> None:
        self._text = CutText()
        self._is_text_shown = self._growing is None or self._part(self._growing).may_grow
        self._has_changed = self._has_changed or self._is_text_shown

    def _part(self, growing: Growing) -> Growing:
        """Return the part that begins here."""
        if not self._containers:
            return growing
        top = self._containers[-1]
        return self._parts[-1].part(len(top) if isinstance(top, list) else self._keys[-1])

    def _is_watched(self) -> bool:
        """Whether the value that begins here is at the path."""
        if self._path is None:
            return len(self._containers) < 2
        return tuple(self._keys) == self._path

    def _close(self) -> None:
        value = self._containers.pop()
        self._keys.pop()
        if self._parts:
            self._parts.pop()
        self._size -= len(value)
        self._put(value)

    def _put(self, value: Any) -> None:
        """Add a whole value to the innermost open list or object."""
        if not self._containers:
            self._value, self._state = value, _end
            return
        top = self._containers[-1]
        before = len(top)
        if isinstance(top, list):
            top.append(value)
        else:
            top[self._keys[-1]] = value
        self._size += len(top) - before
        self._state = _next


# Each state reads from a position on, at least one character, and returns the position behind what it read.


def _start(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position < len(text) and text[position] != "\ufeff":
        json._state = _value if text[position] in '{["' else _before_fence
        return position
    return position + 1


def _before_fence(json: PartialJson, text: str, position: int) -> int:
    json._token = json._token + "`" if text[position] == "`" else ""
    if json._token == _FENCE:
        json._token, json._state, json._is_fenced = "", _in_info, True
    return position + 1


def _in_info(json: PartialJson, text: str, position: int) -> int:
    """Read the word behind the backquotes, such as `json`."""
    position = _end_of(_INFO, text, position)
    if position < len(text):
        json._state = _value
    return position


def _value(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position == len(text):
        return position
    mark = text[position]
    if mark == '"':
        json._open_text()
        json._state = _in_text
    elif mark == "{":
        json._open({})
        json._state = _first_name
    elif mark == "[":
        json._open([])
        json._state = _first_element
    elif mark in _WORDS:
        (json._token, json._word), json._state = _WORDS[mark], _in_word
        return position
    elif mark in "-0123456789":
        json._state = _in_number
        return position
    else:
        raise Unexpected(position, "a value")
    return position + 1


def _first_element(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position < len(text) and text[position] == "]":
        json._close()
        return position + 1
    if position < len(text):
        json._state = _value
    return position


def _first_name(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position < len(text) and text[position] == "}":
        json._close()
        return position + 1
    if position < len(text):
        json._state = _name
    return position


def _name(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position < len(text):
        if text[position] != '"':
            raise Unexpected(position, "a name in quotes")
        json._name, json._state = CutText(), _in_name
    return position + 1


def _colon(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position < len(text):
        if text[position] != ":":
            raise Unexpected(position, "a colon")
        json._state = _value
    return position + 1


def _next(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position == len(text):
        return position
    mark, is_list = text[position], isinstance(json._containers[-1], list)
    if mark == ",":
        json._state = _value if is_list else _name
    elif mark == ("]" if is_list else "}"):
        json._close()
    else:
        raise Unexpected(position, "a comma or ']'" if is_list else "a comma or '}'")
    return position + 1


def _end(json: PartialJson, text: str, position: int) -> int:
    position = len(text) if json._is_fenced else _space(text, position)
    if position < len(text):
        raise Unexpected(position, "the end of the text")
    return position


def _in_text(json: PartialJson, text: str, position: int) -> int:
    cut = json._text
    assert cut is not None
    before = cut.length
    position = cut.read(text, position)
    if cut.is_whole:
        json._has_changed = json._has_changed or cut.length > before or not json._is_text_shown
        json._text = None
        json._put(str(cut))
    elif cut.length > before and json._is_text_shown:
        json._has_changed = True
    return position


def _in_name(json: PartialJson, text: str, position: int) -> int:
    cut = json._name
    assert cut is not None
    position = cut.read(text, position)
    if cut.is_whole:
        json._name, json._keys[-1], json._state = None, str(cut), _colon
    return position


def _in_number(json: PartialJson, text: str, position: int) -> int:
    end = _end_of(_DIGITS, text, position)
    json._digits.append(text[position:end])
    if end == len(text):
        return end
    number = "".join(json._digits)
    json._digits.clear()
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise Unexpected(end, "a number")
    try:
        json._put(float(number) if match[1] or match[2] else int(number))
    except ValueError as error:
        raise DecodeError(f"the JSON text has an integer of {len(number)} digits") from error
    json._has_changed = True
    return end


def _in_word(json: PartialJson, text: str, position: int) -> int:
    if text[position] != json._token[0]:
        raise Unexpected(position, "true, false or null")
    json._token = json._token[1:]
    if not json._token:
        json._put(json._word)
        json.has_null = json.has_null or json._word is None
        json._has_changed = True
    return position + 1


def _space(text: str, position: int) -> int:
    return _end_of(_SPACE, text, position)


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    assert match is not None  # each of these patterns fits the empty text
    return match.end()
