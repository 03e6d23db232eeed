"""Servers that mean no good: they answer the handshake, or not even that, and then send what a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from websockets.utils import accept_key

from .recorder import WAIT


@contextlib.contextmanager
def hostile_server(
    talk: Callable[[socket.socket], None], *, answers: bool = True, extensions: str = ""
) -> Iterator[str]:
    """Accept one connection on a thread, answer its handshake unless `answers` is false, call `talk`; yield the URL.

    `talk` may send for ever: its socket is closed at the end.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)
        accepted: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                accepted.append(connection)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(2**16)
                if answers:
                    connection.sendall(_switching(request, extensions))
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            for connection in accepted:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT)
            for connection in accepted:
                connection.close()


def _switching(request: bytes, extensions: str) -> bytes:
    fields = dict(line.split(": ", 1) for line in request.decode().split("\r\n")[1:] if ": " in line)
    key = next(value for name, value in fields.items() if name.lower() == "sec-websocket-key")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
        *([f"Sec-WebSocket-Extensions: {extensions}"] if extensions else []),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def text_frame(message: bytes) -> bytes:
    """Return a message as one frame of a server."""
    return frame(0x81, message)


def frame(first: int, payload: bytes) -> bytes:
    """Return a frame of a server; `first` is its first byte: the opcode and the flags."""
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 2**16:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload
