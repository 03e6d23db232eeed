"""What `rxresponses batch` does: it answers the lines that have no result, and then writes what else was asked for."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from types import FrameType

from ..batch.answer_schema import AnswerSchema
from ..batch.batch import StoppedError
from ..batch.copies import Copies
from ..batch.lines import JsonLines, checked_ids, refuse_as_output, task_of
from ..batch.outcomes import Outcome
from ..batch.parquet import ParquetRows, is_parquet, require_pyarrow, write_parquet
from ..batch.progress import Progress
from ..batch.results import Results
from ..batch.run import AnyRun
from ..batch.spending import Spending, shown_rest, shown_total
from ..batch.text import write_texts
from ..errors import BudgetExceededError, ConfigurationError, ResponsesError
from ..limits.budget import Budget
from ..limits.limits import Limits
from ..limits.prices import Prices
from ..testing.fallback import is_embedded, url_or_embedded_server
from .arguments import connection_options
from .batch_engine import check_engine, make_batch
from .schema_file import read_schema
from .screen import Screen
from .stderr import note_interrupt


def run_batch(args: argparse.Namespace) -> int:
    """Answer the lines that have no result; return 0 when every line has an answer, 1 when some failed."""
    check_engine(args)
    parquet = args.output if is_parquet(args.output) else None
    # The JSON lines are what a later run goes on with.
    output = args.output if parquet is None else f"{args.output[: -len('.parquet')]}.jsonl"
    requests = ParquetRows(args.requests) if is_parquet(args.requests) else JsonLines(args.requests)
    with requests.file:
        _check_files(requests, [output, parquet, args.text])
        schema, budget = _schema(args), _budget(args)
        spending = Spending()
        with Results(
            output,
            lines=requests.last_line,
            retry_failed=args.retry_failed,
            failing=_failing(args),
            model=args.model,
            embedded=is_embedded(_first_url(args)),
            schema=None if schema is None else schema.format.digest,
            spending=None if budget is None else spending,
        ) as results:
            if budget is not None:
                spending.charge(budget)
            return _Command(args, requests, results, parquet, schema, budget).run()


def _check_files(requests: JsonLines | ParquetRows, outputs: Sequence[str | None]) -> None:
    """Raise `ConfigurationError` if what is made of the results could not be written at the end."""
    made = outputs[1:]
    for path in filter(None, outputs):
        refuse_as_output(requests.file, path)
    names = [os.path.realpath(path) for path in outputs if path is not None]
    for path in filter(None, made):
        if names.count(os.path.realpath(path)) > 1:
            raise ConfigurationError(f"two outputs are to be {path}: give each its own file")
        if os.path.exists(path) and not os.path.isfile(path):
            raise ConfigurationError(f"cannot write {path}: it is no regular file")
        if not os.path.isdir(os.path.dirname(os.path.realpath(path))):
            raise ConfigurationError(f"cannot write {path}: its folder does not exist")
    if made[0] is not None:
        require_pyarrow()
        if isinstance(requests, ParquetRows):
            requests.check_kept()


class _Command:
    """One run of the command, with its files open."""

    def __init__(
        self,
        args: argparse.Namespace,
        requests: JsonLines | ParquetRows,
        results: Results,
        parquet: str | None,
        schema: AnswerSchema | None,
        budget: Budget | None,
    ) -> None:
        self._args = args
        self._requests = requests
        self._lines = requests.lines
        self._results = results
        self._parquet = parquet
        self._schema = schema
        self._budget = budget
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
        with url_or_embedded_server(_first_url(args)) as url:
            batch = make_batch(
                args,
                self._lines,
                results,
                url=args.url if len(args.url or ()) > 1 else url,
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
                limits=_limits(args),
                budget=self._budget,
            )
            results.begin()
            progress = Progress(
                total,
                results.answered,
                results.failed,
                copies=0 if copies is None else len(copies),
                copied=results.copied,
                budget=self._budget,
            )
            try:
                with progress:
                    batch.run(progress)
            except (StoppedError, ResponsesError) as error:
                self._finish(self._recount(total), at_budget=isinstance(error, BudgetExceededError))
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

    def _finish(self, total: int, *, at_budget: bool = False) -> None:
        """Write what is made of all results, and sum them up."""
        try:
            if self._args.in_order:
                self._results.sort()
            if self._args.text is not None:
                write_texts(self._args.text, self._results, self._lines())
            if self._parquet is not None:
                rows = self._requests if isinstance(self._requests, ParquetRows) else None
                write_parquet(self._parquet, self._results, self._lines(), rows)
        finally:
            self._sum_up(total, at_budget=at_budget)

    def _sum_up(self, total: int, *, at_budget: bool = False) -> None:
        results, note = self._results, self._screen.note
        counts = (results.refused, "refused"), (results.incomplete, "incomplete"), (results.copied, "copied")
        special = ", ".join(f"{count} {outcome}" for count, outcome in counts if count)
        answered = f"{results.answered} of {total} answered{f' ({special})' if special else ''}"
        note(f"{answered}, {results.failed} failed: {self._args.output}")
        if results.failed:
            note("--retry-failed does the failed ones again")
        paid, left = results.answered + results.failed - results.copied, total - results.answered - results.failed
        rest = ""
        if self._budget is not None:
            note(f"spent: {shown_total(self._budget)}")
            rest = shown_rest(self._budget, paid, left - (0 if self._copies is None else len(self._copies)))
        if left:
            how = " with a larger budget" if at_budget else ""
            note(f"{left} to do{rest}: the same command{how} goes on with them")


def _schema(args: argparse.Namespace) -> AnswerSchema | None:
    """Return the schema that the arguments name; raise `ConfigurationError` if it cannot be used."""
    if args.schema is None:
        return None
    format, schema = read_schema(args.schema)
    try:
        return AnswerSchema(format, schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"the schema in {args.schema} cannot be used: {error}") from error


def _limits(args: argparse.Namespace) -> Limits | None:
    if args.rpm is None and args.tpm is None:
        return None
    return Limits(requests_per_minute=args.rpm, tokens_per_minute=args.tpm)


def _budget(args: argparse.Namespace) -> Budget | None:
    """Return the budget of all runs, `None` if nothing is to be counted; raise `ConfigurationError` for bad prices."""
    if args.max_cost is None and args.max_tokens is None and args.prices is None:
        return None
    prices = None
    if args.prices is not None:
        prices = Prices.load(args.prices)
    elif args.max_cost is not None:
        prices = Prices.default()
        Screen().note(f"the prices are those of {prices.as_of} that come with this program; --prices FILE gives others")
    return Budget(usd=args.max_cost, tokens=args.max_tokens, prices=prices)


def _first_url(args: argparse.Namespace) -> str | None:
    return args.url[0] if args.url else None


def _failing(args: argparse.Namespace) -> list[Outcome]:
    return ["refused", "incomplete"] if args.schema is not None else args.failing or []


@contextlib.contextmanager
def _stop_on_interrupt(run: AnyRun) -> Iterator[None]:
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
