from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from rxresponses import ConfigurationError, ResponseFailedError
from rxresponses.batch.ray.settings import ClientSettings, RunSettings
from rxresponses.batch.ray.worker import MOST_RESULTS, Exchanged, Worker
from rxresponses.testing import Failure, Hold, ResponsesServer

from .test_dispatch import tasks


@pytest.fixture
def worker(server: ResponsesServer) -> Iterator[Worker]:
    worker = Worker(RunSettings(client=ClientSettings(url=server.url, api_key="key", concurrency=4)), "one")
    yield worker
    worker.close()


class TestExchange:
    def test_results_come_with_later_calls(self, worker: Worker) -> None:
        assert worker.ready()
        results = worker.exchange(tasks(6), 0.0, False).results
        while len(results) < 6:
            results += worker.exchange([], 5.0, False).results
        assert sorted(result.task.line for result in results) == [1, 2, 3, 4, 5, 6]

    def test_a_task_that_comes_later_is_sent_at_once(self, worker: Worker, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply(Hold(gate))
        first, second = tasks(2)
        worker.exchange([first], 0.0, False)
        server.wait_until(lambda: len(server.requests) == 1)
        [result] = worker.exchange([second], 5.0, False).results
        assert result.task == second
        gate.open()
        [result] = worker.exchange([], 5.0, False).results
        assert result.task == first

    def test_one_answer_has_a_bounded_number_of_results(self, worker: Worker) -> None:
        results = worker.exchange(tasks(MOST_RESULTS + 2), 0.0, False).results
        while len(results) + worker._results.qsize() < MOST_RESULTS + 2:
            worker._running._thread.join(0.01)
        assert len(results) < 2
        assert len(worker.exchange([], 5.0, False).results) == MOST_RESULTS

    def test_the_error_of_a_line_can_be_sent_to_the_driver(self, worker: Worker, server: ResponsesServer) -> None:
        server.reply(Failure(code="server_error", message="no model"))
        answer = pickle.loads(pickle.dumps(worker.exchange(tasks(1), 5.0, False)))
        assert isinstance(answer, Exchanged)
        error = answer.results[0].error
        assert isinstance(error, ResponseFailedError)
        assert "no model" in str(error)

    def test_a_stop_without_tasks(self, worker: Worker) -> None:
        worker._running._thread.join(0)
        worker.exchange([], 0.0, True)
        worker._running._thread.join()
        assert worker.exchange([], 0.0, True).has_ended


def test_a_client_that_cannot_be_made_is_told_by_ready() -> None:
    settings = ClientSettings(url="http://127.0.0.1:1/v1", api_key="key", ca_file="/nowhere/ca.pem")
    worker = Worker(RunSettings(client=settings), "one")  # Ray would take an error here for a lost worker
    with pytest.raises(ConfigurationError, match="cannot read the certificates in /nowhere"):
        worker.ready()
