"""Which requests of a pool the limits and the budget of its client admit, and what becomes of their reservations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import RequestError
from ..limits.admission import Admission, Refused, Reservation, Wait
from ..limits.estimate import Estimator, RequestSize
from ..limits.server_limits import limits_in_headers, limits_in_message
from ..wire.models import ResponseUsage
from .lanes import PoolLane, PoolRequest, PoolRequestState

_NO_SIZE = RequestSize(None, 0)


class PoolAdmission:
    """Asks the admission for each request that could be sent, and settles what the request then uses.

    The pool asks for the first request only, and for no other one while it waits.
    """

    def __init__(self, admission: Admission) -> None:
        self.until: float | None = None  # until when the first request waits; infinity if for others to be settled
        self._admission = admission
        self._estimator = Estimator(admission.prices)
        self._asked: dict[PoolRequest, None] = {}  # and told to wait
        self.on_change = admission.on_change

    def begin(self) -> None:
        """Begin to ask anew: what changed may have changed the answers.  Requests that wait no more are forgotten."""
        self.until = None
        for request in [request for request in self._asked if request.state is not PoolRequestState.WAITING]:
            del self._asked[request]
            self._admission.forget(request.number)

    def ask(self, request: PoolRequest, now: float) -> bool | RequestError:
        """Return whether a request may be sent now, or the error with which it ends."""
        answer = self._admission.ask(request.number, self._estimator.estimate(request.size or _NO_SIZE), now)
        if isinstance(answer, Wait):
            self._asked[request] = None
            self.until = answer.until
            return False
        self._asked.pop(request, None)
        if isinstance(answer, Refused):
            answer.error.stream_id = request.stream_id
            return answer.error
        request.reservation = answer.reservation
        return True

    def ask_for_steer(self, lane: PoolLane, frame_bytes: int, now: float) -> Reservation | RequestError:
        """Return the reservation of a steer, which cannot wait, or the error with which it ends."""
        target = lane.latest_size or _NO_SIZE
        size = RequestSize(target.model, frame_bytes, target.max_output_tokens, continues=True)
        answer = self._admission.ask_now(self._estimator.estimate(size), now)
        return answer.error if isinstance(answer, Refused) else answer.reservation

    def settle(self, request: PoolRequest, usage: ResponseUsage | None, now: float) -> None:
        """Note what a try of a request has used, `None` if it was not sent; only the first settlement of a try counts.

        A usage without counts is not known.
        """
        reservation, request.reservation = request.reservation, None
        if reservation is not None:
            self._admission.settle(reservation, usage, now)
            if request.size is not None and not request.sends_history:  # a history is not part of the size
                self._estimator.learn(request.size, usage)

    def ended(self, request: PoolRequest, now: float, *, sent: bool) -> None:
        """Settle a try of a request that has ended without telling what it has used, unless it is settled already."""
        reservation, request.reservation = request.reservation, None
        if reservation is not None and sent:
            self._admission.settle_unknown(reservation, now)
        elif reservation is not None:
            self._admission.settle(reservation, None, now)

    def close(self, requests: Iterable[PoolRequest], now: float) -> None:
        """Settle the requests that were sent, and forget those that wait."""
        for request in requests:
            self.ended(request, now, sent=True)
        for request in self._asked:
            self._admission.forget(request.number)
        self._asked.clear()

    def settle_steer(self, reservation: Reservation, usage: ResponseUsage | None, now: float) -> None:
        """Note what the response has used that followed a steer, `None` if the steer was not sent."""
        self._admission.settle(reservation, usage, now)

    def limited(self, error: Exception, requested_wait: float | None, now: float) -> None:
        """Note what a refusal at a rate limit tells: a wait, and limits in its headers or its message."""
        self._admission.limited(now, requested_wait)
        self._admission.told(limits_in_headers(getattr(error, "headers", None) or {}), now)
        self._admission.told(limits_in_message(str(error)), now)

    def accepted(self, headers: Mapping[str, str], requested_wait: float | None, now: float) -> None:
        """Note what the headers of an accepted handshake tell: limits, and a wait if one of them is used up."""
        self._admission.limited(now, requested_wait)
        self._admission.told(limits_in_headers(headers), now)
