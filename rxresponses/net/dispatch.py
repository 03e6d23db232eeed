"""The way of an event: from the frame to the observer of the request that the event belongs to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextvars import Context
from typing import Protocol, cast

from ..errors import BufferOverflowError, FrameError, RequestError
from ..known_secrets import Secrets
from ..protocol import protocol as rules
from ..protocol.request import ENDED, SENT
from ..raised import as_exception
from ..wire.codec import binary_message, decode, undecodable
from ..wire.events.base import ServerEvent, set_secrets
from ..wire.head import read_head
from .backpressure import ReadPause
from .connection_errors import closed_by_server_error, lost_error, without_secrets_in_end
from .request import (
    NO_OBSERVER,
    AnyConnectionRequest,
    ConnectionSteer,
    RequestSubscription,
    detach_observer,
    notify_end,
)
from .request_timer import RequestTimer
from .subject import IsolatedSubject
from .tape import Receive, Tape
from .transport import ConnectionEnd


class RequestControl(Protocol):
    """The part of `Connection` that the dispatcher needs when an event does more than go to its observer."""

    def dispose(self, request: AnyConnectionRequest) -> None:
        """Cancel a request."""

    def unblock(self) -> None:
        """Look again for requests that may be sent now."""

    def end(self, error_for: Callable[[RequestSubscription], Exception]) -> None:
        """End every request, each with its error, and begin to close."""


class EventDispatcher:
    """Decode each frame and deliver its event to the request's observer.

    An observer that raises ends its own request and no other.  The dispatcher is the `FrameListener`
    of the connection's WebSocket, so that no call lies between the two.
    """

    def __init__(
        self,
        protocol: rules.Protocol,
        control: RequestControl,
        timer: RequestTimer,
        read_pause: ReadPause,
        *,
        events: IsolatedSubject[ServerEvent],
        unrouted: IsolatedSubject[ServerEvent],
        observer_raised: Callable[[BaseException], None],
        now: Callable[[], float] | None,
        secrets: Secrets,
    ) -> None:
        self.read_pause = read_pause
        self._protocol = protocol
        self._lanes = protocol.lanes
        self._control = control
        self._timer = timer
        self._events = events
        self._unrouted = unrouted
        self._report = observer_raised
        self._now = now  # notes when each event came; `None` when there is no idle timeout to measure by it
        self._secrets = secrets
        # Looked up once, because it is called for every event.  All requests of a connection have observers.
        self._receive = cast("Receive", protocol.receive)
        self._receivers = cast("Collection[AnyConnectionRequest]", protocol.receivers)
        self.tape: Tape | None = None
        self._stopped = False
        self._looks_at_heads = False  # maybe no response has an observer, which `_is_for_nobody` finds out

    def look_at_heads(self) -> None:
        """Note that a request has lost its observer: maybe no response has an observer any more."""
        self._looks_at_heads = True

    def record(self, tape: Tape | None) -> None:
        """Tell a tape from now on what is received and what ends; `None` for no tape."""
        receive = cast("Receive", self._protocol.receive)
        self.tape, self._receive = tape, receive if tape is None else tape.noting(receive)

    def stop(self) -> None:
        """Ignore further frames: every request has got its end."""
        self._stopped = True

    # What the WebSocket receives.

    def frame_received(self, frame: bytes) -> None:
        """Decode a text message and deliver its event."""
        if self._stopped:
            return
        if self._looks_at_heads and self._is_for_nobody(frame):
            return
        try:
            event = decode(frame, self._secrets)
        except FrameError as error:
            self._deliver_undecodable(frame, undecodable(frame, error))
            return
        if self._events.observers:
            self._events.on_next(event)
        request = self._receive(event)
        if request is None:
            self._deliver_unrouted(event)
            return
        if self._now is not None and request.state is not SENT:  # a heartbeat answers no request
            request.since = self._now()
        # Here and not in `_deliver`, because a call for each event would take as long as all of this.
        try:
            request.observer.on_next(event)
        except BaseException as error:
            del frame  # reports of the error may show the variables of this function
            self._observer_failed(request, event, error)
        if request.state is ENDED:
            self._complete(request, event)
        if request.shared_with:
            for steer in request.shared_with:
                self._deliver(cast("ConnectionSteer", steer), event)
        if self._lanes.changed:
            self._timer.watch(request)
            self._control.unblock()

    def binary_received(self, frame: bytes) -> None:
        """Show a binary message on `events` and `unrouted`."""
        self._deliver_undecodable(frame, binary_message(frame), is_binary=True)

    def connection_lost(self, end: ConnectionEnd) -> None:
        """End every request at once, whatever the close code."""
        end = without_secrets_in_end(end, self._secrets)
        if self.tape is not None:
            self.tape.state("closed", end.code, end.reason)
        self._control.end(lambda request: lost_error(request, end))

    def _is_for_nobody(self, frame: bytes) -> bool:
        """Whether a message is an event that changes nothing and that no observer gets, so that it is not decoded.

        To read the head takes a fifth of the time of decoding.  That time would be lost for each event that is decoded
        as well, so heads are read only while no response has an observer.
        """
        for request in self._receivers:
            if request.observer is not NO_OBSERVER:
                self._looks_at_heads = False
                return False
        if self._events.observers or self._unrouted.observers or self.tape is not None:
            return False
        head = read_head(frame)
        return head is not None and self._protocol.request_of_plain(head.type, head.stream_id) is not None

    # To the observers.

    def _deliver(self, request: AnyConnectionRequest, event: ServerEvent) -> None:
        try:
            request.observer.on_next(event)
        except BaseException as error:
            self._observer_failed(request, event, error)
        if request.state is ENDED:
            self._complete(request, event)

    def _deliver_unrouted(self, event: ServerEvent) -> None:
        self._unrouted.on_next(event)
        if self._protocol.connection_error is not None:
            self._control.end(lambda request: closed_by_server_error(request, event))
        elif self._lanes.changed:
            self._control.unblock()

    def _deliver_undecodable(self, frame: bytes, event: ServerEvent, *, is_binary: bool = False) -> None:
        if self.tape is not None:
            self.tape.undecodable(frame, is_binary)
        set_secrets(event, self._secrets)
        self._events.on_next(event)
        self._unrouted.on_next(event)

    def _complete(self, request: AnyConnectionRequest, event: ServerEvent) -> None:
        if self.tape is not None:
            self.tape.ended(request, "completed")
        notify_end(request, event)  # first, because an observer may send the next request in `on_completed`
        observer, request.observer = request.observer, NO_OBSERVER
        self._looks_at_heads = True  # the responses that are left may all be disposed
        try:
            observer.on_completed()
        except BaseException as error:
            self._report(error)

    def fail(self, request: AnyConnectionRequest, failure: Exception) -> None:
        """End a request's stream with an error."""
        if isinstance(failure, RequestError) and failure.response_id is not None:
            failure.response_id = self._secrets.hide(failure.response_id)
        if self.tape is not None:
            self.tape.ended(request, "error", failure)
        observer, request.observer = request.observer, NO_OBSERVER
        try:
            Context().run(observer.on_error, failure)  # another subscriber may have caused it, as by `close`
        except BaseException as error:
            self._report(error)

    def _observer_failed(self, request: AnyConnectionRequest, event: ServerEvent, error: BaseException) -> None:
        if isinstance(error, BufferOverflowError):
            self.fail(request, error)
            self._control.dispose(request)
            return
        set_secrets(event, self._secrets)  # reports of the error may show the event
        if self.tape is not None:
            self.tape.ended(request, "error", error)
        observer = request.observer
        detach_observer(request)
        self._control.dispose(request)
        self._report(error)
        failure = as_exception(error)
        try:
            observer.on_error(failure)  # `run` and `await` below this observer would otherwise wait for ever
        except BaseException as again:
            if again is not failure:
                self._report(again)
