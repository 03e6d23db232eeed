"""A client and a server that means it harm, in a process of its own: how much memory and time the client takes.

    python -m tests.benchmarks.hostile KIND

prints one JSON object.  The server's side runs on a thread and sends one block again and again, so the memory that
the process gains is the client's.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rxresponses import ConnectionOptions, ResponsesError, ResponsesWebSocket
from rxresponses import operators as rops

from ..support.clients import ask
from ..support.hostile import frame, hostile_server, text_frame

MEBIBYTE = 2**20
RESPONSES = 300
EVENTS = 40_000
PAUSED = 3.0  # seconds for which nobody reads what `ask` writes

OPTIONS = ConnectionOptions(ping_interval=1.0, ping_timeout=1.0, close_timeout=0.5)
WITHOUT_PINGS = ConnectionOptions(ping_interval=None, close_timeout=0.5)  # the server does not answer them


def peak(process: int | str = "self") -> float:
    """Return the most memory that a process has had, in MiB.  Linux only: elsewhere, a parent's memory counts too."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def ask_until_the_error(url: str, options: ConnectionOptions = OPTIONS) -> str | None:
    with ResponsesWebSocket(url, options=options) as sender:
        try:
            return sender.send_request(ask()).pipe(rops.collect_text()).run()
        except ResponsesError as error:
            return type(error).__name__


def pings() -> Any:
    """Never reads, and sends pings as fast as it can."""
    return _endless(frame(0x89, b"p" * 125) * 1000)


def fragments(payload: bytes) -> Any:
    """Sends one message in endlessly many fragments."""
    return _endless(frame(0x00, payload) * 10_000, begin=frame(0x01, b"x"))


def handshake() -> Any:
    """Answers the handshake with an endless body."""
    return _endless(b"no " * 10_000, begin=b"HTTP/1.1 403 Forbidden\r\n\r\n", answers=False)


def _endless(block: bytes, *, begin: bytes = b"", answers: bool = True) -> Any:
    def talk(connection: socket.socket) -> None:
        if answers:
            connection.recv(1)
        connection.sendall(begin)
        while True:
            connection.sendall(block)

    with hostile_server(talk, answers=answers) as url:
        return ask_until_the_error(url)


def bomb() -> Any:
    """Sends a message that is a thousandth of its size until it is decompressed."""
    deflate = zlib.compressobj(9, wbits=-15)
    data = b"".join([*(deflate.compress(b" " * MEBIBYTE) for _ in range(256)), deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]])

    def talk(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(frame(0xC1, data))
        connection.recv(1)

    with hostile_server(talk, extensions="permessage-deflate") as url:
        return ask_until_the_error(url, ConnectionOptions(compression=True, close_timeout=0.5))


def long_ids() -> Any:
    """Gives each response an id of 1 MiB."""

    def talk(connection: socket.socket) -> None:
        for number in itertools.count():
            connection.recv(2**16)
            response = b'{"id":"%d%s","output":[]}' % (number, b"r" * MEBIBYTE)
            connection.sendall(text_frame(b'{"type":"response.created","response":%s}' % response))
            connection.sendall(text_frame(b'{"type":"response.completed","response":%s}' % response))

    with hostile_server(talk) as url, ResponsesWebSocket(url, options=WITHOUT_PINGS) as sender:
        texts = [sender.send_request(ask(store=False)).pipe(rops.collect_text()).run() for _ in range(RESPONSES)]
    return len(texts)


def new_ids() -> Any:
    """Gives the response another id in each event."""

    def talk(connection: socket.socket) -> None:
        connection.recv(2**16)
        events = (b'{"type":"response.in_progress","response":{"id":"r%d"}}' % number for number in range(EVENTS))
        connection.sendall(b"".join(map(text_frame, events)))
        connection.sendall(text_frame(b'{"type":"response.completed","response":{"id":"r0","output":[]}}'))
        connection.recv(1)

    with hostile_server(talk) as url:
        return ask_until_the_error(url, WITHOUT_PINGS)


def paused_reader(*form: str) -> Any:
    """Streams without end to `rxresponses ask`, whose output nobody reads; return the most memory of that program."""
    delta = b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"%s"}' % (b"x" * 1000)
    block = text_frame(delta) * 200
    sent = 0

    def talk(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(1)
        connection.sendall(text_frame(b'{"type":"response.created","response":{"id":"r"}}'))
        while True:
            sent += connection.send(block)

    with hostile_server(talk) as url:
        command = [sys.executable, "-m", "rxresponses", "ask", "--url", url, *form, "hi"]
        reading, writing = os.pipe()
        with subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as program:
            time.sleep(PAUSED)
            most = peak(program.pid)
            program.kill()
        os.close(reading)
        os.close(writing)
    return {"program": most, "sent": sent / MEBIBYTE}


KINDS: dict[str, Callable[[], Any]] = {
    "pings": pings,
    "empty fragments": lambda: fragments(b""),
    "small fragments": lambda: fragments(b"xy"),
    "handshake": handshake,
    "bomb": bomb,
    "long ids": long_ids,
    "new ids": new_ids,
    "paused text": paused_reader,
    "paused events": lambda: paused_reader("--json"),
}


if __name__ == "__main__":
    before, start = peak(), time.monotonic()
    got = KINDS[sys.argv[1]]()
    print(json.dumps({"got": got, "memory": peak() - before, "seconds": time.monotonic() - start}))
