"""The WebSocket: hands each message to a listener as soon as it is parsed, without a queue in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from websockets.frames import CloseCode, Opcode
from websockets.protocol import State

from ..known_secrets import Secrets
from ..wire.fragments import MAX_FRAGMENTS, FragmentedMessage
from .backpressure import ReadPause, set_current_read_pause
from .handshake import HandshakeConnection
from .loops import start_task
from .tape import Tape
from .text_frames import TextFrames

TOO_MANY_FRAGMENTS = f"a message in more than {MAX_FRAGMENTS} fragments"
"""The reason with which this side closes a connection whose server sends such a message."""

_MOST_AT_ONCE = 65_536  # bytes of messages that are written together

_READ_SIZE = 2**18  # bytes: as much as the event loops of asyncio read at once

_PONG = bytes([0x80 | Opcode.PONG])  # the first byte of each pong on the wire


_read_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def _read_buffer_of(loop: asyncio.AbstractEventLoop) -> memoryview:
    buffer = _read_buffers.get(loop)
    if buffer is None:
        buffer = _read_buffers[loop] = memoryview(bytearray(_READ_SIZE))
    return buffer


class FrameListener(Protocol):
    """Gets what a `FrameConnection` receives, on the loop's thread."""

    read_pause: ReadPause
    tape: Tape | None  # of a recording, which wants to know when something was read

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


class FrameConnection(HandshakeConnection, asyncio.BufferedProtocol):
    """A client connection that hands each message straight to its listener.

    `process_event` is the hook that websockets offers to `create_connection` subclasses.  Going
    through `recv()` instead costs a queue, a future and a task switch for each message.

    As an `asyncio.BufferedProtocol`, it has the event loop read into a buffer that all connections of the loop share.
    For any other protocol, the event loop allocates 256 KiB for each read, however few bytes come: that takes longer
    than all the rest of a small read.
    """

    def __init__(
        self, *args: Any, listener: FrameListener, secrets: Secrets, max_message_size: int, **kwargs: Any
    ) -> None:
        self.secrets = secrets  # for its logger
        super().__init__(*args, **kwargs)
        self.bytes_written = 0  # to the transport
        self._listener = listener
        self._text_frames = TextFrames(self.protocol, max_message_size)
        self._read_buffer = _read_buffer_of(self.loop)
        self._fragments = FragmentedMessage()
        self._is_binary = False
        self._pong: bytes | None = None  # waits until the server reads
        self._reported = False
        self._held: deque[Any] | None = None  # during a pause: frames that were parsed and not delivered

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read.  The event loop calls `buffer_updated` before anything else runs."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read out of the buffer."""
        self.data_received(bytes(self._read_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Deliver the messages in `data`; lagging consumers meanwhile find this connection's `ReadPause`.

        websockets gets the bytes of the opening handshake, and those that `TextFrames` leaves to it.  In either case
        all of `data` is parsed, and the pongs are written, before the first message is delivered.
        """
        if self.response is None and not (data := self.read_answer(data)):
            return
        tape = self._listener.tape
        if tape is not None:
            tape.mark(len(data))
        previous = set_current_read_pause(self._listener.read_pause)
        try:
            rest = self._text_frames.receive(data)
            if rest is None:
                # Only text came, so websockets has nothing to write, and its state is as before.
                frame_received = self._listener.frame_received
                messages: list[Any] = self.protocol.events_received()
                for message in messages:
                    if self._held is None:
                        frame_received(message)
                    else:
                        self._held.append(message)
            else:
                super().data_received(rest)
        finally:
            set_current_read_pause(previous)
        if self.protocol.close_sent is not None and not self._held:
            # This side closes the connection, or has answered the server's close frame.  The requests are told
            # now, because the server may take its time to end the TCP connection.
            self._report_end()

    def process_event(self, event: Any) -> None:
        """Deliver a message to the listener; leave the handshake and pongs to websockets."""
        if type(event) is bytes:  # from `TextFrames`
            if self._held is None:
                self._listener.frame_received(event)
            else:
                self._held.append(event)
            return
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

    # Writing.

    async def send_texts(self, texts: Iterable[bytes]) -> None:
        """Send messages that are ready now, and wait until the server reads; raises as websockets' `send` does.

        The messages are taken one by one, up to `_MOST_AT_ONCE` bytes, and written together, because a system call for
        each of many small messages costs more than the messages.
        """
        size = 0
        async with self.send_context():
            for text in texts:
                self.protocol.send_text(text)
                size += len(text)
                if size >= _MOST_AT_ONCE:
                    break

    @property
    def bytes_taken(self) -> int:
        """How many of the written bytes have left the write buffer, because the server reads."""
        return self.bytes_written - self.transport.get_write_buffer_size()

    def send_data(self) -> None:
        """Write what websockets has to send.

        While the server does not read, only the latest pong waits to be sent.  RFC 6455 (5.5.3) allows that, and a
        server that sends pings and never reads would otherwise fill the memory with pongs.
        """
        writes = self.protocol.writes
        if not writes:
            return  # as behind nearly every message
        if self.paused:
            self._pong = next((data for data in reversed(writes) if data[:1] == _PONG), self._pong)
            writes = self.protocol.writes = [data for data in writes if data[:1] != _PONG]
        size = sum(map(len, writes))
        self.bytes_written += size
        if len(writes) > 1 and size <= 2 * _MOST_AT_ONCE and all(writes):  # an empty one stands for the end
            self.protocol.writes = [b"".join(writes)]
        super().send_data()

    def resume_writing(self) -> None:
        """Send the pong that waits, because the server reads again."""
        super().resume_writing()
        pong, self._pong = self._pong, None
        if pong is not None and self.protocol.state is State.OPEN:
            self.bytes_written += len(pong)
            self.transport.write(pong)

    # The end, and pauses.

    def eof_received(self) -> None:
        """Let websockets look at the end of what the server sends."""
        self._hand_over_kept()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, unless a close frame already did; during a pause, after the messages held back."""
        self._hand_over_kept()
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
        tape = self._listener.tape
        if tape is not None:
            tape.mark(0)
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

    def _hand_over_kept(self) -> None:
        """Give websockets the beginning of a frame whose end does not come, so that it says what is missing."""
        kept = self._text_frames.take_kept()
        if kept:
            self.protocol.receive_data(kept)

    def _collect(self, event: Any) -> None:
        """Put a fragmented message together."""
        if self._reported:
            return  # the message had too many fragments, and more of them came with the last one that fitted
        if event.opcode is not Opcode.CONT:
            self._is_binary = event.opcode is Opcode.BINARY
        if not self._fragments.add(event.data):
            if self.protocol.state is not State.CLOSED:  # as it may be behind a pause
                self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, TOO_MANY_FRAGMENTS)
                self.send_data()
            self._report_end()
        elif event.fin:
            message = self._fragments.take()
            if self._is_binary:
                self._listener.binary_received(message)
            else:
                self._listener.frame_received(message)

    def _report_end(self) -> None:
        if self._reported or self.response is None or self.protocol.handshake_exc is not None:
            return
        received, sent = self.protocol.close_rcvd, self.protocol.close_sent
        cause = self.lost_by
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
                closing = start_task(self.loop, self.close(), "rxresponses closing handshake")
                await asyncio.wait({closing}, timeout=timeout)
        finally:
            # Also when this task is cancelled because the program ends its loop: nothing else would abort it.
            self.transport.abort()
        await self.wait_closed()
