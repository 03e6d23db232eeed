"""`rxresponses batch --dedupe`."""

from __future__ import annotations

import signal

from rxresponses.testing import Failure, Hold, ResponsesServer

from .conftest import Batch
from .programs import PATIENCE, Start


def test_identical_requests_are_sent_once(batch: Batch, server: ResponsesServer) -> None:
    batch.ask("one", {"custom_id": "a", "input": "one"}, "two", "one")
    code, err = batch("--dedupe", "--concurrency", "1")
    assert (code, err) == (0, f"4 of 4 answered (2 copied), 0 failed: {batch.results}\n")
    assert [request["input"] for request in server.requests] == ["one", "two"]
    assert batch.answers == {1: "one", 2: "one", 3: "two", 4: "one"}
    assert batch.lines[2]["custom_id"] == "a"
    assert [batch.lines[number].get("copy_of") for number in (1, 2, 3, 4)] == [None, 1, None, 1]
    assert batch("--dedupe") == (code, err)
    assert len(server.requests) == 2


def test_without_it_each_line_is_sent(batch: Batch, server: ResponsesServer) -> None:
    batch.ask("one", "one")
    assert batch()[0] == 0
    assert len(server.requests) == 2


def test_answers_of_earlier_runs_are_copied(batch: Batch, server: ResponsesServer) -> None:
    batch.ask("one", "two")
    assert batch()[0] == 0
    batch.ask("one", "two", "two", "three", "one")
    assert batch("--dedupe")[0] == 0
    assert len(server.requests) == 3
    assert [batch.lines[number].get("copy_of") for number in (3, 4, 5)] == [2, None, 1]


def test_copies_fail_with_the_line_that_was_sent(batch: Batch, server: ResponsesServer) -> None:
    server.reply(Failure("context_length_exceeded", after=0))
    batch.ask("one", "one")
    code, err = batch("--dedupe")
    assert code == 1
    assert f"0 of 2 answered, 2 failed: {batch.results}\n" in err
    assert batch.lines[2]["error"] == batch.lines[1]["error"]
    assert batch("--dedupe", "--retry-failed")[0] == 0
    assert len(server.requests) == 2


def test_after_a_stop_the_lines_with_an_answer_have_their_copies(
    batch: Batch, server: ResponsesServer, start: Start
) -> None:
    gate = server.gate()
    server.on("one", "One.")
    server.on("two", [Hold(gate)])
    batch.ask("one", "two", "one", "three", "two", "three")
    program = start(*batch.arguments, "--concurrency", "1", "--dedupe")
    server.wait_until(lambda: len(server.requests) == 2, timeout=PATIENCE)
    program.signal(signal.SIGINT)
    program.read_stderr_until(b"waiting for the 1 in flight")
    gate.open()
    code, _, err = program.end()
    assert code == 130
    assert "4 of 6 answered (2 copied), 0 failed" in err
    assert "2 to do" in err
    assert batch("--dedupe")[0] == 0
    assert len(server.requests) == 3
    assert batch.lines[6]["copy_of"] == 4
