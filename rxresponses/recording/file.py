"""Reads the file of a recording."""

from __future__ import annotations

import os

from .format import Recording
from .reader import read_recording


def load_recording(path: str | os.PathLike[str]) -> Recording:
    """Return the recording in a file: one that `record` has written, or a file with one event a line.

    A torn last line, as after a crash, is in `torn` of the recording.  Raises `OSError` if the file cannot be read, and
    `ValueError` if it holds something else; the error names the line.
    """
    # Lines end at line feeds only: the text of an event may hold other line breaks, and bytes that are no UTF-8.
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        try:
            return read_recording(file)
        except ValueError as error:
            raise ValueError(f"{os.fsdecode(path)}: {error}") from None
