"""`serve_inspector`: let a page of this machine draw the streams of the program as they come."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
import weakref
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from reactivex.abc import DisposableBase

from ..net.loops import acquire_loop, after_fork, on_background_thread, release_loop, start_task
from ..recording.collector import TapeCollector
from ..recording.format import Contents
from ..redaction import terminal_line
from ..senders.recorded import RecordedSender
from .access import HOST
from .feed import Feed
from .runtime_files import Running, runtime_folder, write_file
from .server import InspectorServer

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

_LOGGER = logging.getLogger("rxresponses.inspector")
_PATIENCE = 2.0  # seconds that `close` waits until nobody can connect
_LEAST_BYTES = 10_000  # of `keep_bytes`


def serve_inspector(
    *senders: RecordedSender,
    contents: Contents = "full",
    port: int = 0,
    keep_seconds: float = 300.0,
    keep_bytes: int = 2**24,
    announce: bool = True,
) -> Inspector:
    """Serve a page that draws the streams of these sockets and clients as they come; return the `Inspector`.

    `rxresponses watch` opens the page, or any browser on this machine does at `Inspector.url`.  The page is that of
    `rxresponses marbles`: it zooms, filters, and shows each event as JSON.  `observe_pipeline(inspector.recorder, …)`
    adds the lines of a pipeline.

    Only this user can see it: the server listens on 127.0.0.1, the URL has a random token, and pages of other sites
    are refused.  Credentials are never shown, and with `contents="redacted"` no text either, as with `record`.  With
    `announce`, a file that only this user can read tells `rxresponses watch` the URL.

    Kept for pages that are opened later are the last `keep_seconds`, and at most about `keep_bytes`.  A page that is
    slower than the streams gets the latest state; the program does not wait for it.  The server runs on the
    background loop, so a program whose own loop is blocked can be watched too.

    `close()`, `dispose()` or the end of a `with` block end it, and nothing else does but the end of the program: the
    page goes on when a sender is closed.  Callable from any thread.  Raises `OSError` if the port is taken, and
    `ValueError` or `TypeError` for an argument that is wrong.
    """
    if not senders:
        raise TypeError("serve_inspector takes a socket or a client")
    for sender in senders:
        if not isinstance(sender, RecordedSender):
            raise TypeError(f"serve_inspector takes sockets and clients, not {sender!r}")
    if contents not in ("full", "redacted"):
        raise ValueError(f"`contents` must be 'full' or 'redacted', not {contents!r}")
    if not keep_seconds > 0:
        raise ValueError(f"`keep_seconds` must be more than 0, not {keep_seconds!r}")
    if not keep_bytes >= _LEAST_BYTES:
        raise ValueError(f"`keep_bytes` must be at least {_LEAST_BYTES}, not {keep_bytes!r}")
    feed = Feed(contents, float(keep_seconds), int(keep_bytes))
    inspector = Inspector(feed, port, keep_seconds, announce=announce)
    for sender in senders:
        sender._collect(feed)
    return inspector


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} seconds"


class Inspector(DisposableBase):
    """The page of a running program; made by `serve_inspector`.  All methods may be called from any thread."""

    def __init__(self, feed: Feed, port: int, keep_seconds: float, *, announce: bool) -> None:
        """Listen on 127.0.0.1."""
        self._feed = feed
        self._process = os.getpid()
        self._is_closed = False
        self._lock = threading.RLock()
        self._stopped = threading.Event()  # nobody can connect any more
        token = secrets.token_urlsafe(32)
        listening = socket.create_server((HOST, port))
        listening.setblocking(False)
        self._listening = listening
        self._port: int = listening.getsockname()[1]
        self._url = f"http://{HOST}:{self._port}/{token}/"
        name = terminal_line(os.path.basename(sys.argv[0]) or "Python", 100, 20)
        about = f"Process {self._process} · the latest {_duration(keep_seconds)}"
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._file: Running | None = None
        if announce:
            file = runtime_folder() / f"{self._process}-{self._port}.html"
            self._announce(Running(self._process, name, started, self._url, file))
        self._loop, _ = acquire_loop()
        self._server: InspectorServer | None = None
        _living.add(self)
        self._loop.call_soon_threadsafe(self._start, listening, token, name, about)

    def __repr__(self) -> str:
        return f"<Inspector at {HOST}:{self._port} {'closed' if self._is_closed else 'open'}>"  # without the token

    @property
    def url(self) -> str:
        """The URL of the page, with the token: whoever has it on this machine can see the streams."""
        return self._url

    @property
    def recorder(self) -> TapeCollector:
        """What `observe_pipeline` takes to show the lines of a pipeline."""
        return self._feed

    def close(self) -> None:
        """Close the page and the server; the streams go on.  The second call does nothing."""
        if os.getpid() != self._process:
            return  # a fork of the program: the server is the parent's
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed:
            return
        self._feed.close()
        self._withdraw()
        try:
            self._loop.call_soon_threadsafe(self._stop)
        except RuntimeError:
            return  # the loop has ended, and the server with it
        if not on_background_thread():
            self._stopped.wait(_PATIENCE)

    def dispose(self) -> None:
        """Do what `close` does."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _announce(self, running: Running) -> None:
        try:
            write_file(running)
        except OSError as error:
            _LOGGER.warning("`rxresponses watch` will not find this program: %s", error)
            return
        self._file = running
        atexit.register(self._withdraw)

    def _withdraw(self) -> None:
        file, self._file = self._file, None
        if file is not None and os.getpid() == self._process:
            atexit.unregister(self._withdraw)
            with contextlib.suppress(OSError):
                file.file.unlink()

    # On the background loop.

    def _start(self, listening: socket.socket, token: str, title: str, about: str) -> None:
        self._server = InspectorServer(listening, token, self._feed, title, about)
        task = start_task(self._loop, self._server.run(self._stopped.set), "rxresponses inspector")
        task.add_done_callback(lambda _: release_loop(self._loop))

    def _stop(self) -> None:
        assert self._server is not None  # since `_start` was called before
        self._server.stop()


_living: weakref.WeakSet[Inspector] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """In a forked process, close what listens: else nobody would be refused when the parent has ended."""
    for inspector in tuple(_living):
        inspector._listening.close()


after_fork(_leave_to_parent)
