"""`open_ledger`: a ledger that is kept in a file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import partial
from pathlib import Path

from ..errors import DecodeError
from .ledger import ToolLedger


def open_ledger(path: str | os.PathLike[str]) -> ToolLedger:
    """Return the ledger in a file, or a new one if there is no such file; each change is saved to the file.

    The file is replaced as a whole.  So even after a crash it holds the ledger before or after the latest change.  Only
    its owner may read the file, because it holds the conversation.  To start again, delete the file.
    If the path is a link, the file to which it leads is replaced.

    Raises `DecodeError` if the file holds no ledger, and `OSError` if it cannot be read, or if its folder is missing.
    """
    place = Path(os.path.realpath(os.fsdecode(path)))  # the program may go to another folder later
    place.parent.stat()  # raises now, rather than when the first response has been paid for
    save = partial(_save, place)
    try:
        text = place.read_bytes()
    except FileNotFoundError:
        return ToolLedger(save=save)
    try:
        return ToolLedger.from_json(text, save=save)
    except DecodeError as error:
        raise DecodeError(f"{place}: {error}; delete the file to start again") from error


def _save(place: Path, ledger: ToolLedger) -> None:
    replace_file(place, ledger.to_json())


def replace_file(place: Path, text: str) -> None:
    """Replace a file as a whole, or leave it as it was, for example if the disk is full; only its owner may read it."""
    # In the same folder, because only there the file can be replaced in one step.
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
