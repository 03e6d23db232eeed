"""One subscription to `Conversation.send`: a turn that waits, runs and ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import SerialDisposable

from ..errors import LaneLimitError
from ..net.loops import on_background_thread, running_loop
from ..net.run_check import check_run
from ..net.timing import current_timings, recording
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import response_of
from ..wire.fields import response_field
from ..wire.models import Response
from ..wire.requests import InputItem
from .chain import Chain
from .events import ConversationEvent, TurnStartedEvent
from .lanes import Branch, Lanes, Turn
from .ledger import ToolLedger
from .sender_lanes import SenderLanes
from .steering import TurnSteers, follow_steer
from .turn_settings import TurnSettings
from .usage import NO_USAGE, add_usage

# Until an event of another type comes, the server may not have loaded the parent of the response.
_BEFORE_PROGRESS = frozenset({"response.created", "response.queued"})


class Sending(Turn):
    """A turn of one subscription.

    It starts when the turns before have ended, on the loop of the subscriber.  If the subscriber has no loop, the turn
    starts on a thread where no loop of the program runs, so that the sender delivers as to any such subscriber.
    """

    def __init__(
        self,
        lanes: SenderLanes,
        branch: Branch,
        owner: object,
        host: TurnHost,
        settings: TurnSettings,
        items: Sequence[InputItem],
        ledger: ToolLedger | None,
        observer: ObserverBase[ServerEvent],
        scheduler: SchedulerBase | None,
    ) -> None:
        super().__init__(branch)
        self._lanes = lanes
        self._owner: object = owner  # keeps the conversation: the lane of a forgotten one is given to another
        self._host = host
        self._settings = settings
        self._items = items
        self._ledger = ledger
        self._observer = observer
        self._scheduler = scheduler
        self._context = copy_context()
        self._loop = None if on_background_thread() else running_loop()
        self._timings = current_timings()
        self._upstream = SerialDisposable()
        self._parent_id: str | None = None  # of the latest chain
        self._is_settled = True  # nothing was sent since the latest chain, so the lane holds its response
        self._is_loading = True
        self._is_running = False  # a request was sent, and its response has not ended
        self._starts_again = self._turn_over = self._is_disposed = self._has_ended = False
        self._counted: set[str] = set()
        self._is_told = False  # the observer gets the end of the turn, or has it already
        self.response_id: str | None = None
        """The response that runs now."""
        self.steers = TurnSteers(self.latest_chain, self._remember, settings.after)

    def latest_chain(self) -> Chain:
        """Return the chain of the conversation."""
        return self._host.chain

    @property
    def is_gone(self) -> bool:
        """Whether the loop of the subscriber is closed."""
        return self._loop is not None and self._loop.is_closed()

    @property
    def may_remember(self) -> bool:
        """Whether the turn may still change the conversation."""
        return not self._is_told or bool(self.steers.open)

    @property
    def runs_tools(self) -> bool:
        """Whether the turn answers calls itself."""
        return self._settings.runs_tools

    def enter(self) -> None:
        """Start the turn, or let it wait for its conversation and its lane."""
        if running_loop() is not None:
            check_run(self._observer)  # `.run()` would block the loop, and with it the turns that this turn waits for
        self._lanes.enter(self)

    def begin(self) -> None:
        """Start the turn where its subscriber lives."""
        here = running_loop()
        if self._loop is not None and self._loop is not here:
            try:
                self._loop.call_soon_threadsafe(self._start, context=self._context)
            except RuntimeError:  # the loop is closed, and the subscriber gone with it
                self._leave()
        elif here is not None and self._loop is None and not on_background_thread():
            threading.Thread(
                target=self._context.run, args=(self._start,), name="rxresponses turn", daemon=True
            ).start()
        else:
            self._context.run(self._start)

    def dispose(self) -> None:
        """Leave the queue, or stop the turn."""
        self._upstream.dispose()
        self._is_disposed = True
        self._leave()

    def _start(self) -> None:
        if self._upstream.is_disposed:
            return
        try:
            source = self._settings.source(
                self._host.sender, self.lane.name, self.chain, self._items, self._on_chain, self._remember, self._ledger
            )
        except Exception as error:
            self._on_error(error)
            return
        with recording(self._timings):
            self._upstream.disposable = source.subscribe(
                self._on_next, self._on_error, self._on_completed, scheduler=self._scheduler
            )

    def _on_chain(self, chain: Chain) -> None:
        self._parent_id, self._is_settled = chain.parent_id, True

    def _remember(self, chain: Chain) -> None:
        self._host.chain = chain
        self._on_chain(chain)
        if not self.steers.open:  # a fork may be sent at the terminal event, before the turn has left the lane
            self._lanes.change(lambda lanes: lanes.hold(self, chain.parent_id))

    def note(self, event: ServerEvent) -> None:
        """Note which response runs, and the tokens of a response that has ended or failed: both are paid for."""
        if event.type == "response.created":
            self.response_id, self._is_running = response_field(event, "id") or None, True
        elif event.type in TERMINAL_TYPES:
            self.response_id, self._is_running = None, False
            response = response_of(event)
            if response is not None and response.id not in self._counted:
                self._counted.add(response.id)  # each steer of a response gets the events of the same successor
                self._host.count(response)

    def _on_next(self, event: ServerEvent) -> None:
        if isinstance(event, TurnStartedEvent):
            if self._starts_again:
                self._starts_again = False
                return
            if self._parent_id is not None:
                self._lanes.change(lambda lanes: lanes.begin_request(self, self._parent_id))
            self._is_settled, self._is_running = False, True
        else:
            self.note(event)
        if self._is_loading and not isinstance(event, ConversationEvent) and event.type not in _BEFORE_PROGRESS:
            self._is_loading = False
            if self.parent_lane is not None:
                self._lanes.change(lambda lanes: lanes.loaded(self))
        if event.type in TERMINAL_TYPES:
            self._is_told = not self.runs_tools  # an operator may complete with this event
            if self._is_settled:
                self.steers.remembered(self._parent_id)
        try:
            self._observer.on_next(event)
        except BaseException:
            self._leave()
            raise

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, LaneLimitError) and self._lanes.change(lambda lanes: lanes.refused(self.branch)):
            self._starts_again = True  # nothing was sent; the turn goes to a lane that there is already
            self._start()
            return
        self._is_running = False
        if getattr(error, "delivery", None) == "not_sent":
            self._is_settled = True
        self._is_told = True
        try:
            self._observer.on_error(error)
        finally:
            self._leave()

    def _on_completed(self) -> None:
        self._is_told = True  # `.run()` may return on its thread before this thread goes on
        try:
            self._observer.on_completed()
        finally:
            self._leave()

    def _leave(self) -> None:
        self._turn_over = True
        self._leave_if_over()

    def _leave_if_over(self) -> None:
        """Leave the lane, and tell which response it holds now: none if a request has not come to its end.

        If the subscriber has disposed such a request, the server may still run it.
        """

        def leave(lanes: Lanes) -> None:
            if self._has_ended or not self._turn_over or self.steers.open:
                return
            self._has_ended = True
            self._owner = None
            if self in self.branch.waiting:
                lanes.withdraw(self)
            elif self.branch.running is self:
                held = self.held_before if self._parent_id is None else self._parent_id
                is_abandoned = self._is_disposed and self._is_running
                lanes.end(self, held if self._is_settled and self.steers.are_settled else None, abandoned=is_abandoned)

        self._lanes.change(leave)

    # Steers.

    def steer(
        self,
        source: Observable[ServerEvent],
        target_id: str,
        items: Sequence[InputItem],
        observer: ObserverBase[ServerEvent],
        scheduler: SchedulerBase | None,
    ) -> DisposableBase:
        """Subscribe to the events of a steer; the turn ends when its steers have ended."""
        is_open = True

        def close() -> None:
            nonlocal is_open

            def end(_: Lanes) -> None:
                nonlocal is_open
                self.steers.open -= is_open
                is_open = False

            self._lanes.change(end)
            self._leave_if_over()

        def begin(_: Lanes) -> None:
            self.steers.open += 1

        self._lanes.change(begin)
        return follow_steer(source, self.steers, target_id, items, self.note, close, observer, scheduler)


class TurnHost:
    """What the turns of a conversation change."""

    def __init__(self, sender: Any, chain: Chain) -> None:
        self.sender = sender
        self.chain = chain
        self.usage = NO_USAGE

    def count(self, response: Response) -> None:
        """Count the tokens of a response that has ended, also of one that failed: they are paid for."""
        self.usage = add_usage(self.usage, response.usage)
