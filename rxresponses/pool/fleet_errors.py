"""`FleetUnavailableError`, and what the errors of a fleet say of its members."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import Delivery, PreviousResponseLostError, QueueFullError, RequestError
from .fleet_members import FleetRequest, Member


class FleetUnavailableError(RequestError):
    """No member of a `ResponsesFleet` works that could take the request, so it was not sent, or refused before output.

    `members` has for each of them the URL, the state of its circuit breaker, and its latest failure, if there is one.
    The `__cause__` is the first of these failures.
    """

    def __init__(
        self,
        message: str,
        *,
        members: Sequence[tuple[str, str, Exception | None]],
        delivery: Delivery = "not_sent",
        stream_id: str | None = None,
    ) -> None:
        super().__init__(message, delivery=delivery, stream_id=stream_id)
        self.members = tuple(members)


def unavailable_error(
    request: FleetRequest, members: Sequence[Member], now: float, *, waited: float | None = None
) -> FleetUnavailableError:
    """Return the error of a request that no member can take, with the state of each; `waited` are seconds."""
    rows = [(member.name, member.breaker.state, member.breaker.error) for member in members]
    told = "; ".join(_told(member, now) for member in members) or "it has no members"
    what = "the latest try was refused before any output" if request.refused else "nothing was sent"
    after = "" if waited is None else f" within {waited:g} s"
    error = FleetUnavailableError(
        f"no member of the fleet could take the request{after}; {what}, so it may be sent again: {told}: start the "
        "servers, or check the URLs and keys",
        members=rows,
        delivery="rejected" if request.refused else "not_sent",
        stream_id=request.stream_id,
    )
    error.__cause__ = next((failure for _, _, failure in rows if failure is not None), None)
    return error


def lost_with_member_error(request: FleetRequest, home: Member) -> PreviousResponseLostError:
    """Return the error of a request whose parent only this member has, and that cannot wait for it."""
    why = "was removed" if home.is_leaving else f"does not work ({home.breaker.error})"
    error = PreviousResponseLostError(
        f"the response {request.parent_id!r}, which this request continues, is on {home.name} only, and that member "
        f"{why}; nothing was sent: send the whole history as input, without previous_response_id, or pass `history`, "
        "for the fleet to do it",
        previous_response_id=request.parent_id or "",
        stream_id=request.stream_id,
    )
    error.__cause__ = home.breaker.error
    return error


def full_error(request: FleetRequest, max_queued: int) -> QueueFullError:
    """Return the error of a request that finds too many others in the queue."""
    return QueueFullError(
        f"{max_queued} requests wait in this fleet already (`max_queued`), so this one was not taken: send fewer at "
        "once, or add members",
        delivery="not_sent",
        stream_id=request.stream_id,
    )


def _told(member: Member, now: float) -> str:
    breaker = member.breaker
    wait = max(0.0, breaker.trial_at - now)
    when = "is being tried again" if breaker.state == "half_open" else f"is tried again in {wait:.1f} s"
    return f"{member.name} has failed ({breaker.error}) and {when}"
