"""Which choice of a fallback is tried next, and after which errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..backoff import is_retryable, is_spent
from ..errors import (
    ConnectFailedError,
    PreviousResponseLostError,
    ResponseFailedError,
    SocketClosedError,
)
from ..reasons import reason_of
from .errors import AttemptTimeoutError

_NOT_IN_CODES = re.compile(r"[^a-z0-9]")
_OTHER_MODEL = re.compile(
    r"model(?:is|was)?not(?:found|available|exist|supported|allowed|ready)|(?:unknown|invalid|unsupported|nosuch)model"
    r"|modeldoesnotexist|modelmismatch|deploymentnotfound|decommissioned"
)
_OTHER_KEY = frozenset({401, 403})  # HTTP: the key is wrong, or does not allow it


def may_fall_back(error: BaseException) -> bool:
    """Whether another choice may be asked after an error: nothing is done twice, and only this choice has the problem.

    Either the request was `not_sent` or `rejected`, or the response failed without output and usage.  The reason is
    one of those for which a request may be retried; a spent quota; a connection that cannot be made; a key that is
    refused; a model that is not there.  Or `attempt_timeout` has passed.  An invalid request would be invalid for any
    choice, and a request with `delivery` `unknown` may have been answered.
    """
    if isinstance(error, (PreviousResponseLostError, SocketClosedError)):
        return False  # the other choices of this sender have lost the response as well; the program closed the sender
    if isinstance(error, (AttemptTimeoutError, ConnectFailedError)) or is_retryable(error):
        return True
    if not isinstance(error, ResponseFailedError):
        return False
    if error.delivery != "rejected" and not error.without_output:
        return False
    return is_spent(error) or _is_failing(error) or _refuses_model(error)


def _is_failing(error: ResponseFailedError) -> bool:
    return "failing" in (reason_of(error.code), reason_of(error.type))


def _refuses_model(error: ResponseFailedError) -> bool:
    codes = (_NOT_IN_CODES.sub("", (word or "").lower()) for word in (error.code, error.type))
    return error.status in _OTHER_KEY or error.param == "model" or any(map(_OTHER_MODEL.search, codes))


def order_of(senders: Sequence[int], first: int, holder: int | None, *, continues: bool) -> list[int]:
    """Return the choices for a request, in the order in which they are tried.

    `senders` tells the sender of each choice.  `first` is the choice that is preferred now.  `holder` is the choice
    that made the response which the request continues, `None` if it is not known.  Only its sender has that response;
    of an unknown response, the sender of the first choice is taken to have it.
    """
    order = sorted(range(len(senders)), key=lambda choice: (choice != first, choice))
    if continues:
        sender = senders[0 if holder is None else holder]
        order = [choice for choice in order if senders[choice] == sender]
    return order


def next_of(order: Sequence[int], senders: Sequence[int], tried: Sequence[int], error: BaseException) -> int | None:
    """Return the next choice after those that were tried, the last of which had this error; `None` if none is left.

    A connection that cannot be made cannot be made for another model either.
    """
    last = senders[tried[-1]]
    return next(
        (
            choice
            for choice in order
            if choice not in tried and not (isinstance(error, ConnectFailedError) and senders[choice] == last)
        ),
        None,
    )
