"""`rxresponses ask`: stream the answer to a prompt."""

from __future__ import annotations

import argparse
import io
import os
import select
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from .arguments import DEFAULT_MODEL, add_connection, connection_options, positive_number
from .stderr import write_line

if TYPE_CHECKING:
    from reactivex import Observable

    from ..wire.events import ServerEvent
    from .screen import Screen

T = TypeVar("T")

_MAX_WAITING = 2**26  # bytes of events or texts that wait while standard output does not take them


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ask",
        help="stream the answer to a prompt",
        description="Stream the answer to a prompt.  The API key is read from OPENAI_API_KEY.  Without a key and "
        "without a URL, the embedded test server answers.",
        epilog="Exit codes: 0 for an answer, 1 for a failed response or a lost connection, 2 for wrong usage, 130 for "
        "Ctrl-C.",
    )
    parser.add_argument(
        "prompt",
        metavar="PROMPT",
        nargs="+",
        action=_Prompt,
        help="the prompt, in one or more words; - stands for standard input, which is added to the words if there are "
        "any.  A file or pipe that has data there already is added without it",
    )
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help="the model to ask (default: %(default)s)")
    add_connection(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=positive_number, help="give up when the answer takes longer"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--events", action="store_true", help="show each event: seconds, lane, type, summary")
    form.add_argument("--json", action="store_true", help="write each event as a line of JSON, as it was received")


class _Prompt(argparse.Action):
    """Joins the words of the prompt, and adds standard input where it is asked for or has data."""

    def __call__(
        self, parser: argparse.ArgumentParser, args: argparse.Namespace, words: Any, option: Any = None
    ) -> None:
        if "-" in words:
            text = " ".join(word for word in words if word != "-")
            extra = _standard_input()
        else:
            text, extra = " ".join(words), _standard_input() if _has_data(sys.stdin) else ""
            if extra.strip():
                write_line("standard input is added to the prompt")
        text = "\n\n".join(part for part in (text, extra) if part.strip())
        if not text:
            parser.error("argument PROMPT: the prompt is empty")
        # An argument that is not valid in the locale's encoding arrives with lone surrogates in it.
        args.prompt = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _standard_input() -> str:
    from ..batch.lines import marked_encoding

    if not isinstance(sys.stdin, io.TextIOWrapper):
        return sys.stdin.read()
    data: bytes = sys.stdin.buffer.read()
    text = data.decode(marked_encoding(data) or sys.stdin.encoding, "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _has_data(stream: TextIO) -> bool:
    """Whether the stream is a file or a pipe with data in it.  To wait for a pipe's end could hang a script."""
    try:
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return os.fstat(fd).st_size > os.lseek(fd, 0, os.SEEK_CUR)
        return stat.S_ISFIFO(mode) and bool(select.select([fd], [], [], 0)[0])
    except (OSError, ValueError):  # no file at all, or a system that cannot tell
        return False


def run(args: argparse.Namespace) -> int:
    """Write the answer to standard output; return 0, or raise what the request raises."""
    from reactivex import operators as ops

    from .. import operators as rops
    from ..senders.socket import ResponsesWebSocket
    from ..testing.fallback import url_or_embedded_server
    from ..wire.requests import ResponseCreate
    from .ending import Ending
    from .screen import Screen

    screen = Screen()
    options, ending = connection_options(args), Ending()
    with url_or_embedded_server(args.url) as url, ResponsesWebSocket(url, options=options) as socket:
        events = socket.send_request(ResponseCreate(model=args.model, input=args.prompt))
        if args.timeout is not None:
            events = events.pipe(rops.timeout_on_terminal(args.timeout))
        events = events.pipe(ops.do_action(ending.see))
        try:
            if args.events or args.json:
                _show_events(events, screen, args.json)
            else:
                for piece in _values(events.pipe(rops.text_deltas())):
                    screen.text(piece)
        except KeyboardInterrupt:
            screen.interrupt()
            raise
        finally:
            screen.end_line()
    for note in ending.notes:
        screen.note(note)
    return 0


def _show_events(events: Observable[ServerEvent], screen: Screen, as_json: bool) -> None:
    """Write each event as it comes, a failing event before its error is raised."""
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

    timed = events.pipe(rops.raise_on_failure(), ops.map(lambda event: (monotonic() - start, event)))
    try:
        for offset, event in _values(timed):
            show(offset, event)
    except ResponseFailedError as failure:
        show(monotonic() - start, cast("ServerEvent", failure.event))
        raise


def _values(source: Observable[T]) -> Iterator[T]:
    """Yield what a source emits, in the thread of the caller; raise its error.

    An observer would write on the socket's thread.  A reader that pauses a pipe would then block the socket,
    and Ctrl-C could not interrupt the write.  So values wait in a queue.  When that is half full, the socket stops
    reading until the queue is nearly empty: at most `_MAX_WAITING` bytes wait.
    """
    from queue import SimpleQueue
    from threading import Lock

    from reactivex import Notification
    from reactivex import operators as ops
    from reactivex.disposable import SingleAssignmentDisposable
    from reactivex.notification import OnError, OnNext

    from ..errors import BufferOverflowError
    from ..net.backpressure import Backlog, size_of

    notifications: SimpleQueue[Notification[T]] = SimpleQueue()
    backlog, lock = Backlog(_MAX_WAITING), Lock()
    subscription = SingleAssignmentDisposable()

    def size(value: T) -> int:
        return size_of(value[-1] if isinstance(value, tuple) else value)  # an event may come with its time

    def put(notification: Notification[T]) -> None:
        has_room = True
        with lock:
            if isinstance(notification, OnNext):
                has_room = backlog.add(size(notification.value))
            else:
                backlog.stop_pausing()
        if has_room:
            notifications.put(notification)
        else:
            notifications.put(OnError(BufferOverflowError(_MAX_WAITING, unit="bytes")))
            subscription.dispose()

    with subscription:
        subscription.disposable = source.pipe(ops.materialize()).subscribe(put)
        while isinstance(notification := notifications.get(), OnNext):
            with lock:
                backlog.remove(size(notification.value))
            yield notification.value
    if isinstance(notification, OnError):
        raise notification.exception
