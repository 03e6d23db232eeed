"""Standard outputs of special kinds."""

from __future__ import annotations

import io
import os


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Unwritable(io.StringIO):
    """A standard output on which each write fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._error = OSError(number, os.strerror(number))

    def write(self, text: str, /) -> int:
        raise self._error
