"""Files by which `rxresponses watch` finds programs with an inspector; only the user can read them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from ..marbles.page import embedded_json

_PATIENCE = 2.0  # seconds until a program that does not answer counts as busy
_DATA = re.compile(r'<script type="application/json">(.*)</script>')
_PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>{title}</title>
<script type="application/json">{data}</script>
</html>
"""


@dataclass(frozen=True)
class Running:
    """A program with an inspector."""

    pid: int
    title: str
    started: str
    url: str = field(repr=False)
    file: Path
    """A page that leads to `url`.  A browser is given this file, since every user can see the arguments of programs."""


def runtime_folder() -> Path:
    """Return the folder for files of running programs that belongs to this user alone."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "rxresponses" / "running"
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isabs(base) and os.path.isdir(base):
        return Path(base) / "rxresponses"
    return Path(tempfile.gettempdir()) / f"rxresponses-{os.getuid()}"


def write_file(running: Running) -> None:
    """Write the file of this program.  Raises `OSError`, also if the folder may be another user's."""
    _make_folder(running.file.parent)
    with contextlib.suppress(FileNotFoundError):
        running.file.unlink()  # of an earlier program with the same process id
    data = {"pid": running.pid, "title": running.title, "started": running.started, "url": running.url}
    text = _PAGE.format(url=escape(running.url), title=escape(running.title), data=embedded_json(data))
    handle = os.open(running.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32":
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(f"{folder} is not a folder that belongs to this user alone")


def running_programs() -> Iterator[Running]:
    """Yield the programs that run, the latest last; remove files of programs that were killed."""
    folder = runtime_folder()
    with contextlib.suppress(OSError):
        _make_folder(folder)
        files = sorted(folder.glob("*.html"), key=lambda file: file.stat().st_mtime)
        for file in files:
            running = _read(file)
            if running is not None and _answers(running):
                yield running


def _read(file: Path) -> Running | None:
    try:
        found = _DATA.search(file.read_text(encoding="utf-8"))
        data = json.loads(found[1]) if found else {}
        return Running(int(data["pid"]), str(data["title"]), str(data["started"]), str(data["url"]), file)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _answers(running: Running) -> bool:
    parts = urlsplit(running.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
    try:
        connection.request("GET", parts.path)
        is_there = connection.getresponse().status == 200
    except TimeoutError:
        return True  # busy, or stopped in a debugger
    except (OSError, http.client.HTTPException):
        is_there = False
    finally:
        connection.close()
    if not is_there:
        with contextlib.suppress(OSError):
            running.file.unlink()
    return is_there
