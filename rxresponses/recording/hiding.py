"""Hides the credentials in what is written to a recording."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from operator import is_ as _is
from typing import Any

from ..known_secrets import LONGEST, Secrets
from .format import Contents, dumps
from .redacting import redacted, without_tool_secrets

_BETWEEN = b"\0"  # no frame has it, and no secret
_SOME = 500  # frames that are searched together: usually, the processor keeps them in its cache
_LARGE = 2**21  # bytes; more are searched frame by frame
_OVERLAP = 2**16  # characters that are searched twice, so that no secret is missed between two parts of a long frame
_QUOTING = (b"\\", b"%", b"&", b"\n")
_TOOLS = b'"tools"'
_PLAIN_ATTRIBUTES = frozenset({"code", "headers", "unit"})  # of errors: they say nothing of what was asked or answered
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


class Hider:
    """Hides what the connection's `secrets` are, and the credentials of tools; with `redacted` contents all texts."""

    def __init__(self, secrets: Secrets, contents: Contents) -> None:
        self._secrets = secrets
        self._redacts = contents == "redacted"
        self.has_line_breaks = False  # whether any of the frames had some

    def frames(self, frames: list[bytes]) -> list[bytes]:
        """Return the texts of these frames, hidden; the same list if they hold nothing to hide.

        Each frame is a JSON object, and one that holds nothing to hide stays the same object.
        """
        if self._redacts:
            self.has_line_breaks = any(b"\n" in frame for frame in frames)
            return [self._hidden(frame) for frame in frames]
        if len(frames) <= _SOME:
            return self._some(frames)
        hidden: list[bytes] = []
        for at in range(0, len(frames), _SOME):
            hidden += self._some(frames[at : at + _SOME])
        return frames if all(map(_is, hidden, frames)) else hidden

    def _some(self, frames: list[bytes]) -> list[bytes]:
        """Look at frames together, because nearly all are clean, and at each of them only if one is not."""
        if sum(map(len, frames)) <= _LARGE and not self._may_change(frames):
            return frames
        return [self._hidden(frame) if self._may_change((frame,)) else frame for frame in frames]

    def _may_change(self, frames: Sequence[bytes]) -> bool:
        whole = _BETWEEN.join(frames)
        self.has_line_breaks = self.has_line_breaks or b"\n" in whole
        # A frame with tools has objects inside of its own object.  To count braces costs half as much as to search.
        if whole.count(b"{") > len(frames) and _TOOLS in whole:
            return True
        if not self._secrets:
            return False
        if self._secrets.may_be_in(whole):
            return True
        # A secret that is not there as it is has quoted characters, or others than those of ASCII.  They are rare.
        within = _strings_with_quoted(frames, whole) if not self._secrets.have('"') else whole
        return self._is_changed(within)

    def _is_changed(self, data: bytes) -> bool:
        text = data.decode(errors="surrogateescape")
        if len(text) <= LONGEST:
            return self._secrets.hide(text) is not text
        parts = (text[at : at + LONGEST] for at in range(0, len(text), LONGEST - _OVERLAP))
        return any(self._secrets.hide(part) is not part for part in parts)

    def _hidden(self, frame: bytes) -> bytes:
        try:
            data = json.loads(frame)
        except (ValueError, RecursionError):  # as for a number of 5,000 digits
            if self._redacts:
                return dumps({"unreadable": "x" * len(frame)}).encode()  # an object, as each frame is one
            return self._secrets.hide(frame.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        hidden = self.data(data) if isinstance(data, dict) else self._secrets.hide_json(data)
        return frame if hidden is data else dumps(hidden).encode()

    def data(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Return a request or an event without what is hidden."""
        shown = without_tool_secrets(frame)
        if self._redacts:
            shown = redacted(shown)
        hidden: dict[str, Any] = self._secrets.hide_json(shown)
        return frame if hidden == frame else hidden

    def error(self, error: dict[str, Any]) -> dict[str, Any]:
        """Return the `error` of an `EndRecord` without what is hidden."""
        message = self.text(str(error["message"]))
        if "attributes" not in error:
            return {**error, "message": message}
        attributes = self._secrets.hide_json(error["attributes"])
        if self._redacts:
            plain = {name: attributes[name] for name in _PLAIN_ATTRIBUTES & attributes.keys()}
            attributes = {**redacted(attributes), **plain}
        return {**error, "message": message, "attributes": attributes}

    def text(self, text: str) -> str:
        """Return a text of the server, such as the reason of a close or a frame that is no JSON, without secrets."""
        return "x" * len(text) if self._redacts else self._secrets.hide(text)


def _strings_with_quoted(frames: Sequence[bytes], whole: bytes) -> bytes:
    """Return the texts between two `"` that hold characters which may be quoted, or are no ASCII; each with its `"`.

    A `"` stays one where quoted characters are replaced, so a secret without this character is in one such text.
    """
    found: list[bytes] = []

    def add(data: bytes, at: int) -> int:
        end = data.find(b'"', at) + 1 or len(data)
        found.append(data[data.rfind(b'"', 0, at) + 1 : end])
        return end

    for mark in _QUOTING:
        at = whole.find(mark)
        while at >= 0:
            at = whole.find(mark, add(whole, at))
    if not whole.isascii():
        others = _BETWEEN.join(frame for frame in frames if not frame.isascii())
        match = _NOT_ASCII.search(others)
        while match:
            match = _NOT_ASCII.search(others, add(others, match.start()))
    return _BETWEEN.join(found)
