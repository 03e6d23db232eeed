"""A batch whose connection fails for a reason that lasts: it stops at once, with nothing written and an advice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rxresponses import Backoff
from rxresponses.batch import batch as batches
from rxresponses.cli.main import main

from ..support.certificates import server_context
from ..support.tcp_server import TcpServer, answering, tcp_server

NOWHERE = "http://nowhere.example/v1"


@pytest.fixture
def stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a batch that must stop without a wait; return what it has written to standard error."""
    monkeypatch.setattr(batches, "BACKOFF", Backoff(initial=600.0, max_delay=600.0, jitter=0.0))

    def run(server: TcpServer | None, url: str, *arguments: str) -> str:
        requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
        requests.write_text("".join(f"{json.dumps(str(number))}\n" for number in range(5)))
        arguments = ("--url", url, "--concurrency", "1", *arguments)
        assert main(["batch", str(requests), "-o", str(results), *arguments]) == 1
        assert results.read_text() == ""
        assert server is None or server.connections == 1
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
def test_scenario_65_batch_stops_at_a_refusal_of_http_1_0(stops: Callable[..., str], status: bytes) -> None:
    with tcp_server(answering(b"HTTP/1.0 %s\r\n\r\n" % status)) as server:
        assert f"HTTP {status[:3].decode()}" in stops(server, f"http://{server.address}/v1")


def test_scenario_65_batch_stops_at_an_untrusted_certificate(stops: Callable[..., str], tmp_path: Path) -> None:
    with tcp_server(answering(b""), server_context(tmp_path)) as server:
        assert "--ca-file" in stops(server, f"https://{server.address}/v1")


def test_scenario_65_batch_stops_at_a_port_of_plain_http(stops: Callable[..., str]) -> None:
    with tcp_server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        assert "does not speak TLS" in stops(server, f"wss://{server.address}/v1")


@pytest.mark.parametrize("status", [403, 407])
def test_scenario_65_batch_stops_at_a_refusal_of_the_proxy(stops: Callable[..., str], status: int) -> None:
    with tcp_server(answering(b"HTTP/1.0 %d No\r\n\r\n" % status)) as proxy:
        told = stops(proxy, NOWHERE, "--proxy", f"user:secret@{proxy.address}")
    assert f"the proxy refused with HTTP {status}" in told
    assert "secret" not in told


def test_scenario_65_batch_stops_at_a_missing_package(
    stops: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def missing(*args: object, **kwargs: object) -> None:
        raise ImportError("python-socks is required to use a SOCKS proxy")

    monkeypatch.setattr("websockets.asyncio.client.connect_socks_proxy", missing)  # the package may be installed
    assert "pip install python-socks" in stops(None, NOWHERE, "--proxy", "socks5h://127.0.0.1")
