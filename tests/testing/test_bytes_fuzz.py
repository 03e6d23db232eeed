"""Whatever bytes a client sends: it gets an HTTP response, events, or a close code, and nothing is logged."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing import ResponsesServer
from tests.support.raw_client import BINARY, CLOSE, CONTINUATION, PING, REQUEST, TEXT, UPGRADE, frame, frames_in

HEADERS = {
    b"Host": b"test",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version": b"13",
    b"Authorization": b"Bearer secret",
}
NAMES = [*HEADERS, b"Origin", b"Content-Length", b"Transfer-Encoding", b"Sec-WebSocket-Extensions", b"X", b"", b"\xff"]
printable = st.binary(max_size=12).map(lambda data: re.sub(rb"[\r\n]", b"", data))
values = printable | st.sampled_from(
    [b"*", b"http://[", b"null", b"5", b"chunked", b"a;b=c,,", b"\xe9" * 3, b"x" * 9_000]
)
paths = st.one_of(
    printable.map(lambda data: data.replace(b" ", b"")),
    st.sampled_from([b"/v1/responses", b"//[", b"http://[::1", b"/v1/responses?%00", b"*", b"/" + b"x" * 9_000]),
)
upgrades = st.builds(
    lambda line, headers: b"\r\n".join([line, *(name + b": " + value for name, value in headers), b"", b""]),
    st.one_of(
        paths.map(lambda path: b"GET " + path + b" HTTP/1.1"),
        st.sampled_from([b"POST /v1/responses HTTP/1.1", b"GET /v1/responses HTTP/1.0", b"", b"GET", b"\x16\x03\x01"]),
    ),
    st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=3).map(lambda more: [*HEADERS.items(), *more])
    | st.dictionaries(st.sampled_from(NAMES), values, max_size=4).map(lambda own: [*{**HEADERS, **own}.items()]),
)


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(scope="module")
def listening() -> Iterator[tuple[ResponsesServer, Records]]:
    records = Records()
    logging.getLogger().addHandler(records)
    with ResponsesServer(api_key="secret", remember=10) as server:
        yield server, records
    logging.getLogger().removeHandler(records)


@given(upgrade=upgrades)
def test_scenario_77_any_upgrade(listening: tuple[ResponsesServer, Records], upgrade: bytes) -> None:
    server, logged = listening
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(upgrade)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while b"\r\n\r\n" not in received and (data := client.recv(2**16)):
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head else 0
        while status != 101 and (data := client.recv(2**16)):
            body += data
    # 0 is the end without an answer, as to what cannot be an HTTP request; 405 and 505 are of websockets from 16 on.
    assert status in (0, 101, 400, 401, 403, 404, 405, 414, 426, 431, 505), received
    if b"application/json" in head:
        assert json.loads(body)["error"]["message"]
    assert logged.records == []


def open_connection(client: socket.socket) -> None:
    client.sendall(UPGRADE + b"Authorization: Bearer secret\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert b" 101 " in head


frames = st.builds(
    frame,
    st.sampled_from([CONTINUATION, TEXT, BINARY, 3, CLOSE, PING, 10, 15]),
    st.one_of(
        st.binary(max_size=130),
        st.sampled_from(
            [REQUEST, REQUEST[:-1], b"{}", b"\xff\xfe", "é".encode()[:1], b"\x03\xe8", b"\x03\xe8\xff", b"\0"]
        ),
    ),
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 0, 1, 4, 7]),
    masked=st.sampled_from([True, True, True, True, False]),
)


@given(sent=st.lists(frames, min_size=1, max_size=5), tail=st.binary(max_size=20))
def test_scenario_77_any_frames(listening: tuple[ResponsesServer, Records], sent: list[bytes], tail: bytes) -> None:
    server, logged = listening
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        open_connection(client)
        client.sendall(b"".join(sent) + tail)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(2**16):
            received += data
    for code, data in frames_in(received):
        if code == CLOSE:
            # A close frame of the client is answered with its code, if that is one that may be sent.
            number = int.from_bytes(data[:2], "big")
            assert not data or number in {*range(1000, 1015), *range(3000, 5000)} - {1004, 1005, 1006}, data
        elif code == TEXT:
            assert json.loads(data)["type"]
    assert logged.records == []


def test_messages_that_are_no_requests_do_not_close_the_connection(listening: tuple[ResponsesServer, Records]) -> None:
    server, logged = listening
    odd = [
        frame(TEXT, b"{}"),
        frame(BINARY, b"\xff"),
        frame(TEXT),
        frame(TEXT, b"[" * 5_000),
        frame(PING),
        frame(10, b"x"),
    ]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        open_connection(client)
        client.sendall(b"".join(odd) + frame(TEXT, REQUEST))
        received = b""
        while b'"type":"response.completed"' not in received:
            data = client.recv(2**16)
            assert data
            received += data
    events = [json.loads(data) for code, data in frames_in(received) if code == TEXT]
    assert [event["type"] for event in events][:5] == ["error"] * 4 + ["response.created"]
    assert logged.records == []
