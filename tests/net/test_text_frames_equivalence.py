"""Frames taken straight out of the bytes and frames parsed by websockets are the same to listener and server.

Hypothesis draws the answer to the handshake, the frames behind it (valid and invalid), where the stream is cut into
reads, what happens between the reads, and what the listener does inside its notifications.  Two connections get the
same: a `FrameConnection`, and one that hands each read to websockets as a whole.  After each step, what the listener
has got, what was written, and the state of the connection must be equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri
from websockets.utils import accept_key

from rxresponses.known_secrets import Secrets
from rxresponses.net.backpressure import ReadPause, current_read_pause, set_current_read_pause
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


sizes = st.sampled_from([0, 1, 5, 20, 125, 126, 127, 300, 65_535, 65_536])
payloads = st.one_of(
    st.binary(max_size=6),
    st.builds(lambda seed, size: (seed * size)[:size], st.binary(min_size=1, max_size=3), sizes),
)
forms = st.sampled_from([0, 0, 0, 2, 8])
texts = st.builds(frame, st.just(0x81), payloads, forms)
small = st.binary(max_size=4)
controls = st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125) | small)
closes = st.builds(
    lambda code, reason: frame(0x88, b"" if code is None else code.to_bytes(2, "big") + reason),
    st.sampled_from([None, 1000, 1001, 1005, 1011, 999, 3000, 4999, 5000]),
    st.sampled_from([b"", b"bye", b"\xff", b"r" * 123, b"r" * 124]),
)
fragmented = st.builds(
    lambda kind, pieces, between: b"".join(
        frame((kind if n == 0 else 0) | (0x80 if n == len(pieces) - 1 else 0), piece) + between
        for n, piece in enumerate(pieces)
    ),
    st.sampled_from([1, 2]),
    st.lists(small, min_size=2, max_size=5),
    st.just(b"") | controls | texts.filter(lambda text: len(text) < 20),
)
odd = st.one_of(
    st.builds(frame, st.integers(0, 255), small, forms, st.sampled_from([0, 0, 0, 0x80])),
    st.builds(frame, st.sampled_from([0xC1, 0xA1, 0x91, 0x01, 0x80, 0x00]), payloads, forms),
    st.builds(frame, st.sampled_from([0x89, 0x8A, 0x88]), st.binary(min_size=126, max_size=130)),
    st.just(b"\x88\x01x"),
    st.binary(max_size=12),
)


@st.composite
def compressed(draw: st.DrawFn) -> Callable[[PerMessageDeflate], bytes]:
    """Draw a compressed message, in one frame or in fragments."""
    kind = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
    pieces = draw(st.lists(payloads.filter(lambda payload: len(payload) < 400), min_size=1, max_size=3))

    def encode(deflate: PerMessageDeflate) -> bytes:
        last = len(pieces) - 1
        frames = [Frame(Opcode.CONT if n else kind, piece, fin=n == last) for n, piece in enumerate(pieces)]
        return b"".join(part.serialize(mask=False, extensions=[deflate]) for part in frames)

    return encode


actions = ["pause", "resume", "resume", "pause and resume", "write", "close", "fail", "buffer full", "buffer empty"]
acceptances = [
    ACCEPTED,
    ACCEPTED + "X-More: " + "x" * 300 + "\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ACCEPTED,
]
refusals = [
    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n",
    "HTTP/1.1 401 Unauthorized\r\n",
    "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "NONSENSE\r\n",
    ACCEPTED.replace("\r\n", "\n"),
]
heads = st.sampled_from(6 * acceptances + refusals)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    deflate = draw(st.booleans())
    kinds = [texts, texts, texts, controls, fragmented] + ([compressed(), compressed()] if deflate else [])
    valid = draw(st.lists(st.one_of(*kinds), max_size=12))
    late = draw(st.lists(st.one_of(odd, closes, *kinds), max_size=3))
    coder = PerMessageDeflate(False, False, 15, 15)
    head = draw(heads)
    stream = (head + (DEFLATE if deflate else "") + "\r\n").encode() + b"".join(
        part(coder) if callable(part) else part for part in (*valid, *late)
    )
    cuts = draw(st.sampled_from(["any", "any", "frames", "whole", "bytes"]))
    steps: list[bytes | str] = []
    if cuts == "whole":
        at = [len(stream)]
    elif cuts == "bytes" and len(stream) < 3000:
        at = list(range(1, len(stream) + 1))
    else:
        at = sorted(draw(st.sets(st.integers(1, len(stream)), max_size=12)) | {len(stream)})
    begin = 0
    quiet = draw(st.booleans())
    for end in at:
        steps.append(stream[begin:end])
        begin = end
        if not quiet and (len(at) < 20 or draw(st.integers(0, 20)) == 0):
            steps.extend(draw(st.lists(st.sampled_from(actions), max_size=2)))
    ending = draw(st.sampled_from([[], ["eof", "lost"], ["lost"], ["lost by error"], ["eof", "lost by error"]]))
    if ending:
        del steps[draw(st.integers(0, len(steps))) if draw(st.booleans()) else len(steps) :]
        steps += [*ending, "resume", "resume"]
    numbers = st.integers(1, 12)
    acts = (
        {} if draw(st.booleans()) else draw(st.dictionaries(numbers, st.sampled_from([*actions, "raise"]), max_size=3))
    )
    max_size = draw(st.sampled_from([2**20, 2**20, 65_535, 300, 126, 100]))
    return Plan(steps, acts, max_size, deflate, draw(st.integers(0, 19)) == 0)


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


@given(plan=plans())
@settings(max_examples=examples(500))
def test_both_are_the_same_after_each_step(loop: asyncio.AbstractEventLoop, plan: Plan) -> None:
    async def main() -> None:
        compare(plan)

    with (
        patch("websockets.frames.secrets.token_bytes", return_value=b"mask"),
        patch("rxresponses.wire.fragments.MAX_FRAGMENTS", MAX_FRAGMENTS),
    ):
        loop.run_until_complete(main())
