"""`rxresponses batch`: in this process where it can be, as a real program where that is the point."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rxresponses import Backoff, ClientState
from rxresponses.batch import batch as batches
from rxresponses.batch.progress import Progress
from rxresponses.batch.results import Results
from rxresponses.testing import (
    Close,
    Failure,
    Fault,
    Hold,
    Raw,
    RefuseConcurrent,
    RefuseUpgrade,
    ResponsesServer,
)
from rxresponses.testing.request import Request
from tests.effort import examples

from .conftest import Batch
from .programs import PATIENCE, Start, usage_error


class TestRun:
    def test_each_form_of_a_line(self, batch: Batch, server: ResponsesServer) -> None:
        envelope = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "n", "input": "three"},
        }
        batch.ask("one", {"model": "n", "input": "two"}, envelope)
        code, err = batch("--model", "m")
        assert (code, err) == (0, f"3 of 3 answered, 0 failed: {batch.results}\n")
        assert batch.answers == {1: "one", 2: "two", 3: "three"}
        assert batch.lines[3]["custom_id"] == "a"
        assert {request["input"]: request["model"] for request in server.requests} == {
            "one": "m",
            "two": "n",
            "three": "n",
        }

    def test_concurrency_is_a_limit(self, batch: Batch, server: ResponsesServer) -> None:
        running: list[int] = []

        def reply(request: Request) -> str:
            running.append(sum(exchange.outcome is None for exchange in server.exchanges))
            return "Hello"

        server.reply(*[reply] * 40)
        batch.ask(*map(str, range(40)))
        assert batch("--concurrency", "3")[0] == 0
        assert max(running) <= 3

    def test_nothing_to_do(self, batch: Batch, server: ResponsesServer) -> None:
        batch.requests.write_text("\n \n")
        code, err = batch()
        assert (code, err) == (0, f"0 of 0 answered, 0 failed: {batch.results}\n")
        assert server.accepted == 0

    def test_a_server_without_lanes_gets_a_connection_for_each_request(
        self, batch: Batch, server: ResponsesServer
    ) -> None:
        gate = server.gate()

        def reply(request: Request) -> list[Hold]:
            if sum(exchange.outcome is None for exchange in server.exchanges) == 20:
                gate.open()
            return [Hold(gate)]

        server.fault(Fault(RefuseConcurrent()))
        server.on("", reply)
        batch.ask(*map(str, range(20)))
        assert batch("--concurrency", "20", "--timeout", str(PATIENCE))[0] == 0
        assert len(batch.answers) == 20

    def test_blank_lines(self, batch: Batch) -> None:
        batch.requests.write_text("\n\n\n7")
        for _ in range(2):
            assert batch()[0] == 1
            assert set(batch.lines) == {4}

    def test_the_embedded_server_answers_without_a_key(self, batch: Batch) -> None:
        batch.ask("Hi")
        del batch.arguments[-2:]
        code, err = batch()
        assert code == 0
        assert err.startswith("OPENAI_API_KEY is not set: the embedded test server (http://127.0.0.1:")
        assert batch.answers == {1: "Hi"}

    def test_answers_of_the_embedded_server_are_not_mixed_with_others(
        self, batch: Batch, server: ResponsesServer
    ) -> None:
        batch.ask("one", "two")
        url = batch.arguments[-2:]
        del batch.arguments[-2:]
        assert batch()[0] == 0
        assert batch()[0] == 0
        before = batch.results.read_bytes()
        batch.arguments += url
        code, err = batch()
        assert code == 2
        assert "answers that the embedded test server made up" in err
        assert batch.results.read_bytes() == before
        assert server.accepted == 0
        batch.results.unlink()
        assert batch()[0] == 0
        del batch.arguments[-2:]
        code, err = batch()
        assert code == 2
        assert "set OPENAI_API_KEY" in err

    def test_answers_of_two_models_are_not_mixed(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask("one", {"model": "n", "input": "two"})
        assert batch("--model", "a")[0] == 0
        assert [line.get("model") for _, line in sorted(batch.lines.items())] == ["a", None]
        code, err = batch("--model", "b")
        assert code == 2
        assert "go on with --model a" in err
        assert len(server.requests) == 2

    def test_standard_input(self, batch: Batch, start: Start, tmp_path: Path) -> None:
        batch.ask("one", "two")
        arguments = ["-" if argument == str(batch.requests) else argument for argument in batch.arguments]
        for done in (1, 2):
            with batch.requests.open() as file:
                assert start(*arguments, stdin=file).end()[0] == 0
            assert len(batch.answers) == 2, done
        ended, _, err = start(*arguments, stdin=subprocess.PIPE).end()
        assert ended == 2
        assert "standard input is no regular file" in err


class TestResuming:
    def test_does_what_is_missing(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask("one", "two", "three")
        batch()
        first, _, third = batch.results.read_text().splitlines(keepends=True)
        batch.results.write_text(first + third[:50])
        code, err = batch()
        assert (code, err) == (0, f"3 of 3 answered, 0 failed: {batch.results}\n")
        assert set(batch.lines) == {1, 2, 3}
        assert len(server.requests) == 5

    def test_nothing_is_missing(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask("one")
        batch()
        before = batch.results.stat()
        assert batch() == (0, f"1 of 1 answered, 0 failed: {batch.results}\n")
        assert len(server.requests) == 1
        assert batch.results.stat().st_mtime_ns == before.st_mtime_ns

    def test_more_lines_than_before(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask("one")
        batch()
        batch.ask("one", "two")
        batch()
        assert set(batch.answers) == {1, 2}
        assert len(server.requests) == 2

    def test_an_output_of_another_input(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask("one")
        batch()
        before = batch.results.read_bytes()
        batch.ask("another", "two")
        code, err = batch()
        assert code == 2
        assert "line 1 of the input is not the one that has its result in" in err
        assert batch.results.read_bytes() == before
        assert len(server.requests) == 1

    def test_two_runs_at_once(self, batch: Batch, server: ResponsesServer, start: Start) -> None:
        gate = server.gate()
        server.reply([Hold(gate)])
        batch.ask("one")
        program = start(*batch.arguments)
        server.wait_until(lambda: len(server.requests) == 1, timeout=PATIENCE)
        code, err = batch()
        assert code == 2
        assert "another run is writing" in err
        gate.open()
        assert program.end()[0] == 0
        assert len(batch.answers) == 1

    @pytest.mark.full
    def test_many_lines_killed_three_times(self, batch: Batch, server: ResponsesServer, start: Start) -> None:
        count = examples(5_000)
        kills = sorted(random.sample(range(count), 3))
        begun, reached = 0, threading.Event()

        def reply(request: Request) -> str:
            nonlocal begun
            begun += 1
            if kills and begun >= kills[0]:
                reached.set()
            return request.text

        server.on("", reply)
        batch.ask(*(f"question {number}" for number in range(1, count + 1)))
        arguments = [*batch.arguments, "--concurrency", "64"]
        done = [0]
        for _ in range(3):
            program = start(*arguments)
            assert reached.wait(PATIENCE), program.kill()
            program.kill()
            kills.pop(0)
            reached.clear()
            done.append(batch.results.read_bytes().count(b"\n"))
        code, _, err = start(*arguments).end()
        assert code == 0, err
        assert err.endswith(f"{count} of {count} answered, 0 failed: {batch.results}\n")
        assert done == sorted(done)
        assert batch.answers == {number: f"question {number}" for number in range(1, count + 1)}
        # Only requests that were in flight at a kill were sent again.
        assert count <= begun <= count + 3 * 64


class TestFailures:
    def test_are_results_and_the_run_goes_on(self, batch: Batch, server: ResponsesServer) -> None:
        server.on("lost", [Close(1006, after=2)])
        batch.ask("one", {"input": 7}, {"custom_id": "a", "body": {"input": "lost"}})
        with batch.requests.open("a") as file:
            file.write("{broken\n")
        code, err = batch("--concurrency", "1")
        assert code == 1
        errors = {number: line["error"] for number, line in batch.lines.items() if "error" in line}
        assert {number: (error["type"], error["delivery"]) for number, error in errors.items()} == {
            2: ("InvalidRequestError", "not_sent"),
            3: ("ConnectionLostError", "started"),
            4: ("InvalidRequestError", "not_sent"),
        }
        assert batch.lines[3]["custom_id"] == "a"
        assert "line 2: `input` must be a string or a list of items, not int\n" in err
        assert "line 3: " in err
        assert "line 4: the line is no JSON: " in err  # another kind than line 2
        assert f"1 of 4 answered, 3 failed: {batch.results}\n--retry-failed does the failed ones again\n" in err

    def test_are_not_repeated(self, batch: Batch, server: ResponsesServer) -> None:
        server.reply(Failure("context_length_exceeded", after=0))
        batch.ask("one")
        assert batch()[0] == 1
        before = batch.results.read_bytes()
        assert batch()[0] == 1
        assert batch.results.read_bytes() == before
        assert len(server.requests) == 1

    def test_are_repeated_with_retry_failed(self, batch: Batch, server: ResponsesServer) -> None:
        server.reply(Failure("context_length_exceeded", after=0))
        batch.ask("one", "two", "three")
        assert batch("--concurrency", "1")[0] == 1
        code, err = batch("--retry-failed")
        assert (code, err) == (0, f"3 of 3 answered, 0 failed: {batch.results}\n")
        assert set(batch.answers) == {1, 2, 3}
        assert len(server.requests) == 4
        assert batch("--retry-failed") == (code, err)
        assert len(server.requests) == 4

    def test_a_failed_line_that_was_corrected(self, batch: Batch) -> None:
        batch.ask("one", {"input": 7})
        assert batch()[0] == 1
        batch.ask("one", {"input": "seven"})
        code, err = batch()
        assert code == 2
        assert "--retry-failed" in err
        assert batch("--retry-failed")[0] == 0
        assert batch.answers == {1: "one", 2: "seven"}

    def test_a_request_refused_for_now_is_sent_again(self, batch: Batch, server: ResponsesServer) -> None:
        server.reply(Failure("rate_limit_exceeded", after=0, headers={"retry-after": "0"}))
        batch.ask("one")
        assert batch()[0] == 0
        assert len(server.requests) == 2

    def test_scenario_64_a_response_that_fails_at_a_limit_is_sent_again(
        self, batch: Batch, server: ResponsesServer
    ) -> None:
        error = {"code": "rate_limit_exceeded", "message": "Please try again in 0.2s."}
        failed = {"type": "response.failed", "response": {"id": "r", "output": [], "usage": None, "error": error}}
        server.reply(*[Raw([{"type": "response.created", "response": {"id": "r"}}, failed])] * 3)
        batch.ask(*map(str, range(5)))
        assert batch()[0] == 0
        assert len(server.requests) == 5 + 3

    def test_an_answer_that_takes_too_long(self, batch: Batch, server: ResponsesServer) -> None:
        server.reply([Hold(server.gate(), after=2)])
        batch.ask("one")
        assert batch("--timeout", "0.2")[0] == 1
        assert batch.lines[1]["error"]["type"] == "TerminalTimeoutError"

    @pytest.mark.full
    def test_a_pause_at_a_rate_limit_does_not_count_as_time_of_the_answer(
        self, batch: Batch, server: ResponsesServer
    ) -> None:
        server.reply("Hello", Failure("rate_limit_exceeded", after=0, headers={"retry-after": "2.5"}))
        batch.ask(*map(str, range(9)))
        assert batch("--timeout", "2", "--concurrency", "3")[0] == 0
        assert len(server.requests) >= 10  # one more for what was refused

    def test_a_full_disk(self, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        batch.ask("one", "two")
        monkeypatch.setattr(Results, "write", full)
        code, err = batch()
        assert code == 1
        assert "2 to do: the same command goes on with them\n" in err
        assert err.endswith(f"rxresponses: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n")


def usage_limit(**facts: object) -> Callable[[Request], Raw]:
    error = {"type": "usage_limit_reached", "message": "The usage limit has been reached", **facts}
    frame = {"type": "error", "status_code": 429, "error": error}
    return lambda request: Raw([{**frame, "stream_id": request.stream_id} if request.stream_id else frame])


class TestFailuresOfAllLines:
    """An error that every line would meet stops the run, and is no result of a line."""

    def test_a_wrong_key(self, batch: Batch, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
        server.fault(Fault(RefuseUpgrade(401)))
        batch.ask(*map(str, range(50)))
        code, err = batch("--concurrency", "4")
        assert code == 1
        assert batch.lines == {}
        assert f"0 of 50 answered, 0 failed: {batch.results}\n50 to do: the same command goes on with them\n" in err
        assert "401" in err.splitlines()[-1]
        assert "sk-" not in err
        server.clear_faults()
        assert batch()[0] == 0

    @pytest.mark.parametrize(
        ("refusal", "told"),
        [
            (Failure("insufficient_quota", after=0), "no credit left"),
            (Failure("rate_limit_exceeded", after=0, headers={"retry-after": "3600"}), "rate_limit_exceeded"),
            (usage_limit(), "usage_limit_reached"),
            (usage_limit(resets_in_seconds=3600), "usage_limit_reached"),
            (usage_limit(resets_at=4_000_000_000), "usage_limit_reached"),
            (Failure("rate_limit_exceeded", "Please try again in 1h.", after=0), "rate_limit_exceeded"),
            (
                Failure("rate_limit_exceeded", after=0, headers={"x-ratelimit-reset-tokens": "1h0m0s"}),
                "rate_limit_exceeded",
            ),
        ],
        ids=["no credit", "a rate limit that lasts too long", "plan", "plan, 1 h", "plan, time", "message", "headers"],
    )
    def test_scenario_64_a_refusal_that_every_line_would_meet(
        self, batch: Batch, server: ResponsesServer, refusal: Failure | Callable[[Request], Raw], told: str
    ) -> None:
        server.reply(*["Hello"] * 10, *[refusal] * 50)
        batch.ask(*map(str, range(50)))
        code, err = batch("--concurrency", "4")
        assert code == 1
        assert len(batch.answers) == len(batch.lines) == 10
        assert told in err.splitlines()[-1]
        assert len(server.requests) <= 10 + 4

    @pytest.mark.parametrize(
        "told",
        [
            {"body": {"error": {"type": "usage_limit_reached", "resets_in_seconds": 3600}}},
            {"headers": {"x-ratelimit-reset-requests": "1h"}},
        ],
        ids=["body", "headers"],
    )
    def test_scenario_64_a_limit_told_in_the_handshake(self, batch: Batch, server: ResponsesServer, told: Any) -> None:
        server.fault(Fault(RefuseUpgrade(429, **told)))
        batch.ask(*map(str, range(200)))
        code, err = batch("--concurrency", "4")
        assert (code, batch.lines) == (1, {})
        assert "asks to wait 3600 s" in err.splitlines()[-1]
        assert len(server.upgrades) <= 4


class TestOutage:
    @pytest.fixture(autouse=True)
    def _quickly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batches, "BACKOFF", Backoff(initial=0.01, max_retries=1))

    @staticmethod
    def begin_at_the_third(
        server: ResponsesServer, times: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Lose the third request, and refuse each connection after that."""

        def lose(request: Request) -> Close:
            server.fault(Fault(RefuseUpgrade(503, headers=headers or {}), times=times))
            return Close(1012)

        server.on("^3$", lambda request: [lose(request)])

    def test_is_waited_for(self, batch: Batch, server: ResponsesServer) -> None:
        """The wait is longer than one client tries; an unsent line does not fail."""
        self.begin_at_the_third(server, times=7)
        batch.ask(*map(str, range(1, 10)))
        code, err = batch("--concurrency", "1")
        assert code == 1
        assert batch.lines[3]["error"]["type"] == "ConnectionLostError"
        assert batch.answers == {number: str(number) for number in range(1, 10) if number != 3}
        assert f"8 of 9 answered, 1 failed: {batch.results}\n" in err
        assert [upgrade.status for upgrade in server.upgrades] == [101, *[503] * 7, 101]

    def test_stops_the_run_when_it_lasts_too_long(
        self, batch: Batch, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batches, "OUTAGE", 0.0)
        self.begin_at_the_third(server)
        batch.ask(*map(str, range(1, 10)))
        code, err = batch("--concurrency", "1")
        assert code == 1
        assert set(batch.lines) == {1, 2, 3}
        assert "6 to do: the same command goes on with them\n" in err
        assert "503" in err.splitlines()[-1]
        assert "in flight" not in err
        server.clear_faults()
        batch()
        assert set(batch.answers) == {1, 2, 4, 5, 6, 7, 8, 9}

    def test_stops_the_run_when_the_server_asks_for_a_long_wait(self, batch: Batch, server: ResponsesServer) -> None:
        self.begin_at_the_third(server, headers={"retry-after": "3600"})
        batch.ask(*map(str, range(1, 10)))
        code, err = batch("--concurrency", "1")
        assert code == 1
        assert set(batch.lines) == {1, 2, 3}
        assert "asks to wait 3600 s" in err.splitlines()[-1]
        assert [upgrade.status for upgrade in server.upgrades] == [101, 503]

    def test_a_server_that_never_answered_is_not_waited_for(self, batch: Batch, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503)))
        batch.ask("one", "two")
        assert batch("--concurrency", "1")[0] == 1
        assert batch.lines == {}
        assert len(server.upgrades) == 2

    def test_interrupted(self, batch: Batch, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The run does not wait for unsent lines."""
        monkeypatch.setattr(batches, "BACKOFF", Backoff(initial=PATIENCE, jitter=0.0, max_delay=PATIENCE))

        def interrupt(self: Progress, state: ClientState) -> None:
            if state.reconnect_in is not None:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(Progress, "wait", interrupt)
        server.fault(Fault(RefuseUpgrade(503)))
        batch.ask(*map(str, range(9)))
        begin = time.monotonic()
        code, err = batch("--concurrency", "4")
        assert time.monotonic() - begin < PATIENCE
        assert code == 130
        assert err == f"0 of 9 answered, 0 failed: {batch.results}\n9 to do: the same command goes on with them\n"


class TestInterrupt:
    def test_the_requests_in_flight_are_waited_for(self, batch: Batch, server: ResponsesServer, start: Start) -> None:
        gate = server.gate()
        server.reply("Hello", *[[Hold(gate)]] * 9)
        batch.ask(*map(str, range(5)))
        program = start(*batch.arguments, "--concurrency", "2")
        server.wait_until(lambda: len(server.requests) == 3, timeout=PATIENCE)
        program.signal(signal.SIGINT)
        program.read_stderr_until(b"waiting for the 2 in flight; Ctrl-C gives them up\n")
        gate.open()
        code, _, err = program.end()
        assert code == 130
        assert err == f"3 of 5 answered, 0 failed: {batch.results}\n2 to do: the same command goes on with them\n"
        assert len(batch.answers) == len(server.requests) == 3
        assert batch()[0] == 0
        assert len(server.requests) == 5

    def test_the_second_interrupt_gives_them_up(self, batch: Batch, server: ResponsesServer, start: Start) -> None:
        server.reply("Hello", *[[Hold(server.gate())]] * 2)
        batch.ask(*map(str, range(5)))
        program = start(*batch.arguments, "--concurrency", "2")
        server.wait_until(lambda: len(server.requests) == 3, timeout=PATIENCE)
        program.signal(signal.SIGINT)
        program.read_stderr_until(b"waiting for the 2 in flight")
        program.signal(signal.SIGINT)
        code, _, err = program.end()
        assert code == 130
        assert err == f"1 of 5 answered, 0 failed: {batch.results}\n4 to do: the same command goes on with them\n"
        assert batch()[0] == 0
        assert len(batch.answers) == 5

    def test_the_handler_is_restored(self, batch: Batch) -> None:
        batch.ask("one")
        batch()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_an_ignored_signal_stays_ignored(self, batch: Batch, server: ResponsesServer) -> None:
        seen: list[object] = []

        def reply(request: Request) -> str:
            seen.append(signal.getsignal(signal.SIGINT))
            return "Hello"

        server.reply(reply)
        batch.ask("one")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            batch()
        finally:
            signal.signal(signal.SIGINT, before)
        assert seen == [signal.SIG_IGN]

    def test_another_thread_sets_no_handler(self, batch: Batch) -> None:
        batch.ask("one")
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(batch()[0]))
        thread.start()
        thread.join(PATIENCE)
        assert codes == [0]
        assert batch.answers == {1: "one"}


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ([], "REQUESTS"),
            (["in.jsonl"], "-o/--output"),
            (["in.jsonl", "-o", "-"], "must be a file"),
            (["in.jsonl", "-o", "x", "--concurrency", "0"], "must be a positive whole number, not '0'"),
            (["in.jsonl", "-o", "x", "--concurrency", "many"], "must be a positive whole number, not 'many'"),
            (["in.jsonl", "-o", "x", "--timeout", "0"], "must be a positive number"),
        ],
    )
    def test_arguments(self, capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
        assert said in usage_error(capsys, "batch", *args)

    def test_no_input(self, batch: Batch) -> None:
        code, err = batch()
        assert code == 2
        assert err.startswith("rxresponses: cannot read the requests: ")
        assert not batch.results.exists()

    def test_the_output_is_the_input(self, batch: Batch) -> None:
        batch.ask("one")
        before = batch.requests.read_bytes()
        batch.results.symlink_to(batch.requests)
        code, err = batch()
        assert (code, err) == (2, "rxresponses: the output is the input: give another file for the results\n")
        assert batch.requests.read_bytes() == before

    def test_an_invalid_url(self, batch: Batch) -> None:
        batch.ask({"input": 7})
        batch()
        before = batch.results.read_bytes()
        code, err = batch("--url", "ftp://127.0.0.1", "--retry-failed")
        assert code == 2
        assert err.startswith("rxresponses: the URL must be ")
        assert batch.results.read_bytes() == before
