"""Failures that last: real servers that speak no WebSocket, or refuse in odd ways, and are asked only once."""

from __future__ import annotations

import socket as sockets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reactivex import Observable

from rxresponses import (
    Backoff,
    ConnectFailedError,
    ConnectionOptions,
    ConnectTimeoutError,
    PoolOptions,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    operators,
)
from rxresponses.net import handshake, probe
from rxresponses.testing import ResponsesServer

from ..support.certificates import ELSEWHERE, EXPIRED, VALID, server_context, trusting
from ..support.clients import ask, run
from ..support.recorder import AsyncRecorder, Recorder
from ..support.tcp_server import announcing, answering, read_head, tcp_server

PATIENT = Backoff(initial=600.0, jitter=0.0, max_delay=600.0)  # a test that waits for a retry fails
REFUSED = b'HTTP/1.0 401 Unauthorized\r\nX-Request-Id: r\r\n\r\n{"error": {"message": "wrong key", "code": "bad"}}'


def error_of(events: Observable[ServerEvent]) -> ConnectFailedError:
    """Return the error of a request whose connection cannot be made."""
    error = Recorder(events).wait().error
    assert isinstance(error, ConnectFailedError)
    return error


def ask_socket(url: str, **options: Any) -> ConnectFailedError:
    """Return the error of a socket with `retry_with_backoff`."""
    with ResponsesWebSocket(url, options=ConnectionOptions(**options)) as socket:
        retried = socket.send_request(ask()).pipe(operators.retry_with_backoff(PATIENT))
        return error_of(retried)


def ask_client(url: str, **options: Any) -> ConnectFailedError:
    """Return the error of a client, for all requests that wait for the connection."""
    errors: list[Exception] = []

    async def main() -> None:
        pool = PoolOptions(backoff=PATIENT)
        async with ResponsesClient(url, options=ConnectionOptions(lanes=True, **options), pool=pool) as client:
            waiting = [AsyncRecorder(client.send_request(ask())) for _ in range(3)]
            errors.extend([(await recorder.until_end()).error for recorder in waiting])

    run(main())
    assert len(set(map(str, errors))) == 1
    assert isinstance(errors[0], ConnectFailedError)
    return errors[0]


both = pytest.mark.parametrize("failure", [ask_socket, ask_client])
Failure = Callable[..., ConnectFailedError]


@pytest.fixture(autouse=True)
def _no_wait_for_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "REFUSAL_TIME", 0.05)


@both
@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_scenario_65_a_refusal_without_a_length(failure: Failure, version: bytes, hangs: bool) -> None:
    with tcp_server(answering(REFUSED.replace(b"1.0", version), hangs=hangs)) as server:
        error = failure(f"http://{server.address}/v1")
        assert server.connections == 1
    assert (error.status, error.code, error.lasting) == (401, "bad", True)
    assert error.headers["x-request-id"] == "r"
    assert "HTTP 401: wrong key" in str(error)


@both
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 403 Forbidden\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5000\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 403 Forbidden\r\n" + b"X: 1\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 403 Forbidden\r\nno header\r\n\r\n",
    ],
    ids=range(6),
)
@pytest.mark.parametrize("hangs", [False, True])
def test_scenario_65_a_refusal_that_is_cut_or_odd(failure: Failure, answer: bytes, hangs: bool) -> None:
    with tcp_server(answering(answer, hangs=hangs)) as server:
        error = failure(f"http://{server.address}/v1")
        assert server.connections == 1
    assert (error.status, error.lasting, type(error)) == (403, True, ConnectFailedError)


def test_scenario_65_a_refusal_that_comes_in_pieces() -> None:
    def in_pieces(connection: sockets.socket) -> None:
        read_head(connection)
        connection.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        for start in range(0, len(REFUSED), 8):
            connection.sendall(REFUSED[start : start + 8])

    with tcp_server(in_pieces) as server:
        error = ask_socket(f"http://{server.address}/v1")
    assert (error.status, error.code) == (401, "bad")


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def test_scenario_65_interim_answers_refuse_nothing() -> None:
    with (
        ResponsesServer() as server,
        tcp_server(announcing(server.port, INTERIM)) as early,
        ResponsesWebSocket(f"http://{early.address}/v1") as socket,
    ):
        server.reply("hello")
        assert socket.send_request(ask()).pipe(operators.collect_text()).run() == "hello"


def test_scenario_65_a_refusal_behind_interim_answers() -> None:
    with tcp_server(answering(INTERIM + REFUSED)) as server:
        error = ask_socket(f"http://{server.address}/v1")
    assert (error.status, error.code) == (401, "bad")


def test_scenario_65_a_refusal_at_the_end_of_the_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "REFUSAL_TIME", 60.0)
    with tcp_server(answering(REFUSED.replace(b"1.0", b"1.1"), hangs=True)) as server:
        error = ask_socket(f"http://{server.address}/v1", connect_timeout=0.1)
    assert (error.status, error.code, type(error)) == (401, "bad", ConnectFailedError)


def test_scenario_65_half_an_answer_at_the_end_of_the_time_to_connect() -> None:
    with (
        tcp_server(answering(b"HTTP/1.1 401 U\r\n", hangs=True)) as server,
        ResponsesWebSocket(f"http://{server.address}", options=ConnectionOptions(connect_timeout=0.1)) as socket,
    ):
        error = error_of(socket.send_request(ask()))
    assert isinstance(error, ConnectTimeoutError)
    assert not error.lasting


def test_scenario_65_a_refusal_of_http_1_0_that_passes_is_tried_again() -> None:
    with tcp_server(answering(b"HTTP/1.0 503 Busy\r\n\r\n")) as server:
        backoff = Backoff(initial=0.001, max_retries=2)
        with ResponsesClient(f"http://{server.address}", pool=PoolOptions(backoff=backoff)) as client:
            error = error_of(client.send_request(ask()))
        assert server.connections == 3
    assert (error.status, error.lasting) == (503, False)


def test_scenario_65_a_redirect_of_http_1_0_within_the_origin_is_followed() -> None:
    with tcp_server(answering(b"HTTP/1.0 307 Elsewhere\r\nLocation: /v2\r\n\r\n")) as server:
        error = ask_socket(f"http://{server.address}/v1")
        assert server.connections == 10
    assert error.lasting
    assert "redirects without end" in str(error)


def test_scenario_65_a_redirect_to_two_places_is_not_followed() -> None:
    answer = b"HTTP/1.1 307 Elsewhere\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    with tcp_server(answering(answer)) as server:
        error = ask_socket(f"http://{server.address}/v1")
        assert server.connections == 1
    assert (error.status, error.lasting) == (307, True)


@both
def test_scenario_65_a_web_page(failure: Failure) -> None:
    with tcp_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<p/>")) as server:
        error = failure(f"http://{server.address}/v1")
        assert server.connections == 1
    assert (error.status, error.lasting) == (200, True)
    assert "check the URL" in str(error)


@both
@pytest.mark.parametrize("greeting", [b"220 smtp.example ESMTP\r\n", b"\x00\x01\x02"])
@pytest.mark.parametrize("hangs", [False, True])
def test_scenario_65_a_server_that_speaks_first_and_no_http(failure: Failure, greeting: bytes, hangs: bool) -> None:
    with tcp_server(answering(greeting, hangs=hangs)) as server:
        error = failure(f"http://{server.address}/v1")
        assert server.connections == 1
    assert (error.status, error.lasting) == (None, True)
    assert "no WebSocket handshake" in str(error)


def cut(connection: sockets.socket) -> None:
    """End a connection before anything is answered."""


def test_scenario_65_a_connection_that_ends_before_the_answer_may_pass() -> None:
    with tcp_server(cut) as server:
        backoff = Backoff(initial=0.001, max_retries=2)
        with ResponsesClient(f"http://{server.address}", pool=PoolOptions(backoff=backoff)) as client:
            error = error_of(client.send_request(ask()))
        assert server.connections == 3
    assert not error.lasting


# --- TLS


@both
@pytest.mark.parametrize(
    ("certificate", "trusted", "text"),
    [
        (VALID, None, r"self.signed certificate.*--ca-file"),
        (EXPIRED, EXPIRED, "certificate has expired"),
        (ELSEWHERE, ELSEWHERE, "IP address mismatch.*use the host name"),
    ],
    ids=["untrusted", "expired", "elsewhere"],
)
def test_scenario_65_a_certificate_that_is_not_trusted(
    tmp_path: Path, failure: Failure, certificate: str, trusted: str | None, text: str
) -> None:
    with tcp_server(answering(b""), server_context(tmp_path, certificate)) as server:
        error = failure(f"https://{server.address}/v1", ssl=None if trusted is None else trusting(trusted))
        assert server.connections == 1
    assert error.lasting
    with pytest.raises(ConnectFailedError, match=text):
        raise error


def test_scenario_65_the_wrong_host_name(tmp_path: Path) -> None:
    with tcp_server(answering(b""), server_context(tmp_path, ELSEWHERE)) as server:
        error = ask_socket(f"https://localhost:{server.port}/v1", ssl=trusting(ELSEWHERE))
    assert error.lasting
    assert "ostname mismatch" in str(error)


def test_scenario_65_a_trusted_certificate(tmp_path: Path) -> None:
    with tcp_server(answering(REFUSED), server_context(tmp_path)) as server:
        assert ask_socket(f"https://{server.address}/v1", ssl=trusting(VALID)).status == 401


@both
def test_scenario_65_a_server_that_wants_a_certificate_of_the_client(tmp_path: Path, failure: Failure) -> None:
    with tcp_server(answering(b""), server_context(tmp_path, wants_client=True)) as server:
        error = failure(f"https://{server.address}/v1", ssl=trusting(VALID))
        assert server.connections == 1
    assert error.lasting
    assert "load_cert_chain" in str(error)


@both
def test_scenario_65_tls_to_a_port_of_plain_http(failure: Failure) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    def plain(connection: sockets.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with tcp_server(plain) as server:
        error = failure(f"wss://{server.address}/v1")
        assert server.connections == 1
    assert error.lasting
    assert "does not speak TLS: use http:// or ws://" in str(error)


@both
@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_scenario_65_tls_to_a_plain_server_that_ends_the_connection(
    server: ResponsesServer, failure: Failure, scheme: str
) -> None:
    """Nothing but a question in plain HTTP tells it from a server of TLS that is about to restart."""
    error = failure(f"{scheme}://127.0.0.1:{server.port}/v1", headers={"Authorization": "sk-secret"})
    assert error.lasting
    assert "does not speak TLS but plain HTTP: use http:// or ws://" in str(error)
    assert not server.requests


def test_scenario_65_tls_to_a_plain_server_that_waits() -> None:
    def plain(connection: sockets.socket) -> None:
        if connection.recv(1, sockets.MSG_PEEK) == b"G":
            answering(b"HTTP/1.0 200 OK\r\n\r\n")(connection)
        while connection.recv(4096):
            pass

    with tcp_server(plain) as server:
        error = ask_socket(f"wss://{server.address}/v1", connect_timeout=0.1)
    assert error.lasting
    assert not isinstance(error, ConnectTimeoutError)


@pytest.mark.parametrize("answer", [b"", b"HT", b"220 SMTP\r\n", None])
def test_scenario_65_a_tls_handshake_that_is_broken_off_may_pass(
    answer: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "PROBE_TIME", 0.1)

    def plain(connection: sockets.socket) -> None:
        if connection.recv(1, sockets.MSG_PEEK) == b"G":
            answering(answer or b"", hangs=answer is None)(connection)

    with tcp_server(plain) as server, ResponsesWebSocket(f"wss://{server.address}/v1") as socket:
        error = error_of(socket.send_request(ask()))
        assert server.connections == 2
    assert not error.lasting


@both
def test_scenario_65_plain_http_to_a_port_of_tls(failure: Failure) -> None:
    with tcp_server(answering(b"\x15\x03\x01\x00\x02\x02\x46", hangs=True)) as server:
        error = failure(f"ws://{server.address}/v1")
        assert server.connections == 1
    assert error.lasting
    assert "use https:// or wss://" in str(error)


def test_scenario_65_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of an unknown label is refused before anyone is asked."""
    error = ask_client(f"https://{'x' * 70}.example/v1", proxy=None)
    assert error.lasting
    with monkeypatch.context() as patch:
        patch.setattr(sockets, "getaddrinfo", unknown)
        error = ask_client("https://nowhere.example/v1", proxy=None)
    assert error.lasting
    assert "there is no host nowhere.example: check the URL" in str(error)


def unknown(*args: object, **kwargs: object) -> object:
    raise sockets.gaierror(sockets.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("zone", ["%25eth7", "%eth7"])
@pytest.mark.parametrize("secure", [False, True])
def test_scenario_65_the_zone_of_an_address_stays_on_this_machine(
    zone: str, secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[bytes] = []
    asked: list[object] = []

    def refuse(connection: sockets.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(REFUSED)

    def this_machine(host: object, port: int, **kwargs: object) -> object:
        asked.append(host)
        return [(sockets.AF_INET, sockets.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(sockets, "getaddrinfo", this_machine)
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    context = trusting(VALID)
    context.check_hostname = False  # the certificate is for another address
    with tcp_server(refuse, server_context(tmp_path) if secure else None) as server:
        error = ask_socket(f"{'https' if secure else 'http'}://[fe80::1{zone}]:{server.port}/v1", ssl=context)
    assert error.status == 401
    assert asked == ["fe80::1%eth7"]
    assert f"\r\nHost: [fe80::1]:{server.port}\r\n".encode() in heads[0]
