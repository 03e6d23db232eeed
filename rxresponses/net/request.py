"""The requests of a connection, with the observers that get their events."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from reactivex.abc import ObserverBase

from ..errors import Delivery
from ..protocol.request import ProtocolRequest, ProtocolSteer
from ..wire.events.base import ServerEvent
from .timing import Timings


class _NoObserver(ObserverBase[ServerEvent]):
    """The observer of a request that has ended for its subscriber: it ignores every notification."""

    def on_next(self, value: ServerEvent) -> None:
        pass

    def on_error(self, error: Exception) -> None:
        pass

    def on_completed(self) -> None:
        pass


NO_OBSERVER = _NoObserver()


class RequestEndListener(Protocol):
    """Is told when a request no longer occupies its lane.  A client's pool then lends the lane to another request."""

    def ended(self, event: ServerEvent | None) -> None:
        """The server has ended the request with `event`; `None` when the request was withdrawn before it was sent.

        Called even when the request's observer was disposed before; not called when the connection ends.
        """


class ConnectionRequest(ProtocolRequest):
    """A `response.create` on a connection, with its observer.

    `model` is the model by which a gateway chooses the server, `None` where the URL needs none.
    """

    __slots__ = ("end_listener", "model", "observer", "timings")

    def __init__(
        self, frame: bytes, stream_id: str | None, model: str | None, observer: ObserverBase[ServerEvent]
    ) -> None:
        super().__init__(frame, stream_id)
        self.model = model
        self.observer = observer
        self.end_listener: RequestEndListener | None = None
        self.timings: Timings | None = None


class ConnectionSteer(ProtocolSteer):
    """A `response.steer` on a connection, with its observer."""

    __slots__ = ("end_listener", "model", "observer", "timings")

    def __init__(self, frame: bytes, target_id: str, observer: ObserverBase[ServerEvent]) -> None:
        super().__init__(frame, target_id)
        self.model: str | None = None
        self.observer = observer
        self.end_listener: RequestEndListener | None = None
        self.timings: Timings | None = None


AnyConnectionRequest: TypeAlias = ConnectionRequest | ConnectionSteer


class RequestSubscription(Protocol):
    """What a request of any floor has between its subscription and its end."""

    cancelled: bool
    observer: ObserverBase[ServerEvent]
    timings: Timings | None

    @property
    def stream_id(self) -> str | None:
        """The request's lane."""

    @property
    def delivery(self) -> Delivery:
        """What the server can have seen of the request."""

    @property
    def response_id(self) -> str | None:
        """The id of the response, once it is known."""


def detach_observer(request: RequestSubscription) -> None:
    """Cancel a request for its subscriber: the observer gets no further notification.  Callable from any thread."""
    request.cancelled = True
    request.observer = NO_OBSERVER


def notify_end(request: AnyConnectionRequest, event: ServerEvent | None) -> None:
    """Call the request's `end_listener`, once."""
    listener, request.end_listener = request.end_listener, None
    if listener is not None:
        listener.ended(event)
