"""A batch: the lines of an input that have no result are answered, by one client after another."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from ..backoff import Backoff, is_retryable, is_spent, requested_wait
from ..errors import (
    BudgetExceededError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidRequestError,
)
from ..limits.budget import Budget
from ..limits.limits import Limits
from ..options import ConnectionOptions, PoolOptions
from ..pool.fleet_errors import FleetUnavailableError
from ..redaction import discreet
from ..senders.client import ResponsesClient
from ..senders.fleet import ResponsesFleet
from .answer_schema import AnswerSchema
from .copies import Copies
from .lines import Task
from .outcomes import Outcome
from .progress import Progress
from .results import Results
from .run import AnyRun, Run

OUTAGE = 300.0  # seconds for which a batch waits for a server that has answered and then went away
_DETAILS = re.compile(r"'[^']*'|\d+")
BACKOFF = Backoff()  # of the clients


class StoppedError(KeyboardInterrupt):
    """The user has stopped the run, and what was in flight has ended."""


class Batch:
    """Answers those of the `lines` that have no result in `results`.

    `url` is the base URL of the API, or the list of those of several servers, which then share the lines.  `options`
    are those of the connections, and `task_of` reads a line.  At most `concurrency` lines are in flight, each for at
    most `timeout` seconds.  Responses with one of the outcomes `failing` fail.  Answers that do not fit the `schema`
    are asked for again, at most `schema_retries` times, and then fail.  The lines in `copies` are not sent, and get
    copies of results at the end.  `limits` and `budget` are those of the clients.  `note` shows the user a line of
    text.  Each run is inside the context `stoppable(run)`, from which the caller may stop it.

    Raises `ConfigurationError` for a URL that cannot be used.  So make the batch before the first change to the
    results.
    """

    @discreet
    def __init__(
        self,
        lines: Callable[[], Iterable[tuple[int, bytes]]],
        results: Results,
        *,
        url: str | Sequence[str] | None,
        options: ConnectionOptions,
        task_of: Callable[[int, bytes], Task],
        concurrency: int,
        timeout: float | None,
        note: Callable[[str], None],
        stoppable: Callable[[AnyRun], AbstractContextManager[None]],
        failing: Collection[Outcome] = (),
        schema: AnswerSchema | None = None,
        schema_retries: int = 0,
        copies: Copies | None = None,
        limits: Limits | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._lines = lines
        self._results = results
        self._url = url
        self._options = options
        self._task_of = task_of
        self._copies = copies
        self._limits = limits
        self._budget = budget
        self._was_stopped = False
        self._concurrency = concurrency
        self._timeout = timeout
        self._note = note
        self._stoppable = stoppable
        self._failing = failing
        self._schema = schema
        self._schema_retries = schema_retries
        self._client = self._new_client()

    def _new_client(self) -> ResponsesClient | ResponsesFleet:
        # A client opens only the connections that it needs: one for 16 requests, if the server knows lanes.
        pool = PoolOptions(max_connections=self._concurrency, max_queued=self._concurrency, backoff=BACKOFF)
        limits, budget = self._limits, self._budget
        if self._url is None or isinstance(self._url, str):
            return ResponsesClient(self._url, options=self._options, pool=pool, limits=limits, budget=budget)
        return ResponsesFleet(self._url, options=self._options, pool=pool, limits=limits, budget=budget)

    def run(self, progress: Progress) -> None:
        """Answer them; raise `StoppedError` after a stop, or the error that every other line would meet."""
        problem = self._run_clients(progress)
        if self._copies is not None:
            for failed in self._copies.write(self._lines()):
                progress.add_copy(failed=failed)
        if problem is not None:
            raise problem
        if self._was_stopped:
            raise StoppedError

    def _run_clients(self, progress: Progress) -> Exception | None:
        """Run one client after another until all lines have a result, or one of these errors ends the batch.

        A client gives up when it cannot connect.  If the server has answered in this batch, another client
        tries for `OUTAGE` seconds more.
        """
        gives_up_at = -math.inf
        while True:
            answered = self._results.answered
            problem = self._run_client(progress)
            if self._results.answered > answered:
                gives_up_at = time.monotonic() + OUTAGE
            if problem is None or not _may_pass(problem) or _asks_for_long_wait(problem):
                return problem
            if time.monotonic() >= gives_up_at:
                return problem
            self._client = self._new_client()

    @contextmanager
    def _open_run(self, progress: Progress) -> Iterator[AnyRun]:
        with self._client as client, client.state.subscribe(progress.wait):
            yield Run(
                client,
                concurrency=self._concurrency,
                timeout=self._timeout,
                failing=self._failing,
                schema=self._schema,
                schema_retries=self._schema_retries,
            )

    def _run_client(self, progress: Progress) -> Exception | None:
        """Answer lines until all have a result or the client cannot go on; return the error of the latter."""
        with self._open_run(progress) as run, self._stoppable(run):
            problem = write_results(run, self._tasks(), self._results, progress, self._note)
        self._was_stopped = run.stopping
        return problem

    def _tasks(self) -> Iterator[Task]:
        results, copies = self._results, self._copies or ()
        for number, line in self._lines():
            if number not in results and number not in copies:
                yield self._task_of(number, line)


def write_results(
    run: AnyRun, tasks: Iterable[Task], results: Results, progress: Progress, note: Callable[[str], None]
) -> Exception | None:
    """Run the tasks and write each result as it comes; return the error that every other line would meet.

    That error stops the run.  Of errors of single lines, the first of each kind is shown.
    """
    problem: Exception | None = None
    shown = set()
    for result in run.results(tasks):
        if result is None:
            if run.in_flight:
                why = "" if problem is None else "no more is sent: "
                note(f"{why}waiting for the {run.in_flight} in flight; Ctrl-C gives them up")
            continue
        error = result.error
        if error is not None and meets_every_line(error):
            if not run.stopping:
                problem = error
                run.stop()
            continue
        results.write(result)
        progress.add(result)
        if error is not None and (kind := _kind(error)) not in shown:
            shown.add(kind)
            note(f"line {result.task.line}: {error}")
    return problem


def _kind(error: Exception) -> tuple[object, ...]:
    """Return what errors of a kind have in common: of requests that are refused here, the text without its details."""
    text = _DETAILS.sub("", str(error)) if isinstance(error, InvalidRequestError) else ""
    return type(error), getattr(error, "code", None), text


def meets_every_line(error: Exception) -> bool:
    """Whether every other line would meet this error too, so that it is no result of a line."""
    if isinstance(error, (ConnectFailedError, ConnectionLostError)):
        return error.delivery == "not_sent"
    if isinstance(error, (BudgetExceededError, ConfigurationError, FleetUnavailableError)) or is_spent(error):
        return True
    return is_retryable(error) and _asks_for_long_wait(error)


def _may_pass(error: Exception) -> bool:
    """Whether another client may succeed where one has given up."""
    if isinstance(error, FleetUnavailableError):
        return any(failure is None or is_retryable(failure) for _, _, failure in error.members)
    return is_retryable(error)


def _asks_for_long_wait(error: Exception) -> bool:
    """Whether the server asks for a longer wait than a client accepts."""
    return BACKOFF.is_too_long(requested_wait(error))
