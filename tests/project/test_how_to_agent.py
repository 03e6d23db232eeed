"""The page about agents: the program that asks the user goes on as the user answers."""

from __future__ import annotations

import io

import pytest

from rxresponses.testing import ResponsesServer
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
        assert program.output.splitlines()[0] in printed.splitlines()
        assert printed.endswith("It is sunny, but you have no table.\n")
