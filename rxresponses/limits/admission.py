"""What a client asks before it sends a request: may it go now, later, or not at all?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from ..errors import RequestError
from ..wire.models import ResponseUsage
from .prices import Prices


class Estimate(NamedTuple):
    """What a request is expected to use.  `usd` is 0 where nothing is priced.  `model` is the one asked for."""

    input_tokens: int
    output_tokens: int
    usd: float = 0.0
    model: str | None = None

    @property
    def tokens(self) -> int:
        """The tokens in both directions."""
        return self.input_tokens + self.output_tokens


class Reservation(NamedTuple):
    """What a request holds from its admission until it is settled.  `number` is unique for the object that made it."""

    number: int
    estimate: Estimate


class Admitted(NamedTuple):
    """The request may be sent now.  The reservation has to be settled once, whatever becomes of the request."""

    reservation: Reservation


class Wait(NamedTuple):
    """The request has to wait; ask again at `until`, by the clock of `now`, or when `on_change` calls.

    `until` is infinity if only the end of other requests helps, as with a budget that running requests have reserved.
    """

    until: float


class Refused(NamedTuple):
    """The request must not be sent; it ends with this error."""

    error: RequestError


Answer: TypeAlias = Admitted | Wait | Refused


class ServerLimits(NamedTuple):
    """The limits a minute that a server tells, `None` for those that it does not tell."""

    requests: float | None = None
    tokens: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None


NOTHING_USED = ResponseUsage(input_tokens=0, output_tokens=0, total_tokens=0)
"""The usage of a request that was sent and refused: it counts as a request, and no tokens count."""

UNKNOWN_USAGE = ResponseUsage()
"""The usage of a response of which the server told no counts: it counts as estimated."""


class Admission(Protocol):
    """Decides which requests may be sent, and learns what they used.

    The caller asks for the request that came first, and asks for no later one while that request waits: so no request
    waits for ever.  Each try of a request is asked for.  `now` is a time in seconds by any clock, always the same one.
    All methods but the function given to `on_change` are called on one thread.
    """

    @property
    def prices(self) -> Prices | None:
        """The prices by which estimates are made, `None` if there are none."""

    @property
    def needs_price(self) -> bool:
        """Whether a model without a price is refused, as with a budget in USD."""

    def ask(self, request_key: int, estimate: Estimate, now: float) -> Answer:
        """Return whether a request may be sent.  `request_key` is the same each time the same request is asked for."""

    def ask_now(self, estimate: Estimate, now: float) -> Admitted | Refused:
        """Return whether something may be sent that cannot wait; what follows waits longer for it instead."""

    def forget(self, request_key: int) -> None:
        """Note that a request that was told to wait will not be asked for again."""

    def settle(self, reservation: Reservation, usage: ResponseUsage | None, now: float) -> None:
        """Note what a request has used: `None` if it was not sent, `NOTHING_USED` if the server refused it.

        A usage without counts is unknown.  A second call for a reservation does nothing.
        """

    def settle_unknown(self, reservation: Reservation, now: float) -> None:
        """Note that it is unknown what a request has used, as after a lost connection: it counts as estimated."""

    def limited(self, now: float, requested_wait: float | None) -> None:
        """Note that the server refused a request at a rate limit, and asks to wait so many seconds, if it says so."""

    def told(self, limits: ServerLimits, now: float) -> None:
        """Note the limits that the server has told."""

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called, on any thread, when a `Wait` may end sooner; return a function that ends that.

        The caller's own calls, such as `settle`, need not call it: after these, the caller asks again by itself.
        """
