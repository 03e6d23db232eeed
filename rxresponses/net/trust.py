"""Which certificates a connection trusts if its options have no TLS context: those of the system."""

from __future__ import annotations

import os
import ssl
import threading

from .loops import Raised, after_fork, outcome_on_thread

_latest: tuple[object, ssl.SSLContext] | None = None
_lock = threading.Lock()


async def system_context() -> ssl.SSLContext:
    """Return the context that trusts the certificates of the system: the same one, until the certificates change.

    asyncio would make a context for each connection.  That takes about 20 ms on the loop, in which no stream of the
    loop goes on, and 1 MB of memory for as long as the connection is open.
    """
    latest = _latest
    if latest is not None and latest[0] == _source():
        return latest[1]
    outcome = await outcome_on_thread(_context, "rxresponses certificates")
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome


def _context() -> ssl.SSLContext:
    global _latest
    with _lock:  # connections that open together need one context
        source = _source()
        if _latest is None or _latest[0] != source:
            _latest = source, ssl.create_default_context()
        return _latest[1]


def _source() -> object:
    """Return what tells whether a context is still that of the system; equal values for equal certificates.

    That is the class of contexts and the function that makes them, which some programs replace; the variable that makes
    OpenSSL log the keys; and the path and the time of the last change of the file and the folder of the certificates.
    """
    paths = ssl.get_default_verify_paths()
    made_by = ssl.SSLContext, ssl.create_default_context
    return *made_by, os.environ.get("SSLKEYLOGFILE"), _changed(paths.cafile), _changed(paths.capath)


def _changed(path: str | None) -> tuple[str, int] | None:
    try:
        return None if path is None else (path, os.stat(path).st_mtime_ns)
    except OSError:
        return None


def _forget_lock() -> None:
    """In a forked process, forget the lock: another thread of the parent may have held it."""
    global _lock
    _lock = threading.Lock()


after_fork(_forget_lock)
