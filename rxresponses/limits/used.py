"""What a response has used, by its terminal event or by the error that ended its stream."""

from __future__ import annotations

from ..errors import ResponseFailedError
from ..wire.events.base import ServerEvent
from ..wire.models import ResponseUsage
from .admission import NOTHING_USED, UNKNOWN_USAGE
from .prices import is_known


def usage_of(event: ServerEvent, failure: ResponseFailedError | None = None) -> ResponseUsage:
    """Return what the response of a terminal event has used; `failure` is the error that the event means.

    Without counts in the event, that is nothing if the server refused the request, or the response had no output.
    Otherwise it is unknown.
    """
    usage = getattr(getattr(event, "response", None), "usage", None)
    if isinstance(usage, ResponseUsage) and is_known(usage):
        return usage
    is_refused = failure is not None and (failure.delivery == "rejected" or failure.without_output)
    return NOTHING_USED if is_refused else UNKNOWN_USAGE


def usage_at_error(error: Exception) -> ResponseUsage | None:
    """Return what a request has used whose stream ended with an error: `None` if it was not sent."""
    delivery = getattr(error, "delivery", None)
    if delivery == "not_sent":
        return None
    return NOTHING_USED if delivery == "rejected" else UNKNOWN_USAGE
