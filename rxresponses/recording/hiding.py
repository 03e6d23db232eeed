"""Hides the credentials in what is written to a recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..known_secrets import LONGEST, Secrets
from .format import Contents, dumps
from .redacting import redacted, without_tool_secrets

_BETWEEN = b"\0"  # no frame has it, and no secret
_SOME = 2**19  # bytes of frames that are searched together
_OVERLAP = 2**16  # characters that are searched twice, so that no secret is missed between two parts of a long frame
_QUOTING = (b"\\", b"%", b"&", b"\n")
_TOOLS = b'"tools"'


class Hider:
    """Hides what the connection's `secrets` are, and the credentials of tools; with `redacted` contents all texts."""

    def __init__(self, secrets: Secrets, contents: Contents) -> None:
        self._secrets = secrets
        self._redacts = contents == "redacted"

    def frames(self, frames: list[bytes]) -> list[bytes]:
        """Return the texts of these frames, hidden; a frame that holds nothing to hide is the same object."""
        if self._redacts:
            return [self._hidden(frame) for frame in frames]
        if sum(map(len, frames)) <= _SOME or len(frames) == 1:
            return self._some(frames)
        middle = len(frames) // 2
        return [*self.frames(frames[:middle]), *self.frames(frames[middle:])]

    def _some(self, frames: list[bytes]) -> list[bytes]:
        """Look at frames together, because nearly all are clean, and at each of them only if one is not."""
        whole = _BETWEEN.join(frames)
        if _TOOLS not in whole and not self._holds_secret(frames, whole):
            return frames
        return [
            self._hidden(frame) if _TOOLS in frame or self._holds_secret((frame,), frame) else frame for frame in frames
        ]

    def _holds_secret(self, frames: Sequence[bytes], whole: bytes) -> bool:
        if not self._secrets:
            return False
        if not any(mark in whole for mark in _QUOTING) and whole.isascii():
            return self._secrets.may_be_in(whole) and self._is_changed(whole)
        # Quoted characters, and those that are no ASCII, are rare, and cost much.
        plain = [frame for frame in frames if frame.isascii() and not any(mark in frame for mark in _QUOTING)]
        others = [frame for frame in frames if not frame.isascii() or any(mark in frame for mark in _QUOTING)]
        return self._is_changed(_BETWEEN.join(plain)) or any(map(self._is_changed, others))

    def _is_changed(self, data: bytes) -> bool:
        text = data.decode(errors="surrogateescape")
        if len(text) <= LONGEST:
            return self._secrets.hide(text) is not text
        parts = (text[at : at + LONGEST] for at in range(0, len(text), LONGEST - _OVERLAP))
        return any(self._secrets.hide(part) is not part for part in parts)

    def _hidden(self, frame: bytes) -> bytes:
        try:
            data = json.loads(frame)
        except (ValueError, RecursionError):
            return self.text(frame.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        hidden = self.data(data) if isinstance(data, dict) else self._secrets.hide_json(data)
        return frame if hidden is data else dumps(hidden).encode()

    def data(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Return a request or an event without what is hidden."""
        shown = without_tool_secrets(frame)
        if self._redacts:
            shown = redacted(shown)
        hidden: dict[str, Any] = self._secrets.hide_json(shown)
        return frame if hidden == frame else hidden

    def text(self, text: str) -> str:
        """Return a text of the server, such as the reason of a close or a frame that is no JSON, without secrets."""
        return "x" * len(text) if self._redacts else self._secrets.hide(text)
