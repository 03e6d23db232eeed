"""The lock of the results file: one run at a time writes to it."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..errors import ConfigurationError

_LOCKED_BYTE = 2**31 - 2  # of the file on Windows, where a locked byte cannot be read: the highest that can be locked


def lock(fd: int, path: str) -> None:
    """Lock a file for this process; raise `ConfigurationError` if another process has it.

    The system ends the lock with the process, however it ends, or when the file is closed.
    """
    try:
        _lock(fd)
    except (BlockingIOError, PermissionError):  # of fcntl, and of msvcrt
        raise ConfigurationError(f"another run is writing {path}: wait for its end, or give another output") from None


def _lock(fd: int) -> None:
    # Imported by name, since each system has one of them, and type checkers know only those of their own system.
    try:
        fcntl: Any = importlib.import_module("fcntl")
    except ImportError:
        msvcrt: Any = importlib.import_module("msvcrt")
        place = os.lseek(fd, 0, os.SEEK_CUR)
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, place, os.SEEK_SET)
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
