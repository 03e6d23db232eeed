"""A worker and a server are killed while a batch runs; each line is answered once, within the rate and the budget."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .conftest import LINES as LEAST
from .conftest import Batch, kill_a_worker
from .servers import most_in_a_window, servers

LINES = max(LEAST, 720)  # more than begin in 10 seconds
SERVERS = 3
WORKERS = 4
IN_FLIGHT = 64
PER_SECOND = max(60, LINES // 200)
TOKENS = 60  # of a request at most, with its estimate


def test_a_worker_and_a_server_are_killed(batch: Batch, tmp_path: Path, figure: Callable[[str], None]) -> None:
    batch.ask(LINES, max_output_tokens=16)
    with servers(tmp_path, SERVERS, interval=0.01) as running:
        urls = [argument for server in running for argument in ("--url", server.url)]
        arguments = [*urls, "--on", "ray", "--workers", str(WORKERS), "--concurrency", str(IN_FLIGHT)]
        limits = ["--rpm", str(PER_SECOND * 60), "--max-tokens", str(LINES * TOKENS)]
        ended = threading.Event()

        def kill() -> None:
            for share, act in ((0.25, kill_a_worker), (0.5, running[0].kill)):
                while batch.count("out") < LINES * share and not ended.wait(0.05):
                    pass
                act()

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            code, err = batch("out", *arguments, *limits)
        finally:
            ended.set()
            thread.join()
        lines = batch.lines("out")
        assert [line["line"] for line in lines] == list(range(1, LINES + 1)), err
        failed = [line for line in lines if "error" in line]
        # Those in flight at the killed server may have been answered, so they are not sent again by themselves.
        assert {line["error"]["type"] for line in failed} <= {"ConnectionLostError"}, failed[-3:]
        assert len(failed) <= IN_FLIGHT
        assert "a worker is lost" in err
        first = [arrival for server in running for arrival in server.arrivals]
        most = most_in_a_window([arrival.at for arrival in first])
        assert most <= PER_SECOND * 10 * 1.02
        sent = Counter(arrival.prompt for arrival in first)
        twice = sum(times - 1 for times in sent.values())
        assert twice <= 2 * IN_FLIGHT // WORKERS  # what the killed worker had

        assert batch("out", *arguments, "--retry-failed")[0] == 0
    lines = batch.lines("out")
    assert [line["line"] for line in lines] == list(range(1, LINES + 1))
    assert all("response" in line for line in lines)
    seconds = max(arrival.at for arrival in first) - min(arrival.at for arrival in first)
    figure(
        f"{LINES:,} lines, {WORKERS} workers, {SERVERS} servers, one of each killed: {len(first) / seconds:.0f} a "
        f"second of {PER_SECOND} allowed, at most {most / PER_SECOND / 10:.1%} of the limit in 10 s, {twice} sent "
        f"twice, {len(failed)} failed with the server and were answered by the next run"
    )
    assert code in (0, 1)


def test_the_budget_is_kept_when_a_worker_is_killed(batch: Batch, tmp_path: Path) -> None:
    budget = LINES * 4
    batch.ask(LINES, max_output_tokens=16)
    with servers(tmp_path, 1, interval=0.01) as [server]:
        ended = threading.Event()

        def kill() -> None:
            while batch.count("out") < LINES / 10 and not ended.wait(0.05):
                pass
            kill_a_worker()

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            arguments = ["--url", server.url, "--on", "ray", "--workers", "3", "--concurrency", "12"]
            code, err = batch("out", *arguments, "--max-tokens", str(budget))
        finally:
            ended.set()
            thread.join()
        assert code == 3, err
        answers = {line["line"]: line["response"]["usage"]["total_tokens"] for line in batch.lines("out")}
        largest = max(answers.values())
        used = sum(answers.values()) + (len(server.arrivals) - len(answers)) * largest
        assert budget / 2 < used <= budget + 12 * largest
