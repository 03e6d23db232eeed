"""`rxresponses ask`: in this process where it can be, as a real program where that is the point."""

from __future__ import annotations

import io
import json
import math
import signal
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from rxresponses import load_recording, replay
from rxresponses import operators as rops
from rxresponses.cli import standard_input
from rxresponses.cli.main import main
from rxresponses.testing import Close, Failure, Hold, Raw, Refusal, ResponsesServer, Text

from ..support.tcp_server import proxying, tcp_server
from .conftest import Ask, Stdin
from .programs import PATIENCE, Start, usage_error

RESPONSE = {"id": "resp_1", "output": []}


class Typed(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


class TestText:
    def test_prints_the_answer(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply("Hello, world")
        assert ask() == (0, "Hello, world\n", "")
        (request,) = server.requests
        assert (request["input"], request["model"]) == ("Say hello", "gpt-5.2")

    def test_text_that_ends_with_a_line_break_gets_no_second(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply("one\ntwo\n")
        assert ask() == (0, "one\ntwo\n", "")

    def test_each_message_begins_a_line(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(["Let me see.", "It is blue."])
        assert ask() == (0, "Let me see.\nIt is blue.\n", "")

    def test_model(self, ask: Ask, server: ResponsesServer) -> None:
        ask("--model", "gpt-4.1")
        ask("-m", "gpt-4.1-mini")
        assert [request["model"] for request in server.requests] == ["gpt-4.1", "gpt-4.1-mini"]

    def test_streams(self, start: Start, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply([Text(deltas=["Hel", "lo"]), Hold(gate, after=5)])
        program = start("ask", "--url", server.url, "Say hello")
        assert program.read_until(b"Hel") == b"Hel"  # while the server holds the rest back
        gate.open()
        assert program.end() == (0, "lo\n", "")

    def test_a_refusal_is_noted(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Refusal("I will not."))
        assert ask() == (0, "", "refused: I will not.\n")

    @pytest.mark.parametrize("form", [[], ["--json"], ["--events"]])
    @pytest.mark.parametrize("output", [None, []])
    def test_scenario_60_a_refusal_that_only_its_events_tell(
        self, ask: Ask, server: ResponsesServer, form: list[str], output: Any
    ) -> None:
        end = {"id": "resp_1", "status": "incomplete", "output": output}
        said = {"type": "response.refusal.delta", "delta": "No.", "output_index": 0, "content_index": 0}
        created = {"type": "response.created", "response": RESPONSE}
        server.reply(Raw([created, said, {"type": "response.completed", "response": end}]))
        code, _, err = ask(*form)
        assert (code, err) == (0, "refused: No.\nincomplete: no reason given\n")

    @pytest.mark.parametrize("kind", ["response.incomplete", "response.completed"])
    def test_an_incomplete_response_is_noted(self, ask: Ask, server: ResponsesServer, kind: str) -> None:
        cut = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        delta = {"type": "response.output_text.delta", "delta": "Hel"}
        server.reply(Raw([{"type": "response.created", "response": RESPONSE}, delta, {"type": kind, "response": cut}]))
        assert ask() == (0, "Hel\n", "incomplete: max_output_tokens\n")

    def test_incomplete_without_a_reason(self, ask: Ask, server: ResponsesServer) -> None:
        cut = {**RESPONSE, "status": "incomplete"}
        server.reply(Raw([{"type": "response.incomplete", "response": cut}]))
        assert ask() == (0, "", "incomplete: no reason given\n")


class TestEvents:
    def test_the_failing_event_is_shown(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(["Hello", Failure("server_error", "Sorry.", after=4)])
        code, out, err = ask("--events")
        assert code == 1
        assert out.splitlines()[-1].split(maxsplit=3)[1:] == ["default", "error", "server_error: Sorry."]
        assert "Sorry." in err

    def test_a_terminal_event_without_a_readable_response(self, ask: Ask, server: ResponsesServer) -> None:
        server.reply(Raw([{"type": "response.completed", "response": 7}]))
        code, out, err = ask("--events")
        assert (code, err) == (0, "")
        assert out.split()[2] == "response.completed"

    @pytest.mark.parametrize(
        "tokens", ["9" * 400, "1e400", "NaN", "-5", "9" * 5000], ids=["400", "1e400", "NaN", "-5", "5000"]
    )
    @pytest.mark.parametrize("form", [[], ["--events"], ["--json"]])
    def test_scenario_76_absurd_token_counts(
        self, ask: Ask, server: ResponsesServer, tokens: str, form: list[str]
    ) -> None:
        usage = f'{{"input_tokens": 3, "output_tokens": {tokens}}}'
        server.reply(Raw([f'{{"type": "response.completed", "response": {{"id": "r", "usage": {usage}}}}}']))
        code, out, err = ask(*form)
        assert (code, err) == (0, "")
        assert (tokens in out) is (form == ["--json"])

    def test_a_failed_response_is_shown(self, ask: Ask, server: ResponsesServer) -> None:
        failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "Sorry."}}
        server.reply(Raw([{"type": "response.failed", "response": failed}]))
        code, out, _ = ask("--events")
        assert code == 1
        assert out.rstrip().endswith("server_error: Sorry.")


class TestJson:
    def test_frames_as_received(self, ask: Ask, server: ResponsesServer) -> None:
        frames = [
            '{"type": "response.created", "response": {"id": "resp_1"}, "new": [1.50]}',
            '{"type": "response.completed",\n "response": {"id": "resp_1", "status": "completed"}}',
        ]
        server.reply(Raw(frames))
        assert ask("--json") == (0, frames[0] + "\n" + frames[1].replace("\n", " ") + "\n", "")

    def test_is_utf_8_with_any_encoding_of_standard_output(self, start: Start, server: ResponsesServer) -> None:
        server.reply("café ☕")
        program = start("ask", "--json", "--url", server.url, "Say hello", PYTHONIOENCODING="ascii")
        code, out, err = program.end()
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

    def test_no_server(self, capsys: pytest.CaptureFixture[str]) -> None:
        with ResponsesServer() as server:
            url = server.url
        assert main(["ask", "--url", url, "Say hello"]) == 1
        assert capsys.readouterr().err.startswith("rxresponses: cannot connect to ws://127.0.0.1:")

    def test_an_unreadable_terminal_event(self, ask: Ask, server: ResponsesServer) -> None:
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
            assert main(["ask", "--url", server.url, "Say hello"]) == 1
            err = capsys.readouterr().err
            assert "401" in err
            assert "sk-" not in err
            monkeypatch.setenv("OPENAI_API_KEY", "sk-right")
            assert main(["ask", "--url", server.url, "Say hello"]) == 0


class TestInterrupt:
    @pytest.mark.parametrize("form", [[], ["--events"], ["--json"]])
    def test_interrupt(self, start: Start, server: ResponsesServer, form: list[str]) -> None:
        server.reply(["Hello world", Hold(server.gate(), after=5)])
        program = start("ask", *form, "--url", server.url, "Say hello")
        program.read_until(b"Hello")
        program.signal(signal.SIGINT)
        code, _, err = program.end()
        assert (code, err) == (130, "")

    def test_interrupt_of_the_embedded_server(self, start: Start) -> None:
        program = start("ask", " ".join(["word"] * 10_000))  # minutes at the speed of the embedded server
        program.read_until(b"This")
        program.signal(signal.SIGINT)
        code, _, err = program.end()
        assert code == 130
        assert "Traceback" not in err

    def test_interrupt_while_standard_input_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Interrupted(io.StringIO):
            def read(self, size: int | None = -1, /) -> str:
                raise KeyboardInterrupt

        monkeypatch.setattr(sys, "stdin", Interrupted())
        assert main(["ask", "-"]) == 130


class TestPrompt:
    def test_from_standard_input(self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("Say\nhello\n"))
        assert ask(prompt="-")[0] == 0
        assert server.requests[0]["input"] == "Say\nhello\n"

    def test_bytes_that_are_not_utf_8(self, start: Start, server: ResponsesServer) -> None:
        program = start("ask", "--url", server.url, "-", stdin=PIPE, PYTHONIOENCODING="utf-8")
        assert program.end(b"caf\xe9")[0] == 0
        assert server.requests[0]["input"] == "caf\ufffd"

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
    def test_scenario_71_standard_input_with_a_byte_order_mark(
        self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch, encoding: str
    ) -> None:
        data = io.BytesIO("caf\u00e9\r\n".encode(encoding))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, encoding="utf-8"))
        assert ask(prompt="-")[0] == 0
        assert server.requests[0]["input"] == "caf\u00e9\n"

    def test_scenario_71_a_byte_order_mark_alone_is_no_prompt(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf"), encoding="utf-8"))
        assert ask(prompt="-") == (2, "", "rxresponses: the prompt is empty\n")

    def test_an_argument_that_is_not_utf_8(self, ask: Ask, server: ResponsesServer) -> None:
        assert ask(prompt="caf\udce9 \U0001f389")[0] == 0
        assert server.requests[0]["input"] == "caf\ufffd \U0001f389"

    def test_scenario_71_unquoted_words(self, capsys: pytest.CaptureFixture[str], server: ResponsesServer) -> None:
        assert main(["ask", "--url", server.url, "Why", "is", "the sky", "blue?"]) == 0
        assert server.requests[0]["input"] == "Why is the sky blue?"

    @pytest.mark.parametrize("words", [["Sum", "up"], ["Sum", "up", "-"]])
    def test_scenario_71_a_pipe_beside_words(self, start: Start, server: ResponsesServer, words: list[str]) -> None:
        """The document is a part of its own, and both parts are in one message."""
        code, _, err = start("ask", "--url", server.url, *words, stdin=PIPE).end(b"A text.\n")
        assert (code, err) == (
            0,
            "" if "-" in words else "standard input is added to the prompt; </dev/null leaves it out\n",
        )
        (message,) = server.requests[0]["input"]
        assert message == {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text} for text in ("Sum up", "A text.\n")],
        }

    def test_scenario_71_an_open_pipe_without_data_is_given_up(
        self, ask: Ask, server: ResponsesServer, stdin: Stdin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(standard_input, "_QUIET", 0.01)
        monkeypatch.setattr(standard_input, "_PATIENCE", 0.02)
        server.reply("Hello")
        code, out, err = ask(prompt="Hi")
        assert (code, out) == (0, "Hello\n")
        assert err.splitlines() == [
            "waiting up to 0.02 s for standard input, a pipe (</dev/null: there is no input)",
            "nothing came: the prompt goes without standard input (- as a word waits for it)",
        ]
        assert server.requests[0]["input"] == "Hi"

    @pytest.mark.parametrize("data", [b"", b" \n"])
    def test_scenario_71_a_pipe_that_ends_without_text(
        self, ask: Ask, server: ResponsesServer, stdin: Stdin, data: bytes
    ) -> None:
        stdin.write(data)
        stdin.close()
        code, _, err = ask(prompt="Hi")
        assert (code, err, server.requests[0]["input"]) == (0, "", "Hi")

    def test_an_image_is_no_document(self, ask: Ask, server: ResponsesServer, stdin: Stdin) -> None:
        stdin.write(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
        stdin.close()
        code, _, err = ask(prompt="What is this?")
        assert (code, server.requests) == (2, [])
        assert "standard input is no text" in err

    def test_a_terminal_is_told_that_its_text_is_waited_for(
        self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Typed("Say hello\n"))
        code, _, err = ask(prompt="-")
        assert (code, err) == (0, "reading the prompt from this terminal; Ctrl-D on a line of its own ends it\n")
        assert server.requests[0]["input"] == "Say hello\n"

    def test_arguments_are_checked_before_standard_input_is_read(
        self, ask: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", Typed(""))
        code, _, err = ask("--schema", "/nowhere.json", prompt="-")
        assert (code, err.count("\n")) == (2, 1)


class TestInstructions:
    def test_text(self, ask: Ask, server: ResponsesServer) -> None:
        assert ask("--instructions", "Be brief.")[0] == 0
        assert server.requests[0]["instructions"] == "Be brief."

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_a_file(self, ask: Ask, server: ResponsesServer, tmp_path: Path, encoding: str) -> None:
        (tmp_path / "system.txt").write_bytes("Be brief.\r\nSay caf\u00e9.".encode(encoding))
        assert ask("--system", str(tmp_path / "system.txt"))[0] == 0
        assert server.requests[0]["instructions"] == "Be brief.\nSay caf\u00e9."

    def test_files_without_text(self, ask: Ask, server: ResponsesServer, tmp_path: Path) -> None:
        (tmp_path / "empty.txt").write_text("\n")
        (tmp_path / "image.png").write_bytes(b"\x89PNG\0")
        for name, said in (("none.txt", "No such file"), ("empty.txt", "is empty"), ("image.png", "is no text")):
            code, _, err = ask("--system", str(tmp_path / name))
            assert (code, server.requests) == (2, [])
            assert said in err


class TestConnection:
    """Options of the connection; `batch` has the same."""

    def test_scenario_71_headers(self, ask: Ask, server: ResponsesServer) -> None:
        assert ask("--header", "X-One: 1", "--header", "x-two:  2 ")[0] == 0
        headers = {name.lower(): value for name, value in server.upgrades[0].headers.items()}
        assert (headers["x-one"], headers["x-two"]) == ("1", "2")

    def test_scenario_71_a_wrong_header_is_not_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "sk-1" not in usage_error(capsys, "ask", "--header", "sk-1", "Hi")

    def test_scenario_71_insecure_credentials(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        arguments = ["ask", "--url", "http://nowhere.invalid/v1", "Hi"]
        assert main(arguments) == 2
        assert main([*arguments, "--allow-insecure-credentials"]) == 1  # it tries to connect

    def test_scenario_71_a_file_of_certificates(self, ask: Ask, tmp_path: Path) -> None:
        code, _, err = ask("--ca-file", str(tmp_path / "none.pem"))
        assert code == 2
        assert "cannot read the certificates in" in err
        (tmp_path / "empty.pem").write_text("no certificate")
        assert ask("--ca-file", str(tmp_path / "empty.pem"))[0] == 2

    def test_scenario_65_a_proxy(self, ask: Ask, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        heads: list[bytes] = []
        with tcp_server(proxying(server.port, heads)) as proxy:
            assert ask("--proxy", proxy.address)[0] == 0
        assert heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        code, _, err = ask("--url", "http://127.0.0.1:1/v1", "--proxy", "")
        assert code == 1
        assert "proxy" not in err
        assert ask("--proxy", "ftp://user:secret@127.0.0.1")[0] == 2


class TestEmbeddedServer:
    def test_answers_without_key_and_url(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ask", "Hi"]) == 0
        out, err = capsys.readouterr()
        assert out == "This is the embedded test server, not a model. You asked: Hi\n"
        assert err.startswith("OPENAI_API_KEY is not set: the embedded test server (http://127.0.0.1:")
        assert err.count("\n") == 1

    def test_does_not_start_when_there_is_a_url(
        self, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        server.reply("Hello")
        assert main(["ask", "Hi"]) == 0
        assert capsys.readouterr() == ("Hello\n", "")


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ([], "PROMPT"),
            (["--instructions", "x", "--system", "x", "x"], "not allowed with"),
            (["--events", "--json", "x"], "not allowed with"),
            (["--timeout", "0", "x"], "must be a positive number"),
            (["--timeout", "-1", "x"], "must be a positive number"),
            (["--timeout", "nan", "x"], "must be a positive number"),
            (["--timeout", "inf", "x"], "must be a positive number"),
            (["--timeout", "soon", "x"], "must be a number, not 'soon'"),
        ],
    )
    def test_arguments(self, capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
        assert said in usage_error(capsys, "ask", *args)

    @pytest.mark.parametrize("prompt", ["", " \n", "-"])
    def test_scenario_71_an_empty_prompt(self, ask: Ask, monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
        assert ask(prompt=prompt) == (2, "", "rxresponses: the prompt is empty\n")

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
        assert main(["ask", *args, "Say hello"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("rxresponses: ")
        assert said in err
        assert "sk-1" not in err


class TestRecord:
    def test_what_is_sent_and_received_is_written(self, ask: Ask, server: ResponsesServer, tmp_path: Path) -> None:
        server.reply("Hello, world")
        path = tmp_path / "session.jsonl"
        assert ask("--record", str(path)) == (0, "Hello, world\n", "")
        recording = load_recording(path)
        assert recording.requests == ("r1",)
        assert replay(path, speed=math.inf).pipe(rops.collect_text()).run() == "Hello, world"

    def test_a_file_that_exists_is_refused(self, ask: Ask, tmp_path: Path, server: ResponsesServer) -> None:
        path = tmp_path / "session.jsonl"
        path.write_text("precious", encoding="utf-8")
        code, out, err = ask("--record", str(path))
        assert (code, out) == (2, "")
        assert f"cannot record: {path} exists already; name another file, or remove this one" in err
        assert path.read_text(encoding="utf-8") == "precious"
        assert not server.requests

    def test_a_file_that_cannot_be_made_is_reported(self, ask: Ask, tmp_path: Path, server: ResponsesServer) -> None:
        code, out, err = ask("--record", str(tmp_path))
        assert (code, out) == (2, "")
        assert "cannot record: " in err
        assert not server.requests
