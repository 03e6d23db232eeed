"""The command line: in this process where it can be, as a real program where that is the point."""

from __future__ import annotations

import configparser
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from rxresponses import ResponseCreate, ResponsesWebSocket, ResponseTextDeltaEvent
from rxresponses import operators as rops
from rxresponses.cli import main as cli
from rxresponses.cli.screen import Screen
from rxresponses.testing import Close, Failure, Hold, Raw, Refusal, ResponsesServer, Text
from tests.support.paths import ROOT

PATIENCE = 60  # seconds until a program that hangs is taken for broken
RESPONSE = {"id": "resp_1", "output": []}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer() as server:
        yield server


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Ask:
    """Run `rxresponses ask` in this process."""

    def __init__(self, server: ResponsesServer, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = server.url
        self._capsys = capsys

    def __call__(self, *args: str, prompt: str = "Say hello") -> tuple[int, str, str]:
        code = cli.main(["ask", "--url", self._url, *args, prompt])
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def ask(server: ResponsesServer, capsys: pytest.CaptureFixture[str]) -> Ask:
    return Ask(server, capsys)


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `python -m rxresponses`; whatever still runs at the end of the test is killed."""
    programs: list[subprocess.Popen[bytes]] = []

    def start(*args: str, **env: str) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            [sys.executable, "-m", "rxresponses", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **env},
        )
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


def ended(program: subprocess.Popen[bytes], stdin: bytes | None = None) -> tuple[int, str, str]:
    out, err = program.communicate(stdin, timeout=PATIENCE)
    return program.returncode, out.decode(errors="surrogateescape"), err.decode()


def read_until(program: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    assert program.stdout is not None
    assert program.stderr is not None
    seen = b""
    while wanted not in seen:
        piece = program.stdout.read1(4096)  # type: ignore[attr-defined]
        assert piece, f"ended after {seen!r}: {program.stderr.read().decode()}"
        seen += piece
    return seen


class TestText:
    def test_prints_the_answer(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply("Hello, world")
        assert ask() == (0, "Hello, world\n", "")
        (request,) = server.requests
        assert (request["input"], request["model"]) == ("Say hello", "gpt-5.2")

    def test_text_that_ends_its_line_gets_no_second_end(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply("one\ntwo\n")
        assert ask() == (0, "one\ntwo\n", "")

    def test_model(self, ask: Ask, server: ResponsesServer) -> None:
        ask("--model", "gpt-4.1")
        ask("-m", "gpt-4.1-mini")
        assert [request["model"] for request in server.requests] == ["gpt-4.1", "gpt-4.1-mini"]

    def test_streams(self, start: Start, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply([Text(deltas=["Hel", "lo"]), Hold(gate, after=5)])
        program = start("ask", "--url", server.url, "Say hello")
        assert read_until(program, b"Hel") == b"Hel"  # while the server holds the rest back
        gate.open()
        assert ended(program) == (0, "lo\n", "")

    def test_refusal_is_told(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Refusal("I will not."))
        assert ask() == (0, "", "refused: I will not.\n")

    @pytest.mark.parametrize("kind", ["response.incomplete", "response.completed"])
    def test_incomplete_is_told(self, ask: Ask, server: ResponsesServer, kind: str) -> None:
        cut = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        delta = {"type": "response.output_text.delta", "delta": "Hel"}
        server.reply(Raw([{"type": "response.created", "response": RESPONSE}, delta, {"type": kind, "response": cut}]))
        assert ask() == (0, "Hel\n", "incomplete: max_output_tokens\n")

    def test_incomplete_without_a_reason(self, ask: Ask, server: ResponsesServer) -> None:
        cut = {**RESPONSE, "status": "incomplete"}
        server.reply(Raw([{"type": "response.incomplete", "response": cut}]))
        assert ask() == (0, "", "incomplete: no reason given\n")

    def test_a_terminal_gets_no_control_characters(
        self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        server.reply("red: \x1b[31m\r\n\tbell: \x07")
        assert ask()[0] == 0
        assert terminal.getvalue() == "red: \ufffd[31m\n\tbell: \ufffd\n"

    def test_a_pipe_gets_the_text_as_it_is(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply("red: \x1b[31m")
        assert ask() == (0, "red: \x1b[31m\n", "")

    def test_characters_that_the_output_cannot_encode(self, start: Start, server: ResponsesServer) -> None:
        server.reply(Text(deltas=["caf\u00e9 ", "\ud83c", "\udf89", " \ud83c"]))
        program = start("ask", "--url", server.url, "Say hello", PYTHONIOENCODING="ascii")
        assert ended(program) == (0, "caf? ? ?\n", "")


class TestEvents:
    def test_a_line_an_event(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Text(deltas=["Hello\n", "world"]))
        code, out, err = ask("--events")
        assert (code, err) == (0, "")
        lines = [re.fullmatch(r" *(\d+\.\d{3})  default   (\S+) *(.*)", line) for line in out.splitlines()]
        cells = [line.groups() for line in lines if line is not None]
        assert len(cells) == len(lines)
        assert [kind for _, kind, _ in cells] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        gists = [gist for _, _, gist in cells]
        assert gists[2] == "message"
        assert gists[4:6] == [r'"Hello\n"', '"world"']
        assert re.fullmatch(r"\d+ tokens in, 2 out", gists[-1])
        offsets = [float(offset) for offset, _, _ in cells]
        assert offsets == sorted(offsets)

    def test_strange_events(self, ask: Ask, server: ResponsesServer) -> None:
        long = "x" * 500
        server.reply(
            Raw(
                [
                    {"type": "response.created", "response": RESPONSE},
                    {"type": "response.invented\x1b[31m"},
                    {"type": "response.output_text.delta", "delta": 7},
                    {"type": "response.output_text.delta", "delta": long},
                    {"type": "response.incomplete", "response": {**RESPONSE, "incomplete_details": {"reason": "why"}}},
                ]
            )
        )
        code, out, _ = ask("--events")
        assert code == 0
        first, stranger, broken, delta, last = out.splitlines()
        assert first.split()[1:] == ["default", "response.created", "resp_1"]
        assert "response.invented\ufffd[31m" in stranger
        assert "delta" in broken.split("response.output_text.delta", 1)[1]  # the reason names the field
        assert delta.endswith("x…")
        assert len(delta) < 200
        assert last.endswith("why")

    def test_a_named_lane(self, capsys: pytest.CaptureFixture[str]) -> None:
        Screen().event_line(1.25, ResponseTextDeltaEvent(delta="Hi", stream_id="main"))
        assert capsys.readouterr().out.split() == ["1.250", "main", "response.output_text.delta", '"Hi"']

    def test_the_failing_event_is_shown(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(["Hello", Failure("server_error", "Sorry.", after=4)])
        code, out, err = ask("--events")
        assert code == 1
        assert out.splitlines()[-1].split(maxsplit=3)[1:] == ["default", "error", "server_error: Sorry."]
        assert "Sorry." in err

    def test_an_end_that_is_no_response(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Raw([{"type": "response.completed", "response": 7}]))
        code, out, err = ask("--events")
        assert (code, err) == (0, "")
        assert out.split()[2] == "response.completed"

    def test_a_failed_response_is_shown(self, ask: Ask, server: ResponsesServer) -> None:
        failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "Sorry."}}
        server.reply(Raw([{"type": "response.failed", "response": failed}]))
        code, out, _ = ask("--events")
        assert code == 1
        assert out.rstrip().endswith("server_error: Sorry.")

    def test_colours_on_a_terminal(self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        server.reply([Text(deltas=["[bold]Hello"]), Failure(after=5)])
        assert ask("--events")[0] == 1
        delta = next(line for line in terminal.getvalue().splitlines() if "output_text.delta" in line)
        assert "\x1b[36mresponse.output_text.delta" in delta
        assert '"[bold]' in terminal.getvalue()  # the text is no markup
        assert "\x1b[1;31merror" in terminal.getvalue()

    def test_without_rich(self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setitem(sys.modules, "rich.console", None)  # importing it is an ImportError
        assert ask("--events")[0] == 0
        assert "response.completed" in terminal.getvalue()
        assert "\x1b" not in terminal.getvalue()


class TestJson:
    def test_frames_as_received(self, ask: Ask, server: ResponsesServer) -> None:
        frames = [
            '{"type": "response.created", "response": {"id": "resp_1"}, "new": [1.50]}',
            '{"type": "response.completed",\n "response": {"id": "resp_1", "status": "completed"}}',
        ]
        server.reply(Raw(frames))
        assert ask("--json") == (0, frames[0] + "\n" + frames[1].replace("\n", " ") + "\n", "")

    def test_is_utf_8_whatever_the_terminal_is(self, start: Start, server: ResponsesServer) -> None:
        server.reply("café ☕")
        program = start("ask", "--json", "--url", server.url, "Say hello", PYTHONIOENCODING="ascii")
        code, out, err = ended(program)
        assert (code, err) == (0, "")
        events = [json.loads(line) for line in out.splitlines()]
        assert "".join(event.get("delta", "") for event in events) == "café ☕"

    def test_the_failing_event_is_shown(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Failure("rate_limit_exceeded", "Slow down.", after=0))
        code, out, err = ask("--json")
        assert code == 1
        assert [json.loads(line)["type"] for line in out.splitlines()] == ["error"]
        assert err.startswith("rxresponses: the server rejected the request (rate_limit_exceeded): Slow down.")


class TestFailures:
    def test_a_failed_response(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply([Text(deltas=["Hel", "lo"]), Failure("server_error", "Sorry.", after=5)])
        code, out, err = ask()
        assert (code, out) == (1, "Hel\n")
        assert err.startswith("rxresponses: the response failed (server_error): Sorry.")
        assert err.count("\n") == 1

    @pytest.mark.parametrize("code", [1000, 1006, 1011])
    def test_a_lost_connection(self, ask: Ask, server: ResponsesServer, code: int) -> None:
        server.reply(["Hello", Close(code, after=3)])
        exit_code, _, err = ask()
        assert exit_code == 1
        assert "before the terminal event" in err
        assert "Traceback" not in err

    def test_nobody_listens(self, capsys: pytest.CaptureFixture[str]) -> None:
        with ResponsesServer() as server:
            url = server.url
        assert cli.main(["ask", "--url", url, "Say hello"]) == 1
        assert capsys.readouterr().err.startswith("rxresponses: cannot connect to ws://127.0.0.1:")

    def test_an_unreadable_end(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Raw([{"type": "response.completed", "response": 7}]))
        code, _, err = ask()
        assert code == 1
        assert "response.completed" in err

    def test_timeout(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(["Hello", Hold(server.gate())])
        code, _, err = ask("--timeout", "0.1")
        assert code == 1
        assert "no terminal event within 0.1 s" in err

    def test_in_time(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply("Hello")
        assert ask("--timeout", str(PATIENCE)) == (0, "Hello\n", "")

    def test_a_wrong_key_is_not_shown(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
        with ResponsesServer(api_key="sk-right") as server:
            assert cli.main(["ask", "--url", server.url, "Say hello"]) == 1
            err = capsys.readouterr().err
            assert "401" in err
            assert "sk-" not in err
            monkeypatch.setenv("OPENAI_API_KEY", "sk-right")
            assert cli.main(["ask", "--url", server.url, "Say hello"]) == 0

    def test_a_full_disk(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", Unwritable(errno.ENOSPC))
        code, _, err = ask()
        assert code == 1
        assert err == f"rxresponses: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n"


class Unwritable(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self._error = OSError(number, os.strerror(number))

    def write(self, text: str, /) -> int:
        raise self._error


class TestEnds:
    def test_a_closed_pipe(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", Unwritable(errno.EPIPE))
        assert ask() == (0, "", "")

    def test_a_pipe_that_closes_in_mid_answer(self, start: Start, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply([Text(deltas=["word "] * 1000), Hold(gate, after=5)])
        program = start("ask", "--events", "--url", server.url, "Say hello")
        read_until(program, b"response.created")
        assert program.stdout is not None
        program.stdout.close()
        gate.open()
        assert program.stderr is not None
        assert (program.wait(PATIENCE), program.stderr.read()) == (0, b"")

    def test_closed_from_the_start(self, server: ResponsesServer) -> None:
        command = f'exec "{sys.executable}" -m rxresponses ask --url {server.url}'
        program = subprocess.run(f"{command} Hi >&-", shell=True, stderr=subprocess.PIPE, timeout=PATIENCE)
        assert (program.returncode, program.stderr) == (0, b"")
        program = subprocess.run(f"{command} - <&-", shell=True, stderr=subprocess.PIPE, timeout=PATIENCE)
        assert program.returncode == 2
        assert b"the prompt is empty" in program.stderr

    @pytest.mark.parametrize("form", [[], ["--events"], ["--json"]])
    def test_interrupt(self, start: Start, server: ResponsesServer, form: list[str]) -> None:
        server.reply(["Hello world", Hold(server.gate(), after=5)])
        program = start("ask", *form, "--url", server.url, "Say hello")
        read_until(program, b"Hello")
        program.send_signal(signal.SIGINT)
        code, _, err = ended(program)
        assert (code, err) == (130, "")

    def test_interrupt_of_the_embedded_server(self, start: Start) -> None:
        program = start("ask", " ".join(["word"] * 10_000))  # minutes at the pace of the demonstration
        read_until(program, b"This")
        program.send_signal(signal.SIGINT)
        code, _, err = ended(program)
        assert code == 130
        assert "Traceback" not in err

    def test_interrupt_while_standard_input_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Interrupted(io.StringIO):
            def read(self, size: int | None = -1, /) -> str:
                raise KeyboardInterrupt

        monkeypatch.setattr(sys, "stdin", Interrupted())
        assert cli.main(["ask", "-"]) == 130


class TestPrompt:
    def test_from_standard_input(self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("Say\nhello\n"))
        assert ask(prompt="-")[0] == 0
        assert server.requests[0]["input"] == "Say\nhello\n"

    def test_bytes_that_are_no_text(self, start: Start, server: ResponsesServer) -> None:
        program = start("ask", "--url", server.url, "-", PYTHONIOENCODING="utf-8")
        assert ended(program, b"caf\xe9")[0] == 0
        assert server.requests[0]["input"] == "caf\ufffd"

    def test_an_argument_that_is_no_text(self, ask: Ask, server: ResponsesServer) -> None:
        assert ask(prompt="caf\udce9 \U0001f389")[0] == 0
        assert server.requests[0]["input"] == "caf\ufffd \U0001f389"


class TestEmbeddedServer:
    def test_answers_without_key_and_url(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["ask", "Hi"]) == 0
        out, err = capsys.readouterr()
        assert out == "This is the embedded test server, not a model. You asked: Hi\n"
        assert err.startswith("OPENAI_API_KEY is not set: the embedded test server (http://127.0.0.1:")
        assert err.count("\n") == 1

    def test_stays_away_when_there_is_a_url(
        self, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        server.reply("Hello")
        assert cli.main(["ask", "Hi"]) == 0
        assert capsys.readouterr() == ("Hello\n", "")


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ([], "COMMAND"),
            (["tell"], "invalid choice"),
            (["ask"], "PROMPT"),
            (["ask", ""], "the prompt is empty"),
            (["ask", " \n"], "the prompt is empty"),
            (["ask", "two", "prompts"], "unrecognized arguments: prompts"),
            (["ask", "--events", "--json", "x"], "not allowed with"),
            (["ask", "--timeout", "0", "x"], "must be a positive number"),
            (["ask", "--timeout", "-1", "x"], "must be a positive number"),
            (["ask", "--timeout", "nan", "x"], "must be a positive number"),
            (["ask", "--timeout", "inf", "x"], "must be a positive number"),
            (["ask", "--timeout", "soon", "x"], "must be a number, not 'soon'"),
            (["serve", "--port", "65536"], "from 0 to 65535"),
            (["serve", "--port", "http"], "from 0 to 65535"),
            (["serve", "--interval", "-1"], "must be 0 or a positive number"),
            (["serve", "--speed", "2"], "--speed is for --replay"),
            (["serve", "--replay", "x", "--interval", "1"], "use --speed"),
        ],
    )
    def test_arguments(self, capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
        with pytest.raises(SystemExit) as end:
            cli.main(args)
        assert end.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err

    def test_empty_standard_input(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
        with pytest.raises(SystemExit) as end:
            cli.main(["ask", "-"])
        assert end.value.code == 2
        assert "the prompt is empty" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["--url", "ftp://127.0.0.1/v1"], "the URL must be"),
            (["--url", "http://api.example.com/v1"], "unencrypted"),
            (["--model", ""], "`model`"),
        ],
    )
    def test_values(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        assert cli.main(["ask", *args, "Say hello"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("rxresponses: ")
        assert said in err
        assert "sk-1" not in err


class TestServe:
    """In this process: whoever waits for Ctrl-C is the client."""

    @staticmethod
    def serve(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: Callable[[str], None], *args: str
    ) -> None:
        def play_client() -> None:
            out, err = capsys.readouterr()
            assert err == ""
            client(out.strip())
            raise KeyboardInterrupt

        monkeypatch.setattr(cli, "_wait_for_interrupt", play_client)
        assert cli.main(["serve", *args]) == 130

    def test_answers(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        answers: list[str] = []
        self.serve(monkeypatch, capsys, lambda url: answers.append(answer(url)))
        assert answers == ["This is the embedded test server, not a model. You asked: Hi"]

    def test_replays_again_and_again(
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
            monkeypatch, capsys, lambda url: codes.append(cli.main(["ask", "--url", url, "Hi"])), "--api-key", "sk-1"
        )
        assert codes == [1]

    @pytest.mark.parametrize("content", [None, "no event\n", ""])
    def test_nothing_to_replay(self, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "transcript.jsonl"
        if content is not None:
            path.write_text(content)
        assert cli.main(["serve", "--replay", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("rxresponses: cannot replay: ")
        assert str(path) in err

    def test_a_port_in_use(self, server: ResponsesServer, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["serve", "--port", str(server.port)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert str(server.port) in err

    def test_as_a_program(self, start: Start) -> None:
        program = start("serve")
        url = read_until(program, b"\n").decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
        assert answer(url).endswith("Hi")
        program.send_signal(signal.SIGINT)
        assert ended(program) == (130, "", "")


def recorded(text: str) -> list[dict[str, Any]]:
    return [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.output_text.delta", "delta": text},
        {"type": "response.completed", "response": RESPONSE},
    ]


def answer(url: str) -> str:
    with ResponsesWebSocket(url) as socket:
        return socket.send_request(ResponseCreate(model="m", input="Hi")).pipe(rops.collect_text()).run()


class TestValues:
    """The pipeline's values, in the thread of the caller."""

    def test_values_then_the_error(self) -> None:
        boom = RuntimeError("boom")
        source = reactivex.concat(reactivex.of(1, 2), reactivex.throw(boom))
        values = cli._values(source)
        assert [next(values), next(values)] == [1, 2]
        with pytest.raises(RuntimeError) as raised:
            next(values)
        assert raised.value is boom

    def test_leaving_early_disposes(self) -> None:
        disposed = []

        def subscribe(observer: ObserverBase[int], scheduler: SchedulerBase | None = None) -> DisposableBase:
            observer.on_next(1)
            return Disposable(lambda: disposed.append(True))

        values = cli._values(reactivex.Observable(subscribe))
        assert next(values) == 1
        assert disposed == []
        values.close()  # type: ignore[attr-defined]
        assert disposed == [True]


class TestProgram:
    def test_version(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.metadata.version", lambda name: f"1.2.3 of {name}")
        with pytest.raises(SystemExit) as end:
            cli.main(["--version"])
        assert end.value.code == 0
        assert capsys.readouterr().out == "rxresponses 1.2.3 of rxresponses\n"

    def test_version_of_a_source_tree(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from importlib.metadata import PackageNotFoundError

        def no_version(name: str) -> str:
            raise PackageNotFoundError(name)

        monkeypatch.setattr("importlib.metadata.version", no_version)
        with pytest.raises(SystemExit):
            cli.main(["--version"])
        assert capsys.readouterr().out == "rxresponses (not installed)\n"

    def test_runs_as_a_module(self, start: Start) -> None:
        code, out, err = ended(start("--version"))
        assert (code, err) == (0, "")
        assert out.startswith("rxresponses ")

    def test_is_the_console_script(self) -> None:
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        scripts = config["options.entry_points"]["console_scripts"].split("\n")
        assert "rxresponses = rxresponses.cli.main:main" in scripts

    def test_help_loads_neither_rich_nor_the_server(self) -> None:
        code = (
            "import contextlib, sys; from rxresponses.cli.main import main\n"
            "with contextlib.suppress(SystemExit): main(['ask', '--help'])\n"
            "print([name for name in ('rich', 'rxresponses.testing', 'rxresponses.cli.screen') if name in sys.modules])"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=PATIENCE).stdout
        assert out.splitlines()[-1] == b"[]"
