"""JSON text that comes in pieces: the value so far, in steps that are linear in the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeAlias

from ..errors import DecodeError

NOTHING: Final[Any] = object()
"""What `PartialJson.value` returns as long as there is no value."""

_DEPTH = 500  # levels of nesting: Python's own parser and `repr` give up at about 1000
_SHARE = 500  # elements of open lists and objects that each piece of text may copy, at any length of the text
_SHARE_OF_CHARACTER = 8  # elements that each character allows on top
_CHARACTERS_OF_VALUE = 2  # characters of a whole value that cost as much as an element of a list, for each open level
_CHARACTERS = 64  # characters of an open text that cost as much as an element of a list

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_INFO = re.compile(r"[^\n{\[]*")
_DIGITS = re.compile(r"[-+.eE0-9]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_HEX = re.compile(r"u[0-9a-fA-F]{4}")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_FENCE = "```"

_State: TypeAlias = "Callable[[PartialJson, str, int], int]"


class PartialJson:
    """Reads JSON text piece by piece.

    `value` is the value so far: texts, lists and objects are there from their first character on and grow; numbers,
    `true`, `false` and `null` are there when they are whole, because `12` may become `123`; so are names.  The text may
    be in a Markdown fence (three backquotes), with any text before and after it.

    If the caller looks at the whole of each value, and not only at what is new in it, `is_read_whole` says so; values
    are rarer then.

    `watched` is the list at `path`, the names of members from the outermost object on; `None` as long as it has not
    begun.  It is not copied, and grows by each element that is whole.  Without a path, it is the outermost value, or
    the first list that is directly in the outermost object.
    """

    __slots__ = (
        "_containers",
        "_credit",
        "_escape",
        "_has_changed",
        "_high",
        "_is_fenced",
        "_is_read_whole",
        "_is_text_open",
        "_keys",
        "_offset",
        "_path",
        "_pieces",
        "_size",
        "_state",
        "_text",
        "_text_length",
        "_token",
        "_value",
        "_word",
        "has_null",
        "watched",
    )

    def __init__(self, path: tuple[str, ...] | None = None, *, is_read_whole: bool = False) -> None:
        self.watched: list[Any] | None = None
        self.has_null = False
        """Whether there is a `null` in the value."""
        self._path = path
        self._is_read_whole = is_read_whole
        self._state: _State = _start
        self._containers: list[Any] = []  # the open lists and objects, without the element that is open in each
        self._keys: list[str] = []  # the name that comes next, for each of them; "" in lists
        self._size = 0  # elements of all open lists and objects
        self._value: Any = NOTHING  # the whole value
        self._is_text_open = False  # a text that is no name
        self._text = ""  # the open text or name, without the pieces that came since it was looked at
        self._pieces: list[str] = []
        self._text_length = 0
        self._escape = ""  # the begin of an escape, without the backslash
        self._high = ""  # the first half of a character, which waits for the escape of the other half
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
        while position < end:
            position = self._state(self, text, position)
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
        """What a call of `value` costs, in elements that are copied or read."""
        if self._is_read_whole:
            return self._offset // _CHARACTERS_OF_VALUE * self.depth
        return self._size + self._text_length // _CHARACTERS

    @property
    def depth(self) -> int:
        """How many levels are open, with the text that is open."""
        return len(self._containers) + self._is_text_open

    def value(self, depth: int | None = None) -> Any:
        """Return the value so far, which never changes; `NOTHING` if there is none.

        Lists and objects that are whole are parts of all values from then on, and not copied.  With `depth`, the parts
        that are open below so many levels are left out.
        """
        shown = self._containers if depth is None else self._containers[:depth]
        value = self._value
        if self._is_text_open and (depth is None or depth >= self.depth):
            value = self._join()
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

    def _join(self) -> str:
        # CPython appends in place, in constant time, to a local string that nothing else refers to.
        text, self._text = self._text, ""
        text += "".join(self._pieces)
        self._pieces.clear()
        self._text = text
        return text

    def _add(self, piece: str) -> None:
        self._pieces.append(piece)
        if self._is_text_open:
            self._text_length += len(piece)
            self._has_changed = True

    def _open(self, container: list[Any] | dict[str, Any]) -> None:
        if len(self._containers) == _DEPTH:
            raise DecodeError(f"the JSON text is nested deeper than {_DEPTH} levels")
        if self.watched is None and isinstance(container, list) and self._is_watched():
            self.watched = container
        self._containers.append(container)
        self._keys.append("")
        self._has_changed = True

    def _is_watched(self) -> bool:
        """Whether the value that begins here is at the path."""
        if self._path is None:
            return len(self._containers) < 2
        return tuple(self._keys) == self._path

    def _close(self) -> None:
        value = self._containers.pop()
        self._keys.pop()
        self._size -= len(value)
        self._put(value)

    def _put(self, value: Any) -> None:
        """Take a whole value as an element of what is open."""
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

    def _fail(self, text: str, position: int, expected: str) -> NoReturn:
        raise DecodeError(
            f"the text is no JSON: {expected} was expected at character {self._offset + position}, not "
            f"{text[position]!r}"
        )


def list_in(data: Any, path: tuple[str, ...] | None) -> list[Any]:
    """Return the list that `PartialJson.watched` is for the text of these JSON data; an empty one for `null` there.

    Raises `DecodeError` if there is none.
    """
    members = list(data.values()) if isinstance(data, dict) else []
    if path is None:
        found = next((value for value in [data, *members] if isinstance(value, list)), None)
        if found is None and None not in members:
            raise DecodeError("neither is it a list, nor has it a list as a member - at `$`")
        return found or []
    place = "$"
    for name in path:
        if not isinstance(data, dict) or name not in data:
            raise DecodeError(f"an object with the key {name!r} was expected - at `{place}`")
        data, place = data[name], f"{place}.{name}"
    if data is not None and not isinstance(data, list):
        raise DecodeError(f"a list was expected - at `{place}`")
    return data or []


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
        json._is_text_open = json._has_changed = True
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
        json._fail(text, position, "a value")
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
            json._fail(text, position, "a name in quotes")
        json._state = _in_text
    return position + 1


def _colon(json: PartialJson, text: str, position: int) -> int:
    position = _space(text, position)
    if position < len(text):
        if text[position] != ":":
            json._fail(text, position, "a colon")
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
        json._fail(text, position, "a comma or ']'" if is_list else "a comma or '}'")
    return position + 1


def _end(json: PartialJson, text: str, position: int) -> int:
    position = len(text) if json._is_fenced else _space(text, position)
    if position < len(text):
        json._fail(text, position, "the end of the text")
    return position


def _in_text(json: PartialJson, text: str, position: int) -> int:
    if json._high and text[position] != "\\":
        json._add(json._high)
        json._high = ""
    end = _end_of(_PLAIN, text, position)
    if end > position:
        json._add(text[position:end])
    if end == len(text):
        return end
    if text[end] == "\\":
        json._state = _in_escape
    elif text[end] == '"':
        _end_text(json)
    else:
        json._fail(text, end, "an escape")
    return end + 1


def _end_text(json: PartialJson) -> None:
    whole, is_name = json._join(), not json._is_text_open
    json._text, json._text_length, json._is_text_open = "", 0, False
    if is_name:
        json._keys[-1], json._state = whole, _colon
    else:
        json._put(whole)


def _in_escape(json: PartialJson, text: str, position: int) -> int:
    length = 5 if (json._escape or text[position])[0] == "u" else 1
    end = position + length - len(json._escape)
    json._escape += text[position:end]
    if len(json._escape) < length:
        return len(text)
    escape, json._escape = json._escape, ""
    if length == 1 and escape in _ESCAPES:
        character = _ESCAPES[escape]
    elif _HEX.fullmatch(escape):
        character = chr(int(escape[1:], 16))
    else:
        json._fail(text, end - 1, "an escape")
    high, json._high = json._high, ""
    if high and "\udc00" <= character <= "\udfff":
        character = (high + character).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    elif high:
        json._add(high)
    if "\ud800" <= character <= "\udbff":
        json._high = character
    else:
        json._add(character)
    json._state = _in_text
    return end


def _in_number(json: PartialJson, text: str, position: int) -> int:
    end = _end_of(_DIGITS, text, position)
    json._pieces.append(text[position:end])
    if end == len(text):
        return end
    number = json._join()
    json._text = ""
    match = _NUMBER.fullmatch(number)
    if match is None:
        json._fail(text, end, "a number")
    try:
        json._put(float(number) if match[1] or match[2] else int(number))
    except ValueError as error:
        raise DecodeError(f"the JSON text has an integer of {len(number)} digits") from error
    json._has_changed = True
    return end


def _in_word(json: PartialJson, text: str, position: int) -> int:
    if text[position] != json._token[0]:
        json._fail(text, position, "true, false or null")
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
