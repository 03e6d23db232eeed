"""The page about agents: the program that asks the user goes on as the user answers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rxresponses import ResponseIncompleteError, ResponseRefusedError, ResponsesError, ToolRunError
from rxresponses.testing import (
    Close,
    Fault,
    FunctionCall,
    Incomplete,
    Refusal,
    RefuseUpgrade,
    Reply,
    ResponsesServer,
    When,
)
from tests.support.pages import ANSWERS, blocks_of
from tests.support.paths import ROOT

pytestmark = pytest.mark.full

PAGE = blocks_of((ROOT / "docs/how-to/agent.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("answer", ["y", "n"])
def test_the_user_decides_about_a_call(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = next(block for block in PAGE if "input(" in block.code)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    with ResponsesServer(script=ANSWERS) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        exec(program.code, {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert program.output is not None
    if answer == "y":
        # The weather may come before the question.
        assert sorted(printed.splitlines()) == sorted(program.output.splitlines())
        assert printed.splitlines()[-1] == program.output.splitlines()[-1]
    else:
        assert next(line for line in program.output.splitlines() if line.endswith("[y/N]")) in printed.splitlines()
        assert "book_table has no result: book_table: the user did not approve this call" in printed
        assert printed.endswith("It is sunny, but you have no table.\n")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(RefuseUpgrade(401), connection=1), ResponsesError),
        (Fault(Close(1006, after=3), request=2), ToolRunError),
    ],
)
def test_a_run_that_was_interrupted_goes_on(
    fault: Fault,
    kind: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = next(block for block in PAGE if "open_ledger" in block.code)
    monkeypatch.chdir(tmp_path)
    with ResponsesServer(script=ANSWERS, faults=[fault]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        with pytest.raises(SystemExit, match="can go on") as caught:
            exec(program.code, {"__name__": "__main__"})
        assert isinstance(caught.value.__cause__, kind)
        exec(program.code, {"__name__": "__main__"})
    assert capsys.readouterr().out == program.output  # also no second booking
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(Refusal("I cannot."), ResponseRefusedError), (["It is", Incomplete()], ResponseIncompleteError)],
)
def test_a_run_that_is_over_leaves_no_ledger(
    answer: Reply, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = next(block for block in PAGE if "open_ledger" in block.code)
    monkeypatch.chdir(tmp_path)
    with ResponsesServer() as server:
        server.on("Dinner", FunctionCall("book_table", {"restaurant": "Ramiro", "guests": 2}))
        server.on(When(tool="book_table"), answer)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        with pytest.raises(SystemExit, match="is over") as caught:
            exec(program.code, {"__name__": "__main__"})
    assert isinstance(caught.value.__cause__, kind)
    assert list(tmp_path.iterdir()) == []
