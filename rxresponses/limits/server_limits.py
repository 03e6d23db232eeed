"""Which limits a server tells: in the headers of a handshake or of an error, and in the message of an error."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from .admission import ServerLimits

# `x-ratelimit-limit-requests`, `x-ratelimit-limit-tokens-minute`, `anthropic-ratelimit-input-tokens-limit`.
_NAME = re.compile(
    r"(?:[a-z]{1,20}-){0,2}ratelimit-(?:limit-(?P<after>UNIT)(?:-(?:per-)?minute)?|(?P<before>UNIT)-limit)".replace(
        "UNIT", "requests|tokens|input-tokens|output-tokens"
    )
)
# "… on tokens per min (TPM): Limit 30000, Used 29874, Requested 406."
_MESSAGE = re.compile(
    r"\bon (?P<unit>requests|tokens|input tokens|output tokens) per min(?:ute)?\b[^:]{0,20}:? {0,3}"
    r"limit:? {0,3}(?P<limit>\d{1,12})(?![\d.])",
    re.IGNORECASE,
)
_MESSAGE_LENGTH = 2000  # characters of a message that are searched


def limits_in_headers(headers: Mapping[str, str]) -> ServerLimits:
    """Return the limits a minute in headers; names in any case.

    A limit for another time than a minute, such as `x-ratelimit-limit-requests-day`, is none of them.
    """
    found: dict[str, float] = {}
    for name, value in headers.items():
        match = _NAME.fullmatch(name.lower())
        limit = None if match is None else _number(value)
        if match is not None and limit is not None:
            found[(match["after"] or match["before"]).replace("-", "_")] = limit
    return ServerLimits(**found)


def limits_in_message(message: str) -> ServerLimits:
    """Return the limit a minute that the message of an error tells."""
    match = _MESSAGE.search(message[:_MESSAGE_LENGTH])
    if match is None or _number(match["limit"]) is None:
        return ServerLimits()
    return ServerLimits(**{match["unit"].lower().replace(" ", "_"): float(match["limit"])})


def _number(text: str) -> float | None:
    """Read a limit; less than 1 is none: some servers mean no limit by 0, and with less nothing would ever be sent."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 1 <= number < math.inf else None
