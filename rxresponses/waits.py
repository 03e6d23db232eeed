"""How long a server asks to wait, where it does not say so in `Retry-After`: in other headers, fields and messages.

All results are seconds, or seconds since 1970 for a point in time.  `None` means that nothing readable is said.  `now`
is the time of day in seconds since 1970; the caller passes it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = "milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d"
# All repetitions are bounded, because the text comes from the server.  `re` compiles an expression when it is first
# used, and keeps it: few programs need these, and they take 3 ms.
_PART = rf"(\d{{1,12}}(?:\.\d{{1,12}})?)\s{{0,3}}({_UNIT})(?![a-z])"
_SEPARATOR = r"(?:\s{0,3}(?:,|and)?\s{0,3})"
_DURATION = rf"\s*{_PART}(?:{_SEPARATOR}{_PART}){{0,4}}\s*"
_ONE = r"an? {1,3}(?:second|minute|hour|day)(?![a-z])"
_IN_MESSAGE = (
    r"\b(?:try(?:ing)? (?:it |your request )?again|retry(?:ing)?(?: again)?|wait|resets?)"
    r"(?: again)?(?: in| after| for)?(?: about| at least)? {1,3}"
    rf"(?P<duration>{_PART}(?:{_SEPARATOR}{_PART}){{0,4}}|{_ONE})"
    # In the words of the header, a number without a unit is a number of seconds.
    r"|\bretry[- ]after[: =]{1,3}(?P<seconds>\d{1,12}(?:\.\d{1,12})?)(?!\.?\d)(?=\s{0,3}(?:[^\w\s]|$))"
)
_MESSAGE_LENGTH = 2000  # characters of a message that are searched
_SECONDS_FIELDS = (
    *("retry_after_seconds", "retry_after", "retryAfter", "retry-after", "retry_delay", "retryDelay", "retry_in"),
    *("resets_in_seconds", "reset_in_seconds", "resets_in", "reset_in", "reset_after_seconds", "reset_after"),
)
_MILLISECONDS_FIELDS = ("retry_after_ms", "retryAfterMs", "retry-after-ms", "resets_in_ms")
_TIME_FIELDS = ("resets_at", "reset_at", "reset_time", "resetsAt")
_DETAILS = 8  # objects below an error that are searched too
_EARLIEST_TIME = 1e9  # a greater number is no wait in seconds but a point in time, in seconds since 1970
_EARLIEST_TIME_MS = 1e11  # and a number greater than this one is such a time in milliseconds
_USED_UP = 100.0  # per cent of a limit


def wait_for_limits(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until the used-up limits are renewed that the headers of a rate-limited answer tell.

    Headers such as `x-ratelimit-reset-requests` belong to a limit, and so does `x-ratelimit-remaining-requests`: a
    limit of which something remains is not the reason of the refusal.  The same holds for `x-codex-primary-reset-at`
    and `x-codex-primary-used-percent`.
    """
    values = {name.lower(): value for name, value in headers.items()}
    waits = []
    for name, value in values.items():
        head, found, tail = name.partition("reset")
        if not found or not ("ratelimit" in head or tail in ("-after-seconds", "-at")):
            continue
        remaining = _number(values.get(f"{head}remaining{tail}"))
        used = _number(values.get(f"{head}used-percent"))
        if (remaining is None or remaining == 0) and (used is None or used >= _USED_UP):
            waits.append(_until(value, now))
    return max((wait for wait in waits if wait is not None), default=None)


def wait_for_used_up_limits(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds for which the headers of an accepted handshake say that requests will be refused.

    Services tell their limits with each answer, also with one that refuses nothing.  It is certain only for a limit of
    requests or tokens of which nothing remains; a limit without such a word may be a limit of handshakes.
    """
    used_up = {
        name.lower().replace("remaining", "reset")
        for name, value in headers.items()
        if _number(value) == 0 and re.search("request|token", name, re.IGNORECASE)
    }
    return wait_for_limits({name: value for name, value in headers.items() if name.lower() in used_up}, now)


def stated_wait(error: Mapping[str, object]) -> float | None:
    """Return the seconds to wait that the fields of an error state, or its message ("Please try again in 0.2s")."""
    for fields in _objects(error):
        for names, unit in ((_MILLISECONDS_FIELDS, 0.001), (_SECONDS_FIELDS, 1.0)):
            for name in names:
                seconds = _duration(fields.get(name), unit)
                if seconds is not None:
                    return seconds
    message = error.get("message")
    found = re.search(_IN_MESSAGE, message[:_MESSAGE_LENGTH], re.IGNORECASE) if isinstance(message, str) else None
    if found is None:
        return None
    return float(found["seconds"]) if found["duration"] is None else _seconds(found["duration"])


def stated_time(error: Mapping[str, object]) -> float | None:
    """Return the time at which the limit is renewed that refused a request, in seconds since 1970."""
    times = (_time(fields.get(name)) for fields in _objects(error) for name in _TIME_FIELDS)
    return next((time for time in times if time is not None), None)


def _objects(error: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return an error and what some services put below it: `metadata`, and a list of `details`."""
    below = [error.get("metadata"), error.get("details")]
    if isinstance(below[-1], list):
        below += below[-1][:_DETAILS]
    return [error, *(value for value in below if isinstance(value, Mapping))]


def _duration(value: object, unit: float) -> float | None:
    """Read a number of such units, or a text with units of its own, as seconds."""
    number = _number(value)
    if number is not None:
        return number * unit
    if not isinstance(value, str) or not re.fullmatch(_DURATION, value[:_MESSAGE_LENGTH], re.IGNORECASE):
        return None
    return _seconds(value)


def _until(value: str, now: float) -> float | None:
    """Read the value of a header that holds a duration, a number of seconds, or a point in time."""
    if re.fullmatch(_DURATION, value[:_MESSAGE_LENGTH], re.IGNORECASE):
        return _seconds(value)
    number = _number(value)
    if number is not None and number < _EARLIEST_TIME:
        return number
    time = _time(value if number is None else number)
    return None if time is None else max(0.0, time - now)


def _time(value: object) -> float | None:
    number = _number(value)
    if number is not None:
        return number / 1000 if number > _EARLIEST_TIME_MS else number
    if not isinstance(value, str):
        return None
    try:
        date = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None


def _seconds(duration: str) -> float:
    article, _, unit = duration.partition(" ")
    if article.lower() in ("a", "an"):
        return _UNITS[unit.strip()[0].lower()]
    total = 0.0
    for digits, unit in re.findall(_PART, duration, re.IGNORECASE):
        name = unit.lower()
        total += float(digits) * _UNITS["ms" if name.startswith(("ms", "mil")) else name[0]]
    return total


def _number(value: object) -> float | None:
    """Read a number from 0 on, also as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # no number, or an integer of hundreds of digits
        return None
    return number if 0 <= number < math.inf else None
