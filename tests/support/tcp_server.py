"""Servers below HTTP, and proxies: a test says what they do with each TCP connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handler = Callable[[socket.socket], None]


class TcpServer:
    """A TCP server on threads of its own, with TLS if there is a context for it."""

    def __init__(self, listener: socket.socket, handle: Handler, context: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._handle = handle
        self._context = context
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections += 1
                self._open.add(accepted)
                thread = threading.Thread(target=self._serve, args=[accepted])
                self._threads.append(thread)
                thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:  # an `ssl.SSLError` is an `OSError`
            if self._context is None:
                self._handle(accepted)
                return
            with self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as secured:
                self._open.add(secured)
                try:
                    secured.do_handshake()
                except ssl.SSLError:
                    while socket.socket.recv(secured, 4096):  # the alert is lost if data wait when it closes
                        pass
                else:
                    self._handle(secured)

    def stop(self) -> None:
        """Cut all connections, and wait for the threads."""
        for accepted in tuple(self._open):
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@contextmanager
def tcp_server(handle: Handler, context: ssl.SSLContext | None = None) -> Iterator[TcpServer]:
    """Run a server; `handle` gets each connection, which is closed when it returns."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = TcpServer(listener, handle, context)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            server.stop()


def read_head(connection: socket.socket) -> bytes:
    """Read an HTTP request up to the end of its headers."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        if not data:
            break
        head += data
    return head


def answering(answer: bytes, *, hangs: bool = False) -> Handler:
    """Answer each request with these bytes, and close; a server that hangs closes only when the client does."""

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)
        if hangs:
            while connection.recv(4096):
                pass

    return handle


def proxying(port: int, heads: list[bytes]) -> Handler:
    """Be an HTTP proxy whose every connection leads to a port of this machine; note the heads of the requests."""

    def handle(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        with socket.create_connection(("127.0.0.1", port)) as target:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=[target, connection])
            back.start()
            _copy(connection, target)
            back.join()

    return handle


def announcing(port: int, interim: bytes) -> Handler:
    """Pass each connection on to a port of this machine, and send these bytes before its first answer."""

    def handle(connection: socket.socket) -> None:
        head = read_head(connection)
        connection.sendall(interim)
        with socket.create_connection(("127.0.0.1", port)) as target:
            target.sendall(head)
            back = threading.Thread(target=_copy, args=[target, connection])
            back.start()
            _copy(connection, target)
            back.join()

    return handle


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
