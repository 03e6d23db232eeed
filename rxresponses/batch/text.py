"""The texts of the answers: line n is the answer to line n of the input."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from .lines import OWN
from .outcomes import text_of
from .result_lines import json_line_of
from .results import Results


def write_texts(path: str, results: Results, lines: Iterable[tuple[int, bytes]]) -> None:
    """Write the texts of the answers to these lines to a file, in one step; raise `OSError` if it cannot be written.

    Each text is a line of JSON: a string, or the value itself if the line asked for the schema of the batch.  A line
    of the input without an answer becomes `null`, and a blank line stays blank.
    """
    with new_file(path) as file:
        latest = 0
        for number, _, result in results.in_order(lines):
            file.write(b"\n" * (number - latest - 1))
            file.write(b"null" if result is None else _text(result))
            file.write(b"\n")
            latest = number


@contextlib.contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of the one at `path` when all is written."""
    path = os.path.realpath(path)  # a new file must not replace a link to the old one
    new = f"{path}.{secrets.token_hex(4)}"
    try:
        with open(new, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(new, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def _text(line: bytes) -> bytes:
    try:
        result: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):  # nested too deeply, or changed by another program
        return b"null"
    text = text_of(result.get("response"))
    if text is None:
        return b"null"
    if result.get("schema") in (None, OWN):
        return json_line_of(text)
    # A line break in JSON is white space, because strings escape theirs.
    return text.strip().replace("\r", " ").replace("\n", " ").encode("utf-8", "replace")
