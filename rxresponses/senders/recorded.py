"""`RecordedSender`: what a socket and a client do for a recording of all their connections."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial

from ..known_secrets import Secrets
from ..net.connection import Connection
from ..net.request import AnyConnectionRequest
from ..recording.collector import TapeCollector
from ..recording.format import Contents
from ..recording.recorder import Existing, Recorder
from ..recording.tape import ConnectionTape
from .loop_bound import LoopBound, weakly


class RecordedSender(LoopBound):
    """Base of a sender whose connections can be recorded."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: set[Connection] = set()  # those that close included
        self._recorder: Recorder | None = None
        self._collectors: list[TapeCollector] = []  # the recorder, and inspectors
        self._owns_recorder = False  # whether this sender ends the recording

    def _forget_parent(self) -> None:
        super()._forget_parent()
        self._recorder, self._collectors = None, []  # which are the parent's

    def record(
        self,
        path: str | os.PathLike[str] | Recorder,
        *,
        contents: Contents = "full",
        max_bytes: int | None = None,
        existing: Existing = "refuse",
    ) -> Recorder:
        """Write from now on to a file what is sent and received, with the times; return the open recording.

        `close()` or `dispose()` of the `Recorder`, and the end of a `with` block, end the recording, and so does
        `close()` of this sender; the streams go on.  `replay` emits the events again, and the embedded server of
        `rxresponses.testing` plays the recording back.

        Credentials are never written: those of the handshake and of tools are hidden wherever they come back.  With
        `contents="redacted"`, texts are hidden as well: each is replaced by as many `x`, and types, ids and the
        structure stay.  At `max_bytes` the recording says in its last line that it stops.  An existing file is refused,
        with `FileExistsError`, unless `existing="overwrite"`.  To record several senders in one file, pass a
        `Recorder`, which then stays open when this sender is closed.

        Callable from any thread; the file is written on a thread of its own.  A file that cannot be written ends the
        recording and no stream: see `Recorder.error`.  Raises `RuntimeError` if a recording runs, `OSError` if the file
        cannot be made, and `ValueError` for an argument that is wrong, such as a `Recorder` that is closed.
        """
        with self._lock:
            if self._recorder is not None and self._recorder.is_open:
                raise RuntimeError(f"{self!r} is recorded already, to {self._recorder.path}")
            if isinstance(path, Recorder):
                path.check_not_closed()
            self._owns_recorder = not isinstance(path, Recorder)
            if not isinstance(path, Recorder):
                path = Recorder(path, contents=contents, max_bytes=max_bytes, existing=existing)
            self._recorder = recorder = path
        self._collect(recorder)
        return recorder

    def _collect(self, collector: TapeCollector) -> None:
        """Note on tapes of this collector what all connections send and receive, until the collector ends."""
        with self._lock:
            self._collectors.append(collector)
        self._run(self._set_tapes, collector)
        collector.when_ended(partial(weakly(self._collector_ended, None), collector))

    def _collector_ended(self, collector: TapeCollector) -> None:
        with self._lock:
            self._collectors = [each for each in self._collectors if each is not collector]
        self._run(self._set_tapes, collector)

    def _set_tapes(self, collector: TapeCollector) -> None:
        for connection in tuple(self._connections):
            _set_tape(connection, collector)

    def _add_connection(self, connection: Connection) -> None:
        """Add a new connection, and note what it sends and receives for all that want it."""
        self._connections.add(connection)
        for collector in self._collectors:
            _set_tape(connection, collector)

    def _close_recorder(self) -> None:
        """End the recording, unless it is not this sender's alone."""
        if self._recorder is not None and self._owns_recorder:
            self._recorder.close()


def _set_tape(connection: Connection, collector: TapeCollector) -> None:
    connection.record(collector, partial(_new_tape, collector) if collector.is_open else None)


def _new_tape(collector: TapeCollector, secrets: Secrets, running: Collection[AnyConnectionRequest]) -> ConnectionTape:
    return collector.add(ConnectionTape(collector.next_connection(), secrets, running))
