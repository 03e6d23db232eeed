"""The command line: `rxresponses ask`, `rxresponses batch` and `rxresponses serve`.

What needs the rest of the package is imported where it is used, so that `--help` and wrong usage are
answered at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

if TYPE_CHECKING:
    from reactivex import Observable

    from ..wire.events import ServerEvent
    from ..wire.models import Response
    from .screen import Screen

T = TypeVar("T")

DEFAULT_MODEL = "gpt-5.2"
_FAILED, _WRONG_USAGE, _INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 is success; 1 a failed response, a lost connection or another error; 2 wrong usage; 130 Ctrl-C.
    A reader that closes the pipe has seen what it wanted: that is 0.
    """
    if sys.stdout is None:  # the program was started with a closed one
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open as long as the program runs
    try:
        code = _run(_parse(argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except OSError as error:
        return _complain(str(error), _FAILED)
    return code


def _run(args: argparse.Namespace) -> int:
    """Run the command that was asked for; our own errors become a line of text and an exit code."""
    from ..errors import ConfigurationError, InvalidRequestError, ResponsesError

    try:
        return _COMMANDS[args.command](args)
    except (ConfigurationError, InvalidRequestError) as error:
        return _complain(str(error), _WRONG_USAGE)
    except ResponsesError as error:
        return _complain(str(error), _FAILED)


# What there is to say.


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command == "serve" and args.replay is None and args.speed is not None:
        parser.error("--speed is for --replay")
    if args.command == "serve" and args.replay is not None and args.interval is not None:
        parser.error("--interval is for answers made up by the server: use --speed with --replay")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rxresponses", description="The Responses API over WebSocket.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    ask = commands.add_parser(
        "ask",
        help="stream the answer to a prompt",
        description="Stream the answer to a prompt.  The key is OPENAI_API_KEY; without it, and without a URL, "
        "an embedded test server answers.",
        epilog="Exit codes: 0, 1 for a failed response or a lost connection, 2 for wrong usage, 130 for Ctrl-C.",
    )
    ask.add_argument("prompt", metavar="PROMPT", type=_prompt, help="the question; - reads standard input")
    ask.add_argument("-m", "--model", default=DEFAULT_MODEL, help="the model to ask (default: %(default)s)")
    _add_service(ask)
    ask.add_argument("--timeout", metavar="SECONDS", type=_timeout, help="give up when the answer takes longer")
    form = ask.add_mutually_exclusive_group()
    form.add_argument("--events", action="store_true", help="show every event: seconds, lane, type, gist")
    form.add_argument("--json", action="store_true", help="write every event as a line of JSON, as received")

    batch = commands.add_parser(
        "batch",
        help="answer a file of requests",
        description="Answer a file of requests, one a line: the JSON body of a response.create, the same in the "
        "envelope of the batch files (custom_id, method, url, body), or a JSON string, which is a prompt.  Each "
        "result is a line of JSON, written as it comes: the number of its line, custom_id, and the response or the "
        "error.  The same command does what is missing after a run that was stopped, or killed.  The key is "
        "OPENAI_API_KEY; without it, and without a URL, an embedded test server answers.",
        epilog="Exit codes: 0 when all are answered, 1 when some failed, 2 for wrong usage, 130 for Ctrl-C.",
    )
    batch.add_argument("requests", metavar="REQUESTS", help="the file; - is standard input, if that is a file")
    batch.add_argument(
        "-o",
        "--output",
        metavar="RESULTS",
        type=_output,
        required=True,
        help="the file of results, made or gone on with",
    )
    batch.add_argument(
        "--concurrency", metavar="N", type=_count, default=16, help="requests in flight at once (default: %(default)s)"
    )
    batch.add_argument("--retry-failed", action="store_true", help="do again what failed in earlier runs")
    batch.add_argument(
        "-m", "--model", default=DEFAULT_MODEL, help="the model of lines that name none (default: %(default)s)"
    )
    _add_service(batch)
    batch.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_timeout,
        help="give up an answer that takes longer, from when its request was sent",
    )

    serve = commands.add_parser(
        "serve",
        help="run the embedded test server",
        description="Run the embedded test server until Ctrl-C.  Its URL goes to standard output.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=0, help="the port (default: a free one)")
    serve.add_argument("--api-key", metavar="KEY", help="insist on this bearer token (default: take any, and none)")
    serve.add_argument("--interval", metavar="SECONDS", type=_interval, help="time between two events (default: 0)")
    serve.add_argument(
        "--replay", metavar="FILE", help="answer with the responses of this transcript (JSON Lines), over and over"
    )
    serve.add_argument(
        "--speed", metavar="FACTOR", type=_timeout, help="replay at 1, 2, … times the recorded speed (default: at once)"
    )
    return parser


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="base URL of the API (default: OPENAI_BASE_URL, else the official one)")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("rxresponses")
        except PackageNotFoundError:
            number = "(not installed)"
        print(f"rxresponses {number}")
        parser.exit()


def _prompt(text: str) -> str:
    if text == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        text = sys.stdin.read() if sys.stdin is not None else ""
    if not text.strip():
        raise argparse.ArgumentTypeError("the prompt is empty")
    # An argument that is not valid in the locale's encoding arrives with lone surrogates in it.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _timeout(text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return seconds


def _interval(text: str) -> float:
    seconds = _number(text)
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"must be 0 or a positive number, not {text}")
    return seconds


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a positive whole number, not {text!r}")
    return int(text)


def _output(text: str) -> str:
    if text == "-":
        raise argparse.ArgumentTypeError("must be a file, by which a run is resumed")
    return text


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)


# Commands.


def _ask(args: argparse.Namespace) -> int:
    from .. import operators as rops
    from ..options import ConnectionOptions
    from ..senders.socket import ResponsesWebSocket
    from ..testing.fallback import url_or_embedded_server
    from ..wire.requests import ResponseCreate
    from .screen import Screen

    screen = Screen()
    options = ConnectionOptions(close_timeout=0.5)  # whoever presses Ctrl-C waits for no server's good-bye
    with url_or_embedded_server(args.url) as url, ResponsesWebSocket(url, options=options) as socket:
        events = socket.send_request(ResponseCreate(model=args.model, input=args.prompt))
        if args.timeout is not None:
            events = events.pipe(rops.timeout_on_terminal(args.timeout))
        try:
            last = _show_events(events, screen, args.json) if args.events or args.json else _show_text(events, screen)
        finally:
            screen.end_line()
    response: Response | None = getattr(last, "response", None)
    if response is not None:
        _add_notes(response, screen)
    return 0


def _show_text(events: Observable[ServerEvent], screen: Screen) -> ServerEvent | None:
    """Write the text of a response as it comes; return the last event."""
    from reactivex import operators as ops

    from .. import operators as rops

    last: ServerEvent | None = None

    def remember(event: ServerEvent) -> None:
        nonlocal last
        last = event

    for piece in _values(events.pipe(ops.do_action(remember), rops.text_deltas())):
        screen.text(piece)
    return last


def _show_events(events: Observable[ServerEvent], screen: Screen, as_json: bool) -> ServerEvent | None:
    """Write every event, the one that failed too, before its error is raised; return the last one."""
    from time import monotonic

    from reactivex import operators as ops

    from .. import operators as rops
    from ..errors import ResponseFailedError

    start = monotonic()

    def show(offset: float, event: ServerEvent) -> None:
        if as_json:
            screen.json_line(event)
        else:
            screen.event_line(offset, event)

    event = None
    timed = events.pipe(rops.raise_on_failure(), ops.map(lambda event: (monotonic() - start, event)))
    try:
        for offset, event in _values(timed):
            show(offset, event)
    except ResponseFailedError as failure:
        show(monotonic() - start, cast("ServerEvent", failure.event))
        raise
    return event


def _values(source: Observable[T]) -> Iterator[T]:
    """Yield what a source emits, in the thread of the caller.

    An observer that writes would do so on the socket's thread: a reader that pauses a pipe would then
    hold up the socket, and Ctrl-C could not interrupt the write.
    """
    from queue import SimpleQueue

    from reactivex import Notification
    from reactivex import operators as ops
    from reactivex.notification import OnError, OnNext

    inbox: SimpleQueue[Notification[T]] = SimpleQueue()
    with source.pipe(ops.materialize()).subscribe(inbox.put):
        while isinstance(notification := inbox.get(), OnNext):
            yield notification.value
    if isinstance(notification, OnError):
        raise notification.exception


def _add_notes(response: Response, screen: Screen) -> None:
    """Say what the text alone does not show."""
    from ..wire.models import ResponseOutputMessage, ResponseOutputRefusal

    for item in response.output:
        for part in item.content if isinstance(item, ResponseOutputMessage) else ():
            if isinstance(part, ResponseOutputRefusal):
                screen.note(f"refused: {part.refusal}")
    if response.status == "incomplete":
        details = response.incomplete_details
        screen.note(f"incomplete: {(details and details.reason) or 'no reason given'}")


def _batch(args: argparse.Namespace) -> int:
    from .batch import batch

    return batch(args)


def _serve(args: argparse.Namespace) -> int:
    from itertools import cycle

    from ..testing import Recording, ResponsesServer

    server = ResponsesServer(host=args.host, port=args.port, api_key=args.api_key, event_interval=args.interval or 0.0)
    if args.replay is not None:
        try:
            recordings = cycle(Recording.load(args.replay, speed=args.speed))
        except (OSError, ValueError) as error:
            return _complain(f"cannot replay: {error}", _WRONG_USAGE)
        server.on("", lambda request: next(recordings))
    with server:
        print(server.url, flush=True)
        return _wait_for_interrupt()


_COMMANDS = {"ask": _ask, "batch": _batch, "serve": _serve}


# Ends.


def _wait_for_interrupt() -> NoReturn:
    while True:
        threading.Event().wait()


def _complain(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"rxresponses: {message}", file=sys.stderr, flush=True)
    return code


def _drop_stdout() -> None:
    """Send what is still buffered nowhere: at the end of the program it would fail once more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
