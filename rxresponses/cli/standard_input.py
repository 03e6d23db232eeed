"""Standard input as the prompt, or as a document that goes along with the prompt.

Other programs read to the end of any input that is no terminal.  But a command that another program starts often
inherits a pipe that never ends, and would wait for ever.  If the command took only the bytes that are there already, it
would lose the document of a program that starts slowly.  So it waits for the first byte up to a limit, with a note for
the user, and after the first byte for the end.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import threading
from queue import Empty, SimpleQueue

from .stderr import write_line

_QUIET = 1.0  # seconds until the user is told that a pipe is waited for
_PATIENCE = 3.0  # seconds after which a pipe without a byte counts as a pipe without a writer
_PATIENCE_OF_A_TERMINAL = 60.0  # the same, if a user at a terminal reads the note
_PIECE = 2**16  # bytes of a read


def read_prompt() -> str:
    """Return all of standard input; on a terminal, tell the user first that it is waited for."""
    if sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        write_line(f"reading the prompt from this terminal; {end} on a line of its own ends it")
    if not isinstance(sys.stdin, io.TextIOWrapper):
        return sys.stdin.read()
    return text_of(sys.stdin.buffer.read(), "standard input", sys.stdin.encoding)


def read_document() -> str:
    """Return the text of a file or a pipe on standard input; the empty string if there is none or it is blank.

    A terminal and the null device are not read.  A pipe that sends nothing is given up, see `_PATIENCE`.
    """
    stream = sys.stdin
    try:
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
    except (OSError, ValueError):  # no file at all
        return ""
    if stat.S_ISREG(mode):
        data = b"".join(iter(lambda: os.read(fd, _PIECE), b""))
    elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        data = _of_pipe(fd)
    else:
        return ""
    text = text_of(data, "standard input", stream.encoding)
    if not text.strip():
        return ""
    write_line("standard input is added to the prompt; </dev/null leaves it out")
    return text


def _of_pipe(fd: int) -> bytes:
    pieces: SimpleQueue[bytes] = SimpleQueue()
    # A read cannot be given up, but a thread can; and `select` knows no pipes on Windows.
    threading.Thread(target=_read, args=(fd, pieces), name="rxresponses stdin", daemon=True).start()
    patience = _PATIENCE_OF_A_TERMINAL if sys.stderr.isatty() else _PATIENCE
    try:
        piece = pieces.get(timeout=_QUIET)
    except Empty:
        write_line(f"waiting up to {patience:g} s for standard input, a pipe (</dev/null: there is no input)")
        try:
            piece = pieces.get(timeout=patience - _QUIET)
        except Empty:
            write_line("nothing came: the prompt goes without standard input (- as a word waits for it)")
            return b""
    found = []
    while piece:
        found.append(piece)
        piece = pieces.get()
    return b"".join(found)


def _read(fd: int, pieces: SimpleQueue[bytes]) -> None:
    piece = b"-"
    while piece:
        try:
            piece = os.read(fd, _PIECE)
        except BlockingIOError:  # the program that opened the pipe made it non-blocking
            select.select([fd], [], [])
            continue
        except OSError:
            piece = b""
        pieces.put(piece)


def text_of(data: bytes, name: str, encoding: str = "utf-8") -> str:
    """Return the text in some bytes, in the encoding of their byte order mark, or else in `encoding`.

    Raises `ConfigurationError` for data that are no text, so that nobody pays for them as a prompt.
    """
    from ..batch.lines import marked_encoding
    from ..errors import ConfigurationError

    text = data.decode(marked_encoding(data) or encoding, "replace")
    if "\0" in text:
        raise ConfigurationError(f"{name} is no text: it has null characters, as images and archives have")
    return text.replace("\r\n", "\n").replace("\r", "\n")
