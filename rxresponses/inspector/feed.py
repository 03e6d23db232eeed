"""`Feed`: collects what connections note, for pages that show it."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from ..marbles.live import LiveDiagram
from ..recording.collector import TapeCollector
from ..recording.format import Contents
from ..recording.lines import Group, GroupMaker
from .page_queue import PageQueue

_LOGGER = logging.getLogger("rxresponses.inspector")
# Seconds between two updates.  An update costs about as much for one event of a stream as for ten, so the pauses grow
# with what the updates take: they are to take this share of the time, while the pauses are not longer than a second.
_LEAST_PAUSE = 0.25
_LONGEST_PAUSE = 1.0
_SHARE = 0.012
_ENTRIES = 6_000  # that are read before other work of the loop has its turn: about 3 ms
_LEAST_ENTRIES = 50  # of each tape


class Feed(TapeCollector):
    """Reads the tapes a few times a second, and tells the pages.  `run` works on an event loop."""

    def __init__(self, contents: Contents, window: float, max_bytes: int) -> None:
        super().__init__()
        self._start = monotonic()
        self._is_open = True
        self._maker = GroupMaker(contents, self._start)
        self._diagram = LiveDiagram(window=window, max_bytes=max_bytes)
        self.pages: set[PageQueue] = set()

    @property
    def is_open(self) -> bool:
        """Whether more will be taken."""
        return self._is_open

    def close(self) -> None:
        """End: the connections note nothing more."""
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if was_open:
            self._ended()

    async def run(self) -> None:
        """Collect until `close`.  An error of this library ends the inspector, and no stream."""
        pause = _LEAST_PAUSE
        try:
            while self._is_open:
                await asyncio.sleep(pause)
                spent = 0.0
                has_more = True
                while has_more and self._is_open:
                    begin = monotonic()
                    has_more = self._read_some()
                    if not has_more:
                        self._tell_pages(self._diagram.update(self._now(), is_wanted=bool(self.pages)))
                    spent += monotonic() - begin
                    await asyncio.sleep(0)
                pause = min(max(_LEAST_PAUSE, spent / _SHARE), _LONGEST_PAUSE)
        except Exception:
            _LOGGER.exception("The inspector has failed, and shows nothing more; the streams go on.")
            self.close()

    def _tell_pages(self, message: bytes | None) -> None:
        if message is not None:
            for page in self.pages:
                page.put(message)

    def snapshot(self) -> bytes:
        """Return all there is, for a page that was opened just now, or is too slow for updates."""
        return self._diagram.snapshot(self._now())

    def _now(self) -> float:
        return monotonic() - self._start

    def _read_some(self) -> bool:
        """Read a part of what waits, and return whether there was any."""
        with self._lock:
            taken = self._take(max(_ENTRIES // (len(self._tapes) or 1), _LEAST_ENTRIES))
            if not taken:
                self._forget_closed()
                return False
        maker, diagram = self._maker, self._diagram
        for part in maker.groups(taken):
            if isinstance(part, Group):
                lane = None if part.request is None else part.request.stream_id
                diagram.events(part.at, maker.name_of(part.request), lane, part.frames)
            else:
                diagram.record(maker.record_of(part))
        return True
