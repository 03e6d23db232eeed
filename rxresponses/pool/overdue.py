"""Why a request has waited too long in a pool, and the error that says so."""

from __future__ import annotations

from ..errors import QueueTimeoutError
from ..raised import named_text
from .admission import PoolAdmission
from .connections import PoolConnections
from .lanes import PoolConnectionState, PoolRequest
from .rate_limit import RateLimit


def overdue_error(
    request: PoolRequest,
    seconds: float,
    now: float,
    connections: PoolConnections,
    rate_limit: RateLimit,
    admission: PoolAdmission | None,
) -> QueueTimeoutError:
    """Return the error of a request that has waited so many seconds; `__cause__` is the error that it waited for.

    The reasons that hold for all requests come first: a request behind such a reason would wait on any lane.
    """
    why, cause = _reason(request, now, connections, rate_limit, admission)
    error = QueueTimeoutError(seconds, stream_id=request.stream_id, why=why)
    error.__cause__ = cause
    return error


def _reason(
    request: PoolRequest,
    now: float,
    connections: PoolConnections,
    rate_limit: RateLimit,
    admission: PoolAdmission | None,
) -> tuple[str | None, Exception | None]:
    pause = rate_limit.remaining_pause(now)
    refusal = rate_limit.error
    told = "" if refusal is None else f" ({named_text(refusal)})"
    if pause is not None:
        return f"the client sends nothing for {pause:.3g} s more because of a rate limit of the server{told}", refusal
    if request.lane is None and not connections.is_open(request.route):
        error = connections.connect_error_on(request.route)
        if error is not None:
            return f"no connection could be made ({named_text(error)}), and the client tries again", error
        if not connections.all or connections.in_state(PoolConnectionState.CONNECTING):
            return "its connection is not open yet", None
    if admission is not None and admission.until is not None:
        return "the limits or the budget of the client let no other request begin before", None
    if not rate_limit.allows(now, connections.active):
        running = f"{connections.active} requests run" if connections.active != 1 else "1 request runs"
        return f"{running} at once, and a rate limit of the server allows no more for now{told}", refusal
    return None, None
