"""What `ask` and `batch` write: text as it streams, a line for each event, JSON lines, and notes."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..conversations.events import ConversationEvent
from ..redaction import terminal_json, terminal_line, terminal_text
from ..wire.events import LifecycleEvent, ResponseErrorEvent, ServerEvent, UnknownEvent
from ..wire.redacted import without_secrets
from .event_lines import json_of, line_of
from .stderr import write_line

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_CELL = 100  # characters
_WIDTH = 80  # columns, where standard output is no terminal


class Screen:
    """Standard output and standard error; each may be a terminal, a pipe or a file.

    Standard output is that of the moment at which the screen is made.
    """

    def __init__(self) -> None:
        self._out = sys.stdout
        self._terminal = self._out.isatty()
        self._console = _console() if self._terminal else None
        self._in_line = False
        for stream in (self._out, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a question mark instead of an error

    def text(self, piece: str) -> None:
        """Write a piece of text at once."""
        if self._terminal:
            piece = terminal_text(piece)
        self._out.write(piece)
        self._out.flush()
        self._in_line = not piece.endswith("\n")

    @property
    def is_in_line(self) -> bool:
        """Whether `text` has started a line that it has not ended."""
        return self._in_line

    def end_line(self) -> None:
        """End the line that `text` has started."""
        if self._in_line:
            self._in_line = False
            self._out.write("\n")
            self._out.flush()

    def interrupt(self) -> None:
        """Leave it to `main` to end the line of a terminal, after the `^C` that the terminal shows."""
        self._in_line = self._in_line and not (self._terminal and sys.stderr.isatty())

    def json_line(self, event: ServerEvent) -> None:
        """Write the frame as it was received, or an event of this library as JSON, on one line.

        It is UTF-8, whatever the encoding of standard output.  A terminal gets the same JSON value with control
        characters escaped.
        """
        frame = event.raw if isinstance(event.raw, bytes) else json_of(event).encode()
        # A line break in JSON is white space, because strings escape theirs.
        frame = frame.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
        if self._terminal:
            self._out.write(terminal_json(frame.decode(errors="replace")))
        else:
            self._out.buffer.write(frame)
        self._out.flush()

    def json_text(self, line: str) -> None:
        """Write JSON as one line; a terminal gets control characters escaped."""
        self._out.write(f"{terminal_json(line) if self._terminal else line}\n")
        self._out.flush()

    def event_line(self, offset: float, event: ServerEvent) -> None:
        """Write the seconds at which an event came, its lane, its type, and a summary of its content."""
        event = without_secrets(event)
        lane = event.stream_id or "default"
        width = shutil.get_terminal_size().columns if self._terminal else _WIDTH
        # On a narrow terminal, the summary comes right behind a short type.
        cells = [f"{offset:8.3f}", f"{lane:8}", f"{event.type:{max(min(width - 40, 40), 1)}}", _summary(event)]
        cells = [_cell(cell) for cell in cells]
        if self._console is None:
            line = "  ".join(cells).rstrip()
            if self._terminal and len(line) > width:
                line = f"{line[: width - 1]}…"
            print(line, file=self._out, flush=True)
        else:
            _print_in_colours(self._console, cells, event, width)

    def note(self, message: str) -> None:
        """Write a line to standard error, after the text so far."""
        self.end_line()
        write_line(message)


def _cell(text: str) -> str:
    return terminal_line(text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…")


def _summary(event: ServerEvent) -> str:
    delta = getattr(event, "delta", None)
    item = getattr(event, "item", None)
    summary: str | None = None
    if isinstance(event, ConversationEvent):
        summary = line_of(event)
    elif isinstance(delta, str):
        summary = json.dumps(delta, ensure_ascii=False)
    elif isinstance(event, ResponseErrorEvent):
        summary = f"{event.code or event.error_type}: {event.message}"
    elif isinstance(event, LifecycleEvent):
        summary = _summary_of_response(event)
    elif isinstance(event, UnknownEvent):
        summary = event.reason
    elif item is not None:
        summary = item.type
    return summary or ""


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
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


_COLOURS: list[tuple[Callable[[ServerEvent], bool], str]] = [
    (lambda event: event.type in ("error", "response.failed"), "bold red"),
    (lambda event: event.type == "response.incomplete", "bold yellow"),
    (lambda event: event.is_terminal, "bold green"),
    (lambda event: event.type.endswith(".delta"), "cyan"),
    (lambda event: isinstance(event, UnknownEvent), "yellow"),
]


def _print_in_colours(console: Console, cells: list[str], event: ServerEvent, width: int) -> None:
    from rich.text import Text

    colour = next((colour for applies, colour in _COLOURS if applies(event)), "")
    offset, lane, kind, summary = cells
    line = Text.assemble((offset, "dim"), "  ", (lane, "blue"), "  ", (kind, colour), "  ", summary)
    line.rstrip()
    line.truncate(width, overflow="ellipsis")
    console.print(line)
