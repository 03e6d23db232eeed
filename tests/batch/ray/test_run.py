from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import Backoff, ClientState, ConfigurationError, FleetState
from rxresponses.batch.batch import write_results
from rxresponses.batch.ray import run as runs
from rxresponses.batch.ray.dispatch import MOST_LOSSES
from rxresponses.batch.ray.lost import WorkerLostError
from rxresponses.batch.ray.run import MOST_STARTS, RayRun
from rxresponses.batch.run import Result
from rxresponses.testing import Hold, ResponsesServer
from rxresponses.testing.request import Request

from ..conftest import Clock
from .conftest import ThreadWorkers
from .test_dispatch import tasks


def texts(results: list[Result]) -> dict[int, Any]:
    return {
        result.task.line: result.error or (result.response or {})["output"][0]["content"][0]["text"]
        for result in results
    }


def answer(request: Request) -> str:
    return f"answer {request.text}"


def finish(run: RayRun, count: int) -> list[Result]:
    return [result for result in run.results(tasks(count)) if result is not None]


class TestResults:
    def test_each_task_has_one_result(self, server: ResponsesServer, workers: ThreadWorkers) -> None:
        server.reply(*[answer] * 100)
        run = RayRun(workers, count=3, ahead=8)
        results = finish(run, 100)
        assert len(results) == 100
        assert texts(results) == {line: f"answer {line}" for line in range(1, 101)}
        assert run.metrics.answered == 100
        assert run.to_dict()["answered"] == 100
        assert (run.to_dict()["in_flight"], run.to_dict()["workers"]) == (0, 0)
        assert run.in_flight == 0
        assert sorted(workers.ended) == ["worker 1", "worker 2", "worker 3"]

    def test_no_tasks(self, workers: ThreadWorkers) -> None:
        assert finish(RayRun(workers, count=2, ahead=8), 0) == []

    def test_the_lines_of_a_lost_worker_go_to_others(self, server: ResponsesServer, workers: ThreadWorkers) -> None:
        gate = server.gate()
        server.reply(*[Hold(gate)] * 4)
        notes: list[str] = []
        run = RayRun(workers, count=1, ahead=4, note=notes.append)
        results = run.results(tasks(8))

        def wait(calls: Any, timeout: float, wait: Callable[..., Any] = workers.wait) -> Any:
            if len(server.requests) == 4 and not gate.is_open:
                workers.lose("worker 1")
                gate.open()
            return wait(calls, timeout)

        workers.wait = wait  # type: ignore[method-assign]
        ended = [result for result in results if result is not None]
        assert sorted(result.task.line for result in ended) == list(range(1, 9))
        assert all(result.error is None for result in ended)
        assert workers.given == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]
        assert notes == ["a worker is lost, and its 4 lines go to others: the process ended"]
        assert run.metrics.lost_workers == 1
        assert str(run).startswith("1 workers, 0 in flight, ")
        assert str(run).endswith(" requests/s, 1 workers lost")
        assert workers.ended.count("worker 1") == 1

    def test_a_line_that_ends_every_worker_fails(self, workers: ThreadWorkers) -> None:
        exchange = workers.exchange

        def lose(worker: str, *args: Any) -> Any:
            workers.lose(worker)
            return exchange(worker, *args)

        workers.exchange = lose  # type: ignore[method-assign, assignment]
        [result] = finish(RayRun(workers, count=1, ahead=4), 1)
        assert isinstance(result.error, WorkerLostError)
        assert result.error.delivery == "unknown"
        assert workers.given == [1] * MOST_LOSSES

    def test_workers_that_cannot_start_end_the_run(self, workers: ThreadWorkers) -> None:
        workers.unstartable = MOST_STARTS
        with pytest.raises(ConfigurationError, match="3 workers have ended before they were ready: the process ended"):
            finish(RayRun(workers, count=1, ahead=4), 1)

    def test_a_worker_that_cannot_start_is_replaced(self, workers: ThreadWorkers) -> None:
        workers.unstartable = MOST_STARTS - 1
        assert len(finish(RayRun(workers, count=1, ahead=4), 3)) == 3

    def test_what_a_worker_raises_ends_the_run(self, workers: ThreadWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: object, tasks: object) -> Any:
            raise RuntimeError("no disk")

        monkeypatch.setattr("rxresponses.batch.run.Run.results", fail)
        with pytest.raises(RuntimeError, match="no disk"):
            finish(RayRun(workers, count=1, ahead=4), 3)
        assert workers.ended == ["worker 1"]

    def test_closing_ends_the_workers(self, server: ResponsesServer, workers: ThreadWorkers) -> None:
        results = RayRun(workers, count=2, ahead=4).results(tasks(50))
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert sorted(workers.ended) == ["worker 1", "worker 2"]

    def test_the_state_of_a_client_is_told(self, workers: ThreadWorkers) -> None:
        states: list[ClientState | FleetState] = []
        finish(RayRun(workers, count=1, ahead=4, waits=states.append), 8)
        assert any(isinstance(state, ClientState) and state.open for state in states)

    def test_workers_without_a_cpu_are_told_of(
        self, workers: ThreadWorkers, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs, "WAIT", 0.0)
        notes: list[str] = []
        run = RayRun(workers, count=2, ahead=4, note=notes.append, clock=clock)
        ready = workers.ready

        def late(worker: str) -> Any:
            call = ready(worker)
            if worker == "worker 2":
                workers.wait([call], 60)
                hidden.append(call)
            return call

        def wait(calls: Any, timeout: float, wait: Callable[..., Any] = workers.wait) -> Any:
            clock.now += 1
            return [call for call in wait(calls, timeout) if call not in hidden or notes]

        hidden: list[Any] = []
        workers.ready, workers.wait = late, wait  # type: ignore[method-assign]
        results = run.results(task for task in tasks(10_000))
        while not notes:
            next(results)
        assert notes == ["1 of 2 workers have not started: is a CPU free for each?"]
        results.close()  # type: ignore[attr-defined]


class TestStop:
    def test_what_is_in_flight_ends_and_nothing_more_is_sent(
        self, server: ResponsesServer, workers: ThreadWorkers
    ) -> None:
        gate = server.gate()
        server.reply(*[Hold(gate)] * 4)
        run = RayRun(workers, count=1, ahead=8)
        results = run.results(tasks(50))
        ended: list[Result] = []

        def wait(calls: Any, timeout: float, wait: Callable[..., Any] = workers.wait) -> Any:
            if run.in_flight == 4:
                run.stop()
            if run.stopping and workers.workers["worker 1"][0]._running.run.stopping:
                gate.open()  # not before the worker knows, or it would send another request
            return wait(calls, timeout)

        workers.wait = wait  # type: ignore[method-assign]
        for result in results:
            if result is not None:
                ended.append(result)
        assert sorted(result.task.line for result in ended) == [1, 2, 3, 4]
        assert len(server.requests) == 4
        assert run.in_flight == 0

    def test_a_stop_before_the_first_task(self, server: ResponsesServer, workers: ThreadWorkers) -> None:
        run = RayRun(workers, count=1, ahead=8)
        run.stop()
        assert list(run.results(tasks(5))) == [None]
        assert server.requests == []

    def test_an_error_that_meets_every_line_stops_the_run(
        self, workers: ThreadWorkers, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rxresponses.batch.ray.settings.BACKOFF", Backoff(max_retries=0))
        written: list[Result] = []

        class Results:
            write = written.append

        class Progress:
            add = staticmethod(lambda result: None)

        server.__exit__(None, None, None)
        run = RayRun(workers, count=1, ahead=8)
        problem = write_results(run, tasks(5), Results(), Progress(), print)  # type: ignore[arg-type]
        assert type(problem).__name__ == "ConnectFailedError"
        assert written == []
