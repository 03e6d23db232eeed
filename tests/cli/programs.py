"""The command line as a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

import pytest

from rxresponses.cli.main import main

PATIENCE = 60  # seconds until a program that hangs is taken for broken


class Program:
    """`python -m rxresponses` with these arguments; standard output and standard error are pipes."""

    def __init__(self, *arguments: str, stdin: IO[Any] | int = subprocess.DEVNULL, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rxresponses", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **env},
        )

    def read_until(self, wanted: bytes) -> bytes:
        """Return standard output up to a read that completes `wanted`."""
        return self._read_until(self.process.stdout, wanted)

    def read_stderr_until(self, wanted: bytes) -> bytes:
        """Return standard error up to a read that completes `wanted`."""
        return self._read_until(self.process.stderr, wanted)

    def _read_until(self, stream: Any, wanted: bytes) -> bytes:
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        seen = b""
        while wanted not in seen:
            piece = stream.read1(4096)
            assert piece, f"ended after {seen!r}, {self.kill()}"
            seen += piece
        watchdog.cancel()
        return seen

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, stdin: bytes | None = None) -> tuple[int, str, str]:
        """Wait for its end; return its exit code, standard output and standard error."""
        out, err = self.process.communicate(stdin, timeout=PATIENCE)
        return self.process.returncode, out.decode(errors="surrogateescape"), err.decode()

    def kill(self) -> str:
        """End it as `kill -9` does; return what is left of standard error."""
        self.process.kill()
        assert self.process.stderr is not None
        return "" if self.process.stderr.closed else self.process.communicate()[1].decode()


Start = Callable[..., Program]


def usage_error(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run the command line with wrong arguments; return standard error."""
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err
