"""When a member of a fleet gets no requests because it fails, and when it is tried again; the caller passes the time.

The time is in seconds, by any clock.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

from ..backoff import Backoff, is_rate_limit, is_retryable, is_spent
from ..errors import (
    ConnectFailedError,
    ConnectionLostError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    MessageTooBigError,
    ResponseFailedError,
)
from ..options import BreakerOptions
from ..protocol.routing import BUSY_CODES
from ..reasons import reason_of

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]

Verdict: TypeAlias = Literal["well", "busy", "ill", "gone"]
"""What the failure of a request says of its member.

`well`: nothing against it.  `busy`: it is at a limit, and takes more requests after a while.  `ill`: a failure, of
which several mean that the member does not work.  `gone`: no request can succeed there now.
"""

_OTHER_KEY = frozenset({401, 402, 403})  # HTTP: the key is wrong, or has no credit, or does not allow it
# Codes in which a server tells of its connection, and that another one takes the request.
_OF_CONNECTION = BUSY_CODES | {"websocket_connection_limit_reached", "websocket_stream_limit_reached"}


class Breaker:
    """The circuit breaker of a member: `closed` while it works, `open` while it fails, `half_open` during a trial.

    It opens after some failures in a row, or if too large a share of the latest requests has failed, or at once if no
    request can succeed.  After a delay it lets one request through, the trial.  If the member answers that, the breaker
    closes, else it is open again for longer.

    An outcome counts only if nothing has changed since the request was sent: so each request has the `generation` of
    the breaker at that time.  Requests that were on their way when the breaker opened say nothing about later.
    """

    def __init__(self, options: BreakerOptions, backoff: Backoff, *, draw: Callable[[], float] = random.random) -> None:
        self.state: BreakerState = "closed"
        self.generation = 0
        self.failures = 0  # in a row
        self.error: Exception | None = None  # the latest failure, until the breaker closes
        self.trial_at = -math.inf  # when an open breaker lets a request through
        self._options = options
        self._backoff = backoff
        self._draw = draw
        self._openings = 0  # since it was closed
        self._is_lasting = False  # waiting does not help
        self._outcomes: deque[bool] = deque(maxlen=options.window)  # whether each of the latest requests failed

    @property
    def is_hopeless(self) -> bool:
        """Whether requests should not wait for the member: another try would fail too, or all tries have failed."""
        return self.state == "open" and (self._is_lasting or self._openings > self._backoff.max_retries)

    def allows(self, now: float) -> bool:
        """Whether a request may be sent; to an open breaker that is the trial."""
        return self.state == "closed" or (self.state == "open" and now >= self.trial_at)

    def sending(self) -> int:
        """Note that a request is sent which `allows` has let through; return its generation."""
        if self.state == "open":
            self._change("half_open")
        return self.generation

    def is_trial(self, generation: int) -> bool:
        """Whether a request of this generation is the trial that decides whether the breaker closes."""
        return self.state == "half_open" and generation == self.generation

    def succeeded(self, generation: int) -> None:
        """Note that the member has answered a request."""
        if generation != self.generation:
            return
        if self.state == "half_open":
            self._change("closed")
        self.failures = 0
        self._outcomes.append(False)

    def failed(
        self, generation: int, now: float, error: Exception, *, gone: bool = False, requested_wait: float | None = None
    ) -> bool:
        """Note that the member has failed; return whether that opens the breaker.

        `gone` opens it at once.  `requested_wait` are the seconds for which the server asks to send nothing.
        """
        if generation != self.generation:
            return False
        self.failures += 1
        self.error = error
        self._outcomes.append(True)
        if not (gone or self.state == "half_open" or self._has_failed_too_often()):
            return False
        self._openings += 1
        self._is_lasting = gone and (self._backoff.is_too_long(requested_wait) or not is_retryable(error))
        self.trial_at = now + self._backoff.delay(self._openings, requested_wait, draw=self._draw)
        self._change("open")
        return True

    def undecided(self, generation: int) -> None:
        """Note that a request has ended without saying anything of the member: another one may be the trial."""
        if self.is_trial(generation):
            self._change("open")

    def _has_failed_too_often(self) -> bool:
        outcomes, options = self._outcomes, self._options
        if self.failures >= options.failures:
            return True
        return len(outcomes) == options.window and sum(outcomes) >= options.share * options.window

    def _change(self, state: BreakerState) -> None:
        self.state = state
        self.generation += 1
        self._outcomes.clear()
        if state == "closed":
            self._openings, self._is_lasting, self.failures, self.error = 0, False, 0, None


def verdict_of(error: Exception) -> Verdict:
    """Return what the failure of a request says of its member."""
    if is_spent(error) or getattr(error, "status", None) in _OTHER_KEY:
        return "gone"
    if is_rate_limit(error):
        return "busy"
    if isinstance(error, ConnectFailedError):
        return "gone"
    if isinstance(error, MessageTooBigError) or getattr(error, "code", None) in _OF_CONNECTION:
        return "well"
    if isinstance(error, ConnectionLostError):
        # Without both, this side has closed the connection.
        return "well" if error.close_code is None and error.code is None else "ill"
    if isinstance(error, (FirstEventTimeoutError, IdleTimeoutError)):
        return "ill"
    if not isinstance(error, ResponseFailedError):
        return "well"
    if {reason_of(error.code), reason_of(error.type)} & {"busy", "failing"} or (error.status or 0) >= 500:
        return "ill"
    return "well"


def may_go_elsewhere(error: Exception) -> bool:
    """Whether a request may be sent to another member after this error: the first one has done nothing with it.

    Either a client would send the request again, or the member cannot serve it, and has said so before any output.
    """
    if is_retryable(error) or isinstance(error, ConnectFailedError):
        return True
    if not isinstance(error, ResponseFailedError):
        return False
    verdict = verdict_of(error)
    return verdict in ("ill", "gone") if error.delivery == "rejected" else error.without_output and verdict == "gone"
