"""`rxresponses chat`: in this process where it can be."""

from __future__ import annotations

import errno
import io
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from rxresponses import Conversation, ResponsesClient, load_recording
from rxresponses.cli.approvals import Approvals
from rxresponses.cli.branches import Branches
from rxresponses.cli.chat_commands import ChatCommands
from rxresponses.cli.chat_session import ChatSession
from rxresponses.cli.chat_view import ChatView
from rxresponses.cli.line_reader import LineReader
from rxresponses.cli.main import main
from rxresponses.testing import Failure, FunctionCall, Hold, Refusal, ResponsesServer, Text
from tests.support.streams import Terminal, Unwritable


class Chat:
    """Run `rxresponses chat` in this process, with these lines as standard input."""

    def __init__(
        self, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._url, self._monkeypatch, self._capsys = server.url, monkeypatch, capsys

    def __call__(self, *lines: str, args: tuple[str, ...] = ()) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        code = main(["chat", "--url", self._url, *args])
        out, err = self._capsys.readouterr()
        return code, out, err


@pytest.fixture
def chat(server: ResponsesServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Chat:
    return Chat(server, monkeypatch, capsys)


class TestMessages:
    def test_each_line_is_a_turn_that_continues_the_one_before(self, chat: Chat, server: ResponsesServer) -> None:
        server.reply("Hello.", "Fine.\n")
        assert chat("Hi", "", "How are you?") == (0, "Hello.\nFine.\n", "")
        first, second = server.requests
        assert "previous_response_id" not in first
        assert second["previous_response_id"]
        assert second["input"] == "How are you?"

    def test_lines_of_one_message(self, chat: Chat, server: ResponsesServer) -> None:
        assert chat("one\\", "two", '"""three', "four")[0] == 0
        assert [request["input"] for request in server.requests] == ["one\ntwo", "three\nfour"]

    def test_settings(self, chat: Chat, server: ResponsesServer, tmp_path: Path) -> None:
        (tmp_path / "system").write_text("Be brief.")
        chat("Hi", args=("-m", "gpt-5-mini", "--system", str(tmp_path / "system")))
        (request,) = server.requests
        assert (request["model"], request["instructions"]) == ("gpt-5-mini", "Be brief.")

    def test_a_failed_turn_does_not_end_the_chat(self, chat: Chat, server: ResponsesServer) -> None:
        server.reply("one", ["tw", Failure("server_error", "Sorry.", after=5)], "three")
        code, out, err = chat("1", "2", "3")
        assert (code, out) == (1, "one\ntw\nthree\n")
        assert "Sorry." in err
        assert err.count("\n") == 1
        assert server.requests[2]["previous_response_id"] == server.requests[1]["previous_response_id"]

    def test_a_timeout_ends_the_turn(self, chat: Chat, server: ResponsesServer) -> None:
        server.reply(["one", Hold(server.gate(), after=5)])
        code, out, err = chat("1", "/model", args=("--timeout", "0.1"))
        assert (code, out.splitlines()[-1]) == (1, "gpt-5.2")
        assert "within 0.1 s" in err

    def test_a_refusal_is_noted(self, chat: Chat, server: ResponsesServer) -> None:
        server.reply(Refusal("I will not."))
        assert chat("Do it") == (0, "", "refused: I will not.\n")

    def test_the_embedded_server(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n"))
        assert main(["chat"]) == 0
        out, err = capsys.readouterr()
        assert out == "This is the embedded test server, not a model. You asked: Hi\n"
        assert err.startswith("OPENAI_API_KEY is not set")

    def test_ctrl_c_ends_a_chat_that_reads_a_pipe(
        self, chat: Chat, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(ChatView, "text", interrupt)
        assert chat("Hi", "there")[0] == 130
        assert len(server.requests) == 1

    def test_tools(self, chat: Chat, server: ResponsesServer, tmp_path: Path) -> None:
        path = tmp_path / "my_tools.py"
        path.write_text(
            "from rxresponses import tool\n@tool\ndef weather(city: str) -> str:\n"
            "    'Say what the weather is.\\nMore.'\n    return f'sunny in {city}'\n"
            "@tool(needs_approval=True)\ndef delete(path: str) -> str:\n    return 'deleted'\n"
        )
        server.reply(["Let me look.", FunctionCall("weather", {"city": "Oslo"})], "It is sunny.")
        server.reply(FunctionCall("delete", {"path": "x"}), "I may not.")
        saved = tmp_path / "chat.json"
        lines = ["/tools", "Weather?", f"/save {saved}", f"/load {saved}", "Delete", "/history"]
        code, out, err = chat(*lines, args=("--tools", str(path)))
        assert code == 0
        lines = out.splitlines()
        assert lines[:4] == ["weather: Say what the weather is.", "delete", "Let me look.", "It is sunny."]
        assert lines[6:] == [
            "I may not.",
            "user: Weather?",
            "assistant: Let me look.",
            'weather: {"city":"Oslo"}',
            "-> sunny in Oslo",
            "assistant: It is sunny.",
            "user: Delete",
            'delete: {"path":"x"}',
            '-> {"error": "the user did not approve this call, so it was not made"}',
            "assistant: I may not.",
        ]
        assert re.sub(r"\d+\.\d s", "0.0 s", err).splitlines()[:3] == [
            'tool: weather {"city":"Oslo"}',
            "tool: weather -> sunny in Oslo (0.0 s)",
            "tool: delete needs approval, and there is no terminal to ask at: it is not called",
        ]
        code, _, err = chat(f"/load {saved}")
        assert code == 1
        assert "--tools" in err

    @pytest.mark.parametrize(("number", "code"), [(errno.EPIPE, 0), (errno.ENOSPC, 1)])
    def test_an_output_that_takes_no_more_ends_the_chat(
        self, chat: Chat, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch, number: int, code: int
    ) -> None:
        monkeypatch.setattr(sys, "stdout", Unwritable(number))
        assert chat("Hi", "there")[0] == code
        assert len(server.requests) == 1  # nobody reads, so nothing more is paid for

    def test_wrong_usage(self, chat: Chat, server: ResponsesServer) -> None:
        code, out, err = chat("Hi", args=("-m", ""))
        assert (code, out, server.requests) == (2, "", [])
        assert "`model`" in err


class TestCommands:
    def test_a_fork_has_the_history_and_goes_its_own_way(self, chat: Chat, server: ResponsesServer) -> None:
        code, out, err = chat("1", "/fork idea", "2", "/branch main", "3", "/branch", "/history", "/fork", "/branch x")
        assert code == 1
        _, second, third = server.requests
        assert second["previous_response_id"] == third["previous_response_id"]
        assert err == "there is no branch x; there are: main, idea, branch\n"
        shown = out.replace("This is the embedded test server, not a model. You asked: ", "=")
        assert shown.splitlines() == [
            "=1",
            "on the branch idea now; /branch main goes back",
            "=2",
            "on the branch main now, with 2 items",
            "=3",
            "* main",
            "  idea",
            "user: 1",
            "assistant: =1",
            "user: 3",
            "assistant: =3",
            "on the branch branch now; /branch main goes back",
        ]

    def test_save_and_load(self, chat: Chat, server: ResponsesServer, tmp_path: Path) -> None:
        path = tmp_path / "my chat.json"
        assert chat("1", f"/save {path}", "2", f"/save {path}")[0] == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
        code, out, err = chat(f"/load {path}", "/usage", "3", "/model", f"/load {path}", args=("-m", "other"))
        assert (code, err) == (0, "")
        assert out.splitlines()[0] == "on the branch my-chat now, with 4 items"
        assert "on the branch my-chat-2 now" in out
        assert server.requests[-1]["previous_response_id"]
        assert server.requests[-1]["model"] == "gpt-5.2"  # as saved

    @pytest.mark.parametrize("text", ["", "[1]", "{}", "\udcff", "[" * 100_000])
    def test_no_other_file_is_overwritten_or_loaded(self, chat: Chat, tmp_path: Path, text: str) -> None:
        path = tmp_path / "notes.txt"
        path.write_text(text, errors="surrogateescape")
        before = path.read_bytes()
        code, out, err = chat(f"/save {path}", f"/load {path}", "/branch")
        assert (code, out, path.read_bytes()) == (1, "* main\n", before)
        assert (
            err.splitlines()[0]
            == f"{path} exists and is no saved conversation; nothing was written: choose another name"
        )
        assert err.splitlines()[1].startswith(f"{path} is no saved conversation: ")
        assert len(err.splitlines()) == 2

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device without an end")
    def test_a_device_is_no_saved_conversation(self, chat: Chat, tmp_path: Path) -> None:
        code, _, err = chat("/save /dev/full", f"/save {tmp_path}")
        assert (code, err.count("exists and is no saved conversation; nothing was written: choose another name")) == (
            1,
            2,
        )

    def test_files_that_cannot_be(self, chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        code, out, err = chat("/load ~/none.json", "/save ~/none/chat.json", "/save ~/chat.json")
        assert (code, out) == (1, f"written to {tmp_path}/chat.json, with 0 items\n")
        assert err.splitlines() == [
            f"cannot read {tmp_path}/none.json: No such file or directory",
            f"cannot write {tmp_path}/none/chat.json: No such file or directory",
        ]

    def test_a_save_that_fails_leaves_what_was_there(
        self, chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "chat.json"
        assert chat("/save " + str(path))[0] == 0
        before = path.read_bytes()

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.replace", fail)
        assert chat("1", "/save " + str(path))[0] == 1
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_settings_change_the_next_turn(self, chat: Chat, server: ResponsesServer) -> None:
        lines = ["1", "/model gpt-5-mini", "/system Be brief.", "/system", "2", "/system -", "3", "/model"]
        code, out, err = chat(*lines)
        assert code == 0
        assert [(request["model"], request.get("instructions")) for request in server.requests] == [
            ("gpt-5.2", None),
            ("gpt-5-mini", "Be brief."),
            ("gpt-5-mini", None),
        ]
        assert out.splitlines()[1:4] == ["gpt-5-mini", "Be brief.", "Be brief."]
        assert out.splitlines()[-1] == "gpt-5-mini"
        assert "the whole conversation is sent (3 items): settings have changed: instructions, model\n" in err

    def test_usage(self, chat: Chat) -> None:
        _, out, _ = chat("/usage", "Hi", "/usage")
        before, _, after = out.splitlines()
        assert before == "0 tokens in (0 cached), 0 out (0 reasoning), 0 in total"
        assert after == "1 tokens in (0 cached), 15 out (0 reasoning), 16 in total"

    def test_other_commands(self, chat: Chat, server: ResponsesServer) -> None:
        code, out, err = chat("/help", "/tools", "/history", "/nonsense", "/quit", "Hi")
        assert (code, server.requests) == (1, [])
        assert "/fork [NAME]" in out
        assert out.splitlines()[-2:] == ["no tools; --tools MODULE gives some", "nothing has been said yet"]
        assert "/nonsense" in err


class Typing:
    """A reader of lines at a terminal.  `Ctrl-C` and `Ctrl-D` stand for themselves."""

    is_interactive = True

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def read(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        line = self.lines.pop(0)
        if line == "Ctrl-C":
            raise KeyboardInterrupt
        return None if line == "Ctrl-D" else line


class View(ChatView):
    """A view at which the user types Ctrl-C when the answer has come to a word."""

    stop_at = ""

    def text(self, piece: str) -> None:
        super().text(piece)
        if self.stop_at and self.stop_at in piece:
            raise KeyboardInterrupt


@pytest.fixture
def client(server: ResponsesServer) -> Iterator[ResponsesClient]:
    with ResponsesClient(server.url) as client:
        yield client


class TestAtATerminal:
    @staticmethod
    def run(client: ResponsesClient, *lines: str, stop_at: str = "") -> Typing:
        branches = Branches(Conversation(client, model="gpt-5.2"))
        reader = Typing(*lines)
        view = View()
        view.stop_at = stop_at
        commands = ChatCommands(branches, lambda _: branches.current)
        ChatSession(branches, commands, cast("LineReader", reader), view, Approvals()).run()
        return reader

    def test_ctrl_c_ends_the_turn_and_not_the_chat(
        self, client: ResponsesClient, server: ResponsesServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.reply("one", [Text(deltas=["two ", "stop ", "three"]), Hold(server.gate(), after=6)], "four")
        self.run(client, "1", "2", "3", "Ctrl-D", stop_at="stop")
        out, err = capsys.readouterr()
        assert out == "one\ntwo stop \nfour\n\n"
        assert err == "stopped; the conversation stays as it was before this message\n"
        assert server.requests[2]["previous_response_id"] == server.requests[1]["previous_response_id"]

    def test_ctrl_c_clears_the_line_and_twice_leaves(
        self, client: ResponsesClient, server: ResponsesServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reader = self.run(client, '"""one', "Ctrl-C", "two", "Ctrl-C", "/quit")
        assert reader.prompts == ["> ", "... ", "> ", "> ", "> "]
        assert [request["input"] for request in server.requests] == ["two"]
        assert capsys.readouterr().err == 2 * "Ctrl-C once more, or Ctrl-D, leaves\n"
        with pytest.raises(KeyboardInterrupt):
            self.run(client, "Ctrl-C", "Ctrl-C")

    def test_the_prompt_names_the_branch(self, client: ResponsesClient) -> None:
        reader = self.run(client, "/fork idea", "one\\", "Ctrl-D")
        assert reader.prompts == ["> ", "idea> ", "... "]

    def test_markdown(self, client: ResponsesClient, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        gate = server.gate()
        server.reply([Text(deltas=["# Title\n\n", "- one\n", "- two\n"]), Hold(gate, after=7)])

        def tick(view: ChatView) -> None:
            original(view)
            if "two" in terminal.getvalue():  # shown although nothing more has come
                gate.open()

        original = ChatView.tick
        monkeypatch.setattr(ChatView, "tick", tick)
        self.run(client, "1", "/model gpt-5-\x1b[31m", "/quit")
        text = terminal.getvalue()
        assert "Title" in text
        assert "# Title" not in text
        assert "gpt-5-\ufffd[31m" in text
        server.reply("stop ")
        self.run(client, "1", "Ctrl-D", stop_at="stop")
        assert "stopped; the conversation" in terminal.getvalue()

    @pytest.mark.parametrize("missing", ["rich.console", "rich.live"])
    def test_without_rich(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setitem(sys.modules, missing, None)
        monkeypatch.delitem(sys.modules, "rxresponses.cli.markdown", raising=False)
        view = ChatView()
        view.text("*one*")
        view.end()
        assert terminal.getvalue() == "*one*\n"

    @pytest.mark.parametrize(("term", "plain"), [("dumb", False), ("xterm", True)])
    def test_terminals_that_get_plain_text(self, monkeypatch: pytest.MonkeyPatch, term: str, plain: bool) -> None:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("TERM", term)
        view = ChatView(is_plain=plain)
        view.text("*one*")
        view.tick()
        view.interrupt()
        view.note("a note")
        assert terminal.getvalue() == "*one*\n"


def test_record(chat: Chat, server: ResponsesServer, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    server.reply("One", "Two")
    code, _, _ = chat("Hi", "Again", args=("--record", str(path)))
    assert code == 0
    assert load_recording(path).requests == ("r1", "r2")
