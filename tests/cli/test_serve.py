"""`rxresponses serve`."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ConnectFailedError, ConnectionOptions, ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.cli import serve
from rxresponses.cli.main import main
from rxresponses.testing import ResponsesServer
from rxresponses.testing.websocket import BoundedWebSocket
from tests.support.another_thread import on_another_thread
from tests.support.raw_client import REQUEST, TEXT, UPGRADE, frame

from .programs import Start, usage_error

RESPONSE = {"id": "resp_1", "output": []}


class TestServe:
    """In this process: the client runs in place of the wait for Ctrl-C."""

    @staticmethod
    def serve(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: Callable[[str], None], *args: str
    ) -> None:
        def play_client() -> None:
            out, err = capsys.readouterr()
            assert err == ""
            client(out.strip())
            raise KeyboardInterrupt

        monkeypatch.setattr(serve, "_wait_for_interrupt", play_client)
        assert main(["serve", *args]) == 130

    def test_answers(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        answers: list[str] = []
        self.serve(monkeypatch, capsys, lambda url: answers.append(answer(url)))
        assert answers == ["This is the embedded test server, not a model. You asked: Hi"]

    def test_replays_in_rotation(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        transcript = tmp_path / "two.jsonl"
        transcript.write_text("".join(json.dumps(event) + "\n" for word in ("one", "two") for event in recorded(word)))
        answers: list[str] = []
        self.serve(
            monkeypatch,
            capsys,
            lambda url: answers.extend(answer(url) for _ in range(3)),
            *("--replay", str(transcript), "--speed", "100"),
        )
        assert answers == ["one", "two", "one"]

    def test_api_key(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        codes: list[int] = []
        self.serve(
            monkeypatch, capsys, lambda url: codes.append(main(["ask", "--url", url, "Hi"])), "--api-key", "sk-1"
        )
        assert codes == [1]

    def test_a_script(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        script = tmp_path / "script.json"
        script.write_text(json.dumps({"rules": [{"match": "^Hi$", "replies": ["one", "two"]}]}))
        answers: list[str] = []
        self.serve(
            monkeypatch,
            capsys,
            lambda url: answers.extend(answer(url) for _ in range(3)),
            *("--script", str(script)),
        )
        assert answers == ["one", "two", "two"]

    @pytest.mark.parametrize("content", [None, '{"rule": []}', "\x1b[2J"])
    def test_a_wrong_script(self, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "script.json"
        if content is not None:
            path.write_text(content)
        assert main(["serve", "--script", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("rxresponses: cannot use the script: ")
        assert str(path) in err
        assert "\x1b" not in err

    def test_a_log_in_a_file(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        path = tmp_path / "log.jsonl"
        path.write_text("earlier\n")
        self.serve(monkeypatch, capsys, ask, "--log", str(path))
        earlier, *lines = path.read_text(encoding="utf-8").splitlines()

        assert earlier == "earlier"
        assert [json.loads(line)["event"] for line in lines] == ["connection", "request", "outcome"]

    @pytest.mark.parametrize("args", [["--log"], ["--log", "-"]])
    def test_a_log_on_standard_error(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str]
    ) -> None:
        self.serve(monkeypatch, capsys, ask, *args)
        out, err = capsys.readouterr()

        assert out == ""
        assert [json.loads(line)["event"] for line in err.splitlines()] == ["connection", "request", "outcome"]

    def test_a_log_that_cannot_be_written(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert main(["serve", "--log", str(tmp_path)]) == 2
        assert "cannot write the log: " in capsys.readouterr().err

    def test_a_lenient_server(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        request = ResponseCreate(model="m", input="Hi", extra_body={"temprature": 1})
        kinds: list[str] = []

        def ask(url: str) -> None:
            with ResponsesWebSocket(url) as socket:
                kinds.append(socket.send_request(request).run().type)

        self.serve(monkeypatch, capsys, ask)
        self.serve(monkeypatch, capsys, ask, "--lenient")
        assert kinds == ["error", "response.completed"]

    @pytest.mark.parametrize("content", [None, "no event\n", ""])
    def test_nothing_to_replay(self, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "transcript.jsonl"
        if content is not None:
            path.write_text(content)
        assert main(["serve", "--replay", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("rxresponses: cannot replay: ")
        assert str(path) in err

    def test_a_port_in_use(self, server: ResponsesServer, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["serve", "--port", str(server.port)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert str(server.port) in err

    def test_scenario_69_web_pages_of_other_origins_are_refused_unless_allowed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        refused: list[ConnectFailedError] = []

        def connect(url: str) -> None:
            for origin in ("http://evil.example", "http://app.example"):
                options = ConnectionOptions(headers={"Origin": origin})
                with ResponsesWebSocket(url, options=options) as socket:
                    try:
                        socket.send_request(ResponseCreate(model="m", input="Hi")).run()
                    except ConnectFailedError as error:
                        refused.append(error)

        self.serve(monkeypatch, capsys, connect)
        assert [error.status for error in refused] == [403, 403]
        assert "--allow-origin" in str(refused[0])
        self.serve(monkeypatch, capsys, connect, "--allow-origin", "http://x", "--allow-origin", "http://app.example")
        assert [error.status for error in refused] == [403, 403, 403]

    def test_scenario_69_sigterm_ends_the_server(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as end:
            self.serve(monkeypatch, capsys, lambda url: signal.raise_signal(signal.SIGTERM))
        assert end.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is before

    def test_on_another_thread_sigterm_is_left_alone(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handlers: list[object] = []
        before = signal.getsignal(signal.SIGTERM)
        on_another_thread(
            self.serve, monkeypatch, capsys, lambda url: handlers.append(signal.getsignal(signal.SIGTERM))
        )
        assert handlers == [before]

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
    def test_scenario_69_a_second_ctrl_c_ends_at_once(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        monkeypatch.setattr(BoundedWebSocket, "close_within", 30.0)
        close = BoundedWebSocket.close
        closing = threading.Event()

        def note(websocket: BoundedWebSocket, *args: Any) -> Any:
            closing.set()
            return close(websocket, *args)

        monkeypatch.setattr(BoundedWebSocket, "close", note)
        client = socket.socket()

        def connect(url: str) -> None:
            port = int(url.split(":")[2].partition("/")[0])
            client.connect(("127.0.0.1", port))
            wait_for_answer(client)
            threading.Thread(target=interrupt).start()

        def interrupt() -> None:
            closing.wait(20)
            os.kill(os.getpid(), signal.SIGINT)

        started = time.monotonic()
        self.serve(monkeypatch, capsys, connect, "--replay", str(large_transcript(tmp_path)))
        assert time.monotonic() - started < 20
        client.close()
        for thread in threading.enumerate():
            if thread.name == "responses-server":
                thread.join(20)

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
    def test_scenario_69_a_client_that_reads_nothing_does_not_delay_the_end(self, start: Start, tmp_path: Path) -> None:
        transcript = str(large_transcript(tmp_path))
        codes = {signal.SIGINT: 130, signal.SIGTERM: 143}
        programs = {number: start("serve", "--replay", transcript) for number in codes}
        with ExitStack() as clients:
            for number, program in programs.items():
                port = int(program.read_until(b"\n").split(b":")[2].partition(b"/")[0])
                wait_for_answer(clients.enter_context(socket.create_connection(("127.0.0.1", port))))
                program.signal(number)
            for number, code in codes.items():
                assert programs[number].end() == (code, "", "")

    def test_as_a_program(self, start: Start) -> None:
        program = start("serve")
        url = program.read_until(b"\n").decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
        assert answer(url).endswith("Hi")
        program.signal(signal.SIGINT)
        assert program.end() == (130, "", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--port", "65536"], "from 0 to 65535"),
        (["--port", "http"], "from 0 to 65535"),
        (["--host", "a..b"], "is no name of a host"),
        (["--interval", "-1"], "must be 0 or a positive number"),
        (["--speed", "2"], "--speed is for --replay"),
        (["--replay", "x", "--interval", "1"], "use --speed"),
        (["--replay", "x", "--script", "y"], "use one of them"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    assert said in usage_error(capsys, "serve", *args)


def large_transcript(folder: Path) -> Path:
    path = folder / "large.jsonl"
    delta = json.dumps({"type": "response.output_text.delta", "delta": "x" * 1_000_000})
    path.write_text(f"{delta}\n" * 40)
    return path


def wait_for_answer(client: socket.socket) -> None:
    """Send a request, and leave its answer unread."""
    client.sendall(UPGRADE + b"\r\n")
    while b"\r\n\r\n" not in client.recv(2**16, socket.MSG_PEEK):
        pass
    client.sendall(frame(TEXT, REQUEST))
    while len(client.recv(2**16, socket.MSG_PEEK)) < 2_000:
        pass


def recorded(text: str) -> list[dict[str, Any]]:
    return [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.output_text.delta", "delta": text},
        {"type": "response.completed", "response": RESPONSE},
    ]


def ask(url: str) -> None:
    answer(url)


def answer(url: str) -> str:
    with ResponsesWebSocket(url) as socket:
        return socket.send_request(ResponseCreate(model="m", input="Hi")).pipe(rops.collect_text()).run()
