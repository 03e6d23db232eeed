"""What `rxresponses batch` does: it answers the lines that have no result, and then writes what else was asked for."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FrameType

from ..batch.answer_schema import AnswerSchema
from ..batch.batch import Batch, StoppedError
from ..batch.copies import Copies
from ..batch.lines import checked_ids, open_input, read_lines, refuse_as_output, task_of
from ..batch.outcomes import Outcome
from ..batch.progress import Progress
from ..batch.results import Results
from ..batch.run import Run
from ..batch.text import write_texts
from ..errors import ConfigurationError, ResponsesError
from ..testing.fallback import is_embedded, url_or_embedded_server
from .arguments import connection_options
from .schema_file import read_schema
from .screen import Screen
from .stderr import note_interrupt

Lines = Callable[[], Iterable[tuple[int, bytes]]]


def run_batch(args: argparse.Namespace) -> int:
    """Answer the lines that have no result; return 0 when every line has an answer, 1 when some failed."""
    with open_input(args.requests) as requests:
        for output in filter(None, (args.output, args.text)):
            refuse_as_output(requests, output)
        _check_text(args)
        schema = _schema(args)
        size = os.fstat(requests.fileno()).st_size  # bytes; each line has one at least, its end
        with Results(
            args.output,
            lines=size,
            retry_failed=args.retry_failed,
            failing=_failing(args),
            model=args.model,
            embedded=is_embedded(args.url),
            schema=None if schema is None else schema.format.digest,
        ) as results:
            return _Command(args, partial(read_lines, requests), results, schema).run()


class _Command:
    """One run of the command, with its files open."""

    def __init__(self, args: argparse.Namespace, lines: Lines, results: Results, schema: AnswerSchema | None) -> None:
        self._args = args
        self._lines = lines
        self._results = results
        self._schema = schema
        self._task_of = partial(task_of, model=args.model, format=None if schema is None else schema.format)
        self._copies = Copies(self._task_of, results) if args.dedupe else None
        self._screen = Screen()

    def run(self) -> int:
        """Answer the lines; return the exit code."""
        results = self._results
        lines = checked_ids(self._lines())
        total = results.check(lines if self._copies is None else self._copies.read(lines))
        if total > results.answered + results.failed:
            total = self._answer(total)
        else:
            self._finish(total)
        return 0 if results.answered == total else 1

    def _answer(self, total: int) -> int:
        """Answer the lines that have no result; return the number of lines, of which some may have come meanwhile."""
        args, results, copies = self._args, self._results, self._copies
        with url_or_embedded_server(args.url) as url:
            batch = Batch(
                self._lines,
                results,
                url=url,
                options=connection_options(args),
                task_of=self._task_of,
                concurrency=args.concurrency,
                timeout=args.timeout,
                note=self._screen.note,
                stoppable=_stop_on_interrupt,
                failing=_failing(args),
                schema=self._schema,
                schema_retries=args.schema_retries,
                copies=copies,
            )
            results.begin()
            progress = Progress(total, results.answered, results.failed, copies=0 if copies is None else len(copies))
            try:
                with progress:
                    batch.run(progress)
            except (StoppedError, ResponsesError):
                self._finish(self._recount(total))
                raise
            except BaseException:
                self._sum_up(self._recount(total))
                raise
            total = self._recount(total)
            self._finish(total)
        return total

    def _recount(self, total: int) -> int:
        # The exit code follows from the files, which another program may have changed during the run.
        return max(total, self._results.recount(self._lines()))

    def _finish(self, total: int) -> None:
        """Write what is made of all results, and sum them up."""
        try:
            if self._args.in_order:
                self._results.sort()
            if self._args.text is not None:
                write_texts(self._args.text, self._results, self._lines())
        finally:
            self._sum_up(total)

    def _sum_up(self, total: int) -> None:
        results, note = self._results, self._screen.note
        counts = (results.refused, "refused"), (results.incomplete, "incomplete"), (results.copied, "copied")
        special = ", ".join(f"{count} {outcome}" for count, outcome in counts if count)
        answered = f"{results.answered} of {total} answered{f' ({special})' if special else ''}"
        note(f"{answered}, {results.failed} failed: {results.path}")
        if results.failed:
            note("--retry-failed does the failed ones again")
        if missing := total - results.answered - results.failed:
            note(f"{missing} to do: the same command goes on with them")


def _check_text(args: argparse.Namespace) -> None:
    """Raise `ConfigurationError` if the texts could not be written at the end."""
    path = args.text
    if path is None:
        return
    if os.path.realpath(path) == os.path.realpath(args.output):
        raise ConfigurationError("--text is the file of results: give another file for the texts")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigurationError(f"cannot write the texts: {path} is no regular file")
    if not os.path.isdir(os.path.dirname(os.path.realpath(path))):
        raise ConfigurationError(f"cannot write the texts: the folder of {path} does not exist")


def _schema(args: argparse.Namespace) -> AnswerSchema | None:
    """Return the schema that the arguments name; raise `ConfigurationError` if it cannot be used."""
    if args.schema is None:
        return None
    format, schema = read_schema(args.schema)
    try:
        return AnswerSchema(format, schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"the schema in {args.schema} cannot be used: {error}") from error


def _failing(args: argparse.Namespace) -> list[Outcome]:
    return ["refused", "incomplete"] if args.schema is not None else args.failing or []


@contextlib.contextmanager
def _stop_on_interrupt(run: Run) -> Iterator[None]:
    """Let the first Ctrl-C stop the run, and the second raise `KeyboardInterrupt`."""

    def stop(number: int, frame: FrameType | None) -> None:
        note_interrupt()
        if run.stopping:
            raise KeyboardInterrupt
        run.stop()

    ignored = signal.getsignal(signal.SIGINT) is not signal.default_int_handler  # as under nohup
    if ignored or threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
