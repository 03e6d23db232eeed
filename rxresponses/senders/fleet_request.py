"""A request of a fleet: what its subscriber asked for, and the observer of each try with a member."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from reactivex.abc import ObserverBase

from ..errors import Delivery, ResponseFailedError
from ..net.request import NO_OBSERVER
from ..net.timing import Timings
from ..pool.fleet import Fleet
from ..pool.fleet_members import FleetRequest, Member
from ..wire.events.base import ServerEvent
from ..wire.failures import failure_of
from ..wire.fields import begins_response, shows_output
from .client_request import ClientRequest, ClientSteer, History, PreparedRequest


class FleetSubscription(FleetRequest):
    """A request of one subscription on its way through a fleet."""

    __slots__ = ("cancelled", "history", "latest_try", "observer", "prepared", "timings")

    def __init__(self, prepared: PreparedRequest, observer: ObserverBase[ServerEvent]) -> None:
        fields = prepared.fields
        self.prepared = prepared
        self.history: History | None = prepared.history_here()
        super().__init__(
            stream_id=fields.stream_id,
            parent_id=fields.parent_id,
            stores=fields.stores,
            has_history=self.history is not None,
        )
        self.observer = observer
        self.cancelled = False  # disposed, or its observer has got an error
        self.timings: Timings | None = None
        self.latest_try: ClientRequest | None = None  # of the member that has the request now

    @property
    def delivery(self) -> Delivery:
        """How much of the request the server can have seen."""
        return "not_sent" if self.latest_try is None else self.latest_try.delivery

    @property
    def response_id(self) -> str | None:
        """The id of the response, once it is known."""
        return None if self.latest_try is None else self.latest_try.response_id

    def take_back(self) -> None:
        """Note that no member has the request any more."""
        self.latest_try = None
        if self.timings is not None:
            self.timings.mark_unsent()


class FleetHandle(NamedTuple):
    """What the observers use of a fleet, without a reference to it, so that a forgotten fleet can be closed."""

    rules: Fleet
    now: Callable[[], float]
    wake: Callable[[], None]
    """Has the next actions of the rules done in a later turn of the loop."""


class FleetRequestObserver(ObserverBase[ServerEvent]):
    """Passes the events of a try on to the subscriber, and tells the rules what its end means.

    A failure after which the request is sent again, to this member or to another one, is held back.
    """

    def __init__(self, fleet: FleetHandle, request: FleetSubscription) -> None:
        self._fleet = fleet
        self._request = request
        self._first: ServerEvent | None = None  # the first event of the response
        self._last: ServerEvent | None = None
        self._began = False
        self._has_output = False
        self._has_moved = False  # the request is sent again
        self._has_failed = False

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on, unless it is a failure after which the request is sent again."""
        self._last = event
        if not self._has_output:
            self._inspect(event)
            if self._has_moved:
                return
        self._request.observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on, unless the request is sent again."""
        request, fleet = self._request, self._fleet
        fleet.wake()
        current = request.latest_try
        sent = None if current is None else current.connection_request
        lane = None if current is None else current.lane
        if sent is not None and sent.cancelled:  # the subscriber's observer raised it
            fleet.rules.withdraw(request)
        else:
            connection = None if lane is None else (id(lane.connection), lane.connection.number)
            if fleet.rules.failed(request, error, fleet.now(), may_move=not self._has_output, connection=connection):
                request.take_back()
                return
        request.cancelled = True
        observer, request.observer = request.observer, NO_OBSERVER
        observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on, unless the request is sent again."""
        self._fleet.wake()
        if self._has_moved:
            return
        rules, request = self._fleet.rules, self._request
        failure = None if self._last is None or self._has_failed else self._failure(self._last)
        if failure is not None:
            rules.failed(request, failure, self._fleet.now(), may_move=False)
        else:
            rules.succeeded(request)
        request.observer.on_completed()

    def _inspect(self, event: ServerEvent) -> None:
        if not begins_response(event):
            return
        request, rules = self._request, self._fleet.rules
        if not self._began and request.response_id is not None:
            self._began = True
            rules.began(request, request.response_id)
        failure = self._failure(event)
        if failure is not None:
            self._has_failed = True
            self._has_moved = rules.failed(request, failure, self._fleet.now(), may_move=self._may_move(failure))
            if self._has_moved:
                request.take_back()
                self._fleet.wake()
            return
        if self._first is None:
            self._first = event
        if shows_output(event):
            self._has_output = True
            rules.answers(request)

    def _failure(self, event: ServerEvent) -> ResponseFailedError | None:
        return failure_of(event, self._first, has_output=self._has_output)

    def _may_move(self, failure: ResponseFailedError) -> bool:
        """Whether nothing else depends on the response that has failed: a steer would not find another one."""
        current = self._request.latest_try
        lane = None if current is None else current.lane
        return failure.delivery == "rejected" or lane is None or not lane.open_steers


class FleetSteerObserver(ObserverBase[ServerEvent]):
    """Passes the events of a steer on to the subscriber, and tells the rules which member makes the successor."""

    def __init__(
        self, fleet: FleetHandle, steer: ClientSteer, member: Member, observer: ObserverBase[ServerEvent]
    ) -> None:
        self._fleet = fleet
        self._steer = steer
        self._member = member
        self._observer = observer
        self._began = False

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on."""
        if not self._began and self._steer.response_id is not None:
            self._began = True
            self._fleet.rules.made(self._member, self._steer.response_id)
        self._observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on."""
        self._fleet.wake()
        self._observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on."""
        self._fleet.wake()
        self._observer.on_completed()
