"""The timer of a connection's requests; the limits themselves are in `protocol.timeouts`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from ..errors import ResponseTimeoutError
from ..protocol.protocol import Protocol
from ..protocol.request import QUEUED, ProtocolRequest
from ..protocol.timeouts import Timeouts
from .backpressure import ReadPause
from .request import AnyConnectionRequest


class RequestTimer:
    """One timer for the timeouts of all requests of a connection, set to the earliest deadline.

    An event moves the deadline of its request to a later time without touching the timer: when the
    timer fires too early, it is set again.  So an event costs no timer.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: Protocol,
        timeouts: Timeouts,
        read_pause: ReadPause,
        overdue: Callable[[AnyConnectionRequest, ResponseTimeoutError], None],
    ) -> None:
        self._loop = loop
        self._protocol = protocol
        self._timeouts = timeouts
        self._read_pause = read_pause
        self._overdue = overdue
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = False

    def watch(self, request: ProtocolRequest) -> None:
        """Make sure that the timer fires no later than at the deadline of this request."""
        deadline = self._timeouts.deadline(request)
        if deadline is None or self._stopped:
            return
        if self._handle is not None:
            if self._handle.when() <= deadline:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(deadline, self._check)

    def restart(self) -> None:
        """For each request that has been sent, begin its timeout again, from now."""
        now = self._loop.time()
        for request in self._protocol.open_requests():
            if request.state is not QUEUED:
                request.since = now
                self.watch(request)

    def stop(self) -> None:
        """Watch no request any more."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()

    def _check(self) -> None:
        self._handle = None
        now = self._loop.time()
        for request in self._protocol.open_requests():
            if self._read_pause.active and request.state is not QUEUED:
                continue  # the connection is not read, so silence is not the server's fault: see `restart`
            error = self._timeouts.error(request, now)
            if error is None:
                self.watch(request)
            else:
                self._overdue(cast("AnyConnectionRequest", request), error)
