"""`open_ledger`: a ledger that is kept in a file."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

from .ledger import ToolLedger


def open_ledger(path: str | os.PathLike[str]) -> ToolLedger:
    """Return the ledger in a file, or a new one if there is no such file; each change is saved to the file.

    The file is replaced as a whole, so that after the end of the process, however sudden, it holds the ledger before
    or after the latest change.  It holds the conversation, so only its owner may read it.  Delete it to start again.

    Raises `DecodeError` if the file holds no ledger, and `OSError` if it cannot be read.
    """
    place = Path(path)
    save = partial(_save, place)
    try:
        text = place.read_bytes()
    except FileNotFoundError:
        return ToolLedger(save=save)
    return ToolLedger.from_json(text, save=save)


def _save(place: Path, ledger: ToolLedger) -> None:
    # In the same folder, because only there the file can be replaced in one step.
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(ledger.to_json())
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise
