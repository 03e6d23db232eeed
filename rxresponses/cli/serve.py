"""`rxresponses serve`: run the embedded test server until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from .arguments import number_from_0, positive_number


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="run the embedded test server",
        description="Run the embedded test server until Ctrl-C.  Its URL goes to standard output.  It remembers the "
        "latest 1,000 responses, so that they can be continued, and at most 16 MiB of them.",
    )
    parser.add_argument(
        "--host", type=_host, default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    parser.add_argument("--port", type=_port, default=0, help="the port (default: a free port)")
    parser.add_argument("--api-key", metavar="KEY", help="require this bearer token (default: accept any, or none)")
    parser.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="let web pages of this origin connect, such as http://localhost:3000, or * for all; may be repeated "
        "(default: none but the server's own; programs other than browsers send no origin)",
    )
    parser.add_argument(
        "--interval", metavar="SECONDS", type=number_from_0, help="time between two events (default: 0)"
    )
    parser.add_argument(
        "--script",
        metavar="FILE",
        help="answer by the rules of this file (JSON or YAML), and let its faults happen; see ResponsesServer.script",
    )
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="accept what the service refuses, such as unknown fields (default: refuse it as the service does)",
    )
    parser.add_argument(
        "--log",
        metavar="FILE",
        nargs="?",
        const="-",
        help="append a line of JSON to this file for each connection, each message and the outcome of each request; "
        "without FILE, or with -, to standard error; credentials are hidden",
    )
    parser.add_argument(
        "--replay", metavar="FILE", help="answer with the responses of this transcript (JSON Lines), in rotation"
    )
    parser.add_argument(
        "--speed",
        metavar="FACTOR",
        type=positive_number,
        help="replay at 1, 2, … times the recorded speed (default: without pauses)",
    )


def problem_of(args: argparse.Namespace) -> str | None:
    """Return why these arguments do not go together, `None` when they do."""
    if args.replay is None and args.speed is not None:
        return "--speed is for --replay"
    if args.replay is not None and args.interval is not None:
        return "--interval is for answers made up by the server: use --speed with --replay"
    if args.replay is not None and args.script is not None:
        return "--replay and --script both say what is answered: use one of them"
    return None


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, which close the connections.

    A client that does not answer the good-bye delays the end by a second.  A second Ctrl-C or SIGTERM ends at once.
    """
    from itertools import cycle

    from ..errors import ConfigurationError
    from ..testing import Recording, ResponsesServer
    from ..testing.server import REMEMBER, REMEMBER_BYTES

    with _log(args.log) as log:
        server = ResponsesServer(
            host=args.host,
            port=args.port,
            api_key=args.api_key,
            event_interval=args.interval or 0.0,
            allow_origins=args.allow_origin,
            checks=not args.lenient,
            log=log,
            remember=REMEMBER,
            remember_bytes=REMEMBER_BYTES,
        )
        try:
            if args.script is not None:
                server.script(args.script)
            if args.replay is not None:
                recordings = cycle(Recording.load(args.replay, speed=args.speed))
                server.on("", lambda request: next(recordings))
        except (OSError, ValueError) as error:
            what = "replay" if args.replay is not None else "use the script"
            raise ConfigurationError(f"cannot {what}: {error}") from error
        with stopped_by_sigterm(), server:
            print(server.url, flush=True)
            return _wait_for_interrupt()


@contextmanager
def _log(name: str | None) -> Iterator[Callable[[str], object] | None]:
    """Provide the function that writes a line to the log: a file, standard error for `-`, `None` for no log."""
    from ..errors import ConfigurationError

    if name is None:
        yield None
    elif name == "-":
        stderr = sys.stderr  # that of this command, whose writes never fail
        yield lambda line: (stderr.write(f"{line}\n"), stderr.flush())
    else:
        try:
            file = open(name, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed below
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot write the log: {error}") from error
        with file:
            yield lambda line: file.write(f"{line}\n")


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM leave the context, with the exit code that shells give to a program which SIGTERM has ended."""

    def stop(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _wait_for_interrupt() -> NoReturn:
    while True:
        threading.Event().wait()


def _host(text: str) -> str:
    try:
        text.encode("idna")
    except UnicodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a host: {error}") from None
    return text


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)
