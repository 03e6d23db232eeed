"""Requests with the observers that get their events."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from reactivex.abc import ObserverBase

from ..errors import Delivery
from ..protocol.request import ProtocolRequest, ProtocolSteer
from ..wire.events.base import ServerEvent
from .timing import Timings


class _Nobody(ObserverBase[ServerEvent]):
    """The observer of a request that was given up."""

    def on_next(self, value: ServerEvent) -> None:
        pass

    def on_error(self, error: Exception) -> None:
        pass

    def on_completed(self) -> None:
        pass


NOBODY = _Nobody()


class RequestEndListener(Protocol):
    """Whoever lent the lane of a request."""

    def ended(self, event: ServerEvent | None) -> None:
        """The server has ended the request with this event, or it was taken back before it was sent.

        Also when its observer was gone long before; not when the connection is over.
        """


class ConnectionRequest(ProtocolRequest):
    """A `response.create` with its observer; `model` is the one that a gateway routes by."""

    __slots__ = ("lease", "model", "observer", "timings")

    def __init__(
        self, frame: bytes, stream_id: str | None, model: str | None, observer: ObserverBase[ServerEvent]
    ) -> None:
        super().__init__(frame, stream_id)
        self.model = model
        self.observer = observer
        self.lease: RequestEndListener | None = None
        self.timings: Timings | None = None


class ConnectionSteer(ProtocolSteer):
    """A `response.steer` with its observer."""

    __slots__ = ("lease", "model", "observer", "timings")

    def __init__(self, frame: bytes, target_id: str, observer: ObserverBase[ServerEvent]) -> None:
        super().__init__(frame, target_id)
        self.model: str | None = None
        self.observer = observer
        self.lease: RequestEndListener | None = None
        self.timings: Timings | None = None


ObservedRequest: TypeAlias = ConnectionRequest | ConnectionSteer


class RequestSubscription(Protocol):
    """What there is of a request between its subscription and its end."""

    cancelled: bool
    observer: ObserverBase[ServerEvent]
    timings: Timings | None

    @property
    def stream_id(self) -> str | None:
        """Its lane."""

    @property
    def delivery(self) -> Delivery:
        """What the server can have seen of it."""

    @property
    def response_id(self) -> str | None:
        """The id of its response, once it is known."""


def give_up(request: RequestSubscription) -> None:
    """Let nobody hear of a request from here on; callable from any thread."""
    request.cancelled = True
    request.observer = NOBODY
