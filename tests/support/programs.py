"""Programs in a process of their own, to see how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import rxresponses
from rxresponses.testing import ResponsesServer

from .recorder import WAIT


class Program:
    """A script in a process of its own; `sender`, `ask`, `say` and `put` are defined there."""

    HEAD = """
        import asyncio, signal, sys, threading
        from reactivex import operators as ops
        from rxresponses import (
            ObserverExitError, ResponseCreate, ResponsesClient, ResponsesWebSocket, operators as rops
        )
        # A shell that starts this process in the background lets it ignore the signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sender = {kind}(sys.argv[1])
        def ask(text, lane=None):
            return sender.send_request(ResponseCreate(model="m", input=text), stream_id=lane)
        def put(text):
            sys.stdout.write(text + "\\n")  # a whole line at once, from any thread
            sys.stdout.flush()
        def say(event): put(event.type)
        """

    def __init__(self, server: ResponsesServer, kind: type, code: str) -> None:
        source = textwrap.dedent(self.HEAD).format(kind=kind.__name__) + textwrap.dedent(code)
        where = str(Path(rxresponses.__file__).parent.parent)
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, server.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": where},
        )

    def line(self) -> str:
        """Return the next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def interrupt(self) -> None:
        """Send it what Ctrl-C sends."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return its exit status, the rest of its output, and its errors."""
        try:
            out, err = self.process.communicate(timeout=3 * WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, out.strip(), err.strip()
