"""`rxresponses batch`: answer a file of requests, and go on where an earlier run was stopped."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import DEFAULT_MODEL, add_connection, positive_number

_OUTCOMES: dict[str, str] = {
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
        epilog="Exit codes: 0 when each line has its answer, 1 when some failed, 2 for wrong usage, 3 when the "
        "budget is spent, 130 for Ctrl-C.",
    )
    parser.add_argument(
        "requests",
        metavar="REQUESTS",
        help="the file; Parquet if its name ends in .parquet; - is standard input, if that is a file",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="RESULTS",
        type=_output,
        required=True,
        help="the file of results; a run adds to the results of earlier runs.  NAME.parquet is made at the end of each "
        "run, from the results in NAME.jsonl",
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
        "--in-order", action="store_true", help="sort the results by line at the end; else they stay as they came"
    )
    parser.add_argument(
        "--text",
        metavar="FILE",
        type=_output,
        help="also write the texts of the answers, at the end and in order: line n is the answer to line n as JSON",
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
    add_connection(parser, servers="may be repeated: the servers share the lines, and one that fails gets none")
    limits = parser.add_argument_group("limits and budget")
    limits.add_argument("--rpm", metavar="N", type=positive_number, help="send at most so many requests a minute")
    limits.add_argument(
        "--tpm",
        metavar="N",
        type=positive_number,
        help="use at most so many tokens a minute, of input and output together",
    )
    limits.add_argument(
        "--max-cost",
        metavar="USD",
        type=positive_number,
        help="send nothing more when all runs together would cost more; what was sent is let finish",
    )
    limits.add_argument(
        "--max-tokens",
        metavar="N",
        type=_count,
        help="the same for the tokens of input and output, of all runs",
    )
    limits.add_argument(
        "--prices",
        metavar="FILE",
        help="the prices of models, as JSON, for --max-cost (default: a list that comes with this program); shows the "
        "cost also without --max-cost",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_number,
        help="give up an answer that takes longer, from when its request was sent",
    )
    cluster = parser.add_argument_group("on a Ray cluster (with the extra ray)")
    cluster.add_argument("--on", choices=["ray"], help="send the requests from the workers of a Ray cluster")
    cluster.add_argument(
        "--address",
        help="address of the cluster, such as HOST:6379 (default: RAY_ADDRESS; without it a cluster is started on this "
        "machine for the run)",
    )
    cluster.add_argument(
        "--workers",
        metavar="N",
        type=_count,
        help="worker processes, each on a CPU of the cluster (default: all CPUs); they share the N of --concurrency",
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
    from .batch_run import run_batch

    return run_batch(args)
