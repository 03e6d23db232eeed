"""The WebSocket of one client, with bounds on the memory and the time that the client can cost the server."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame

MOST_FRAGMENTS = 65_536  # of one message: each costs memory besides its content, which may be empty
MOST_UNREAD = 256 * 2**10  # bytes that are kept for a client which does not read


class BoundedWebSocket(ServerConnection):
    """A WebSocket that waits for a client which does not read, and that ends in time.

    A client that sends without reading (pings, requests, invalid frames) would let its answers pile up.  Once
    `MOST_UNREAD` bytes of them wait, the server reads nothing from this client until the client reads.
    """

    close_within: ClassVar[float] = 1.0
    """How many seconds the closing handshake may take, after which the transport is aborted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stalled = False
        self._pending = 0  # bytes
        self._fragments = 0  # of the message that is being received

    def set_pending(self, size: int) -> None:
        """Tell how many bytes, besides those in the buffer of the transport, are kept for the client."""
        self._pending = size
        self._pause_or_resume()

    def stall(self) -> None:
        """Read nothing any more.  The connection stays open until `close` or `abort` is called."""
        self._stalled = True
        self._pause_or_resume()

    def abort(self) -> None:
        """Close the transport without a closing handshake."""
        self.transport.abort()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, with a closing handshake if that is possible within `close_within`.

        The good-bye waits behind all that was written before, for ever if the client does not read.
        """
        if self._stalled:
            self.abort()  # the answer to the good-bye would never be read
        try:
            await asyncio.wait_for(super().close(code, reason), self.close_within)
        except asyncio.TimeoutError:
            self.abort()
            await self.wait_closed()

    # Called by asyncio and websockets

    def data_received(self, data: bytes) -> None:
        """Receive bytes from the client."""
        super().data_received(data)
        self._pause_or_resume()  # the pongs are in the buffer of the transport now
        if self.protocol.close_expected():
            self.loop.call_later(self.close_within, self.abort)  # for a client that does not close the transport

    def pause_writing(self) -> None:
        """Handle that the buffer of the transport is full."""
        super().pause_writing()
        self._pause_or_resume()

    def resume_writing(self) -> None:
        """Handle that the client reads again."""
        super().resume_writing()
        self._pause_or_resume()

    def process_event(self, event: Any) -> None:
        """Handle a frame of the client, or its upgrade request."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._fragments += 1
            if self._fragments > MOST_FRAGMENTS:
                self._refuse_fragments()
                return
            if event.fin:
                self._fragments = 0
        super().process_event(event)

    def _refuse_fragments(self) -> None:
        if not self.protocol.close_expected():  # the frames behind the first one too many were received with it
            reason = f"a message may have at most {MOST_FRAGMENTS} fragments"
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, reason)
            self.send_data()

    def _pause_or_resume(self) -> None:
        """Read from the client unless the connection is stalled, or the client leaves too much unread."""
        unread = self._pending + self.transport.get_write_buffer_size()
        if self._stalled or (self.paused and unread > MOST_UNREAD):
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
