"""The page about FastAPI: its application streams, and cancels the response of a client that goes away."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rxresponses.testing import Failure, Hold, ResponsesServer, Text
from tests.support.pages import ANSWERS, Block, blocks_of
from tests.support.paths import ROOT

uvicorn: Any = pytest.importorskip("uvicorn", reason="needs uvicorn, of the extra `docs`")
pytest.importorskip("fastapi", reason="needs fastapi, of the extra `docs`")

pytestmark = pytest.mark.full

PAGE = blocks_of((ROOT / "docs/how-to/fastapi.md").read_text(encoding="utf-8"))


def only(language: str, start: str = "") -> Block:
    (block,) = (block for block in PAGE if block.language == language and block.code.startswith(start))
    return block


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ResponsesServer]:
    with ResponsesServer(script=ANSWERS) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield server


@pytest.fixture
def address(server: ResponsesServer, tmp_path: Path) -> Iterator[str]:
    """Run the application of the page with uvicorn on a thread, and return the address where it listens."""
    names: dict[str, Any] = {"__name__": "app"}
    exec(compile(only("python").code, str(tmp_path / "app.py"), "exec"), names)
    started = threading.Event()

    class Server(uvicorn.Server):  # type: ignore[misc]  # the class is unknown where uvicorn is absent
        async def startup(self, *args: Any, **options: Any) -> None:
            await super().startup(*args, **options)
            started.set()

    web = Server(uvicorn.Config(names["app"], port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=web.run)
    thread.start()
    try:
        assert started.wait(30)
        host, port = web.servers[0].sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        web.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


def ask(connection: http.client.HTTPConnection, prompt: str) -> http.client.HTTPResponse:
    connection.request("GET", f"/answers?prompt={quote(prompt)}", headers={"Connection": "close"})
    response = connection.getresponse()
    assert response.status == 200
    return response


def test_the_page_shows_what_the_application_sends(address: str) -> None:
    assert f"/answers?prompt={quote('Say hello')}'" in only("bash", "curl").code
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        response = ask(connection, "Say hello")
        assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert response.read().decode() == only("text").code + "\n"


def test_a_client_that_goes_away_ends_the_response(server: ResponsesServer, address: str) -> None:
    gate = server.gate()
    server.reply([Text(deltas=["Hel", "lo"]), Hold(gate, after=5)])
    connection = http.client.HTTPConnection(address, timeout=30)
    with closing(connection), ask(connection, "anything") as response:
        assert response.readline() == b"event: delta\n"
        assert server.connections == 1
    server.wait_until(lambda: server.connections == 0, timeout=20)
    assert [exchange.outcome for exchange in server.exchanges] == ["lost"]


def test_an_error_becomes_an_event(server: ResponsesServer, address: str) -> None:
    server.reply(Failure("invalid_prompt", after=0))
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        assert ask(connection, "anything").read() == b'event: error\ndata: "ResponseFailedError"\n\n'
