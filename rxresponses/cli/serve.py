"""`rxresponses serve`: run the embedded test server until Ctrl-C."""

from __future__ import annotations

import argparse
import threading
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
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="the port (default: a free port)")
    parser.add_argument("--api-key", metavar="KEY", help="require this bearer token (default: accept any, or none)")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=number_from_0, help="time between two events (default: 0)"
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
    return None


def run(args: argparse.Namespace) -> int:
    """Serve until `KeyboardInterrupt`."""
    from itertools import cycle

    from ..errors import ConfigurationError
    from ..testing import Recording, ResponsesServer
    from ..testing.server import REMEMBER, REMEMBER_BYTES

    server = ResponsesServer(
        host=args.host,
        port=args.port,
        api_key=args.api_key,
        event_interval=args.interval or 0.0,
        remember=REMEMBER,
        remember_bytes=REMEMBER_BYTES,
    )
    if args.replay is not None:
        try:
            recordings = cycle(Recording.load(args.replay, speed=args.speed))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot replay: {error}") from error
        server.on("", lambda request: next(recordings))
    with server:
        print(server.url, flush=True)
        return _wait_for_interrupt()


def _wait_for_interrupt() -> NoReturn:
    while True:
        threading.Event().wait()


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)
