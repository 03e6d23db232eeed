"""`rxresponses batch`: the run with all that is around it, from the arguments to the exit code."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import BinaryIO

from ..backoff import Backoff, is_retryable, retry_after
from ..batch.lines import Task, open_input, read_lines, task_of
from ..batch.progress import Progress
from ..batch.results import Results
from ..batch.run import Run
from ..errors import ConfigurationError, ConnectFailedError, ConnectionLostError
from ..options import ConnectionOptions, PoolOptions
from ..senders.client import ResponsesClient
from ..testing.fallback import is_embedded, url_or_embedded_server
from .screen import Screen

_PATIENCE = 300.0  # seconds for which a server may be away that has answered before
_BACKOFF = Backoff()


def batch(args: argparse.Namespace) -> int:
    """Do what is missing in the output; return 0 when every line has an answer, 1 when some failed."""
    with open_input(args.requests) as requests:
        _check_apart(requests, args.output)
        most = os.fstat(requests.fileno()).st_size  # no line is shorter than a byte, its end included
        with Results(
            args.output,
            lines=most,
            retry_failed=args.retry_failed,
            model=args.model,
            embedded=is_embedded(args.url),
        ) as results:
            total = results.check(read_lines(requests))
            if total > results.answered + results.failed:
                _do(args, requests, results, total)
            else:
                _sum_up(results, total)
            return 1 if results.failed else 0


def _check_apart(requests: BinaryIO, output: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(requests.fileno()), os.stat(output)):
            raise ConfigurationError("the output is the input: give another file for the results")


def _do(args: argparse.Namespace, requests: BinaryIO, results: Results, total: int) -> None:
    """Run the lines that have no result; raise `KeyboardInterrupt`, or the error that stopped it."""
    with url_or_embedded_server(args.url) as url:
        client = _client(url, args)  # raises for what cannot be used, before anything is changed
        results.begin()
        progress = Progress(total, results.answered, results.failed)
        until = -math.inf
        try:
            with progress:
                while True:
                    answered = results.answered
                    problem = _do_once(client, args, requests, results, progress)
                    if results.answered > answered:
                        until = time.monotonic() + _PATIENCE
                    if problem is None:
                        return
                    if not is_retryable(problem) or _is_for_long(problem) or time.monotonic() >= until:
                        raise problem
                    client = _client(url, args)  # the other one has given up
        finally:
            _sum_up(results, total)


def _client(url: str | None, args: argparse.Namespace) -> ResponsesClient:
    # It opens only as many connections as it needs: a sixteenth of them, unless the server knows no lanes.
    pool = PoolOptions(max_connections=args.concurrency, max_queued=args.concurrency, backoff=_BACKOFF)
    options = ConnectionOptions(close_timeout=0.5)  # whoever presses Ctrl-C waits for no server's good-bye
    return ResponsesClient(url, options=options, pool=pool)


def _do_once(
    client: ResponsesClient, args: argparse.Namespace, requests: BinaryIO, results: Results, progress: Progress
) -> Exception | None:
    """Run the lines that have no result, as long as the client does; return the error that stopped it."""
    with client:
        run = Run(client, concurrency=args.concurrency, timeout=args.timeout)
        tasks = (task_of(number, line, args.model) for number, line in read_lines(requests) if number not in results)
        with _on_interrupt(run), client.state.subscribe(progress.wait):
            problem = _take(run, tasks, results, progress)
    if run.stopping and problem is None:
        raise KeyboardInterrupt
    return problem


def _take(run: Run, tasks: Iterable[Task], results: Results, progress: Progress) -> Exception | None:
    """Write the results as they come; return the error that makes going on pointless."""
    screen = Screen()
    problem: Exception | None = None
    kinds = set()
    for result in run.results(tasks):
        if result is None:
            if run.in_flight:
                why = "" if problem is None else "no more is sent: "
                screen.note(f"{why}waiting for the {run.in_flight} in flight; Ctrl-C gives them up")
            continue
        error = result.error
        if error is not None and _is_of_all(error):
            if not run.stopping:
                problem = error
                run.stop()
            continue
        results.write(result)
        progress.add(result)
        if error is not None and (kind := (type(error), getattr(error, "code", None))) not in kinds:
            kinds.add(kind)
            screen.note(f"line {result.task.line}: {error}")
    return problem


def _is_of_all(error: Exception) -> bool:
    """Whether the other lines would fail in the same way, so that it is no result of this one."""
    if isinstance(error, (ConnectFailedError, ConnectionLostError)):
        return error.delivery == "not_sent"
    if isinstance(error, ConfigurationError) or getattr(error, "code", None) == "insufficient_quota":
        return True
    return is_retryable(error) and _is_for_long(error)


def _is_for_long(error: Exception) -> bool:
    """Whether the server asks to be left alone for longer than a client waits."""
    return _BACKOFF.is_too_long(retry_after(getattr(error, "headers", {})))


@contextlib.contextmanager
def _on_interrupt(run: Run) -> Iterator[None]:
    """Let Ctrl-C stop the run, and only the second one break it off."""

    def stop(number: int, frame: FrameType | None) -> None:
        if run.stopping:
            raise KeyboardInterrupt
        run.stop()

    ignored = signal.getsignal(signal.SIGINT) is not signal.default_int_handler  # as under nohup
    if ignored or threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _sum_up(results: Results, total: int) -> None:
    screen = Screen()
    screen.note(f"{results.answered} of {total} answered, {results.failed} failed: {results.path}")
    if results.failed:
        screen.note("--retry-failed does the failed ones again")
    if missing := total - results.answered - results.failed:
        screen.note(f"{missing} to do: the same command goes on with them")
