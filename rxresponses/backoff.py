"""Whether to try again, and how long to wait before: rules, without a clock of their own."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from .errors import (
    ConfigurationError,
    ConnectFailedError,
    InvalidRequestError,
    LaneLimitError,
    MessageTooBigError,
    ResponseFailedError,
    ResponsesError,
    SocketClosedError,
)

RATE_LIMIT_CODES = frozenset({"rate_limit_exceeded", "slow_down", "too_many_requests"})
"""Codes that say: later, and not only this request."""

_TRANSIENT_CODES = RATE_LIMIT_CODES | {
    "response_already_in_flight",
    "server_error",
    "server_is_overloaded",
    "service_unavailable",
    "websocket_connection_limit_reached",
    "websocket_queue_full",
    "websocket_stream_limit_reached",
}
_HOPELESS = (ConfigurationError, InvalidRequestError, LaneLimitError, MessageTooBigError, SocketClosedError)


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Delays between tries, in seconds: `initial`, then `factor` times the one before, at most `max_delay`.

    Each is shortened by a random share of up to `jitter` (0 to 1), so that many clients do not come
    back at once.  What the server asks for is obeyed: then a delay is that long, and up to `jitter` of
    `initial` longer.  Of more than `max_retry_after` seconds nothing is retried: the error says how long, for
    the program to decide.  `max_retries` tries follow the first one.
    """

    initial: float = 0.5
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 0.5
    max_retries: int = 6
    max_retry_after: float = 600.0

    def __post_init__(self) -> None:
        for name in ("initial", "factor", "max_delay", "jitter", "max_retry_after"):
            value, least = getattr(self, name), 1.0 if name == "factor" else 0.0
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
                raise ConfigurationError(f"`{name}` must be a number of at least {least:g}, not {value!r}")
        if self.jitter > 1:
            raise ConfigurationError(f"`jitter` must be at most 1, not {self.jitter!r}")
        if isinstance(self.max_retries, bool) or not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise ConfigurationError(f"`max_retries` must be a whole number of at least 0, not {self.max_retries!r}")

    def delay(self, retry: int, hint: float | None = None, *, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait before the `retry`-th retry, counted from 1; `hint` is the server's wish."""
        if hint is not None:
            return min(hint, self.max_retry_after) + self.initial * self.jitter * draw()
        # The exponent is bounded, since a client that tries for days would overflow a float.
        grown = min(self.max_delay, self.initial * self.factor ** min(retry - 1, 64))
        return grown * (1 - self.jitter * draw())

    def is_too_long(self, hint: float | None) -> bool:
        """Whether the server asks for a longer wait than is worth beginning."""
        return hint is not None and hint > self.max_retry_after

    def tell(self, error: Exception, hint: float | None) -> None:
        """Have the text of an error say that the server asks for too long a wait."""
        if isinstance(error, ResponsesError):
            error.args = (
                f"{error}; the server asks to wait {hint:g} s, more than `max_retry_after` of the backoff "
                f"({self.max_retry_after:g} s), so it was not tried again: do it then, or allow more",
            )


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return the seconds that `Retry-After` asks for (RFC 9110, section 10.2.3), `None` without one.

    `Retry-After-Ms`, which some services send, tells more.  `now` is the time of day, for a date.
    """
    values = {name.lower(): value for name, value in headers.items()}
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(values[name]) * scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < math.inf:
            return seconds
    try:
        date = parsedate_to_datetime(values["retry-after"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return max(0.0, date - (time.time() if now is None else now))


def is_rate_limit(error: BaseException) -> bool:
    """Whether the server wants fewer requests, not another one."""
    code, status = getattr(error, "code", None), getattr(error, "status", None)
    if _is_spent(error):
        return False  # also a 429, but no waiting helps
    return code in RATE_LIMIT_CODES or status == 429


def is_retryable(error: BaseException) -> bool:
    """Whether the same request may be sent again by itself: nothing is done twice, and it may help.

    So only what was `not_sent` or `rejected`, and of that only what passes: no connection, rate
    limits, a server that is busy or out of order; never a wrong request, key or URL.
    """
    if isinstance(error, _HOPELESS) or getattr(error, "delivery", None) not in ("not_sent", "rejected"):
        return False
    if _is_spent(error):
        return False
    if isinstance(error, ConnectFailedError):
        return error.status is None or _is_transient(error.status)
    if isinstance(error, ResponseFailedError):
        if error.code in _TRANSIENT_CODES or error.type in _TRANSIENT_CODES:
            return True
        return error.status is not None and _is_transient(error.status)
    return True


def _is_transient(status: int) -> bool:
    return status == 429 or status >= 500


def _is_spent(error: BaseException) -> bool:
    return "insufficient_quota" in (getattr(error, "code", None), getattr(error, "type", None))
