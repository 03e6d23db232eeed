"""`send_turn`: one request of a conversation, and its response."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler

from ..backoff import is_retryable
from ..errors import ConnectionLostError, PreviousResponseLostError, ResponseFailedError
from ..net.observable import EventObservable
from ..net.sender import Sender
from ..net.timing import current_timings, recording
from ..raised import as_exception
from ..wire.assembly import Assembly
from ..wire.assembly_scopes import WHOLE
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import failure_of
from ..wire.fields import begins_response, shows_output
from ..wire.requests import InputItem, ResponseCreate
from .chain import Chain
from .events import HistorySentEvent, TurnStartedEvent

_CANCELLED = frozenset({"cancelled", "canceled"})


def send_turn(
    sender: Sender,
    chain: Chain,
    settings: Mapping[str, Any],
    new_items: Sequence[InputItem],
    on_chain: Callable[[Chain], None],
    *,
    turn: int = 1,
) -> Observable[ServerEvent]:
    """Return the events of the next response of a conversation, as a cold Observable.

    Marble::

        subscribe:        --created--"He"--"llo"--completed|
        send_turn():      turn--created--"He"--"llo"--completed|
        parent lost:      turn--history--created--"He"--"llo"--completed|

    The first event is a `TurnStartedEvent` with this `turn`.  `HistorySentEvent` follows if everything is sent.

    If the response that the request continues is lost, and there is no output yet, everything is sent in one more
    request.  If the model refuses to be asked for encrypted reasoning, one more request does not ask for it.  These
    refusals are not emitted.

    `on_chain` gets the chain after the turn, just before the terminal event is emitted.  It is not called for a
    response that failed, was cancelled or cannot be read, nor for a request that was refused or disposed.

    Raises `InvalidRequestError` at once for settings or items that cannot be sent.
    """
    request, reason = chain.request(settings, new_items)

    def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
        running = _RunningTurn(sender, chain, settings, new_items, on_chain, observer, scheduler)
        # Send when all operators behind have subscribed, later on this thread: `take(1)` can then dispose before that.
        start = CurrentThreadScheduler.singleton().schedule(lambda *_: running.start(turn, request, reason))
        return CompositeDisposable(start, running.upstream)

    return EventObservable(subscribe)


class _RunningTurn:
    """A turn of one subscription."""

    def __init__(
        self,
        sender: Sender,
        chain: Chain,
        settings: Mapping[str, Any],
        new_items: Sequence[InputItem],
        on_chain: Callable[[Chain], None],
        observer: ObserverBase[ServerEvent],
        scheduler: SchedulerBase | None,
    ) -> None:
        self.upstream = SerialDisposable()
        self._sender = sender
        self._chain = chain
        self._settings = settings
        self._new_items = new_items
        self._on_chain = on_chain
        self._observer = observer
        self._scheduler = scheduler
        self._timings = current_timings()
        self._parent_id: str | None = None  # what the latest request continues; `None` if it sends everything

    def start(self, turn: int, request: ResponseCreate, reason: str | None) -> None:
        """Send the request."""
        self._observer.on_next(TurnStartedEvent(turn=turn, request=request))
        self._send(request, reason)

    def _send(self, request: ResponseCreate, reason: str | None) -> None:
        if reason is not None:
            count = len(request.input) if isinstance(request.input, (list, tuple)) else 1
            self._observer.on_next(HistorySentEvent(reason=reason, items=count))
        subscription = SingleAssignmentDisposable()
        # Keep the subscription before it starts: the request may fail, and be sent again, before `subscribe` returns.
        self.upstream.disposable = subscription
        if subscription.is_disposed:
            return
        # A full request may name the response before the first item.  If that is lost, no other request can help.
        continues = request.previous_response_id == self._chain.parent_id
        self._parent_id = self._chain.parent_id if continues else None
        first: ServerEvent | None = None
        has_output = replaced = ended = False
        assembly = Assembly(WHOLE)

        def on_next(event: ServerEvent) -> None:
            nonlocal first, has_output, ended
            if replaced:
                return
            if ended or event.type not in TERMINAL_TYPES:
                if first is None and begins_response(event):
                    first = event
                has_output = has_output or shows_output(event)
                assembly.add(event)
                self._observer.on_next(event)
                return
            failure = failure_of(event, first, has_output=has_output)
            if failure is not None and send_again(self._chain_after_refusal(failure)):
                return
            ended = True
            if failure is None:
                self._remember(event, assembly)
            self._observer.on_next(event)

        def on_error(error: Exception) -> None:
            if not replaced and (first is not None or not send_again(self._chain_after_loss(error))):
                self._observer.on_error(error)

        def on_completed() -> None:
            if not replaced:
                self._observer.on_completed()

        def send_again(chain: Chain | None) -> bool:
            nonlocal replaced
            if chain is None:
                return False
            replaced = True
            subscription.dispose()
            self._chain = chain
            self._send(chain.full_request(self._settings, self._new_items), chain.why)
            return True

        try:
            source = self._sender.send_request(request)
        except Exception as error:
            self._observer.on_error(as_exception(error, "the sender"))
            return
        with recording(self._timings):
            subscription.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=self._scheduler)

    def _remember(self, event: ServerEvent, assembly: Assembly) -> None:
        response = assembly.finish(event)
        if response is not None and response.status not in _CANCELLED:
            self._on_chain(self._chain.after(self._settings, self._new_items, response))

    def _chain_after_refusal(self, failure: ResponseFailedError) -> Chain | None:
        """Return the chain with which to send the request again, `None` if the failure stays."""
        chain, parent_id = self._chain, self._parent_id
        if failure.delivery != "rejected" and not failure.without_output:
            return None
        if parent_id is not None and _is_about_parent(failure, parent_id):
            return chain.without_parent("the server does not have the response to continue")
        if parent_id is None and any(item_id in str(failure) for item_id in chain.stored_reasoning()):
            return chain.without_parent("the server does not have the reasoning that it had stored")
        if chain.asks_for_reasoning(self._settings) and _is_about_reasoning(failure):
            # A refused continuation costs its lane the parent.
            plain = chain.without_encrypted_reasoning(self._settings)
            return plain.without_parent("the model refused to be asked for encrypted reasoning")
        return None

    def _chain_after_loss(self, error: Exception) -> Chain | None:
        chain = self._chain
        if self._parent_id is None:
            return None
        if isinstance(error, PreviousResponseLostError):
            return chain.without_parent("the connection that held the response to continue is gone, or has moved on")
        lost = isinstance(error, ConnectionLostError) and error.delivery == "not_sent" and is_retryable(error)
        if lost and not chain.stored:
            return chain.without_parent("the connection that held the response to continue was lost")
        return None


def _is_about_parent(failure: ResponseFailedError, parent_id: str) -> bool:
    """Whether a server refused a request because it does not have the parent; servers have no common code for it."""
    named = failure.param == "previous_response_id" or parent_id in str(failure)
    return failure.code == "previous_response_not_found" or (named and failure.status in (None, 400, 404))


def _is_about_reasoning(failure: ResponseFailedError) -> bool:
    return failure.param == "include" or "encrypted content" in str(failure).lower()
