"""What tests of recordings share: a key that must not be in one, and what a file says of its streams."""

from __future__ import annotations

import time
from pathlib import Path

from rxresponses.recording.file import load_recording
from rxresponses.recording.format import ConnectionRecord, EndRecord

KEY = "sk-proj-9fQ2mZ8vTt31LpXc7Hn5BbYw"


def ends(path: Path) -> list[tuple[str, str]]:
    """Return the requests that have ended, and how."""
    return [(record.request, record.how) for record in load_recording(path).records if isinstance(record, EndRecord)]


def states(path: Path) -> list[tuple[str, int | None]]:
    """Return the states of the connections, and the codes of those that were closed."""
    records = load_recording(path).records
    return [(record.state, record.code) for record in records if isinstance(record, ConnectionRecord)]


def wait_for_records(path: Path, kind: type, count: int) -> None:
    """Wait until a file that is being written has so many records of a kind."""
    deadline = time.monotonic() + 20
    while sum(isinstance(record, kind) for record in load_recording(path).records) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
