"""`rxresponses serve`."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.cli import serve
from rxresponses.cli.main import main
from rxresponses.testing import ResponsesServer

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
        (["--interval", "-1"], "must be 0 or a positive number"),
        (["--speed", "2"], "--speed is for --replay"),
        (["--replay", "x", "--interval", "1"], "use --speed"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    assert said in usage_error(capsys, "serve", *args)


def recorded(text: str) -> list[dict[str, Any]]:
    return [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.output_text.delta", "delta": text},
        {"type": "response.completed", "response": RESPONSE},
    ]


def answer(url: str) -> str:
    with ResponsesWebSocket(url) as socket:
        return socket.send_request(ResponseCreate(model="m", input="Hi")).pipe(rops.collect_text()).run()
