"""Standard error: each message of the command line is one safe line of text there."""

from __future__ import annotations

import sys

from ..redaction import terminal_line


def write_line(message: str) -> None:
    """Write a message as one line, without characters that control the terminal.

    The message may hold text of a server, such as an error, a refusal or the reason of a close, or the name of a file.
    The line is one write: rich, whose progress bar takes over standard error, would read a part of a line as markup.
    """
    sys.stderr.write(f"{terminal_line(message)}\n")
    sys.stderr.flush()
