"""What the command line writes: text as it streams, a line an event, JSON lines, and notes beside them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..wire.events import LifecycleEvent, ResponseErrorEvent, ServerEvent, UnknownEvent

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_DETAIL = 100
# A model's text must not drive the terminal: no control characters but newline and tab.
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


class Screen:
    """Standard output and standard error, of which either may be a terminal, a pipe or a file."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._console = _console() if self._terminal else None
        self._in_line = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a question mark is better than no answer

    def text(self, piece: str) -> None:
        """Write a piece of text at once."""
        if self._terminal:
            piece = piece.replace("\r\n", "\n").translate(_CONTROLS)
        sys.stdout.write(piece)
        sys.stdout.flush()
        self._in_line = not piece.endswith("\n")

    def end_line(self) -> None:
        """End the line that `text` has begun."""
        if self._in_line:
            self._in_line = False
            sys.stdout.write("\n")
            sys.stdout.flush()

    def json_line(self, event: ServerEvent) -> None:
        """Write the frame as it was received, on one line.  JSON is UTF-8, whatever the terminal is."""
        frame = event.raw if isinstance(event.raw, bytes) else event.to_json().encode()
        # A line break inside JSON is white space: those in strings are escaped.
        sys.stdout.buffer.write(frame.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
        sys.stdout.flush()

    def event_line(self, offset: float, event: ServerEvent) -> None:
        """Write when an event came, on which lane, its type, and the gist of it."""
        lane = event.stream_id or "default"
        cells = [f"{offset:8.3f}", f"{lane:8}", f"{event.type:40}", _gist(event)]
        cells = [cell.replace("\n", " ").replace("\t", " ").translate(_CONTROLS) for cell in cells]
        if self._console is None:
            print("  ".join(cells).rstrip(), flush=True)
        else:
            _print_in_colours(self._console, cells, event)

    def note(self, message: str) -> None:
        """Write a line to standard error, below what has been written so far."""
        self.end_line()
        print(message.translate(_CONTROLS), file=sys.stderr, flush=True)


def _gist(event: ServerEvent) -> str:
    delta = getattr(event, "delta", None)
    item = getattr(event, "item", None)
    gist: str | None = None
    if isinstance(delta, str):
        gist = json.dumps(delta, ensure_ascii=False)
    elif isinstance(event, ResponseErrorEvent):
        gist = f"{event.code or event.error_type}: {event.message}"
    elif isinstance(event, LifecycleEvent):
        gist = _gist_of_response(event)
    elif isinstance(event, UnknownEvent):
        gist = event.reason
    elif item is not None:
        gist = item.type
    gist = gist or ""
    return gist if len(gist) <= _LONGEST_DETAIL else f"{gist[: _LONGEST_DETAIL - 1]}…"


def _gist_of_response(event: LifecycleEvent) -> str:
    response = event.response
    if response.error is not None:
        return f"{response.error.code}: {response.error.message}"
    if response.incomplete_details is not None:
        return str(response.incomplete_details.reason)
    if event.is_terminal and response.usage is not None:
        return f"{response.usage.input_tokens} tokens in, {response.usage.output_tokens} out"
    return response.id


def _console() -> Console | None:
    """Return a rich console, `None` where rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(highlight=False, soft_wrap=True)


_COLOURS: list[tuple[Callable[[ServerEvent], bool], str]] = [
    (lambda event: event.type in ("error", "response.failed"), "bold red"),
    (lambda event: event.type == "response.incomplete", "bold yellow"),
    (lambda event: event.is_terminal, "bold green"),
    (lambda event: event.type.endswith(".delta"), "cyan"),
    (lambda event: isinstance(event, UnknownEvent), "yellow"),
]


def _print_in_colours(console: Console, cells: list[str], event: ServerEvent) -> None:
    from rich.text import Text

    colour = next((colour for applies, colour in _COLOURS if applies(event)), "")
    offset, lane, kind, gist = cells
    console.print(Text.assemble((offset, "dim"), "  ", (lane, "blue"), "  ", (kind, colour), "  ", gist))
