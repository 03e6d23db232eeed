"""Simple text frames come straight out of the bytes that were read; all else goes to websockets as it came."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from rxresponses.net.text_frames import TextFrames

PING = b"\x89\x04ping"
FRAGMENT = b"\x01\x02fr"
LAST = b"\x80\x04agme"
CLOSE = b"\x88\x02\x03\xe8"


def text(payload: bytes) -> bytes:
    """Return a text frame, its length encoded as short as it can be."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class Parser(Protocol):
    """The protocol of websockets, which keeps what it was given."""

    def __init__(self, limit: int) -> None:
        super().__init__(Side.CLIENT, max_size=limit)
        self.got = b""

    def receive_data(self, data: bytes) -> None:
        self.got += data
        super().receive_data(data)


class Reading:
    """An open connection that reads."""

    def __init__(self, limit: int = 2**20) -> None:
        self.parser = Parser(limit)
        self.text_frames = TextFrames(self.parser, limit)

    def read(self, data: bytes) -> list[bytes]:
        """Return the messages; those of frames that websockets parsed are marked with its opcode."""
        rest = self.text_frames.receive(data)
        if rest is not None:
            self.parser.receive_data(rest)
        return list(map(shown, self.parser.events_received()))

    def read_all(self, reads: Iterable[bytes]) -> list[bytes]:
        return [message for data in reads for message in self.read(data)]


def shown(event: object) -> bytes:
    if isinstance(event, bytes):
        return event
    assert isinstance(event, Frame)
    return b"%s:%s" % (event.opcode.name.encode(), event.data)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535])
def test_text_does_not_reach_websockets(size: int) -> None:
    reading = Reading()
    message = b"x" * size
    assert reading.read(text(message) + text(b"next")) == [message, b"next"]
    assert reading.parser.got == b""


def test_a_length_may_be_longer_than_it_has_to_be() -> None:
    reading = Reading()
    assert reading.read(b"\x81\x7e\x00\x02hi") == [b"hi"]
    assert reading.read(b"\x81\x7f\0\0\0\0\0\0\0\x02hi") == [b"TEXT:hi"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 125, 126, 300])
def test_a_frame_may_be_cut_anywhere(size: int) -> None:
    message = b"x" * size
    frames = text(message) + text(b"next")
    for cut in range(len(frames)):
        reading = Reading()
        assert reading.read_all([frames[:cut], b"", frames[cut:]]) == [message, b"next"]
        assert reading.parser.got == b""
    reading = Reading()
    assert reading.read_all(frames[n : n + 1] for n in range(len(frames))) == [message, b"next"]
    assert reading.parser.got == b""


@pytest.mark.parametrize(
    ("frame", "seen"),
    [
        (PING, [b"PING:ping"]),
        (PING + b"\x8a\x00", [b"PING:ping", b"PONG:"]),
        (FRAGMENT + LAST, [b"TEXT:fr", b"CONT:agme"]),
        (FRAGMENT + PING + b"\x00\x01o" + LAST, [b"TEXT:fr", b"PING:ping", b"CONT:o", b"CONT:agme"]),
        (b"\x82\x03bin", [b"BINARY:bin"]),
        (b"\x02\x03bin" + LAST, [b"BINARY:bin", b"CONT:agme"]),
        (b"\x82\x7e\x00\x03bin", [b"BINARY:bin"]),
        (text(b"x" * 70_000), [b"TEXT:" + b"x" * 70_000]),
    ],
)
def test_other_frames_go_to_websockets_and_text_around_them_does_not(frame: bytes, seen: list[bytes]) -> None:
    frames = text(b"one") + frame + text(b"two")
    cuts = [[frames[:cut], frames[cut:]] for cut in range(min(len(frames), 40))]
    if len(frames) < 100:
        cuts.append([frames[n : n + 1] for n in range(len(frames))])
    for reads in cuts:
        reading = Reading()
        assert reading.read_all([*reads, text(b"three")]) == [b"one", *seen, b"two", b"three"]
        assert reading.parser.got == frame


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x80", 1002),  # masked
        (b"\x83\x00", 1002),  # no opcode
        (b"\xc1\x00", 1002),  # a reserved bit
        (b"\x80\x00", 1002),  # no message to continue
        (FRAGMENT + text(b"no"), 1002),
        (FRAGMENT + PING + text(b"no"), 1002),
        (b"\x83\x7e", 1002),  # the first two bytes are enough
        (b"\x81\xfe", 1002),
        (text(b"x" * 11), 1009),
        (b"\x81\x7e\x00\x0b", 1009),  # the length is enough
        (text(b"x" * 70_000), 1009),
    ],
)
def test_websockets_fails_the_connection(data: bytes, code: int) -> None:
    for behind in (b"", text(b"late")):
        reading = Reading(limit=10)
        assert reading.read(text(b"good") + data + behind)[0] == b"good"
        assert reading.parser.close_sent is not None
        assert reading.parser.close_sent.code == code
        assert reading.read(text(b"later")) == []


def test_nothing_is_taken_behind_a_close_frame() -> None:
    reading = Reading()
    assert reading.read(text(b"one") + CLOSE + text(b"two")) == [b"one", b"CLOSE:\x03\xe8"]
    assert reading.parser.state is State.CLOSING
    assert reading.read(text(b"three")) == []


def test_a_kept_beginning_goes_to_websockets_when_this_side_closes() -> None:
    reading = Reading()
    assert reading.read(b"\x81\x05he") == []
    reading.parser.send_close(1000)
    assert reading.read(b"llo" + CLOSE) == [b"TEXT:hello", b"CLOSE:\x03\xe8"]


def test_websockets_logs_each_frame_when_it_debugs() -> None:
    reading = Reading()
    reading.parser.debug = True
    assert reading.read(text(b"hi")) == [b"TEXT:hi"]


def test_a_frame_takes_no_python_call() -> None:
    reading = Reading()
    calls = []
    for count in (1, 1000):
        data = text(b"x" * 200) * count
        seen: list[str] = []

        def note(frame: object, event: str, argument: object, seen: list[str] = seen) -> None:
            if event == "call":
                seen.append(event)

        sys.setprofile(note)
        try:
            reading.text_frames.receive(data)
        finally:
            sys.setprofile(None)
        calls.append(len(seen))
    assert calls[0] == calls[1] <= 2


@pytest.mark.parametrize("read", [1, 7])
def test_small_reads_of_a_large_frame_cost_time_in_proportion_to_its_size(read: int) -> None:
    def seconds(size: int) -> float:
        frame = text(b"x" * size)
        best = float("inf")
        for _ in range(3):
            reading = Reading()
            begun = time.process_time()
            for start in range(0, len(frame), read):
                reading.text_frames.receive(frame[start : start + read])
            best = min(best, time.process_time() - begun)
            assert list(map(shown, reading.parser.events_received())) == [frame[4:]]
        return best

    times = [seconds(size) for size in (8_000, 64_000)]
    assert all(late < 24 * early for early, late in pairwise(times))  # 8 times as much; 64 if it were quadratic
