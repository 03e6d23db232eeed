"""The page about FastAPI: its application streams, and cancels the response of a client that goes away."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rxresponses import (
    ConfigurationError,
    ConnectFailedError,
    IdleTimeoutError,
    InvalidRequestError,
    QueueFullError,
    QueueTimeoutError,
    ResponseErrorEvent,
    ResponseFailedError,
    ResponseIncompleteError,
    ResponseRefusedError,
)
from rxresponses.testing import Failure, Hold, Incomplete, ResponsesServer, Text
from tests.support.pages import ANSWERS, Block, blocks_of, environment
from tests.support.paths import ROOT

uvicorn: Any = pytest.importorskip("uvicorn", reason="needs uvicorn, of the extra `docs`")
pytest.importorskip("fastapi", reason="needs fastapi, of the extra `docs`")
pytest.importorskip("httpx", reason="needs httpx, of the extra `docs`")

pytestmark = pytest.mark.full

PAGE = blocks_of((ROOT / "docs/how-to/fastapi.md").read_text(encoding="utf-8"))


def only(language: str, start: str = "") -> Block:
    (block,) = (block for block in PAGE if block.language == language and block.code.startswith(start))
    return block


APPLICATION, TESTS = (block.code for block in PAGE if block.language == "python")


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
    exec(compile(APPLICATION, str(tmp_path / "app.py"), "exec"), names)
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


def test_a_cut_answer_is_no_whole_answer(server: ResponsesServer, address: str) -> None:
    server.reply(["Once upon", Incomplete()])
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        shown = ask(connection, "anything").read().decode()
    assert shown.startswith("event: delta\n")
    assert "event: done" not in shown
    assert shown.endswith('event: error\ndata: "The answer ends here, because it became too long or was filtered."\n\n')


def test_what_a_reader_is_told_is_no_text_of_an_error(server: ResponsesServer, address: str) -> None:
    server.reply(Failure("invalid_prompt", "of the service", after=0))
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        assert (
            ask(connection, "anything").read() == b'event: error\ndata: "There is no answer, because of a failure."\n\n'
        )


def failed(code: str) -> ResponseFailedError:
    return ResponseFailedError("failed", delivery="rejected", event=ResponseErrorEvent(message="failed"), code=code)


def test_a_service_that_nobody_serves(address: str, server: ResponsesServer) -> None:
    server.close()
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        shown = ask(connection, "anything").read()
    assert shown == b'event: error\ndata: "The service cannot be reached. Try again later."\n\n'


def test_each_error_has_its_sentence() -> None:
    names: dict[str, Any] = {"__name__": "app"}
    exec(APPLICATION, names)
    told = names["told"]
    errors = [
        ResponseRefusedError("", event=None),
        ResponseIncompleteError("max_output_tokens", event=None),
        InvalidRequestError("no"),
        QueueTimeoutError(10.0),
        IdleTimeoutError(120.0, delivery="started"),
        ConnectFailedError("down"),
        failed("rate_limit_exceeded"),
        ConfigurationError("no"),
    ]
    assert len({told(error) for error in errors}) == len(errors)
    assert told(QueueFullError("full", delivery="not_sent")) == told(QueueTimeoutError(10.0))
    assert told(ConnectFailedError("busy", status=429)) == told(failed("rate_limit_exceeded"))
    assert told(failed("invalid_prompt")) == told(ConfigurationError("no"))


def test_the_tests_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATION, encoding="utf-8")
    (tmp_path / "test_app.py").write_text(TESTS, encoding="utf-8")
    name = "rxresponses.testing.plugin"  # of the installed package; a source tree has to name it
    installed = any(plugin.value == name for plugin in entry_points(group="pytest11"))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *([] if installed else ["-p", name])],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=environment(NO_PROXY="127.0.0.1"),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "6 passed" in ended.stdout
