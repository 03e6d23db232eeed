"""Which errors stop a batch; `tests/cli/test_batch.py` tests its other rules with the command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import Observable

from rxresponses import (
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    FleetUnavailableError,
    InvalidRequestError,
    ServerEvent,
)
from rxresponses.batch.batch import meets_every_line, write_results
from rxresponses.batch.lines import open_input, read_lines, task_of
from rxresponses.batch.progress import Progress
from rxresponses.batch.results import Results
from rxresponses.batch.run import Run


class Sender:
    """Answers a number of requests, then cannot connect."""

    def __init__(self, answers: int) -> None:
        self._left = answers

    def send_request(self, request: Mapping[str, Any]) -> Observable[ServerEvent]:
        self._left -= 1
        if self._left < 0:
            return reactivex.throw(ConnectFailedError("no server"))
        event: dict[str, Any] = {"type": "response.completed", "response": {"id": "r"}}
        return reactivex.of(ServerEvent.from_dict(event))


@pytest.mark.parametrize("answers", [0, 1])
def test_a_failed_connection_stops_the_batch_and_is_no_result(tmp_path: Path, answers: int) -> None:
    (tmp_path / "in.jsonl").write_text('"one"\n"two"\n"three"\n')
    problems: list[Exception | None] = []
    with open_input(str(tmp_path / "in.jsonl")) as requests:
        for line_count, sender in ((1, Sender(1)), (3, Sender(answers))):
            with Results(str(tmp_path / "out.jsonl"), lines=100) as results:
                results.begin()
                lines = list(read_lines(requests))[:line_count]
                tasks = [task_of(*line, "m") for line in lines if line[0] not in results]
                progress = Progress(3, results.answered)
                problems.append(write_results(Run(sender, concurrency=1), tasks, results, progress, note=pytest.fail))
    assert problems[0] is None
    assert isinstance(problems[1], ConnectFailedError)
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {line["line"]: "response" in line for line in written} == dict.fromkeys(range(1, 2 + answers), True)
    assert len(written) == 1 + answers


@pytest.mark.parametrize(
    ("error", "stops"),
    [
        (ConfigurationError("no key"), True),
        (ConnectFailedError("refused", status=404), True),
        (ConnectFailedError("busy", status=503), True),
        (ConnectionLostError("closed at once", delivery="not_sent"), True),
        (ConnectionLostError("gone", delivery="unknown"), False),
        (InvalidRequestError("wrong"), False),
        (FleetUnavailableError("none", members=[]), True),
        (FleetUnavailableError("none", members=[], delivery="rejected"), True),
    ],
)
def test_errors_that_every_line_would_meet(error: Exception, stops: bool) -> None:
    assert meets_every_line(error) is stops
