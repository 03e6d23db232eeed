"""`PageQueue`: decides what a page gets next, so that a slow page costs neither time nor memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

_MOST_BYTES = 2**22
_MOST_MESSAGES = 40  # ten seconds


class PageQueue:
    """The updates that a page has not been sent yet.  Of a page that lags, they are dropped: it gets a snapshot."""

    def __init__(self, snapshot: Callable[[], bytes]) -> None:
        self._snapshot = snapshot
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._needs_snapshot = True
        self._has_more = asyncio.Event()
        self._has_more.set()

    def put(self, message: bytes) -> None:
        """Add an update."""
        if self._needs_snapshot:
            return  # which will have all of it
        self._messages.append(message)
        self._size += len(message)
        if self._size > _MOST_BYTES or len(self._messages) > _MOST_MESSAGES:
            self._messages.clear()
            self._size = 0
            self._needs_snapshot = True
        self._has_more.set()

    async def next(self) -> bytes:
        """Return what the page is to be sent next, as soon as there is anything."""
        await self._has_more.wait()
        if self._needs_snapshot:
            self._needs_snapshot = False
            message = self._snapshot()
        else:
            message = self._messages.popleft()
            self._size -= len(message)
        if not self._messages:
            self._has_more.clear()
        return message
