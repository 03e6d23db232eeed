"""Writes a recording: streams append to a list, and a thread writes the list to the file."""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import IO, Literal

from ..raised import named_text
from ..version import installed_version
from .collector import TapeCollector
from .format import Contents, RecordingHeader, StoppedRecord, header_line, line_of
from .lines import LineMaker
from .tape import Tape

_LOGGER = logging.getLogger("rxresponses.recording")
_INTERVAL = 0.1  # seconds between two looks of the thread at what waits
_CALM = 2_000  # entries in an interval: while more come, they wait, so that streams at full speed are not held up
_LONGEST_WAIT = 10  # intervals, after which also a fast stream is written
_MOST_WAITING = 16 * 2**20  # bytes that wait, after which they are written at once
_TOO_MUCH_WAITING = 16 * _MOST_WAITING  # bytes, after which the recording stops: the file is slower than the streams
_AT_ONCE = 2**18  # bytes that are written at once
_LEAST_BYTES = 1_000  # of `max_bytes`: the header, and the last line

Existing = Literal["refuse", "overwrite"]


class Recorder(TapeCollector):
    """A recording that is being written; made by `record` of a socket or client, and by the operator `record`.

    A context manager: the end of the `with` block, `close()` and `dispose()` write what waits, and end the recording;
    the streams go on.  So does a normal end of the program.  Of a program that is killed, the file lacks at most the
    last second, and its last line may be torn, which `read` and `replay` tolerate.

    A file that cannot be written (a full disk) ends the recording, and no stream: `error` then is the exception, and
    the logger `rxresponses.recording` tells it once.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        contents: Contents = "full",
        max_bytes: int | None = None,
        existing: Existing = "refuse",
    ) -> None:
        """Create the file, and write its header.

        Only its owner may read the file, because it holds what was said.  Raises `FileExistsError` if there is one, and
        `existing` is not `overwrite`; `OSError` if it cannot be written; `ValueError` for an argument that is wrong.
        """
        if contents not in ("full", "redacted"):
            raise ValueError(f"`contents` must be 'full' or 'redacted', not {contents!r}")
        if existing not in ("refuse", "overwrite"):
            why = "; a recording has one beginning, from which its times count, so nothing is appended to it"
            raise ValueError(f"`existing` must be 'refuse' or 'overwrite', not {existing!r}{why}")
        if max_bytes is not None and (isinstance(max_bytes, bool) or max_bytes < _LEAST_BYTES):
            raise ValueError(f"`max_bytes` must be at least {_LEAST_BYTES}, not {max_bytes!r}")
        super().__init__()
        self.error: Exception | None = None
        self._path = Path(os.path.abspath(os.fsdecode(path)))  # the program may go to another folder later
        self._max_bytes = max_bytes
        self._ending = threading.Event()
        self._was_closed = False  # by the program
        created = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if existing == "overwrite" else os.O_EXCL)
        try:
            handle = os.open(self._path, flags | getattr(os, "O_BINARY", 0), 0o600)
        except FileExistsError as error:
            text = "the file exists, and nothing is appended to it; name another file, or pass existing='overwrite'"
            raise FileExistsError(error.errno, text, str(self._path)) from None
        self._file: IO[bytes] | None = os.fdopen(handle, "wb", buffering=0)
        self._start = monotonic()
        self._lines = LineMaker(contents, self._start)
        self._size = 0
        try:
            self._write(f"{header_line(RecordingHeader(created, installed_version() or None, contents))}\n".encode())
        except BaseException:
            self._end()
            raise
        self._thread = threading.Thread(target=self._run, name="rxresponses recording", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"<Recorder {self._path} {'open' if self.is_open else 'closed'}>"

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def is_open(self) -> bool:
        """Whether more will be written: not after `close`, an error, or at the bound of `max_bytes`."""
        return self._file is not None

    def close(self) -> None:
        """Write what waits, and end the recording; the second call does nothing."""
        if self._is_of_parent:
            return
        self._ending.set()
        self._was_closed = True
        atexit.unregister(self.close)
        with self._lock:
            self._write_all()
            self._end()

    def check_not_closed(self) -> None:
        """Raise `ValueError` after `close`: nothing of a stream that begins now would be recorded.

        A recording that has ended by itself, at its bound or with a full disk, is no reason to refuse a stream.
        """
        if self._was_closed:
            raise ValueError(f"the recording {self._path} is closed, and would record nothing: make another `Recorder`")

    # Writing: on the thread, and in `close`.

    def _run(self) -> None:
        seen: dict[Tape, int] = {}  # how many entries of each tape were there at the last look
        waited = 0
        while not self._ending.wait(_INTERVAL):
            more = size = 0
            for tape in tuple(self._tapes):
                count = len(tape.entries)
                more += count - seen.get(tape, 0)
                size += tape.waiting_bytes
                seen[tape] = count
            if more < _CALM or waited >= _LONGEST_WAIT or size > _MOST_WAITING:
                with self._lock:
                    stop = "the file is slower than the streams" if size > _TOO_MUCH_WAITING else None
                    self._write_all(stop, until=monotonic())
                seen.clear()
                waited = 0
            else:
                waited += 1

    def _write_all(self, stop: str | None = None, *, until: float = math.inf) -> None:
        """Write what was noted before a time; or nothing of it but the last line, which says why the recording stops.

        Without such a time, one tape might be read while a connection notes on it, and another one later, so that the
        events of the two would not stand in the file in their order.
        """
        if self._file is None:
            return
        taken = [(tape, tape.take(until)) for tape in self._tapes]
        self._forget_closed()
        try:
            if stop is None:
                self._write_lines(self._lines.lines(taken))
            else:
                self._stop(stop)
        except Exception as error:
            self._fail(error)

    def _write_lines(self, lines: Iterable[Sequence[bytes]]) -> None:
        some: list[bytes] = []
        size = 0
        for pieces in lines:
            some += pieces
            size += sum(map(len, pieces))
            if size >= _AT_ONCE:
                self._write_some(b"".join(some))
                some, size = [], 0
                if self._file is None:
                    return
        self._write_some(b"".join(some))

    def _write_some(self, lines: bytes) -> None:
        if self._max_bytes is not None:
            room = self._max_bytes - self._size - len(self._stop_line("max_bytes"))
            if len(lines) > room:
                self._write(lines[: lines.rfind(b"\n", 0, max(0, room)) + 1])
                self._stop("max_bytes")
                return
        self._write(lines)

    def _write(self, data: bytes) -> None:
        file = self._file
        assert file is not None
        view = memoryview(data)
        while view:  # a raw file may take a part only
            view = view[file.write(view) :]
        self._size += len(data)

    def _stop_line(self, why: str) -> bytes:
        return f"{line_of(StoppedRecord(monotonic() - self._start, why))}\n".encode()

    def _stop(self, why: str) -> None:
        """End the recording before its streams have ended, and say so in its last line."""
        self._write(self._stop_line(why))
        _LOGGER.warning("The recording %s stops here: %s", self._path, why)
        self._end()

    def _fail(self, error: Exception) -> None:
        self.error = error
        text = "The recording %s cannot be written and ends here, and the streams go on: %s"
        _LOGGER.error(text, self._path, named_text(error))
        self._end()

    def _end(self) -> None:
        self._ending.set()
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError):  # what could not be written has been told
            file.close()
        self._ended()
