"""`rxresponses batch` with several servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rxresponses import Backoff
from rxresponses.batch import batch as batches
from rxresponses.testing import Fault, RefuseUpgrade, ResponsesServer
from rxresponses.testing.request import Request

from .conftest import Batch


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BACKOFF", Backoff(initial=0.01, max_retries=1))


@pytest.fixture
def second(batch: Batch) -> Iterator[ResponsesServer]:
    with ResponsesServer() as second:
        batch.arguments += ["--url", second.url]
        yield second


def test_the_servers_share_the_lines(batch: Batch, server: ResponsesServer, second: ResponsesServer) -> None:
    batch.ask(*map(str, range(1, 11)))
    assert batch("--concurrency", "4") == (0, f"10 of 10 answered, 0 failed: {batch.results}\n")
    assert batch.answers == {number: str(number) for number in range(1, 11)}
    assert server.requests
    assert second.requests
    assert len(server.requests) + len(second.requests) == 10


def test_a_server_that_fails_gets_no_lines(batch: Batch, server: ResponsesServer, second: ResponsesServer) -> None:
    def reply(request: Request) -> str:
        if len(second.requests) == 3:
            second.fault(Fault(RefuseUpgrade(503)))
            second.drop()
        return "Hello"

    second.on("", reply)
    batch.ask(*map(str, range(10)))
    code, _ = batch("--concurrency", "2")
    lost = [line["error"]["type"] for line in batch.lines.values() if "error" in line]
    assert len(batch.lines) == 10  # those that the server was answering fail, for it may have done the work
    assert set(lost) <= {"ConnectionLostError"}
    assert len(lost) <= 2
    assert code == bool(lost)
    assert batch("--retry-failed")[0] == 0
    assert len(batch.answers) == 10


def test_all_servers_refuse_the_key(batch: Batch, server: ResponsesServer, second: ResponsesServer) -> None:
    for one in (server, second):
        one.fault(Fault(RefuseUpgrade(401)))
    batch.ask(*map(str, range(9)))
    code, err = batch("--concurrency", "2")
    assert code == 1
    assert batch.lines == {}
    assert "no member of the fleet could take the request" in err.splitlines()[-1]
    assert err.count("401") >= 2


def test_an_outage_of_all_servers_is_waited_for(batch: Batch, server: ResponsesServer, second: ResponsesServer) -> None:
    def reply(request: Request) -> str:
        if len(server.requests) + len(second.requests) == 4:
            for one in (server, second):
                one.fault(Fault(RefuseUpgrade(503), times=6))
                one.drop()
        return "Hello"

    for one in (server, second):
        one.on("", reply)
    batch.ask(*map(str, range(12)))
    batch("--concurrency", "2")
    assert len(batch.lines) == 12
    assert len(batch.answers) >= 10


def test_a_url_that_is_none(batch: Batch, second: ResponsesServer) -> None:
    batch.ask("one")
    code, err = batch("--url", "ftp://127.0.0.1")
    assert code == 2
    assert err.startswith("rxresponses: the URL must be ")
