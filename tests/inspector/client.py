"""A page without a browser: it reads what the inspector sends, as `live.js` does."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

PATIENCE = 20.0
KEY = "sk-proj-9fQ2mZ8vTt31LpXc7Hn5BbYw"
REQUEST: dict[str, Any] = {"model": "m", "input": "Hi"}


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def get(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, http.client.HTTPMessage, str]:
    """Return status, headers and body of a page."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    try:
        connection.putrequest("GET", parts.path, skip_host=headers is not None and "Host" in headers)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def open_socket(url: str, origin: str | None = "own", **options: Any) -> ClientConnection:
    """Open the WebSocket of a page."""
    parts = urlsplit(url)
    if origin == "own":
        origin = f"http://{parts.netloc}"
    target = f"ws://{parts.netloc}{parts.path}events"
    return connect(target, origin=origin, max_size=None, proxy=None, **options)  # type: ignore[arg-type]


class Page:
    """The state of a page."""

    def __init__(self, url: str) -> None:
        self.socket = open_socket(url)
        self.rows: dict[int, dict[str, Any]] = {}
        self.order: list[int] = []
        self.types: list[Any] = []
        self.resets = 0
        self.text = ""  # all that was sent

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def read(self) -> None:
        """Read a message, and say that it is drawn."""
        text = self.socket.recv(timeout=PATIENCE)
        self.socket.send("")
        assert isinstance(text, str)
        self.apply(text)

    def apply(self, text: str) -> None:
        self.text += text
        lines = text.split("\n")
        message = json.loads(lines.pop(0))
        if message["reset"]:
            self.resets += 1
            self.rows, self.types = {}, []
        for place, kind in enumerate(message.get("types", ())):
            self.types[message["firstType"] + place :] = [kind]
        for told in message["rows"]:
            row = self.rows.setdefault(told["id"], {"events": []})
            row.update(told.get("head", {}))
            for chunk in told["chunks"]:
                for run in chunk:
                    for at in run["at"]:
                        row["events"].append((at, self.types[run["type"]][0], run.get("text"), lines.pop(0)))
        assert not lines or lines == [""]
        if "order" in message:
            self.order = message["order"]
            self.rows = {number: self.rows[number] for number in self.order}
        for row in self.rows.values():
            row["events"] = [event for event in row["events"] if event[0] >= message["begin"]]

    def wait(self, condition: Callable[[Page], object]) -> None:
        """Read until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition(self):
            assert time.monotonic() < deadline
            self.read()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the rows of a kind, from the top."""
        return [row for row in self.rows.values() if row["kind"] == kind]

    @property
    def count(self) -> int:
        return sum(len(row["events"]) for row in self.rows.values())
