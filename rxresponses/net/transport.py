"""The WebSocket: hands each message to a listener as soon as it is parsed, without a queue in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.frames import Opcode
from websockets.protocol import State

from .backpressure import ReadPause, set_current_read_pause


class FrameListener(Protocol):
    """Gets what a `FrameConnection` receives, on the loop's thread."""

    read_pause: ReadPause

    def frame_received(self, frame: bytes) -> None:
        """A complete text message."""

    def binary_received(self, frame: bytes) -> None:
        """A complete binary message, which the Responses API does not use."""

    def connection_lost(self, end: ConnectionEnd) -> None:
        """The connection has ended.  Called once: on a close frame, or when the transport is lost."""


@dataclass(frozen=True)
class ConnectionEnd:
    """How a connection ended: close code and reason, which side closed first, and the exception behind it."""

    code: int
    reason: str
    by_peer: bool
    cause: BaseException | None = None

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        if self.code == 1006:
            return "the connection broke off without a close frame"
        return f"{'the server closed' if self.by_peer else 'this side had to close'} with code {self.code}{reason}"


class FrameConnection(ClientConnection):
    """A client connection that hands each message straight to its listener.

    `process_event` is the hook that websockets offers to `create_connection` subclasses.  Going
    through `recv()` instead costs a queue, a future and a task switch for each message.
    """

    def __init__(self, *args: Any, listener: FrameListener, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listener = listener
        self._fragments: list[bytes] = []
        self._is_binary = False
        self._reported = False
        self._held: deque[Any] | None = None  # during a pause: frames that were parsed and not delivered

    def data_received(self, data: bytes) -> None:
        """Deliver the messages in `data`; lagging consumers meanwhile find this connection's `ReadPause`."""
        previous = set_current_read_pause(self._listener.read_pause)
        try:
            super().data_received(data)
        finally:
            set_current_read_pause(previous)
        if self.protocol.close_sent is not None and not self._held:
            # This side closes the connection, or has answered the server's close frame.  The requests are told
            # now, because the server may take its time to end the TCP connection.
            self._report_end()

    def process_event(self, event: Any) -> None:
        """Deliver a message to the listener; leave the handshake and pongs to websockets."""
        if self.response is None:
            super().process_event(event)
            return
        opcode = event.opcode
        if self._held is not None and opcode not in (Opcode.PING, Opcode.PONG):
            self._held.append(event)
        elif opcode is Opcode.TEXT and event.fin:
            self._listener.frame_received(bytes(event.data))
        elif opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._collect(event)
        elif opcode is Opcode.CLOSE:
            # At once: the TCP connection may stay half open for as long as the server likes.
            self._report_end()
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, unless a close frame already did; during a pause, after the messages held back."""
        super().connection_lost(exc)
        if not self._held:
            self._report_end()

    def pause(self) -> None:
        """Stop delivering and reading until `resume`."""
        if self._held is None:
            self._held = deque()
            self.transport.pause_reading()

    def resume(self) -> None:
        """Deliver the messages held back, then read on; the listener may pause again in between."""
        held, self._held = self._held, None
        if held is None:
            return
        previous = set_current_read_pause(self._listener.read_pause)
        try:
            while held and self._held is None:
                self.process_event(held.popleft())
        finally:
            set_current_read_pause(previous)
        if self._held is not None:
            held.extend(self._held)
            self._held = held
        elif self.protocol.state is State.CLOSED:
            self._report_end()
        else:
            self.transport.resume_reading()

    def _collect(self, event: Any) -> None:
        """Put a fragmented message together."""
        if event.opcode is not Opcode.CONT:
            self._is_binary = event.opcode is Opcode.BINARY
        self._fragments.append(bytes(event.data))
        if event.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            if self._is_binary:
                self._listener.binary_received(message)
            else:
                self._listener.frame_received(message)

    def _report_end(self) -> None:
        if self._reported or self.response is None or self.protocol.handshake_exc is not None:
            return
        received, sent = self.protocol.close_rcvd, self.protocol.close_sent
        cause = getattr(self, "connection_exc", None) or getattr(self, "recv_exc", None)  # its name before 16
        if received is not None and (sent is None or self.protocol.close_rcvd_then_sent):
            end = ConnectionEnd(received.code, received.reason, True)
        elif sent is not None:
            end = ConnectionEnd(sent.code, sent.reason, False, cause)
        else:
            end = ConnectionEnd(1006, "", True, cause)
        self._reported = True
        self._listener.connection_lost(end)

    async def shut(self, timeout: float, *, abrupt: bool) -> None:
        """Close the connection and wait until it is down.

        The closing handshake may take `timeout` seconds; with `abrupt` there is none, nor when a message
        is stuck in the write buffer, since the close frame would be stuck behind it.
        """
        try:
            if not abrupt and not self.transport.get_write_buffer_size():
                with contextlib.suppress(asyncio.TimeoutError):  # from Python 3.11 on the built-in one
                    await asyncio.wait_for(self.close(), timeout)
        finally:
            # Also when this task is cancelled because the program ends its loop: nothing else would abort it.
            self.transport.abort()
        await self.wait_closed()
