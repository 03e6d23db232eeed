"""`TapeCollector`: takes what is noted on tapes; base of what writes recordings, and of what shows them live."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from reactivex.abc import DisposableBase

from .tape import Tape

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

_BLOCK = 2_000  # entries of a tape that are taken at once; other threads run in between

T = TypeVar("T", bound=Tape)


class TapeCollector(DisposableBase, ABC):
    """Takes what is noted on tapes, until it is closed.  All methods may be called from any thread."""

    def __init__(self) -> None:
        self._tapes: list[Tape] = []
        self._lock = threading.RLock()  # held while entries are taken
        self._process = os.getpid()
        self._connections = 0
        self._listeners: list[Callable[[], object]] = []

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether more will be taken."""

    @abstractmethod
    def close(self) -> None:
        """Take what waits, and end; the second call does nothing."""

    def dispose(self) -> None:
        """Do what `close` does."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def next_connection(self) -> str:
        """Return the name of a connection that is recorded from now on."""
        with self._lock:
            self._connections += 1
            return f"c{self._connections}"

    def add(self, tape: T) -> T:
        """Take what is noted on a tape from now on."""
        with self._lock:
            if self.is_open:
                self._tapes.append(tape)
        return tape

    def find(self, frame: object) -> tuple[Tape, Any] | None:
        """Return the tape that has just noted this frame of an event, and the request to which the frame belongs."""
        for tape in tuple(self._tapes):
            request = tape.request_of(frame)
            if request is not None:
                return tape, request
        return None

    def when_ended(self, call: Callable[[], object]) -> None:
        """Call a function once this has ended, on any thread; at once if it has."""
        with self._lock:
            if self.is_open:
                self._listeners.append(call)
                return
        call()

    @property
    def _is_of_parent(self) -> bool:
        """Whether this is a fork of the program: the thread that may have held the lock is the parent's."""
        return os.getpid() != self._process

    def _take(self, block: int = _BLOCK) -> list[tuple[Tape, list[Any]]]:
        """Take a block of entries from each tape; return nothing if none has any."""
        taken = [(tape, tape.entries[:block]) for tape in self._tapes]
        for tape, entries in taken:
            del tape.entries[: len(entries)]
        return taken if any(entries for _, entries in taken) else []

    def _forget_closed(self) -> None:
        self._tapes = [tape for tape in self._tapes if not tape.is_closed or tape.entries]

    def _ended(self) -> None:
        """Tell those that listen."""
        self._tapes = []
        listeners, self._listeners = self._listeners, []
        for call in listeners:
            call()
