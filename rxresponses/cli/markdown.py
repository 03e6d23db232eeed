"""An answer in Markdown on a terminal, as it streams.

Rich draws a text that grows by drawing it anew over itself, which it can do only within the height of the screen.  So
blocks that no longer change (paragraphs, lists, tables, code) are written once, and only the last block is drawn anew,
or its end if the block is higher than the screen.  When the block is complete, the whole of it is written once more.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment

from ..redaction import terminal_text
from .blocks import begin_of_last_block

_INTERVAL = 0.08  # seconds between two drawings
_SHARE = 10  # drawing may take a tenth of the time, so that a huge block does not slow the answer down
_MARGIN = 2  # lines of the screen that the last block leaves free


class MarkdownStream:
    """Shows a text that comes in pieces.  Call `tick` several times a second, also while no pieces come."""

    def __init__(self, console: Console, now: Callable[[], float] = monotonic) -> None:
        self._console, self._now = console, now
        self._shown = ""  # the source of the last block, as far as it is drawn
        self._pieces: list[str] = []  # the source that has come since
        self._live: Live | None = None
        self._has_blocks = False
        self._next_drawing = 0.0

    @property
    def is_drawing(self) -> bool:
        """Whether a block is drawn that may change."""
        return self._live is not None

    def add(self, piece: str) -> None:
        """Add a piece of the text, and draw it if it is time."""
        self._pieces.append(piece)
        self.tick()

    def tick(self) -> None:
        """Draw the pieces that have come, unless the last drawing was a moment ago."""
        if self._pieces and self._now() >= self._next_drawing:
            start = self._now()
            self._draw()
            end = self._now()
            self._next_drawing = end + max(_INTERVAL, _SHARE * (end - start))

    def end(self) -> None:
        """Write the rest of the text, which no longer changes."""
        text = self._take(is_last=True)
        with self._console:
            if self._live is not None:
                self._live.update("")
                self._live.stop()
                self._live = None
            if text.strip():
                self._write(text)
        self._shown, self._has_blocks = "", False

    def _draw(self) -> None:
        text = self._take(is_last=False)
        begin = begin_of_last_block(text)
        done, self._shown = text[:begin], text[begin:]
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        has_done = bool(done.strip())
        last = _Blocks(self._shown, self._has_blocks or has_done, self._console.height - _MARGIN)
        with self._console:  # one write, so that nothing flickers
            self._live.update(last, refresh=True)
            if has_done:
                self._write(done)

    def _take(self, *, is_last: bool) -> str:
        text = "".join(self._pieces)
        self._pieces.clear()
        if text.endswith("\r") and not is_last:  # perhaps the first half of a line break
            text = text[:-1]
            self._pieces.append("\r")
        return self._shown + terminal_text(text)

    def _write(self, text: str) -> None:
        self._console.print(_Blocks(text, self._has_blocks))
        self._has_blocks = True


class _Blocks:
    """Blocks of a text, without the blank lines around them, but with a blank line before if a block stands there.

    If there are more lines than `height`, only the last lines are shown.
    """

    def __init__(self, text: str, has_before: bool, height: int | None = None) -> None:
        # A link shows its address, because an answer could otherwise hide where it leads.
        self._text = Markdown(text, hyperlinks=False)
        self._has_before, self._height = has_before, height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._text, options, pad=False)
        # A line of code without text has a background, so it is no blank line.
        filled = [number for number, line in enumerate(lines) if any(segment.text for segment in line)]
        lines = lines[filled[0] : filled[-1] + 1] if filled else []
        lines = ([[]] if self._has_before else []) + lines
        for line in lines if self._height is None else lines[-max(self._height, 1) :]:
            yield from line
            yield Segment.line()
