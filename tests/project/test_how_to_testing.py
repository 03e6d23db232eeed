"""The page about testing: its recorded test asks a service once, and passes afterwards without it."""

from __future__ import annotations

import pytest

import rxresponses.recording.proxy
import rxresponses.recording.recorder
import rxresponses.testing.server  # noqa: F401 - `pytester` forgets the modules that its run imports
from rxresponses import ResponseCreate, ResponsesClient
from rxresponses.testing import ResponsesServer
from tests.support.pages import ANSWERS, blocks_of
from tests.support.paths import ROOT

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.full

TEXT = (ROOT / "docs/how-to/testing.md").read_text(encoding="utf-8")
PAGE = blocks_of(TEXT)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:rxresponses", *arguments)


def test_a_recorded_test_needs_the_service_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = (block for block in PAGE if "mark.responses_recording" in block.code and block.language == "python")
    pytester.makeconftest("from rxresponses.testing.plugin import *")  # whether or not the package is installed
    pytester.makepyfile(test_mine=program.code)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    run(pytester, "--responses-record=none").assert_outcomes(failed=1, errors=1)
    with ResponsesServer(script=ANSWERS) as server, monkeypatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.url)
        patch.setenv("OPENAI_API_KEY", "sk-test-123456789")
        run(pytester).assert_outcomes(passed=1)
        assert len(server.requests) == 1
    (recording,) = (pytester.path / "recordings").rglob("*.jsonl")
    assert "123456789" not in recording.read_text(encoding="utf-8")
    run(pytester, "--responses-record=none").assert_outcomes(passed=1)


def test_the_mark_takes_a_file_that_a_client_has_recorded(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = (block for block in PAGE if "mark.responses_recording" in block.code and block.language == "python")
    assert '@pytest.mark.responses_recording("session.jsonl")' in TEXT
    folder = pytester.mkdir("tests")  # a path is relative to the folder of the test, wherever pytest was started
    code = program.code.replace("mark.responses_recording", 'mark.responses_recording("session.jsonl")')
    (folder / "test_mine.py").write_text(code, encoding="utf-8")
    pytester.makeconftest("from rxresponses.testing.plugin import *")
    with (
        ResponsesServer(script=ANSWERS) as server,
        ResponsesClient(server.url, api_key="sk-test-123456789") as client,
        client.record(folder / "session.jsonl"),
    ):
        request = ResponseCreate(model="gpt-5.2", input="What is the capital of France?")
        client.send_request(request).run()
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    run(pytester, "--responses-record=none").assert_outcomes(passed=1)


def test_the_first_test_is_as_short_as_a_newcomer_likes() -> None:
    first = next(block for block in PAGE if block.language == "python")
    assert "responses_server" in first.code
    assert "assert_marbles" in first.code
    assert sum(bool(line.strip()) for line in first.code.splitlines()) <= 15
