"""Text of servers, users and files on a terminal: one line of bounded length, without characters that control it."""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rxresponses.batch.run import Run
from rxresponses.cli.main import main
from rxresponses.cli.stderr import logged_errors
from rxresponses.testing import Close, Failure, Fault, Hold, Raw, Refusal, RefuseUpgrade, ResponsesServer, Text
from tests.support.streams import Terminal

from .conftest import Ask

EVIL = "a\x1b[31mb\x9b2Jc\rd\u202ee\u2066f\x07g\x7fh\u200fi"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
RESPONSE = {"id": "resp_1", "output": []}
CUT = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": EVIL}}


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Make standard output and standard error one terminal; pytest sets them between a fixture and its test."""

    def on_terminal() -> Terminal:
        terminal = Terminal()
        monkeypatch.setenv("TERM", "dumb")  # rich draws without escape sequences of its own
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    return on_terminal


def shown(terminal: Terminal) -> str:
    """Return the text of the terminal, after a look for characters that control it."""
    text = terminal.getvalue()
    assert CONTROLS.findall(text) == []
    return text


def exit_code(args: list[str]) -> int | str | None:
    try:
        return main(args)
    except SystemExit as end:  # of argparse
        return end.code


REPLIES: dict[str, Text | Failure | Close | Refusal | Raw] = {
    "text": Text(deltas=[EVIL]),
    "error": Failure(code=EVIL, message=EVIL, after=0),
    "failure": Failure(code=EVIL, message=EVIL, after=3),
    "close reason": Close(1011, reason=EVIL, after=2),
    "refusal": Refusal(EVIL),
    "incomplete": Raw([{"type": "response.incomplete", "response": CUT}]),
    "failed": Raw([{"type": "response.failed", "response": {**RESPONSE, "error": {"code": EVIL, "message": EVIL}}}]),
    "event type": Raw(
        [{"type": EVIL, "delta": EVIL, "stream_id": None}, {"type": "response.completed", "response": RESPONSE}]
    ),
    "id": Raw([{"type": "response.completed", "response": {"id": EVIL, "output": []}}]),
    "no JSON": Raw([f"{{{EVIL}", {"type": "response.completed", "response": RESPONSE}]),
    "unreadable": Raw([{"type": "response.completed", "response": {"id": "r", "output": {EVIL: 7}}}]),
}


@pytest.mark.parametrize("form", [[], ["--events"], ["--json"]], ids=["text", "events", "json"])
@pytest.mark.parametrize("kind", REPLIES)
def test_scenario_68_text_of_the_server(
    on_terminal: Callable[[], Terminal], ask: Ask, server: ResponsesServer, kind: str, form: list[str]
) -> None:
    terminal = on_terminal()
    server.reply([REPLIES[kind]])
    ask(*form)
    assert "[31mb" in shown(terminal) or kind in ("event type", "id", "no JSON", "unreadable")


def test_scenario_68_a_refused_upgrade(on_terminal: Callable[[], Terminal], ask: Ask, server: ResponsesServer) -> None:
    terminal = on_terminal()
    server.fault(Fault(RefuseUpgrade(400, body={"error": {"code": EVIL, "message": EVIL}})))
    assert ask()[0] == 1
    assert "400" in shown(terminal)


def test_scenario_68_json_on_a_terminal_has_the_same_value(
    on_terminal: Callable[[], Terminal], ask: Ask, server: ResponsesServer
) -> None:
    terminal = on_terminal()
    delta = {"type": "response.output_text.delta", "delta": EVIL}
    end = {"type": "response.completed", "response": RESPONSE}
    server.reply(Raw([json.dumps(delta, ensure_ascii=False), end]))
    assert ask("--json")[0] == 0
    assert json.loads(shown(terminal).splitlines()[0]) == delta


MEGABYTE = "x" * 2**20 + " end"
REFUSED = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": MEGABYTE}]}


@pytest.mark.parametrize(
    "reply",
    [
        Failure(message=MEGABYTE, after=0),
        Raw([{"type": "response.completed", "response": {**RESPONSE, "output": [REFUSED]}}]),  # without 87,000 deltas
    ],
    ids=["error", "refusal"],
)
def test_scenario_68_a_megabyte_is_cut(ask: Ask, server: ResponsesServer, reply: Failure | Raw) -> None:
    server.reply([reply])
    _, _, err = ask()
    assert err.count("\n") == 1
    assert 1000 < len(err) < 3000
    assert re.search(r"x… \(\d{7} characters left out\) …x+ end", err)


def test_scenario_68_a_line_break_begins_no_second_message(ask: Ask, server: ResponsesServer) -> None:
    server.reply(Refusal("no\nrxresponses: all is well\r\nof 3 answered\u2028x"))
    assert ask() == (0, "", "refused: no rxresponses: all is well of 3 answered x\n")


@pytest.mark.parametrize(
    "args",
    [
        ["ask", f"--{EVIL}", "x"],
        [EVIL],
        ["ask", "--url", EVIL, "x"],
        ["ask", "--timeout", EVIL, "x"],
        ["ask", "x" * 2**20, "--model"],
        ["batch", EVIL, "-o", "out"],
        ["serve", "--replay", EVIL],
    ],
)
def test_scenario_68_wrong_usage(on_terminal: Callable[[], Terminal], args: list[str]) -> None:
    terminal = on_terminal()
    assert exit_code(args) == 2
    assert len(shown(terminal)) < 4000


def test_scenario_68_names_of_files(
    on_terminal: Callable[[], Terminal], server: ResponsesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal()
    monkeypatch.setattr(Terminal, "isatty", lambda self: False)  # a progress bar draws with escape sequences
    server.reply(Failure(message=EVIL, after=2))
    (tmp_path / "in.jsonl").write_text('"one"\n')
    output = tmp_path / f"[bold]{EVIL}"
    arguments = ["batch", str(tmp_path / "in.jsonl"), "-o", str(output), "--url", server.url]
    assert main(arguments) == 1
    assert f"0 of 1 answered, 1 failed: {tmp_path}/[bold]a\ufffd[31mb" in shown(terminal).replace("\n", "")
    (tmp_path / "in.jsonl").write_text('"another"\n')
    assert main(arguments) == 2
    shown(terminal)


@pytest.mark.parametrize("markup", ["[/bold]", "[bold red]no[/]", "[link=http://x]y[/link]", ":warning:"])
def test_scenario_68_markup_of_the_screen_library(
    on_terminal: Callable[[], Terminal],
    ask: Ask,
    server: ResponsesServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    markup: str,
) -> None:
    """The bar of a batch and the lines of events show text of a server as it is."""
    terminal = on_terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    for form in ([], ["--events"]):
        server.reply(Failure(message=markup, after=2))
        assert ask(*form)[0] == 1
    (tmp_path / "in.jsonl").write_text('"one"\n')
    server.reply(Failure(message=markup, after=2))
    assert main(["batch", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out"), "--url", server.url]) == 1
    assert terminal.getvalue().count(markup) >= 4


@pytest.mark.parametrize("rich", [True, False])
def test_scenario_71_a_narrow_terminal(
    on_terminal: Callable[[], Terminal],
    ask: Ask,
    server: ResponsesServer,
    monkeypatch: pytest.MonkeyPatch,
    rich: bool,
) -> None:
    terminal = on_terminal()
    monkeypatch.setenv("COLUMNS", "60")
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    server.reply(Text(deltas=["Hello", "x" * 200]))
    assert ask("--events")[0] == 0
    lines = shown(terminal).splitlines()
    assert max(map(len, lines)) == 60
    assert len(lines) == 10
    assert any(line.endswith('"Hello"') for line in lines)


@pytest.mark.parametrize("form", [[], ["--events"]])
def test_scenario_71_the_prompt_of_the_shell_is_not_behind_the_echo(
    on_terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    terminal = on_terminal()

    def interrupted(*_: object) -> Iterator[object]:
        terminal.write("^C")
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("rxresponses.cli.values.values", interrupted)
    assert main(["ask", *form, "Hi"]) == 130
    assert terminal.getvalue().endswith("^C\n")


@pytest.mark.parametrize("rich", [False, True])
def test_scenario_71_notes_are_not_behind_the_echo(
    on_terminal: Callable[[], Terminal],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: ResponsesServer,
    rich: bool,
) -> None:
    """Two times Ctrl-C.  The bar of rich erases its line, and the echo with it."""
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    terminal = on_terminal()
    server.on("", ["text", Hold()])
    requests = tmp_path / "in.jsonl"
    requests.write_text('"one"\n')

    def interrupt() -> None:
        terminal.write("^C")
        signal.raise_signal(signal.SIGINT)

    interrupts = iter(range(2))
    original = Run._check

    def check(run: Run) -> None:
        original(run)
        if run.in_flight and next(interrupts, None) is not None:
            interrupt()

    monkeypatch.setattr(Run, "_check", check)
    assert main(["batch", "--url", server.url, str(requests), "-o", str(tmp_path / "out.jsonl")]) == 130
    text = terminal.getvalue()
    if rich:
        assert "^Cwaiting" in text
    else:
        path = tmp_path / "out.jsonl"
        assert text.splitlines() == [
            "^C",
            "waiting for the 1 in flight; Ctrl-C gives them up",
            "^C",
            f"0 of 1 answered, 0 failed: {path}",
            "1 to do: the same command goes on with them",
        ]


def test_scenario_68_the_log(on_terminal: Callable[[], Terminal]) -> None:
    terminal = on_terminal()
    logger = logging.getLogger("rxresponses")
    with logged_errors():
        logger.warning("the tool raised")  # the command shows that itself
        try:
            raise RuntimeError(EVIL)
        except RuntimeError:
            logger.exception("in the loop")
    assert "in the loop" in shown(terminal)
    assert "the tool" not in shown(terminal)
    assert "RuntimeError: a\ufffd[31mb" in shown(terminal)
