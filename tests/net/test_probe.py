"""A question in plain HTTP to a server that has ended a TLS handshake."""

from __future__ import annotations

import asyncio
import socket as sockets

import pytest

from rxresponses.net import probe
from rxresponses.net.probe import speaks_plain_http

from ..support.tcp_server import answering, read_head, tcp_server


@pytest.mark.parametrize(("answer", "is_http"), [(b"HTTP/1.0 404 No\r\n", True), (b"220 x\r\n", False), (b"", False)])
def test_scenario_65_an_answer_to_a_plain_question(answer: bytes, is_http: bool) -> None:
    heads: list[bytes] = []

    def handle(connection: sockets.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(answer)

    with tcp_server(handle) as server:
        assert asyncio.run(speaks_plain_http("127.0.0.1", server.port)) is is_http
        host = f"Host: {server.address}\r\n".encode()
    assert heads == [b"GET / HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n"]


def test_scenario_65_no_answer_to_a_plain_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_TIME", 0.05)
    with tcp_server(answering(b"", hangs=True)) as server:
        assert not asyncio.run(speaks_plain_http("127.0.0.1", server.port))
    assert not asyncio.run(speaks_plain_http("127.0.0.1", server.port))  # nobody listens any more


@pytest.mark.parametrize("host", ["fd00::1", "fe80::1%eth7"])
def test_scenario_65_the_host_of_a_plain_question_to_ipv6(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def handle(connection: sockets.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\n")

    with tcp_server(handle) as server:
        open_connection = asyncio.open_connection
        monkeypatch.setattr(asyncio, "open_connection", lambda _, port: open_connection("127.0.0.1", port))
        assert asyncio.run(speaks_plain_http(host, server.port))
        assert f"Host: [{host.partition('%')[0]}]:{server.port}\r\n".encode() in heads[0]
