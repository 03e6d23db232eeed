"""Rules of retries: whether a request may be sent again, and how long to wait before."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from .errors import (
    BudgetExceededError,
    ConfigurationError,
    ConnectFailedError,
    InvalidRequestError,
    LaneLimitError,
    MessageTooBigError,
    ResponseFailedError,
    ResponsesError,
    SocketClosedError,
)
from .reasons import Reason, reason_of, tells_of_rate_limit, tells_of_spent_quota
from .scalars import take_plain_scalars
from .waits import wait_for_limits, wait_for_used_up_limits

_HOPELESS = (
    *(BudgetExceededError, ConfigurationError, InvalidRequestError, LaneLimitError, MessageTooBigError),
    SocketClosedError,
)


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Delays between tries, in seconds: `initial`, then `factor` times the previous delay, at most `max_delay`.

    Each delay is shortened by a random share of up to `jitter` (0 to 1), so that many clients do not come back at
    once.  If the server asks for a wait, the delay is that wait, and up to `jitter` times `initial` longer.  If it asks
    for more than `max_retry_after` seconds, the request is not tried again, and the text of its error says how long
    the wait would be.  `max_retries` is the number of tries after the first one.
    """

    initial: float = 0.5
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 0.5
    max_retries: int = 6
    max_retry_after: float = 600.0

    def __post_init__(self) -> None:
        take_plain_scalars(self)
        for name in ("initial", "factor", "max_delay", "jitter", "max_retry_after"):
            value, least = getattr(self, name), 1.0 if name == "factor" else 0.0
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
                raise ConfigurationError(f"`{name}` must be a number of at least {least:g}, not {value!r}")
        if self.jitter > 1:
            raise ConfigurationError(f"`jitter` must be at most 1, not {self.jitter!r}")
        if isinstance(self.max_retries, bool) or not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise ConfigurationError(f"`max_retries` must be a whole number of at least 0, not {self.max_retries!r}")

    def delay(self, retry: int, hint: float | None = None, *, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait before a retry, counted from 1; `hint` is the wait that the server asks for."""
        if hint is not None:
            return min(hint, self.max_retry_after) + self.initial * self.jitter * draw()
        # The exponent is bounded, because a client that retries for days would make a float overflow.
        grown = min(self.max_delay, self.initial * self.factor ** min(retry - 1, 64))
        return grown * (1 - self.jitter * draw())

    def is_too_long(self, hint: float | None) -> bool:
        """Whether the server asks for a longer wait than `max_retry_after`."""
        return hint is not None and hint > self.max_retry_after

    def tell(self, error: Exception, hint: float | None) -> None:
        """Add to the text of an error that the server asks for too long a wait."""
        if isinstance(error, ResponsesError):
            error.args = (
                f"{error}; the server asks to wait {hint:g} s, more than `max_retry_after` of the backoff "
                f"({self.max_retry_after:g} s), so the request was not tried again: send it after that time, or raise "
                "`max_retry_after`",
            )


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return the seconds to wait that `Retry-After` asks for (RFC 9110, section 10.2.3), `None` without that header.

    `Retry-After-Ms`, which some services send in addition, is more precise, so it comes first.  The header may hold a
    date, and a date needs the time of day: `now`, in seconds since 1970, by default read from the system's clock.
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


def requested_wait(error: BaseException, *, now: float | None = None) -> float | None:
    """Return the seconds to wait that the server asks for in an error, `None` if it says nothing.

    The server may say so in the header `Retry-After`, in the fields or the message of the error, or, at a limit, in the
    headers that tell when the limit is renewed.  Some of these are points in time, which need the time of day: `now`,
    in seconds since 1970, by default read from the system's clock.
    """
    now = time.time() if now is None else now
    headers = getattr(error, "headers", None) or {}
    wait = retry_after(headers, now=now)
    if wait is None and isinstance(error, (ConnectFailedError, ResponseFailedError)):
        wait = error.retry_after
        if wait is None and error.resets_at is not None:
            wait = max(0.0, error.resets_at - now)
    if wait is None and _is_at_limit(error):
        wait = wait_for_limits(headers, now)
    return wait


def wait_after_handshake(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return the seconds for which a server that accepted the connection asks to send nothing, `None` for no wait.

    The headers of the handshake's answer say so: with `Retry-After`, or with a limit of requests or tokens that is used
    up and the time at which it is renewed.  `now` is as for `requested_wait`.
    """
    now = time.time() if now is None else now
    wait = retry_after(headers, now=now)
    return wait_for_used_up_limits(headers, now) if wait is None else wait


def is_rate_limit(error: BaseException) -> bool:
    """Whether the server refused a request because there are too many, and accepts more after a while."""
    if is_spent(error):
        return False  # this is a 429 too, but waiting does not help
    return _is_at_limit(error) or _only_asks_to_wait(error)


def is_spent(error: BaseException) -> bool:
    """Whether the quota of the account is spent, so that every request fails and waiting does not help.

    The limit of a plan, which is renewed after hours or days, counts as spent if the server does not say when.  Some
    services tell of a spent quota in the message only, with a code or a status that means any limit.
    """
    reasons = _reasons(error)
    if "spent" in reasons or _has_status(error, 402):  # 402: Payment Required
        return True
    return ("usage limit" in reasons or _says_spent(error)) and requested_wait(error) is None


def is_retryable(error: BaseException) -> bool:
    """Whether the request may be sent again automatically: nothing is done twice, and the next try may succeed.

    The request must have been `not_sent` or `rejected`, for a reason that may pass: no connection, a rate limit, a
    server that is busy or fails.  A response that was created may be repeated too, if it had no output and no usage,
    and failed at a limit, because the server is busy, or with a stated wait for another failure of the server.  A wrong
    request, key or URL is never retried, and neither is a request that meets a spent quota.
    """
    if isinstance(error, _HOPELESS) or is_spent(error):
        return False
    if isinstance(error, ResponseFailedError) and error.without_output and error.delivery == "started":
        if is_rate_limit(error) or "busy" in _reasons(error):
            return True
        return "failing" in _reasons(error) and requested_wait(error) is not None
    if getattr(error, "delivery", None) not in ("not_sent", "rejected"):
        return False
    if isinstance(error, ConnectFailedError):
        return not error.lasting and (error.status is None or _is_transient(error.status))
    if isinstance(error, ResponseFailedError):
        if is_rate_limit(error) or not _reasons(error).isdisjoint({"busy", "failing"}):
            return True
        return error.status is not None and _is_transient(error.status)
    return True


def _is_transient(status: int) -> bool:
    return status == 429 or status >= 500


def _has_status(error: BaseException, status: int) -> bool:
    return getattr(error, "status", None) == status


def _reasons(error: BaseException) -> set[Reason | None]:
    return {reason_of(getattr(error, "code", None)), reason_of(getattr(error, "type", None))}


def _is_at_limit(error: BaseException) -> bool:
    return _has_status(error, 429) or not _reasons(error).isdisjoint({"rate limit", "usage limit"})


def _says_spent(error: BaseException) -> bool:
    """Whether the message tells of a spent quota, and nothing else in the error tells of another reason."""
    if not isinstance(error, (ConnectFailedError, ResponseFailedError)):
        return False
    return (_is_at_limit(error) or _has_status(error, 403) or _is_bare(error)) and tells_of_spent_quota(str(error))


def _only_asks_to_wait(error: BaseException) -> bool:
    """Whether a server gives no other reason of its refusal than a message: how long to wait, or too many requests."""
    if not isinstance(error, ResponseFailedError) or not _is_bare(error):
        return False
    return requested_wait(error) is not None or tells_of_rate_limit(str(error))


def _is_bare(error: ConnectFailedError | ResponseFailedError) -> bool:
    return (error.code, error.type, error.status) == (None, None, None)
