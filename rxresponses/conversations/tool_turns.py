"""`tool_turns`: turns of a conversation in which the model calls tools, until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import Any

from msgspec import UNSET
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler

from ..errors import ConfigurationError
from ..net.context import in_subscribers_context
from ..net.loops import acquire_loop, call_on, release_loop, running_loop
from ..net.observable import EventObservable
from ..net.sender import Sender
from ..net.timing import current_timings, recording
from ..raised import as_exception
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.events.base import event_from
from ..wire.failures import failure_of, unreadable
from ..wire.requests import InputItem
from ..wire.requests.sent import plain_json
from .chain import Chain
from .client_calls import ClientCall
from .errors import MaxTurnsError, run_error
from .events import BudgetReachedEvent
from .ledger import ToolLedger
from .loop_settings import LoopSettings
from .tool_calls import CallReader
from .toolset import Toolset, without_forced_choice
from .turn import send_turn
from .turn_calls import TurnCalls
from .unfinished import carried, in_order
from .usage import tokens_of


def tool_turns(
    sender: Sender,
    chain: Chain,
    settings: Mapping[str, Any],
    new_items: Sequence[InputItem],
    tools: Toolset,
    options: LoopSettings,
    on_chain: Callable[[Chain], None],
    *,
    ledger: ToolLedger | None = None,
) -> Observable[ServerEvent]:
    """Return the events of turns until the model calls no tool, as a cold Observable; `run_tools` describes it.

    The first turn sends `new_items`.  `on_chain` gets the chain after each response, as `send_turn` says.
    Raises `InvalidRequestError` and `ConfigurationError` at once for what cannot be sent or run.
    """
    options.check(tools)
    settings = {**settings, "tools": tools.merged(settings.get("tools")) or UNSET}
    chain.request(settings, new_items)  # raises

    def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
        used = ToolLedger() if ledger is None else ledger
        try:
            # The parent is no part of it, because the parent may be lost before the run goes on.
            used.begin([len(chain), chain.root_id, plain_json(new_items)], sender)
        except ConfigurationError as error:
            observer.on_error(error)
            return Disposable()
        run = _ToolRun(sender, settings, tools, options, on_chain, used, observer, scheduler)
        run.start(chain, new_items)
        return Disposable(run.dispose)

    return EventObservable(subscribe)


class _ToolRun:
    """The run of one subscription.  All but `dispose` is called on the thread that delivers the events."""

    def __init__(
        self,
        sender: Sender,
        settings: Mapping[str, Any],
        tools: Toolset,
        options: LoopSettings,
        on_chain: Callable[[Chain], None],
        ledger: ToolLedger,
        observer: ObserverBase[ServerEvent],
        scheduler: SchedulerBase | None,
    ) -> None:
        self._sender = sender
        self._settings = settings
        self._tools = tools
        self._options = options
        self._on_chain = on_chain
        self._ledger = ledger
        self._observer = observer
        self._own_observer = in_subscribers_context(observer)  # for events that the sender does not deliver
        self._scheduler = scheduler
        self._context = copy_context()
        self._timings = current_timings()
        self._upstream = SerialDisposable()
        self._background: asyncio.AbstractEventLoop | None = None  # the background loop, while this run holds it
        self._run_over = False  # no further request is sent
        self._failure: Exception | None = None
        self._closed = False
        self._lost = ledger.unfinished  # calls of lost responses, which the next request carries
        # The chain that this request continues, and its other items, while calls of lost responses run.
        self._waiting: tuple[Chain, list[InputItem]] | None = None
        self._begin_turn(ledger.turn)

    def start(self, chain: Chain, new_items: Sequence[InputItem]) -> None:
        """Begin, or go on where the ledger stands."""
        ledger = self._ledger
        ending = ledger.ending
        if ending is not None:
            CurrentThreadScheduler.singleton().schedule(lambda *_: self._end_again(ending))
        elif ledger.turn == 0 and not self._lost:
            self._send(chain, new_items)
        else:
            loop = running_loop()
            if loop is None:  # tools may be async, and must not block the subscriber
                loop, _ = acquire_loop()
                self._background = loop
            loop.call_soon_threadsafe(self._context.copy().run, self._resume, chain, new_items)

    def dispose(self) -> None:
        """Stop, from any thread."""
        if self._closed:
            return
        self._closed = True
        self._upstream.dispose()
        calls = self._calls
        if calls.loop is None:
            calls.abandon()
        else:
            call_on(calls.loop, calls.abandon)
        self._release()

    def _release(self) -> None:
        self._ledger.in_use = False
        self._release_loop()

    def _release_loop(self) -> None:
        background, self._background = self._background, None
        if background is not None:
            release_loop(background)

    # A turn.

    def _begin_turn(self, turn: int) -> None:
        lane = self._settings.get("stream_id") or getattr(self._sender, "stream_id", None)
        self._reader = CallReader(has_shell=self._tools.has_shell)
        self._chain: Chain | None = None  # after the response; `None` before, and if nothing can continue the response
        self._open: list[ClientCall] = []  # the calls of the response
        self._turn_over = False  # the response has ended
        self._calls = TurnCalls(
            turn,
            self._tools,
            self._options,
            self._ledger,
            self._context,
            stream_id=lane if isinstance(lane, str) else None,
            emit=self._emit,
            on_progress=self._go_on,
            on_error=self._fail,
        )

    def _send(self, chain: Chain, items: Sequence[InputItem]) -> None:
        """Send the next request, with the calls of lost responses, as soon as all these calls have an answer."""
        turn = self._ledger.turn + 1
        while self._lost:
            self._begin_turn(turn)
            self._open = in_order(self._lost.pop(0))
            self._take(self._open)
            if self._run_over or self._closed:
                return
            outputs = self._calls.outputs_for(self._open)
            if len(outputs) < len(self._open):
                self._waiting = chain, list(items)
                self._turn_over = True
                return  # `_go_on` comes back
            items = [*items, *carried(self._open, outputs)]
        self._begin_turn(turn)
        if turn >= self._options.max_turns:
            self._calls.stop()  # no request could bring their outputs
        self._ledger.begin_response()
        has_called = turn > 1 or self._ledger.unfinished
        settings = without_forced_choice(self._settings) if has_called else self._settings
        try:
            source = send_turn(self._sender, chain, settings, items, self._keep, turn=turn)
        except Exception as error:
            self._fail(error)
            return
        self._context.copy().run(self._subscribe, source)
        self._release_loop()  # from now on, the sender has a loop

    def _take(self, calls: Sequence[ClientCall]) -> None:
        for call in calls:
            self._calls.take(call)

    def _subscribe(self, source: Observable[ServerEvent]) -> None:
        subscription = SingleAssignmentDisposable()
        # Keep the subscription before it starts: the turn may end, and the next turn begin, before `subscribe` returns.
        self._upstream.disposable = subscription
        with recording(self._timings):
            subscription.disposable = source.subscribe(
                self._on_event, self._fail, self._on_turn_over, scheduler=self._scheduler
            )

    def _keep(self, chain: Chain) -> None:
        self._chain = chain
        self._on_chain(chain)

    def _on_event(self, event: ServerEvent) -> None:
        if self._closed or self._run_over:
            return
        calls: list[ClientCall] = []
        problem: Exception | None = None
        is_last = event.type in TERMINAL_TYPES
        try:
            calls = self._end_response(event) if is_last else self._reader.read(event)
        except Exception as error:
            problem = error
        self._observer.on_next(event)
        if problem is not None:
            self._fail(problem)
        elif calls and (is_last or self._options.eager):
            self._take(calls)

    def _end_response(self, event: ServerEvent) -> list[ClientCall]:
        """Record the response; return the calls that may start now.

        Called before the observer gets the event, because the observer may then dispose the run.
        """
        calls = self._reader.finish(event)
        response = self._reader.response
        if response is None and failure_of(event) is None:
            raise unreadable(event)
        if response is None or self._chain is None:  # no request can continue what has failed or was cancelled
            self._run_over = True
            self._calls.stop()
            return []
        self._open = self._reader.in_order()
        ending = None if self._open else plain_json(event)
        self._ledger.end_response(self._chain, self._open, tokens_of(response.usage), ending=ending)
        if self._budget_is_spent():
            self._calls.stop()
        return calls if self._options.eager else self._open

    def _on_turn_over(self) -> None:
        self._turn_over = True
        self._go_on()

    def _resume(self, chain: Chain, new_items: Sequence[InputItem]) -> None:
        if self._closed:
            return
        try:
            if self._ledger.turn == 0:
                self._send(chain, new_items)
                return
            self._open = self._ledger.unanswered
            if not self._budget_is_spent() and self._ledger.turn < self._options.max_turns:
                self._take(self._open)
            self._on_turn_over()
        except BaseException as error:
            self._fail(as_exception(error))
            raise

    def _budget_is_spent(self) -> bool:
        limit = self._options.max_tokens
        return limit is not None and self._ledger.tokens >= limit

    # What follows a turn, a call, or an error.

    def _go_on(self) -> None:
        """Send the next request, or end the run, as soon as that may be."""
        if self._closed:
            return
        if self._run_over and (self._turn_over or self._failure is not None):
            if not self._calls.running:  # the run ends when its calls have ended, so that the ledger has their outputs
                self._close()
        elif self._turn_over:
            if not self._open or self._budget_is_spent():
                self._run_over = True
                self._go_on()
            elif self._ledger.turn >= self._options.max_turns:
                self._fail(
                    MaxTurnsError(self._options.max_turns, ledger=self._ledger, response=self._ledger.chain.response)
                )
            elif len(outputs := self._calls.outputs_for(self._open)) == len(self._open):
                if self._waiting is None:
                    self._send(self._ledger.chain, outputs)
                else:
                    (chain, items), self._waiting = self._waiting, None
                    self._send(chain, [*items, *carried(self._open, outputs)])

    def _fail(self, error: Exception) -> None:
        """End with an error, as soon as the calls that run have ended."""
        if self._closed or self._failure is not None:
            return
        self._failure = error
        self._run_over = True
        self._upstream.dispose()
        self._calls.stop()
        self._go_on()

    def _close(self) -> None:
        if self._failure is None and self._open and self._budget_is_spent():
            limit, outputs = self._options.max_tokens or 0, self._calls.outputs_for(self._open)
            self._emit(BudgetReachedEvent(tokens=self._ledger.tokens, max_tokens=limit, outputs=outputs))
        if self._closed:  # by the observer
            return
        self._closed = True
        self._release()
        if self._failure is None:
            self._own_observer.on_completed()
        else:
            self._own_observer.on_error(run_error(self._failure, self._ledger))

    def _emit(self, event: ServerEvent) -> None:
        if not self._closed:
            self._own_observer.on_next(event)

    def _end_again(self, ending: Mapping[str, Any]) -> None:
        """Emit the terminal event of a run that has ended before."""
        self._emit(event_from(ending))
        self._close()
