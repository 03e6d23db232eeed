"""What a socket and a client have in common: the loop they live on, and requests as Observables."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from ..errors import ConfigurationError, InvalidRequestError
from ..net.connection import Connection
from ..net.connection_errors import closed_error
from ..net.credentials import ApiKey, Credentials
from ..net.endpoint import check_credentials, endpoint, is_official
from ..net.loops import acquire_loop, is_ending, release_loop, running_loop
from ..net.observe_on import ObserveOnLoop
from ..net.request import RequestSubscription, detach_observer
from ..net.subject import IsolatedSubject
from ..net.timing import current_timings
from ..options import ConnectionOptions
from ..redaction import display
from ..wire.codec import encode
from ..wire.events.base import ServerEvent
from ..wire.requests import ResponseCreate, ResponseSteer, check_stream_id

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11


_LOOP_END = 1.0  # seconds after which a loop without tasks that cancelled the connection's has not ended after all


class Lane:
    """A sender bound to one lane: its requests run in order, beside other lanes."""

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

    def send_request(self, request: ResponseCreate | Mapping[str, Any], **options: Any) -> Observable[ServerEvent]:
        """Do what `send_request` of the lane's socket or client does, on this lane; `options` are those it has."""
        return self._source.send_request(request, stream_id=self.stream_id, **options)


class Source(ABC):
    """Base of what requests are subscribed at: `ResponsesWebSocket` and `ResponsesClient`.

    Inside a running asyncio loop it lives on that loop; without one, on a background thread that
    does not keep the program alive.  The first subscription picks it.  What a subclass does in its
    hooks runs there, one thing at a time.
    """

    def __init__(self, url: str | None, api_key: ApiKey | None, options: ConnectionOptions | None) -> None:
        self._url = url or os.environ.get("OPENAI_BASE_URL") or None
        self._options = options or ConnectionOptions()
        self._credentials = Credentials(api_key, self._options.headers)
        self._endpoint = endpoint(self._url)
        check_credentials(
            self._url,
            has_key=bool(self._credentials),
            headers=self._options.headers,
            allow_insecure=self._options.allow_insecure_credentials,
        )
        if is_official(self._url) and not self._credentials and not self._options.headers:
            raise ConfigurationError(
                "no API key: pass `api_key` or set OPENAI_API_KEY; for another service, pass `url` or set "
                "OPENAI_BASE_URL (`rxresponses serve` runs one for tests)"
            )
        # The official service has lanes; of any other it is found out.
        self._echoes = self._options.lanes if self._options.lanes is not None else is_official(self._url) or None
        buffered = self._options.max_buffered_bytes
        self._events: IsolatedSubject[ServerEvent] = IsolatedSubject(
            self._run, self._observer_raised, max_bytes=buffered
        )
        self._unrouted: IsolatedSubject[ServerEvent] = IsolatedSubject(
            self._run, self._observer_raised, max_bytes=buffered
        )
        self._lock = threading.RLock()  # a signal handler may call `close` in the middle of anything
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._owns_loop = False
        self._process = 0
        self._connections: set[Connection] = set()  # with those that go down
        self._closing = False
        self._orphaned_at: float | None = None  # when the program cancelled a connection's task
        self._abrupt = False
        self._last_task: asyncio.Task[None] | None = None
        self._closed: concurrent.futures.Future[None] = concurrent.futures.Future()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def url(self) -> str:
        """The endpoint, without its query, which may hold secrets."""
        return display(self._endpoint)

    # Sending.

    @abstractmethod
    def send_request(
        self, request: ResponseCreate | Mapping[str, Any], *, stream_id: str | None = None
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends once."""

    def lane(self, stream_id: str) -> Lane:
        """Return a sender bound to one lane; raise `InvalidRequestError` for an impossible name."""
        return Lane(self, stream_id)

    # Watching.

    @property
    def events(self) -> Observable[ServerEvent]:
        """Hot: everything that is received, swallowed events included; completes on `close()`.

        A subscriber on another loop that lags by more than `max_buffered_bytes` gets `BufferOverflowError`.
        """
        return self._events.observable

    @property
    def unrouted(self) -> Observable[ServerEvent]:
        """Hot, as `events`: what belongs to no request, and frames that are no JSON object (as `UnknownEvent`)."""
        return self._unrouted.observable

    # Closing.

    def close(self) -> None:
        """Close for good, from any thread; the second call does nothing.

        Requests that have not ended get `SocketClosedError`, with their verdict.  Returns at once:
        `wait_closed`, and the end of a `with` block, wait.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
        if self._loop is None or self._has_ended(running_loop()):
            self._end()
            self._finish_closing()
        else:
            self._run(self._start_closing)

    async def wait_closed(self) -> None:
        """Wait until the connection is down after `close()`, on any loop."""
        await asyncio.shield(asyncio.wrap_future(self._closed))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._abrupt = is_interruption(error)
        self.close()
        if running_loop() is None and threading.get_ident() != self._loop_thread:
            # Twice the bound of the closing handshake: a loop that is stopped must not hang the program.
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

    def _frame(self, request: ResponseCreate | ResponseSteer) -> bytes:
        try:
            frame = encode(request)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from error
        limit = self._options.max_request_size
        if len(frame) > limit:
            raise InvalidRequestError(
                f"the request is {len(frame)} bytes, over `max_request_size` ({limit}); nothing was sent"
            )
        return frame

    def _cold(self, make: Callable[[ObserverBase[ServerEvent]], RequestSubscription]) -> Observable[ServerEvent]:
        """Return the Observable of a request: each subscription makes one, and submits it on the loop."""

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            here = running_loop()
            loop = self._bind(here)
            if loop is None:
                late = make(observer)
                if here is None:
                    _tell_closed(late)
                else:
                    here.call_soon(_tell_closed, late)
                return Disposable(lambda: detach_observer(late))
            home: ObserveOnLoop[ServerEvent] | None = None
            if here is not None and here is not loop:
                observer = home = ObserveOnLoop(observer, here, max_bytes=self._options.max_buffered_bytes)
            sent = make(observer)
            sent.timings = current_timings()
            self._run(self._submit_open, sent)

            def dispose() -> None:
                detach_observer(sent)
                if home is not None:
                    home.stop_pausing()
                self._run(self._dispose, sent)

            return Disposable(dispose)

        return Observable(subscribe)

    # What a subclass does on the loop.

    @abstractmethod
    def _submit(self, request: Any) -> None:
        """Take a request that a subscription made."""

    @abstractmethod
    def _dispose(self, request: Any) -> None:
        """Stop what there is of a request that was given up."""

    @abstractmethod
    def _tell(self, *, closed: bool) -> None:
        """Show that this is closing, or closed, and complete what shows it."""

    def _end(self) -> None:
        """End every request with `SocketClosedError`."""
        for connection in tuple(self._connections):
            connection.begin_close()

    def _leave(self) -> Callable[[], None]:
        """Forget what lives on a loop that has ended, under the lock; return what ends it, without."""
        left, self._connections = self._connections, set()

        def end() -> None:
            for connection in left:
                connection.begin_close()

        return end

    # The loop.

    def _bind(self, here: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop | None:
        """Return the loop to live on, `None` once closed.

        The first subscription picks it, or the first one after a loop of the program has ended.
        """
        leave: Callable[[], None] | None = None
        with self._lock:
            if self._closing:
                return None if self._has_ended(here) else self._loop  # one that is stopped would tell nobody
            if self._loop is None or self._has_ended(here):
                leave = self._leave()
                if here is not None:
                    self._loop, self._loop_thread = here, threading.get_ident()
                else:
                    self._loop, self._loop_thread = acquire_loop()
                self._owns_loop = here is None
                self._orphaned_at = None
                self._process = os.getpid()
            loop = self._loop
        if leave is not None:
            leave()
        return loop

    def _has_ended(self, here: asyncio.AbstractEventLoop | None) -> bool:
        """Whether nothing can happen any more on the loop this socket lives on, seen from a loop or none."""
        loop = self._loop
        if loop is None or loop.is_closed() or self._process != os.getpid():
            return True
        # One of the program's that it has stopped may never run again: rather a fresh connection than a hang.
        return not self._owns_loop and not loop.is_running() and here is not loop

    def _run(self, act: Callable[..., None], *args: Any) -> None:
        """Run on the socket's loop: now if this is its thread, else soon."""
        if threading.get_ident() != self._loop_thread:
            with self._lock:  # so that the loop is not given back in between
                if self._loop is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(act, *args)
                    return
        act(*args)

    def _submit_open(self, request: RequestSubscription) -> None:
        """Submit, unless this is closed or its loop is about to end."""
        if request.cancelled:
            return
        if not self._closing and not self._loop_ends():
            self._submit(request)
        elif self._loop is None:
            _tell_closed(request)
        else:
            self._loop.call_soon(_tell_closed, request)

    def _orphaned(self) -> None:
        """A connection's task was cancelled by nobody here: the program ends the loop, most likely.

        What is begun then, as by `retry`, would neither be cancelled nor run to its end.
        """
        if self._loop is not None and not self._loop.is_closed():
            self._orphaned_at = self._loop.time()

    def _loop_ends(self) -> bool:
        if self._orphaned_at is None or self._loop is None:
            return False
        if is_ending(self._loop) and self._loop.time() - self._orphaned_at < _LOOP_END:
            return True
        self._orphaned_at = None  # somebody cancelled tasks, and goes on
        return False

    def _refuse(self, request: RequestSubscription, error: Exception) -> None:
        """Tell an error, soon: one that subscribes again on every error must not keep the loop from going on."""
        assert self._loop is not None
        self._loop.call_soon(self._tell_error, request, error)

    def _tell_error(self, request: RequestSubscription, error: Exception) -> None:
        try:
            request.observer.on_error(error)
        except BaseException as raised:
            self._observer_raised(raised)

    def _observer_raised(self, error: BaseException) -> None:
        context = {"message": "an observer of a rxresponses Observable raised", "exception": error, "socket": self}
        loop = self._loop
        if loop is None or loop.is_closed():
            logging.getLogger("rxresponses").error(context["message"], exc_info=error)
        elif isinstance(error, (SystemExit, KeyboardInterrupt)) and not self._owns_loop:
            loop.call_soon(_raise, error)  # it is meant for the program, whose loop this is
        else:
            loop.call_exception_handler(context)

    # Closing, on the loop.

    def _start_closing(self) -> None:
        self._tell(closed=False)
        assert self._loop is not None
        self._last_task = self._loop.create_task(self._close_connections(), name="rxresponses close")
        # Not in the task itself: a program that ends its loop may cancel it before its first step.
        self._last_task.add_done_callback(lambda _: self._finish_closing())
        self._end()

    async def _close_connections(self) -> None:
        connections = tuple(self._connections)
        await asyncio.gather(*(connection.close(abrupt=self._abrupt) for connection in connections))

    def _finish_closing(self) -> None:
        try:
            self._tell(closed=True)
            for source in (self._events, self._unrouted):
                source.on_completed()
        finally:
            with self._lock:
                self._loop, self._loop_thread = None, 0
                if self._owns_loop:
                    self._owns_loop = False
                    release_loop()
            self._closed.set_result(None)


def is_interruption(error: BaseException | None) -> bool:
    """Whether a block was left in a hurry, as by Ctrl-C: then there is no time for a good-bye."""
    return error is not None and not isinstance(error, Exception)


def _tell_closed(request: RequestSubscription) -> None:
    """Tell that this is closed, on a loop soon, not now: one that subscribes again on every error must not block it."""
    request.observer.on_error(closed_error(request))


def _raise(error: BaseException) -> None:
    raise error
