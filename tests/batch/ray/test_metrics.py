from __future__ import annotations

from rxresponses import InvalidRequestError
from rxresponses.batch.lines import task_of
from rxresponses.batch.ray.metrics import Metrics
from rxresponses.batch.run import Result

from ..conftest import Clock

TASK = task_of(1, b'"one"', "m")


class TestMetrics:
    def test_results_are_counted_by_their_ends(self, clock: Clock) -> None:
        metrics = Metrics(clock)
        metrics.add(Result(TASK, {"usage": {"input_tokens": 2, "output_tokens": 3}}))
        metrics.add(Result(TASK, {"usage": {"input_tokens": True, "output_tokens": "4"}}))
        metrics.add(Result(TASK, {"usage": None}))
        metrics.add(Result(TASK, error=InvalidRequestError("no")))
        metrics.lost_workers += 1
        assert metrics.to_dict() == {
            "requests": 4,
            "answered": 3,
            "failed": 1,
            "errors": {"InvalidRequestError": 1},
            "input_tokens": 2,
            "output_tokens": 3,
            "rate": 0.0,
            "lost_workers": 1,
        }

    def test_the_rate_is_that_of_the_latest_ten_seconds(self, clock: Clock) -> None:
        metrics = Metrics(clock)
        clock.now += 2
        metrics.count(None, 1, 1, requests=10)
        metrics.count(None, 1, 1, requests=10)
        assert metrics.rate == 10
        clock.now += 6
        metrics.count("TimeoutError", 0, 0, requests=5)
        clock.now += 2
        assert metrics.rate == 2.5
        clock.now += 2
        assert metrics.rate == 0.5
