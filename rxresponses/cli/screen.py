"""What `ask` and `batch` write: text as it streams, a line for each event, JSON lines, and notes."""

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
# Control characters in a model's text would control the terminal, so only newline and tab pass.
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


class Screen:
    """Standard output and standard error; each may be a terminal, a pipe or a file."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._console = _console() if self._terminal else None
        self._in_line = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a question mark instead of an error

    def text(self, piece: str) -> None:
        """Write a piece of text at once."""
        if self._terminal:
            piece = piece.replace("\r\n", "\n").translate(_CONTROLS)
        sys.stdout.write(piece)
        sys.stdout.flush()
        self._in_line = not piece.endswith("\n")

    def end_line(self) -> None:
        """End the line that `text` has started."""
        if self._in_line:
            self._in_line = False
            sys.stdout.write("\n")
            sys.stdout.flush()

    def json_line(self, event: ServerEvent) -> None:
        """Write the frame as it was received, on one line.  It is UTF-8, whatever the encoding of standard output."""
        frame = event.raw if isinstance(event.raw, bytes) else event.to_json().encode()
        # A line break in JSON is white space, because strings escape theirs.
        sys.stdout.buffer.write(frame.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
        sys.stdout.flush()

    def event_line(self, offset: float, event: ServerEvent) -> None:
        """Write the seconds at which an event came, its lane, its type, and a summary of its content."""
        lane = event.stream_id or "default"
        cells = [f"{offset:8.3f}", f"{lane:8}", f"{event.type:40}", _summary(event)]
        cells = [cell.replace("\n", " ").replace("\t", " ").translate(_CONTROLS) for cell in cells]
        if self._console is None:
            print("  ".join(cells).rstrip(), flush=True)
        else:
            _print_in_colours(self._console, cells, event)

    def note(self, message: str) -> None:
        """Write a line to standard error, after the text so far."""
        self.end_line()
        print(message.translate(_CONTROLS), file=sys.stderr, flush=True)


def _summary(event: ServerEvent) -> str:
    delta = getattr(event, "delta", None)
    item = getattr(event, "item", None)
    summary: str | None = None
    if isinstance(delta, str):
        summary = json.dumps(delta, ensure_ascii=False)
    elif isinstance(event, ResponseErrorEvent):
        summary = f"{event.code or event.error_type}: {event.message}"
    elif isinstance(event, LifecycleEvent):
        summary = _summary_of_response(event)
    elif isinstance(event, UnknownEvent):
        summary = event.reason
    elif item is not None:
        summary = item.type
    summary = summary or ""
    return summary if len(summary) <= _LONGEST_DETAIL else f"{summary[: _LONGEST_DETAIL - 1]}…"


def _summary_of_response(event: LifecycleEvent) -> str:
    response = event.response
    if response.error is not None:
        return f"{response.error.code}: {response.error.message}"
    if response.incomplete_details is not None:
        return str(response.incomplete_details.reason)
    if event.is_terminal and response.usage is not None:
        return f"{response.usage.input_tokens} tokens in, {response.usage.output_tokens} out"
    return response.id


def _console() -> Console | None:
    """Return a rich console, `None` if rich is not installed."""
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
    offset, lane, kind, summary = cells
    console.print(Text.assemble((offset, "dim"), "  ", (lane, "blue"), "  ", (kind, colour), "  ", summary))
