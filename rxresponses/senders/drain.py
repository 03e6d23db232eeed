"""`Drain`: how a client or a fleet ends that takes no new requests, and lets those that it has finish."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError, SocketClosedError
from ..net.loops import keep_for_parent
from ..net.request import RequestSubscription
from ..net.subject import IsolatedSubject
from ..scalars import plain_scalar


class Drain:
    """What a sender that may drain keeps: whether it does, until when, and whether all requests could finish."""

    def __init__(self, ended: IsolatedSubject[bool]) -> None:
        self.ended = ended
        self.is_on = False
        self.cut_short = False  # the sender was closed before all requests had ended
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop, timeout: float | None, close: Callable[[], None]) -> None:
        """Drain from now on; call `close` after `timeout` seconds.  Of several timeouts the earliest counts."""
        self.is_on = True
        if timeout is None:
            return
        at = loop.time() + timeout
        if self._timer is None or at < self._timer.when():
            self.stop()
            self._timer = loop.call_at(at, close)

    def stop(self) -> None:
        """Stop the timer."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def finish(self) -> None:
        """Emit whether all requests could finish: the sender is closed."""
        self.stop()
        self.ended.on_next(not self.cut_short)
        self.ended.on_completed()

    def forget_parent(self) -> None:
        """In a forked process, forget the timer, which is the parent's."""
        keep_for_parent(self._timer)
        self._timer = None


def drain_seconds(timeout: Any) -> float | None:
    """Return the timeout of `drain`; raises `ConfigurationError` for one that is not a number of seconds."""
    timeout = plain_scalar(timeout)
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf:
        raise ConfigurationError(f"`timeout` must be a number of seconds, not {timeout!r}")
    return timeout


def draining_error(request: RequestSubscription, sender: str) -> SocketClosedError:
    """Return the error of a request that is refused because the sender drains."""
    return SocketClosedError(
        f"the {sender} takes no new requests: `drain()` was called, which closes it when its requests have ended; "
        "nothing was sent",
        delivery="not_sent",
        stream_id=request.stream_id,
    )
