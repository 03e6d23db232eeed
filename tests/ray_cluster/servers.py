"""Embedded servers in processes of their own: `python -m tests.ray_cluster.servers NOTES [SECONDS]`.

A server prints its URL, answers each prompt with the same text each time, after so many seconds, and notes for each
request when it came (the clock that all processes of the machine share) and its prompt, one a line.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rxresponses.testing import ResponsesServer
from rxresponses.testing.request import Request


class Arrival(NamedTuple):
    """A request that came to a server: when, by the clock of the machine, and its prompt."""

    at: float
    prompt: str


class ServerProcess:
    """A server, from the outside."""

    def __init__(self, notes: Path, interval: float) -> None:
        self._notes = notes
        command = [sys.executable, "-m", "tests.ray_cluster.servers", str(notes), str(interval)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def kill(self) -> None:
        """End the process as the system does when memory is short."""
        self.process.kill()
        self.process.communicate()

    @property
    def arrivals(self) -> list[Arrival]:
        """The requests that came until now."""
        lines = self._notes.read_text().splitlines()
        return [Arrival(float(at), prompt) for at, _, prompt in (line.partition(" ") for line in lines) if prompt]


@contextmanager
def servers(folder: Path, count: int, interval: float = 0.0) -> Iterator[list[ServerProcess]]:
    """Run servers, which send the events of a response so many seconds apart."""
    running = [ServerProcess(folder / f"server {number}", interval) for number in range(count)]
    try:
        yield running
    finally:
        for server in running:
            if server.process.poll() is None:
                server.kill()


def most_in_a_window(times: list[float], seconds: float = 10.0) -> int:
    """Return the most of these times that are in any window of so many seconds."""
    times = sorted(times)
    most = start = 0
    for index, at in enumerate(times):
        while times[start] <= at - seconds:
            start += 1
        most = max(most, index - start + 1)
    return most


def main() -> None:
    """Run one server until standard input is closed."""
    with (
        open(sys.argv[1], "w", buffering=1) as notes,
        ResponsesServer(event_interval=float(sys.argv[2]), remember=100) as server,
    ):

        def answer(request: Request) -> str:
            notes.write(f"{time.monotonic()!r} {request.text}\n")
            return f"answer to {request.text}"

        server.on(lambda request: True, answer)
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
