"""`--tools`: tools of a module, their calls on the screen, and the user's approval."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ConfigurationError
from rxresponses.cli.approvals import Approvals, terminal_question
from rxresponses.cli.error_line import error_line
from rxresponses.cli.event_lines import arguments_of, line_of
from rxresponses.cli.tools_module import load_tools
from rxresponses.conversations.events import (
    BudgetReachedEvent,
    HistorySentEvent,
    ToolApprovalEvent,
    ToolCallEvent,
    ToolCallFailedEvent,
    ToolCallOutputEvent,
    TurnStartedEvent,
)
from rxresponses.testing import Failure, FunctionCall, ResponsesServer
from rxresponses.wire.codec import decode
from rxresponses.wire.models import ResponseCustomToolCall, ResponseFunctionToolCall
from rxresponses.wire.requests import ResponseCreate
from tests.support.streams import Terminal

from .conftest import Ask
from .programs import PATIENCE

MODULE = '''
from rxresponses import tool

@tool
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"sunny in {city}"

@tool(needs_approval=True)
def delete(path: str) -> str:
    return f"{path} is deleted"

@tool
def broken() -> str:
    raise ValueError("no\\x1b[31m")

def helper() -> str:
    return "no tool"
'''
CALL = ResponseFunctionToolCall(call_id="call_1", name="weather", arguments='{"city":  "Oslo"}')


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules that a test imports, and where they are."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "tmp" in name or name.startswith("my_"):
            del sys.modules[name]


KEEPS_A_FILE = """
from rxresponses import tool

@tool
def write(line: str) -> None:
    log.file.write(line)

class Log:
    def __init__(self):
        self.file = open("log.txt", "w")
        self.itself = self  # only the garbage collector frees it

log = Log()
log.file.write("loaded")
"""


def test_a_file_that_a_module_of_tools_leaves_open_is_written(tmp_path: Path, server: ResponsesServer) -> None:
    (tmp_path / "my_log.py").write_text(KEEPS_A_FILE)
    command = [sys.executable, "-m", "rxresponses", "ask", "hi", "--url", server.url, "--tools", "my_log.py"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log.txt").read_text() == "loaded"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "json.py"  # the name of a module of Python does no harm
    path.write_text(MODULE)
    return path


def names(*modules: object) -> list[str]:
    return [str(getattr(tool, "name", tool)) for tool in load_tools(map(str, modules))]


class TestAsk:
    def test_calls_are_answered_and_shown(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        server.reply(["Let me look.", FunctionCall("weather", {"city": "Oslo"})], "It is sunny.")
        code, out, err = ask("--tools", str(module))
        assert (code, out) == (0, "Let me look.\nIt is sunny.\n")
        call, output = err.splitlines()
        assert call == 'tool: weather {"city":"Oslo"}'
        assert re.fullmatch(r"tool: weather -> sunny in Oslo \(\d+\.\d s\)", output)
        (item,) = server.requests[1]["input"]
        assert (item["type"], item["output"]) == ("function_call_output", "sunny in Oslo")

    def test_a_tool_that_raises(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        server.reply(FunctionCall("broken", {}), "It does not work.")
        code, out, err = ask("--tools", str(module))
        assert (code, out) == (0, "It does not work.\n")
        line = MODULE.split("\n").index('    raise ValueError("no\\x1b[31m")') + 1
        assert err.splitlines()[1:] == [f"tool: broken failed: ValueError: no\ufffd[31m ({module}, line {line})"]

    def test_what_tools_print_is_no_part_of_the_answer(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        text = 'print("loaded")\nfrom rxresponses import tool\n@tool\ndef hello() -> None: print("called")\n'
        module.write_text(text)
        server.reply(FunctionCall("hello", {}), "{}")
        code, out, err = ask("--tools", str(module), "--json")
        assert (code, {json.loads(line)["type"].partition(".")[0] for line in out.splitlines()}) == (
            0,
            {"response", "rxresponses"},
        )
        assert err == "loaded\ncalled\n"

    def test_calls_that_nothing_answers_are_told(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        server.reply([FunctionCall("a", {}), FunctionCall("b", {}), FunctionCall("a", {})])
        assert ask() == (0, "", "the model calls a, b, and no tool of --tools answers\n")

    def test_no_tool_was_called(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        server.reply("Hello")
        assert ask("--tools", str(module)) == (0, "Hello\n", "")
        assert [tool["name"] for tool in server.requests[0]["tools"]] == ["weather", "delete", "broken"]

    def test_nobody_is_there_to_approve(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        server.reply(["Let me.", FunctionCall("delete", {"path": "x"})], "I may not.")
        code, out, err = ask("--tools", str(module))
        assert (code, out) == (0, "Let me.\nI may not.\n")
        assert err.startswith("tool: delete needs approval, and there is no terminal to ask at: it is not called\n")
        assert "is deleted" not in str(server.requests[1])

    def test_events(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        server.reply(FunctionCall("delete", {"path": "x"}), "I may not.")
        _, out, _ = ask("--tools", str(module), "--events")
        lines = [line.split(maxsplit=3)[2:] for line in out.splitlines() if "rxresponses." in line]
        assert [line[0].removeprefix("rxresponses.") for line in lines] == [
            "turn_started",
            "tool_approval",
            "tool_call_failed",
            "turn_started",
        ]
        assert lines[1][1] == "tool: delete waits for approval"

    def test_json(self, ask: Ask, server: ResponsesServer, tmp_path: Path) -> None:
        """The events of this library are among those of the server, without credentials."""
        (tmp_path / "my_tools.py").write_text(
            f"{MODULE}\ntools = [weather, dict(type='mcp', server_label='x', server_url='http://x/?s-1', "
            "authorization='s-2', headers={'X': 's-3'})]"
        )
        server.reply(FunctionCall("weather", {"city": "Oslo"}), "It is sunny.")
        code, out, err = ask("--tools", str(tmp_path / "my_tools.py"), "--json")
        assert (code, err) == (0, "")
        own = [event for event in map(json.loads, out.splitlines()) if event["type"].startswith("rxresponses.")]
        assert [event["type"].removeprefix("rxresponses.") for event in own] == [
            "turn_started",
            "tool_call_started",
            "tool_call_output",
            "turn_started",
        ]
        assert own[2]["output"]["output"] == "sunny in Oslo"
        assert not any(f"s-{number}" in json.dumps(own) for number in (1, 2, 3))

    def test_a_failure_after_a_call(self, ask: Ask, server: ResponsesServer, module: Path) -> None:
        server.reply(FunctionCall("weather", {"city": "Oslo"}), Failure("server_error", "Sorry.", after=0))
        code, out, err = ask("--tools", str(module))
        assert (code, out) == (1, "")
        assert "Sorry." in err.splitlines()[-1]

    def test_the_answer_after_the_calls_fits_the_schema(
        self, ask: Ask, server: ResponsesServer, module: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "schema").write_text('{"type": "object", "properties": {}}')
        server.reply(["Let me look.", FunctionCall("weather", {"city": "Oslo"})], "{}")
        code, out, _ = ask("--tools", str(module), "--schema", str(tmp_path / "schema"))
        assert (code, out) == (0, "{}\n")

    def test_what_is_wrong_is_told_before_anything_is_sent(
        self, ask: Ask, server: ResponsesServer, module: Path
    ) -> None:
        for arguments in (["nowhere.py"], [str(module), "--tools", str(module)]):
            code, _, err = ask("--tools", *arguments, prompt="-")
            assert (code, server.requests) == (2, [])
            assert err.count("\n") == 1


class TestModules:
    def test_a_file(self, module: Path) -> None:
        assert names(module) == ["weather", "delete", "broken"]
        assert sys.modules["json"] is json

    def test_a_list(self, module: Path) -> None:
        module.write_text(f"{MODULE}\ntools = [helper, broken]")
        assert [getattr(tool, "__name__", "") for tool in load_tools([str(module)])] == ["helper", "broken"]

    def test_a_module_beside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "my_tools.py").write_text(MODULE)
        (tmp_path / "my_others.py").write_text("from my_tools import weather\ntools = None\nagain = weather")
        assert names(tmp_path / "my_others.py") == ["weather"]
        monkeypatch.setattr(sys, "path", sys.path[1:])
        monkeypatch.chdir(tmp_path)
        assert names("my_others") == ["weather"]

    def test_annotations_are_looked_up_in_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "my_tools.py").write_text(
            "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom rxresponses import tool\n"
            "@dataclass\nclass Place:\n    city: City\n@dataclass\nclass City:\n    name: str\n"
            "@tool\ndef go(place: Place) -> None: ..."
        )
        assert names(tmp_path / "my_tools.py") == ["go"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "No such file"),
            ("", "has no tools"),
            ("tools = []", "has no tools"),
            ("def", "SyntaxError"),
            ("import my_missing", "No module named 'my_missing'"),
            ("raise SystemExit(3)", "SystemExit: 3"),
            ("\n1 / 0", "line 2"),
        ],
    )
    def test_files_without_tools(self, tmp_path: Path, text: str | None, said: str) -> None:
        path = tmp_path / "my_tools.py"
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigurationError, match=said) as raised:
            load_tools([str(path)])
        assert str(path) in str(raised.value)
        assert str(path) not in sys.modules or "has no tools" in said

    @pytest.mark.parametrize("name", ["my_missing", "./my_missing"])
    def test_no_such_module(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=f"cannot load the tools of {name}"):
            load_tools([name])


class TestLines:
    @pytest.mark.parametrize(
        ("event", "line"),
        [
            (ToolCallEvent(type="rxresponses.new", call=CALL, call_id="call_1", name="weather"), None),
            (TurnStartedEvent(turn=1, request=ResponseCreate(model="m", input="Hi")), None),
            (
                HistorySentEvent(reason="the model changed", items=3),
                "the whole conversation is sent (3 items): the model changed",
            ),
            (BudgetReachedEvent(tokens=9, max_tokens=8), "stopped at 9 tokens; 8 are allowed"),
            (
                ToolCallOutputEvent(
                    call=CALL, call_id="call_1", name="weather", output={"output": [{"text": "x"}]}, seconds=1.25
                ),
                'tool: weather -> [{"text": "x"}] (1.2 s)',
            ),
            (
                ToolCallFailedEvent(
                    call=CALL, call_id="call_1", name="weather", output=None, seconds=0, error=ConfigurationError("no")
                ),
                "tool: weather failed: no",
            ),
            (decode(b'{"type": "response.output_item.done", "item": {"type": "web_search_call"}}'), "tool: web_search"),
            (decode(b'{"type": "response.output_item.done", "item": {"type": "function_call"}}'), None),
            (decode(b'{"type": "response.output_item.done", "item": {"type": "message"}}'), None),
        ],
    )
    def test_lines(self, event: Any, line: str | None) -> None:
        assert line_of(event) == line

    def test_arguments(self) -> None:
        assert arguments_of(CALL) == '{"city": "Oslo"}'
        assert arguments_of(ResponseCustomToolCall(call_id="c", name="n", input="a\nb")) == "a b"
        assert json.loads(arguments_of({"action": "x"})) == {"action": "x"}
        assert len(arguments_of(ResponseCustomToolCall(call_id="c", name="n", input="x" * 10**6))) < 400

    def test_an_error_that_was_not_raised_has_no_place(self) -> None:
        assert error_line(ValueError("no")) == "ValueError: no"


def approval(call_id: str = "call_1") -> ToolApprovalEvent:
    return ToolApprovalEvent(call=CALL, call_id=call_id, name="weather", arguments={})


class TestApprovals:
    @pytest.mark.parametrize(
        ("said", "may"), [("y", True), (" YES\n", True), ("a", True), ("", False), ("n", False), ("what?", False)]
    )
    def test_the_user_is_asked(self, said: str, may: bool) -> None:
        questions: list[str] = []

        def ask(question: str) -> str:
            questions.append(question)
            return said

        approvals = Approvals(ask)
        answers: list[bool] = []
        approvals.approve(approval()).subscribe(answers.append)  # the run may ask before or after the user answers
        approvals.decide(approval())
        approvals.approve(approval()).subscribe(answers.append)
        assert answers == [may, may]
        approvals.decide(approval("call_2"))
        assert len(questions) == (1 if said == "a" else 2)
        assert questions[0] == 'run weather {"city": "Oslo"}? (y: yes, a: always, else no) '

    def test_on_another_thread(self) -> None:
        approvals = Approvals(lambda question: "y")
        answers: list[bool] = []
        waiting = approvals.approve(approval())
        thread = threading.Thread(target=lambda: answers.append(waiting.run()))
        thread.start()
        approvals.decide(approval())
        thread.join()
        assert answers == [True]

    def test_at_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert terminal_question() is None
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        assert terminal_question() is None

        class Typed(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr(sys, "stdin", Typed("y\n"))
        ask = terminal_question()
        assert ask is not None
        assert ask("run\x1b[31m\nx? ") == "y\n"
        assert terminal.getvalue() == "run\ufffd[31m x? "
        assert ask("y? ") == ""  # Ctrl-D
        assert terminal.getvalue().endswith("y? \n")
