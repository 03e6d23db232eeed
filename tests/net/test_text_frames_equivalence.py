"""Frames taken straight out of the bytes and frames parsed by websockets are the same to listener and server.

Drawn are the answer to the handshake, the frames behind it (valid and invalid), where the stream is cut into reads,
what happens between the reads, and what the listener does inside its notifications.  Two connections get the same: a
`FrameConnection`, and one that hands each read to websockets as a whole.  After each step, what the listener has got,
what was written, and the state of the connection must be equal.

Hypothesis draws no more than the seed, because drawing each frame takes it ten times as long as the comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import given, note, settings
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri
from websockets.utils import accept_key

from rxresponses.known_secrets import Secrets
from rxresponses.net.backpressure import ReadPause, current_read_pause, set_current_read_pause
from rxresponses.net.tape import Tape
from rxresponses.net.transport import ConnectionEnd, FrameConnection
from tests.effort import examples

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPTED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n"
)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
MAX_FRAGMENTS = 4


# The connections.


class RecordingTransport(asyncio.Transport):
    """Notes what the connection does with it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def can_write_eof(self) -> bool:
        return True

    def abort(self) -> None:
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class PlainConnection(FrameConnection):
    """Hands each read to websockets as a whole."""

    def data_received(self, data: bytes) -> None:
        if self.response is None and not (data := self._final_part(data)):
            return
        previous = set_current_read_pause(self._listener.read_pause)
        try:
            ClientConnection.data_received(self, data)
        finally:
            set_current_read_pause(previous)
        if self.response is None:
            self._note_answer(data)
        elif self.protocol.close_sent is not None and not self._held:
            self._report_end()

    def eof_received(self) -> None:
        ClientConnection.eof_received(self)


class ObserverError(Exception):
    pass


class ActingListener:
    """Notes what it gets and what it could see then; does at some messages what it was told to do."""

    tape: Tape | None = None

    def __init__(self, acts: dict[int, str]) -> None:
        self.read_pause = ReadPause(asyncio.get_running_loop(), lambda: None, lambda: None)
        self.side: Side | None = None
        self.log: list[object] = []
        self._acts = acts
        self._count = 0

    def frame_received(self, frame: bytes) -> None:
        self._note("text", frame)

    def binary_received(self, frame: bytes) -> None:
        self._note("binary", frame)

    def connection_lost(self, end: ConnectionEnd) -> None:
        self._note("end", (end.code, end.reason, end.by_peer, type(end.cause), str(end.cause)))

    def _note(self, kind: str, content: object) -> None:
        side = self.side
        assert side is not None
        assert isinstance(content, (bytes, tuple))
        in_delivery = current_read_pause() is self.read_pause
        self.log.append((kind, content, in_delivery, side.connection.protocol.state, len(side.transport.written)))
        self._count += 1
        act = self._acts.get(self._count)
        if act is not None and kind != "end":
            side.act(act)


class Side:
    """One of the two connections, with its listener and its transport."""

    def __init__(self, make: type[FrameConnection], plan: Plan) -> None:
        extensions = [ClientPerMessageDeflateFactory()] if plan.deflate else None
        protocol = ClientProtocol(parse_uri("ws://host/"), extensions=extensions, max_size=plan.max_size)
        protocol.key = KEY
        protocol.debug = plan.debug
        self.listener = ActingListener(plan.acts)
        self.connection = make(
            protocol,
            listener=self.listener,
            secrets=Secrets(),
            max_message_size=plan.max_size,
            ping_interval=None,
        )
        self.listener.side = self
        self.transport = RecordingTransport()
        self.connection.connection_made(self.transport)
        protocol.send_request(protocol.connect())
        self.connection.send_data()
        self.raised: list[str] = []
        self.lost = False

    def act(self, act: str) -> None:
        """Do what the program, a task of the connection, or the transport may do at any time."""
        connection, protocol = self.connection, self.connection.protocol
        if act == "pause":
            connection.pause()
        elif act == "resume":
            connection.resume()
        elif act == "pause and resume":
            connection.pause()
            connection.resume()
        elif act == "raise":
            raise ObserverError
        elif act == "write":
            if protocol.state is State.OPEN:
                protocol.send_text(b"request")
                connection.send_data()
        elif act == "close":
            if protocol.state is State.OPEN:
                protocol.send_close(1000, "bye")
                connection.send_data()
        elif act == "fail":  # as when a pong does not come
            if protocol.state is State.OPEN:
                protocol.fail(1011, "keepalive ping timeout")
                connection.send_data()
        elif act == "buffer full" and not connection.paused:
            connection.pause_writing()
        elif act == "buffer empty" and connection.paused:
            connection.resume_writing()

    def step(self, step: bytes | str) -> None:
        """Read, or do something else; an exception is noted."""
        connection = self.connection
        try:
            if isinstance(step, bytes):
                connection.data_received(step)
            elif step == "eof":
                connection.eof_received()
            elif step.startswith("lost"):
                self.lost = True
                connection.connection_lost(ConnectionResetError("reset") if step == "lost by error" else None)
            else:
                self.act(step)
        except ObserverError as error:
            self.raised.append(repr(error))

    def seen(self) -> dict[str, object]:
        """Return all that can be observed."""
        connection, protocol = self.connection, self.connection.protocol
        return {
            "log": self.listener.log,
            "raised": self.raised,
            "written": self.transport.written,
            "calls": self.transport.calls,
            "counted": connection.bytes_written,
            "state": protocol.state,
            "closed": (protocol.close_rcvd, protocol.close_sent, protocol.close_rcvd_then_sent),
            "parser error": (type(protocol.parser_exc), str(protocol.parser_exc)),
            "handshake error": (type(protocol.handshake_exc), str(protocol.handshake_exc)),
            "response": None if connection.response is None else connection.response.status_code,
            "answer": connection._answer,
            "lost by": (type(connection.lost_by), str(connection.lost_by)),
            "deadline": connection.close_deadline is not None,
            "held": 0 if connection._held is None else len(connection._held),
            "pending": (list(map(repr, protocol.events)), protocol.writes),
        }

    def end(self) -> None:
        if not self.lost:
            self.step("lost")
        if self.connection._answer_timer is not None:
            self.connection._answer_timer.cancel()


# What is drawn.


@dataclass
class Plan:
    """What the two connections go through."""

    steps: list[bytes | str]  # reads, and what happens between them
    acts: dict[int, str] = field(default_factory=dict)  # by the number of a notification
    max_size: int = 2**20
    deflate: bool = False
    debug: bool = False


def frame(first: int, payload: bytes, form: int = 0, mask: int = 0) -> bytes:
    """Return a frame with a length of at least `form` bytes."""
    size = len(payload)
    if size < 126 and form == 0:
        return bytes((first, mask | size)) + payload
    if size < 2**16 and form <= 2:
        return bytes((first, mask | 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, mask | 127)) + size.to_bytes(8, "big") + payload


SIZES = [0, 1, 5, 20, 99, 100, 101, 125, 126, 127, 300, 301, 65_534, 65_535, 65_536]
ACCEPTANCES = [
    ACCEPTED,
    ACCEPTED,
    ACCEPTED + "X-More: " + "x" * 300 + "\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ACCEPTED,
]
REFUSALS = [
    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n",
    "HTTP/1.1 401 Unauthorized\r\n",
    "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "NONSENSE\r\n",
    ACCEPTED.replace("\r\n", "\n"),
]
ACTIONS = ["pause", "resume", "resume", "pause and resume", "write", "close", "fail", "buffer full", "buffer empty"]
ENDINGS = [[], ["eof", "lost"], ["lost"], ["lost by error"], ["eof", "lost by error"]]


class Drawing:
    """Draws the bytes of a server and what else happens."""

    def __init__(self, random: Random, deflate: bool) -> None:
        self.random = random
        self._deflate = PerMessageDeflate(False, False, 15, 15) if deflate else None

    def payload(self, most: int = 2**17) -> bytes:
        """Draw a payload, which may look like the beginning of a frame."""
        random = self.random
        size = min(most, random.choice(SIZES) if random.random() < 0.25 else random.randrange(8))
        pattern = (
            random.choices(b"\x81\x01\x02\x00\x7e\x89\xffab", k=9) if random.random() < 0.7 else random.randbytes(9)
        )
        return (bytes(pattern) * (size // 9 + 1))[:size]

    def text(self) -> bytes:
        return frame(0x81, self.payload(), self.random.choice([0, 0, 0, 2, 8]))

    def control(self) -> bytes:
        return frame(self.random.choice([0x89, 0x8A]), self.payload(125))

    def binary(self) -> bytes:
        return frame(0x82, self.payload(), self.random.choice([0, 2, 8]))

    def fragmented(self) -> bytes:
        """Draw a message in fragments, with other frames between them."""
        random = self.random
        data = b""
        first, last = random.choice([1, 2]), random.randint(1, MAX_FRAGMENTS)
        for n in range(last + 1):
            data += frame((0 if n else first) | (0x80 if n == last else 0), self.payload(300))
            while n < last and random.random() < 0.4:
                data += self.control() if random.random() < 0.8 else self.text()
        return data

    def compressed(self) -> bytes:
        """Draw a compressed message, in one frame or in fragments."""
        if self._deflate is None:
            return self.text()
        opcodes = [self.random.choice([Opcode.TEXT, Opcode.BINARY])] + [Opcode.CONT] * self.random.choice([0, 0, 2])
        return b"".join(
            Frame(opcode, self.payload(300), fin=n == len(opcodes)).serialize(mask=False, extensions=[self._deflate])
            for n, opcode in enumerate(opcodes, 1)
        )

    def close(self) -> bytes:
        code = self.random.choice([None, 1000, 1001, 1005, 1011, 999, 3000, 4999, 5000])
        reason = self.random.choice([b"", b"bye", b"\xff", b"r" * 123, b"r" * 124])
        return frame(0x88, b"" if code is None else code.to_bytes(2, "big") + reason)

    def odd(self) -> bytes:
        """Draw what a server should not send, for the most part."""
        random = self.random
        first = random.choice([0xC1, 0xA1, 0x91, 0x01, 0x02, 0x80, 0x00, 0x81, 0x88, 0x89, random.randrange(256)])
        data = frame(first, self.payload(), random.choice([0, 2, 8]), random.choice([0, 0, 0, 0x80]))
        return random.choice([data, data, data[: random.randrange(1, 11)], random.randbytes(random.randrange(12))])

    def stream(self) -> bytes:
        """Draw the frames of a connection."""
        random = self.random
        valid = [*(4 * [self.text]), self.control, self.binary, self.fragmented, self.compressed, self.compressed]
        late = [self.odd, self.odd, self.close, *valid]
        draws = [*random.choices(valid, k=random.randrange(12)), *random.choices(late, k=random.randrange(4))]
        return b"".join(draw() for draw in draws)

    def reads(self, stream: bytes) -> list[bytes]:
        """Cut a stream."""
        cuts = {len(stream)}
        if self.random.random() < 0.2 and len(stream) < 3000:
            cuts.update(range(1, len(stream)))
        elif self.random.random() < 0.9:
            cuts.update(self.random.randint(1, len(stream)) for _ in range(self.random.randrange(20)))
        return [stream[begin:end] for begin, end in pairwise([0, *sorted(cuts)])]


def draw_plan(random: Random) -> Plan:
    deflate = random.random() < 0.4
    drawing = Drawing(random, deflate)
    head = random.choice(ACCEPTANCES if random.random() < 0.9 else REFUSALS) + (DEFLATE if deflate else "") + "\r\n"
    steps: list[bytes | str] = []
    disturbed = random.choice([0, 0.05, 0.2])
    for read in drawing.reads(head.encode() + drawing.stream()):
        steps.append(read)
        while random.random() < disturbed:
            steps.append(random.choice(ACTIONS))
    ending = random.choice(ENDINGS)
    if ending:
        if random.random() < 0.5:
            del steps[random.randint(0, len(steps)) :]
        steps += [*ending, "resume", "resume"]
    acts = {random.randint(1, 12): random.choice([*ACTIONS, "raise"]) for _ in range(random.choice([0, 0, 1, 3]))}
    return Plan(steps, acts, random.choice([2**20, 2**20, 65_535, 300, 126, 100]), deflate, random.random() < 0.05)


# The comparison.


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def compare(plan: Plan) -> tuple[Side, Side]:
    sides = Side(FrameConnection, plan), Side(PlainConnection, plan)
    for step in plan.steps:
        for side in sides:
            side.step(step)
        ours, plain = (side.seen() for side in sides)
        assert ours == plain, step
    for side in sides:
        side.end()
    return sides


@given(random=st.randoms(use_true_random=True))
@settings(max_examples=examples(600))
def test_both_are_the_same_after_each_step(loop: asyncio.AbstractEventLoop, random: Random) -> None:
    plan = draw_plan(random)
    note(repr(plan))

    async def main() -> None:
        compare(plan)

    with (
        patch("websockets.frames.secrets.token_bytes", return_value=b"mask"),
        patch("rxresponses.wire.fragments.MAX_FRAGMENTS", MAX_FRAGMENTS),
    ):
        loop.run_until_complete(main())
