"""The mark `responses_recording`, as a user's test suite sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import rxresponses.recording.proxy
import rxresponses.recording.recorder
import rxresponses.testing.server  # noqa: F401 - `pytester` forgets the modules that its run imports
from rxresponses import load_recording
from rxresponses.testing import ResponsesServer

pytest_plugins = ["pytester"]

KEY = "sk-proj-9fQ2mZ8vTt31LpXc7Hn5BbYw"
SUITE = """
import os
import pytest
from rxresponses import ResponsesWebSocket, operators as rops

def ask(text, url=None):
    with ResponsesWebSocket(url) as socket:
        return socket.send_request({"model": "m", "input": text}).pipe(rops.collect_text()).run()

@pytest.mark.responses_recording
def test_answer():
    assert ask("Hi") == "Hello!"

@pytest.mark.responses_recording
@pytest.mark.parametrize("text", ["a b", "c"])
def test_each(text, responses_url):
    assert ask(text, responses_url) == "Hello!"
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    # Whether or not the package is installed, and its entry point with it.
    pytester.makeconftest("from rxresponses.testing.plugin import *")
    pytester.makepyfile(test_it=SUITE)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return pytester


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, suite: pytest.Pytester) -> Iterator[ResponsesServer]:
    """The service that is recorded; `OPENAI_BASE_URL` and `OPENAI_API_KEY` are its."""
    with ResponsesServer(api_key=KEY) as server:
        server.on("", "Hello!")
        with monkeypatch.context() as patch:
            patch.setenv("OPENAI_BASE_URL", server.url)
            patch.setenv("OPENAI_API_KEY", KEY)
            yield server


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:rxresponses", "-W", "default", *arguments)


def test_recorded_once_and_replayed_without_a_key(
    suite: pytest.Pytester, service: ResponsesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(suite).assert_outcomes(passed=3)
    assert len(service.requests) == 3
    folder = suite.path / "recordings" / "test_it"
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["test_answer.jsonl", "test_each[a-b]-1f354e8a.jsonl", "test_each[c].jsonl"]
    for path in folder.iterdir():
        assert KEY not in path.read_text(encoding="utf-8")
        assert len(load_recording(path).requests) == 1
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")  # where nobody listens
    run(suite).assert_outcomes(passed=3)
    run(suite, "--responses-record=none").assert_outcomes(passed=3)
    assert len(service.requests) == 3


def test_recorded_anew(suite: pytest.Pytester, service: ResponsesServer) -> None:
    run(suite, "-k", "answer").assert_outcomes(passed=1)
    run(suite, "-k", "answer", "--responses-record=all").assert_outcomes(passed=1)
    assert len(service.requests) == 2


def test_a_request_without_a_recorded_answer_fails_the_test(suite: pytest.Pytester, service: ResponsesServer) -> None:
    run(suite, "-k", "answer").assert_outcomes(passed=1)
    suite.makepyfile(test_it=SUITE.replace('ask("Hi") ==', 'ask("Ho") ==').replace("assert ask", "ask"))
    result = run(suite, "-k", "answer")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(['*input*0*.content*text (recorded: "Hi", sent: "Ho")*'])
    result.stdout.fnmatch_lines(["To record the test again, run it with --responses-record=all. *match=?lenient?*"])
    mark = 'responses_recording(match="lenient")'
    suite.makepyfile(test_it=SUITE.replace("responses_recording\ndef", f"{mark}\ndef").replace('"m"', '"another"'))
    result = run(suite, "-k", "answer")
    result.stdout.fnmatch_lines(["To record the test again, run it with --responses-record=all."])


def test_a_recording_that_cannot_be_read_is_told(suite: pytest.Pytester, service: ResponsesServer) -> None:
    path = suite.path / "recordings" / "test_it" / "test_answer.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("<<<<<<< a conflict\n", encoding="utf-8")
    result = run(suite, "-k", "answer")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_answer.jsonl: line 1: no JSON object*", "To record the test again,*"])


def test_a_test_that_fails_leaves_no_recording(suite: pytest.Pytester, service: ResponsesServer) -> None:
    service.reply("Something else")
    run(suite, "-k", "answer").assert_outcomes(failed=1)
    assert not list((suite.path / "recordings" / "test_it").iterdir())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((), "*to make it, set OPENAI_API_KEY*"), (("--responses-record=none",), "*--responses-record=none makes none*")],
)
def test_no_recording_and_no_key(suite: pytest.Pytester, arguments: tuple[str, ...], text: str) -> None:
    result = run(suite, "-k", "answer", *arguments)
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines([text, "*ResponseFailedError*no_recording*"])


@pytest.mark.parametrize("arguments", [(), ("--responses-record=none",)])
def test_a_test_that_sends_nothing_needs_no_recording(suite: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    suite.makepyfile(test_it="import pytest\npytestmark = pytest.mark.responses_recording\ndef test_it(): pass")
    run(suite, *arguments).assert_outcomes(passed=1)


def test_a_test_that_sends_nothing_while_it_is_recorded_is_told(
    suite: pytest.Pytester, service: ResponsesServer
) -> None:
    suite.makepyfile(test_it=f"{SUITE}\n@pytest.mark.responses_recording\ndef test_pure():\n    pass\n")
    result = run(suite, "-k", "pure")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_it.py:1?: PytestWarning: nothing was recorded*"])
    assert not list((suite.path / "recordings" / "test_it").iterdir())


ENDINGS = """
@pytest.mark.responses_recording
def test_skipped():
    ask("Hi")
    pytest.skip("the rest")

@pytest.mark.responses_recording
@pytest.mark.xfail
def test_expected_to_fail():
    ask("Hi")
    assert False
"""


def test_only_a_test_that_passes_leaves_a_recording(suite: pytest.Pytester, service: ResponsesServer) -> None:
    suite.makepyfile(test_it=SUITE + ENDINGS)
    run(suite, "-k", "skipped or expected").assert_outcomes(skipped=1, xfailed=1)
    assert len(service.requests) == 2
    assert not list((suite.path / "recordings" / "test_it").iterdir())


def test_a_test_that_is_interrupted_leaves_no_recording(suite: pytest.Pytester, service: ResponsesServer) -> None:
    suite.makepyfile(
        test_it=SUITE.replace("    assert ask", "    if ask").replace('!"\n', '!": raise KeyboardInterrupt\n')
    )
    suite.inline_run("-p", "no:cacheprovider", "-p", "no:rxresponses", "-k", "answer", no_reraise_ctrlc=True)
    assert len(service.requests) == 1
    assert not list((suite.path / "recordings" / "test_it").iterdir())


def test_each_parameter_has_a_file_of_its_own(suite: pytest.Pytester, service: ResponsesServer) -> None:
    values = '["a b", "a/b", "a-b", "x" * 300 + "1", "x" * 300 + "2", "é" * 150]'
    suite.makepyfile(test_it=SUITE.replace('["a b", "c"]', f"{values}, ids=str"))
    run(suite, "-k", "each").assert_outcomes(passed=6)
    assert len(list((suite.path / "recordings" / "test_it").iterdir())) == 6
    run(suite, "-k", "each").assert_outcomes(passed=6)
    assert len(service.requests) == 6


def test_a_file_is_the_recording_of_one_test_and_may_be_replayed_by_several(
    suite: pytest.Pytester, service: ResponsesServer
) -> None:
    both = SUITE.replace("responses_recording\n", 'responses_recording("one.jsonl")\n')
    suite.makepyfile(test_it=both)
    for arguments in ((), ("--responses-record=all",)):
        result = run(suite, *arguments)
        assert (result.parseoutcomes()["passed"], result.parseoutcomes()["errors"]) == (1, 2)
        result.stdout.fnmatch_lines(["*one.jsonl is the recording of test_it.py::test_answer: each test needs a file*"])
    suite.makepyfile(test_it=both.replace("ask(text, r", 'ask("Hi", r'))
    run(suite).assert_outcomes(passed=3)


def test_recorded_requests_that_are_not_sent_any_more_are_told(
    suite: pytest.Pytester, service: ResponsesServer
) -> None:
    suite.makepyfile(test_it=SUITE.replace("assert ask", 'ask("First"); assert ask'))
    run(suite, "-k", "answer").assert_outcomes(passed=1)
    suite.makepyfile(test_it=SUITE)
    result = run(suite, "-k", "answer")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_it.py:*: PytestWarning: the test did not send the requests r1 of *"])
    suite.makepyfile(test_it=SUITE.replace("assert ask", "assert not ask"))
    run(suite, "-k", "answer").assert_outcomes(failed=1)  # a test that fails may have more to send


def test_the_settings_of_the_mark(suite: pytest.Pytester, service: ResponsesServer) -> None:
    mark = 'responses_recording("here.jsonl", match="lenient", contents="redacted")'
    text = SUITE.replace("responses_recording\ndef", f"{mark}\ndef").replace('== "Hello!"', '!= ""')
    suite.makepyfile(test_it=text)
    run(suite, "-k", "answer").assert_outcomes(passed=1)
    text = (suite.path / "here.jsonl").read_text(encoding="utf-8")
    assert json.loads(text.splitlines()[0])["contents"] == "redacted"
    assert "Hello" not in text
    run(suite, "-k", "answer").assert_outcomes(passed=1)
    assert len(service.requests) == 1


@pytest.mark.parametrize("arguments", ["mode=1", "match='exact'", "contents='none'", "'a', 'b'", "'a', path='b'"])
def test_wrong_settings_of_the_mark(suite: pytest.Pytester, service: ResponsesServer, arguments: str) -> None:
    suite.makepyfile(test_it=SUITE.replace("responses_recording\ndef", f"responses_recording({arguments})\ndef"))
    result = run(suite, "-k", "answer")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*wrong arguments of the mark*"])


def test_a_refused_key_is_told_and_leaves_no_recording(
    suite: pytest.Pytester, service: ResponsesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-123456")
    result = run(suite, "-k", "answer")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*401*"])
    assert not list((suite.path / "recordings" / "test_it").iterdir())


def test_a_recording_that_cannot_be_written_is_told(
    suite: pytest.Pytester, service: ResponsesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("rxresponses.recording.recorder.Recorder._write_lines", fails)
    result = run(suite, "-k", "answer")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the disk is full*"])
    assert not list((suite.path / "recordings" / "test_it").iterdir())


def test_a_module_that_cannot_be_imported(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it="import nothing_of_this_name")
    run(suite).assert_outcomes(errors=1)


def test_the_mark_is_known_and_described(suite: pytest.Pytester) -> None:
    result = run(suite, "--markers")
    result.stdout.fnmatch_lines(["*responses_recording(path=None*"])
