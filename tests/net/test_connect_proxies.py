"""Connections through real proxies, and the errors that name them."""

from __future__ import annotations

import base64
import socket as sockets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rxresponses import (
    Backoff,
    ConfigurationError,
    ConnectFailedError,
    ConnectionOptions,
    PoolOptions,
    ResponsesClient,
    ResponsesWebSocket,
)
from rxresponses.net import connect
from rxresponses.testing import ResponsesServer

from ..support.certificates import VALID, server_context, trusting
from ..support.clients import ask
from ..support.recorder import Recorder
from ..support.tcp_server import TcpServer, answering, proxying, tcp_server

NOWHERE = "ws://nowhere.example:1234/v1"
PASSWORD = "very-secret"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "ws", "wss", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.fixture
def heads() -> list[bytes]:
    """The heads of the requests that the proxy got."""
    return []


@pytest.fixture
def proxy(server: ResponsesServer, heads: list[bytes]) -> Iterator[TcpServer]:
    """A proxy to the embedded server, whatever the host."""
    with tcp_server(proxying(server.port, heads)) as proxy:
        yield proxy


def failure(url: str = NOWHERE, **options: Any) -> ConnectFailedError:
    """Return the error of a client that does not try again while a test lasts."""
    pool = PoolOptions(backoff=Backoff(initial=600.0, max_delay=600.0))
    with ResponsesClient(url, options=ConnectionOptions(**options), pool=pool) as client:
        error = Recorder(client.send_request(ask())).wait().error
    assert isinstance(error, ConnectFailedError)
    assert PASSWORD not in str(error)
    return error


def answers(url: str = NOWHERE, **options: Any) -> None:
    """Check that a request is answered."""
    with ResponsesWebSocket(url, options=ConnectionOptions(**options)) as socket:
        assert Recorder(socket.send_request(ask())).wait().completions == 1


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "http_proxy", "ws_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_scenario_65_a_proxy_of_the_environment(
    proxy: TcpServer, heads: list[bytes], name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"{scheme}user:{PASSWORD}@{proxy.address}")
    answers()
    assert heads[0].startswith(b"CONNECT nowhere.example:1234 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " in heads[0]


def test_scenario_65_the_password_of_a_proxy_may_be_percent_encoded(proxy: TcpServer, heads: list[bytes]) -> None:
    answers(proxy=f"http://user:p%40w%25@{proxy.address}")
    assert b"\r\nProxy-Authorization: Basic %s\r\n" % base64.b64encode(b"user:p@w%") in heads[0]


@pytest.mark.parametrize("no_proxy", ["10.0.0.0/8", "127.0.0.1:1, 10.0.0.1:1234", ".example, *.1", "*"])
def test_scenario_65_a_host_without_a_proxy(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://{PASSWORD}@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    url = "wss://10.0.0.1:1234/v1" if no_proxy[:1] in "1*" else "wss://nowhere.example/v1"
    assert connect.proxy_for(url, True) is None
    assert connect.proxy_for("wss://11.0.0.1/v1", True) == (
        None if no_proxy == "*" else f"http://{PASSWORD}:@127.0.0.1:1"
    )


@pytest.mark.parametrize("value", ["http://{}", "{}", "http://user:very-secret@{}/"])
def test_scenario_65_the_proxy_of_the_option(
    proxy: TcpServer, heads: list[bytes], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    answers(proxy=value.format(proxy.address))
    assert heads[0].startswith(b"CONNECT nowhere.example:1234 HTTP/1.1\r\n")


def test_scenario_65_the_proxy_of_the_option_is_for_loopback_addresses_too(
    server: ResponsesServer, proxy: TcpServer, heads: list[bytes]
) -> None:
    answers(server.url, proxy=proxy.address)
    assert len(heads) == 1


@pytest.mark.parametrize("none", [None, False, ""])
def test_scenario_65_no_proxy(none: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert connect.proxy_for(NOWHERE, ConnectionOptions(proxy=none).proxy) is None


def test_scenario_65_the_proxy_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows have settings of their own, which count where the environment has no proxy."""
    monkeypatch.setattr(connect, "getproxies", lambda: {"https": "http://system:1", "http": "http://system:2"})
    monkeypatch.setattr(connect, "proxy_bypass", lambda host: host == "exempt.example:443")
    assert connect.proxy_for("wss://nowhere.example/v1", True) == "http://system:1"
    assert connect.proxy_for("wss://exempt.example/v1", True) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    assert connect.proxy_for("wss://exempt.example/v1", True) == "http://environment:1"
    assert urllib.request.getproxies_environment() == {"https": "http://environment:1"}


@pytest.mark.parametrize(
    ("url", "proxy", "refused"),
    [
        ("ws://127.0.0.1/v1", "http://proxy.example:1", True),
        ("ws://127.0.0.1/v1", "http://127.0.0.1:1", False),
        ("wss://127.0.0.1/v1", "http://proxy.example:1", False),
        ("ws://127.0.0.1/v1", True, False),
    ],
)
def test_scenario_65_no_key_goes_unencrypted_to_a_proxy(url: str, proxy: Any, refused: bool) -> None:
    options = ConnectionOptions(proxy=proxy)
    if refused:
        with pytest.raises(ConfigurationError, match=r"unencrypted to proxy\.example"):
            ResponsesWebSocket(url, api_key="sk-1", options=options)
        options = ConnectionOptions(proxy=proxy, allow_insecure_credentials=True)
    ResponsesWebSocket(url, api_key="sk-1", options=options).close()


# --- failures


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("status", [403, 407])
def test_scenario_65_a_refusal_of_the_proxy_lasts(status: int, version: bytes) -> None:
    with tcp_server(answering(b"HTTP/%s %d No\r\nX-Request-Id: r\r\n\r\n" % (version, status))) as proxy:
        error = failure(proxy=f"http://user:{PASSWORD}@{proxy.address}")
        assert proxy.connections == 1
    assert (error.status, error.lasting) == (status, True)
    assert f"through the proxy http://{proxy.address}: the proxy refused with HTTP {status}" in str(error)


def test_scenario_65_a_redirect_of_the_proxy_is_its_refusal() -> None:
    with tcp_server(answering(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n")) as proxy:
        error = failure(proxy=f"http://{proxy.address}")
    assert (error.status, error.lasting) == (302, True)
    assert "the proxy refused with HTTP 302" in str(error)


def test_scenario_65_a_proxy_that_sends_back_its_password() -> None:
    basic = base64.b64encode(f"user:{PASSWORD}".encode())
    answer = b"HTTP/1.1 407 %s\r\nX-Got: %s\r\nX-Got: Basic %s\r\n\r\n" % (PASSWORD.encode(), PASSWORD.encode(), basic)
    with tcp_server(answering(answer)) as proxy:
        error = failure(proxy=f"http://user:{PASSWORD}@{proxy.address}")
    assert error.status == 407
    shown = repr(vars(error)) + repr(dict(error.headers)) + repr(vars(error.__cause__))
    assert PASSWORD not in shown
    assert basic.decode() not in shown


def test_scenario_65_a_refusal_of_the_proxy_that_passes() -> None:
    with tcp_server(answering(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n\r\n")) as proxy:
        pool = PoolOptions(backoff=Backoff(initial=0.001, max_retries=2))
        options = ConnectionOptions(proxy=proxy.address)
        with ResponsesClient(NOWHERE, options=options, pool=pool) as client:
            error = Recorder(client.send_request(ask())).wait().error
        assert proxy.connections == 3
    assert (error.status, error.lasting, error.headers["retry-after"]) == (503, False, "0")


def test_scenario_65_a_proxy_that_speaks_no_http() -> None:
    with tcp_server(answering(b"220 SMTP\r\n")) as proxy:
        error = failure(proxy=proxy.address)
        assert proxy.connections == 1
    assert error.lasting
    assert "check the URL of the proxy" in str(error)


def test_scenario_65_a_refused_connection_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("ALL_PROXY", f"http://user:{PASSWORD}@{address}")
    with ResponsesWebSocket(NOWHERE) as socket:
        error = Recorder(socket.send_request(ask())).wait().error
    assert isinstance(error, ConnectFailedError)
    assert not error.lasting
    assert f"cannot connect to {NOWHERE}/responses through the proxy http://{address}: " in str(error)
    assert "Connect call failed" in str(error)
    assert PASSWORD not in str(error)


@pytest.mark.parametrize("scheme", ["socks5h", "socks5", "socks4a", "socks"])
def test_scenario_65_a_socks_proxy_without_its_package_is_a_lasting_failure(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def missing(*args: object, **kwargs: object) -> None:
        raise ImportError("python-socks is required to use a SOCKS proxy")

    monkeypatch.setattr("websockets.asyncio.client.connect_socks_proxy", missing)  # the package may be installed
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:{PASSWORD}@127.0.0.1")
    error = failure()
    assert error.lasting
    assert "pip install python-socks" in str(error)
    assert "://127.0.0.1:1080: " in str(error)


@pytest.mark.parametrize("value", [f"ftp://user:{PASSWORD}@127.0.0.1:1", f"http://{PASSWORD}@:1", f"{PASSWORD} x"])
def test_scenario_65_a_wrong_proxy_of_the_environment_is_a_lasting_failure(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    error = failure()
    assert error.lasting
    assert "the proxy in the environment (all_proxy)" in str(error)


def test_scenario_65_a_proxy_that_speaks_tls(server: ResponsesServer, heads: list[bytes], tmp_path: Path) -> None:
    with tcp_server(proxying(server.port, heads), server_context(tmp_path)) as proxy:
        error = failure(proxy=f"https://{proxy.address}")
        assert error.lasting
        assert "certificate is not trusted" in str(error)
        answers(proxy=f"https://{proxy.address}", ssl=trusting(VALID))
        assert len(heads) == 1
