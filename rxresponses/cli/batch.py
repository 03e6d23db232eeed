"""`rxresponses batch`: answer a file of requests, and go on where an earlier run was stopped."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO

from .arguments import DEFAULT_MODEL, add_connection, connection_options, positive_number
from .stderr import note_interrupt

if TYPE_CHECKING:
    from ..batch.answer_schema import AnswerSchema
    from ..batch.copies import Copies
    from ..batch.lines import Task
    from ..batch.outcomes import Outcome
    from ..batch.results import Results
    from ..batch.run import Run
    from .screen import Screen

_OUTCOMES: dict[Outcome, str] = {
    "refused": "the model refused to answer",
    "incomplete": "its answer was cut, as by max_output_tokens",
}


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "batch",
        help="answer a file of requests",
        description="Answer a file of requests.  Each line is the JSON body of a response.create, the same in the "
        "envelope of the batch files (custom_id, method, url, body), or a JSON string, which is a prompt.  Each "
        "result becomes a line of JSON as soon as it is there: the number of its line, a digest of that line (by which "
        "a later run sees that the input has not changed), custom_id, and the response or the error.  After a run that "
        "was stopped or killed, the same command does what is missing.  The API key is read from OPENAI_API_KEY.  "
        "Without a key and without a URL, the embedded test server answers.",
        epilog="Exit codes: 0 when each line has its answer, 1 when some failed, 2 for wrong usage, 130 for Ctrl-C.",
    )
    parser.add_argument("requests", metavar="REQUESTS", help="the file; - is standard input, if that is a file")
    parser.add_argument(
        "-o",
        "--output",
        metavar="RESULTS",
        type=_output,
        required=True,
        help="the file of results; a run adds to the results of earlier runs",
    )
    parser.add_argument(
        "--concurrency", metavar="N", type=_count, default=16, help="requests in flight at once (default: %(default)s)"
    )
    parser.add_argument("--retry-failed", action="store_true", help="send again the lines that failed in earlier runs")
    for outcome, meaning in _OUTCOMES.items():
        parser.add_argument(
            f"--fail-{outcome}",
            dest="failing",
            action="append_const",
            const=outcome,
            help=f"count a line as failed when {meaning}; those of earlier runs too",
        )
    parser.add_argument(
        "--dedupe",
        action="store_true",
        help="send one of the lines that ask for the same, apart from custom_id; the others get copies of its result",
    )
    parser.add_argument(
        "--schema",
        metavar="FILE",
        help="the JSON schema that the answers must fit; each line that has no format of its own asks for it.  Implies "
        "--fail-refused and --fail-incomplete",
    )
    parser.add_argument(
        "--schema-retries",
        metavar="N",
        type=_count_or_zero,
        default=2,
        help="how often an answer that does not fit is asked for again, before its line fails (default: %(default)s)",
    )
    parser.add_argument(
        "-m", "--model", default=DEFAULT_MODEL, help="the model of lines that name none (default: %(default)s)"
    )
    add_connection(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_number,
        help="give up an answer that takes longer, from when its request was sent",
    )


def _output(text: str) -> str:
    if text == "-":
        raise argparse.ArgumentTypeError("must be a file: a later run reads it to see what is missing")
    return text


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a positive whole number, not {text!r}")
    return int(text)


def _count_or_zero(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Answer the lines that have no result; return 0 when every line has an answer, 1 when some failed."""
    from ..batch.copies import Copies
    from ..batch.lines import checked_ids, open_input, read_lines, refuse_as_output, task_of
    from ..batch.results import Results
    from ..testing.fallback import is_embedded
    from .screen import Screen

    with open_input(args.requests) as requests:
        refuse_as_output(requests, args.output)
        schema = _schema(args)
        format = None if schema is None else schema.format
        reader = partial(task_of, model=args.model, format=format)
        failing = _failing(args)
        size = os.fstat(requests.fileno()).st_size  # bytes; each line has one at least, its end
        with Results(
            args.output,
            lines=size,
            retry_failed=args.retry_failed,
            failing=failing,
            model=args.model,
            embedded=is_embedded(args.url),
            schema=None if format is None else format.digest,
        ) as results:
            copies = Copies(reader, results) if args.dedupe else None
            lines = checked_ids(read_lines(requests))
            total = results.check(lines if copies is None else copies.read(lines))
            screen = Screen()
            if total > results.answered + results.failed:
                total = _answer(args, requests, results, reader, schema, copies, total, screen)
            else:
                _sum_up(results, total, screen)
            return 0 if results.answered == total else 1


def _schema(args: argparse.Namespace) -> AnswerSchema | None:
    """Return the schema that the arguments name; raise `ConfigurationError` if it cannot be used."""
    from ..batch.answer_schema import AnswerSchema
    from ..errors import ConfigurationError
    from .schema_file import read_schema

    if args.schema is None:
        return None
    format, schema = read_schema(args.schema)
    try:
        return AnswerSchema(format, schema)
    except ConfigurationError as error:
        raise ConfigurationError(f"the schema in {args.schema} cannot be used: {error}") from error


def _failing(args: argparse.Namespace) -> list[Outcome]:
    return list(_OUTCOMES) if args.schema is not None else args.failing or []


def _answer(
    args: argparse.Namespace,
    requests: BinaryIO,
    results: Results,
    reader: Callable[[int, bytes], Task],
    schema: AnswerSchema | None,
    copies: Copies | None,
    total: int,
    screen: Screen,
) -> int:
    """Answer the lines that have no result; return the number of lines, of which some may have come meanwhile."""
    from ..batch.batch import Batch
    from ..batch.lines import read_lines
    from ..batch.progress import Progress
    from ..testing.fallback import url_or_embedded_server

    with url_or_embedded_server(args.url) as url:
        batch = Batch(
            requests,
            results,
            url=url,
            options=connection_options(args),
            task_of=reader,
            concurrency=args.concurrency,
            timeout=args.timeout,
            note=screen.note,
            stoppable=_stop_on_interrupt,
            failing=_failing(args),
            schema=schema,
            schema_retries=args.schema_retries,
            copies=copies,
        )
        results.begin()
        progress = Progress(total, results.answered, results.failed, copies=0 if copies is None else len(copies))
        try:
            with progress:
                batch.run(progress)
        finally:
            # The exit code follows from the files, which another program may have changed during the run.
            total = max(total, results.recount(read_lines(requests)))
            _sum_up(results, total, screen)
    return total


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


def _sum_up(results: Results, total: int, screen: Screen) -> None:
    counts = (results.refused, "refused"), (results.incomplete, "incomplete"), (results.copied, "copied")
    special = ", ".join(f"{count} {outcome}" for count, outcome in counts if count)
    answered = f"{results.answered} of {total} answered{f' ({special})' if special else ''}"
    screen.note(f"{answered}, {results.failed} failed: {results.path}")
    if results.failed:
        screen.note("--retry-failed does the failed ones again")
    if missing := total - results.answered - results.failed:
        screen.note(f"{missing} to do: the same command goes on with them")
