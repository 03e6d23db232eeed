"""What a socket, a client and a fleet have in common: requests as Observables, hot sources, and closing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler

from ..errors import InvalidRequestError
from ..known_secrets import Secrets, tool_secrets
from ..net.connection_errors import closed_error
from ..net.context import in_subscribers_context
from ..net.loops import is_serving, keep_for_parent, on_background_thread, running_loop, start_task
from ..net.observable import EventObservable
from ..net.observe_on import ObserveOnLoop
from ..net.request import RequestSubscription, detach_observer
from ..net.run_check import check_run, note_thread
from ..net.subject import IsolatedSubject
from ..net.timing import current_timings
from ..options import ConnectionOptions, options_of
from ..redaction import discreet
from ..wire.codec import encode
from ..wire.events.base import ServerEvent
from ..wire.requests import ResponseCreate, ResponseSteer, check_stream_id
from ..wire.requests.sent import frame_json
from .loop_bound import weak_run, weakly
from .recorded import RecordedSender

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11


class Lane:
    """A sender bound to one lane: its requests run in order, beside other lanes."""

    stream_id = ""  # of an object that is only half made

    def __init__(self, source: Source, stream_id: str) -> None:
        check_stream_id(stream_id)
        self._source = source
        self.stream_id = stream_id

    def __repr__(self) -> str:
        return f"Lane({self.stream_id!r})"

    @property
    def url(self) -> str:
        """The endpoint of the lane's socket or client."""
        return self._source.url

    @property
    def source(self) -> Source:
        """The socket or client of the lane."""
        return self._source

    @discreet
    def send_request(self, request: ResponseCreate | Mapping[str, Any], **options: Any) -> Observable[ServerEvent]:
        """Call `send_request` of the lane's socket or client, with its `options`, for this lane."""
        return self._source.send_request(request, stream_id=self.stream_id, **options)


class Source(RecordedSender):
    """Base of a socket, a client and a fleet.

    The methods that a subclass implements run on the loop where the sender lives, one at a time.

    A sender lives as long as the program has a reference to it, or an observer that still gets something from it.
    One that is forgotten is closed, with a `ResourceWarning`.
    """

    chooses_lanes = False
    """Whether the sender itself chooses the lane of each request."""

    url = ""
    """The endpoint; a sender with several of them has none that is its own."""

    def __init__(self, options: ConnectionOptions | None) -> None:
        self._subjects: tuple[IsolatedSubject[Any], ...] = ()
        super().__init__()
        self._secrets = Secrets()  # those of requests; those of a handshake are the connection's
        self._options = options_of(ConnectionOptions, "options", options)
        buffered = self._options.max_buffered_bytes
        self._events: IsolatedSubject[ServerEvent] = self._subject(max_bytes=buffered)
        self._unrouted: IsolatedSubject[ServerEvent] = self._subject(max_bytes=buffered)
        self._abrupt = False  # whether connections are cut without a closing handshake
        self._last_task: asyncio.Task[None] | None = None
        self._closed: concurrent.futures.Future[None] = concurrent.futures.Future()

    def _subject(self, **options: Any) -> IsolatedSubject[Any]:
        subject = IsolatedSubject[Any](weak_run(self._run), weakly(self._observer_raised, None), **options)
        self._subjects = (*self._subjects, subject)
        return subject

    # Sending.

    @abstractmethod
    def send_request(
        self, request: ResponseCreate | Mapping[str, Any], *, stream_id: str | None = None
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends once."""

    def lane(self, stream_id: str) -> Lane:
        """Return a sender bound to one lane; raises `InvalidRequestError` for an invalid name."""
        return Lane(self, stream_id)

    # Watching.

    @property
    def events(self) -> Observable[ServerEvent]:
        """Hot: each event that is received, swallowed events included; completes on `close()`.

        A subscriber on another loop that lags by more than `max_buffered_bytes` gets `BufferOverflowError`.
        """
        return self._events.observable

    @property
    def unrouted(self) -> Observable[ServerEvent]:
        """Hot, as `events`: events that belong to no request, and frames that are no JSON object (`UnknownEvent`)."""
        return self._unrouted.observable

    # Closing.

    def close(self) -> None:
        """Close for good, from any thread; the second call does nothing.

        Requests that have not ended get `SocketClosedError`, with their `delivery`.  Returns at once;
        `wait_closed` and the end of a `with` block wait until the connections are closed.  Inside a running loop
        the end of a plain `with` does not wait, since it would block the loop; the connections close on the loop.
        """
        if not self._is_made:  # a subclass may clean up after a constructor that raised
            return
        with self._lock:
            if self._closing:
                return
            self._closing = True
        if self._loop is None or self._has_ended(running_loop()):
            self._end_requests()
            self._finish_closing()
        else:
            self._run(self._start_closing)

    async def wait_closed(self) -> None:
        """Wait until the connections are closed after `close()`, on any loop.  Cancelling does not stop the close."""
        if self._is_made:
            await asyncio.shield(asyncio.wrap_future(self._closed))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._abrupt = is_interruption(error)
        self.close()
        if self._is_made and running_loop() is None and threading.get_ident() != self._loop_thread:
            # Twice the limit of the closing handshake, because a loop that has stopped must not hang the program.
            concurrent.futures.wait([self._closed], timeout=2 * self._options.close_timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._abrupt = is_interruption(error)
        self.close()
        await self.wait_closed()

    # From a request to an Observable.

    @discreet
    def _frame(self, request: ResponseCreate | ResponseSteer) -> bytes:
        """Return a request as JSON; raises `InvalidRequestError` if it has none, or is too large."""
        if isinstance(request, ResponseCreate):
            tools = request.tools if isinstance(request.tools, (list, tuple)) else ()
            self._secrets.add_tokens(tool_secrets([*map(frame_json, tools), request.extra_body]))
        try:
            frame = encode(frame_json(request))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from error
        limit = self._options.max_request_size
        if len(frame) > limit:
            raise InvalidRequestError(
                f"the request is {len(frame)} bytes, over `max_request_size` ({limit}); nothing was sent"
            )
        return frame

    def _observable(
        self, make_request: Callable[[ObserverBase[ServerEvent]], RequestSubscription]
    ) -> Observable[ServerEvent]:
        """Return the cold Observable of a request: each subscription makes a request, and submits it on the loop."""

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            observer = in_subscribers_context(observer)
            running = running_loop()
            if running is not None:
                check_run(observer)
            loop = self._choose_loop(running)
            if running is None:
                check_run(observer, self._loop_thread)
            if loop is None:
                refused = make_request(observer)
                if running is None or (on_background_thread() and not is_serving(running)):
                    _deliver_closed_error_in_turn(refused)  # a background loop that ends might not come to it
                else:
                    running.call_soon(_deliver_closed_error, refused)
                return Disposable(lambda: detach_observer(refused))
            on_loop: ObserveOnLoop[ServerEvent] | None = None
            hops = running is not None and running is not loop
            note_thread(observer, threading.get_ident() if hops else self._loop_thread)
            if running is not None and hops:
                observer = on_loop = ObserveOnLoop(observer, running, max_bytes=self._options.max_buffered_bytes)
            request = make_request(observer)
            request.timings = current_timings()
            self._run(self._submit_open, request)

            def dispose() -> None:
                detach_observer(request)
                if on_loop is not None:
                    on_loop.stop_pausing()
                self._run(self._dispose, request)

            return Disposable(dispose)

        return EventObservable(subscribe)

    def _forget_parent(self) -> None:
        keep_for_parent(self._last_task, *self._subjects)
        super()._forget_parent()
        self._last_task = None
        for subject in self._subjects:
            subject.forget_observers()
        if self._closing and not self._closed.done():  # the parent closes it, and does not tell this process
            self._show_closing(closed=True)
            self._closed = concurrent.futures.Future()
            self._closed.set_result(None)

    # What a subclass does on the loop.

    @abstractmethod
    def _submit(self, request: Any) -> None:
        """Send or queue the request of a subscription."""

    @abstractmethod
    def _dispose(self, request: Any) -> None:
        """Stop a request whose observer is detached."""

    @abstractmethod
    def _show_closing(self, *, closed: bool) -> None:
        """Emit the state of a sender that closes, or is closed; when closed, complete the sources of states."""

    @abstractmethod
    def _end_requests(self) -> None:
        """End every request with `SocketClosedError`."""

    @abstractmethod
    def _begin_closing(self) -> None:
        """Begin to close what is connected."""

    @abstractmethod
    async def _wait_disconnected(self) -> None:
        """Wait until nothing is connected any more."""

    def _submit_open(self, request: RequestSubscription) -> None:
        """Submit a request, unless the sender is closed or its loop is about to end."""
        if request.cancelled:
            return
        if not self._closing and not self._loop_is_ending():
            self._submit(request)
        elif self._loop is None:
            _deliver_closed_error_in_turn(request)
        else:
            self._loop.call_soon(_deliver_closed_error, request)

    def _refuse(self, request: RequestSubscription, error: Exception) -> None:
        """Deliver the error in a later turn of the loop.

        An observer that resubscribes on every error would otherwise block it.
        """
        assert self._loop is not None
        self._loop.call_soon(self._deliver_error, request, error)

    def _deliver_error(self, request: RequestSubscription, error: Exception) -> None:
        try:
            Context().run(request.observer.on_error, error)  # another subscriber may have caused it
        except BaseException as raised:
            self._observer_raised(raised)

    # Closing, on the loop.

    def _start_closing(self) -> None:
        self._show_closing(closed=False)
        assert self._loop is not None
        self._last_task = start_task(self._loop, self._wait_disconnected(), "rxresponses close")
        # Not in the task itself, because a program that ends its loop may cancel the task before its first step.
        self._last_task.add_done_callback(lambda _: self._finish_closing())
        self._end_requests()
        self._begin_closing()

    def _finish_closing(self) -> None:
        try:
            self._show_closing(closed=True)
            self._complete_events()
            self._close_recorder()
        finally:
            self._release_loop()
            self._closed.set_result(None)

    def _complete_events(self) -> None:
        """Complete the hot sources."""
        for source in (self._events, self._unrouted):
            source.on_completed()


def is_interruption(error: BaseException | None) -> bool:
    """Whether a block was left by an interrupt such as Ctrl-C: then no closing handshake is waited for."""
    return error is not None and not isinstance(error, Exception)


def _deliver_closed_error(request: RequestSubscription) -> None:
    """Deliver the error of a closed sender; on a loop in a later turn, for the reason that `_refuse` names."""
    request.observer.on_error(closed_error(request))


def _deliver_closed_error_in_turn(request: RequestSubscription) -> None:
    """Deliver the error of a closed sender where no loop runs, once this thread's present subscription is made.

    An observer that subscribes again on every error would otherwise recurse until the stack is full.
    """
    CurrentThreadScheduler.singleton().schedule(lambda *_: _deliver_closed_error(request))
