"""Steers of a turn that runs: what a conversation remembers of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from ..wire.assembly import Assembly
from ..wire.assembly_scopes import WHOLE
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import failure_of
from ..wire.models import Response
from ..wire.requests import InputItem
from .chain import Chain

After = Callable[[Chain, Sequence[InputItem], Response], Chain]
"""Returns the chain after a response to these items, with the settings of the turn."""


class TurnSteers:
    """The steers of one turn.

    The conversation remembers the steered response at its terminal event, and then what follows from its steers: one
    response for all of them, or that the server holds their input.  The events of the turn and those of its steers may
    come on different loops, so what follows may be known first; it then waits.
    """

    def __init__(self, latest_chain: Callable[[], Chain], on_chain: Callable[[Chain], None], after: After) -> None:
        self._latest_chain = latest_chain
        self._on_chain = on_chain
        self._after = after
        self._remembered_id: str | None = None
        self._accepted: dict[str, list[InputItem]] = {}  # by the id of their target
        self._changes: list[_Change] = []  # that wait for the conversation to remember their target
        self._followers: set[str] = set()  # ids of responses that followed from steers
        self._lock = threading.RLock()
        self.open = 0
        """How many steers have not ended."""

    @property
    def are_settled(self) -> bool:
        """Whether no response is to follow the one that the conversation has remembered."""
        return not self._accepted.get(self._remembered_id or "")

    def remembered(self, response_id: str | None) -> None:
        """Note that the conversation has remembered a response."""
        with self._lock:
            self._remembered_id = response_id
            self._catch_up()

    def accepted(self, target_id: str, items: Sequence[InputItem]) -> None:
        """Note that the server accepted a steer with these items."""
        with self._lock:
            self._accepted.setdefault(target_id, []).extend(items)

    def pending(self, target_id: str, items: Sequence[InputItem]) -> None:
        """Note that the server holds the items of a steer, until the target's calls are answered."""
        with self._lock:
            self._accepted.pop(target_id, None)
            self._changes.append(_Change(target_id, lambda chain: chain.with_held(items), target_id))
            self._catch_up()

    def failed(self, target_id: str) -> None:
        """Note that the server gave the input of the steers back."""
        with self._lock:
            self._accepted.pop(target_id, None)

    def followed(self, target_id: str, response: Response) -> None:
        """Note the response that followed from the accepted steers; each of the steers reports the same response."""
        with self._lock:
            if response.id not in self._followers:
                self._followers.add(response.id)
                items = self._accepted.pop(target_id, [])
                change = _Change(target_id, lambda chain: self._after(chain, items, response), response.id)
                self._changes.append(change)
                self._catch_up()

    def _catch_up(self) -> None:
        while ready := next((change for change in self._changes if change.target_id == self._remembered_id), None):
            self._changes.remove(ready)
            self._on_chain(ready.make(self._latest_chain()))
            self._remembered_id = ready.becomes


class _Change(NamedTuple):
    target_id: str
    make: Callable[[Chain], Chain]
    becomes: str  # the response that the conversation has remembered then


def follow_steer(
    source: Observable[ServerEvent],
    steers: TurnSteers,
    target_id: str,
    items: Sequence[InputItem],
    on_event: Callable[[ServerEvent], None],
    on_end: Callable[[], None],
    observer: ObserverBase[ServerEvent],
    scheduler: SchedulerBase | None,
) -> DisposableBase:
    """Subscribe to the events of a steer, and note on the way what becomes of it."""
    assembly = Assembly(WHOLE)

    def on_next(event: ServerEvent) -> None:
        if event.type == "response.steer.accepted":
            steers.accepted(target_id, items)
        elif event.type == "response.steer.pending":
            steers.pending(target_id, items)
        elif event.type == "response.steer.failed":
            steers.failed(target_id)
        elif event.type not in TERMINAL_TYPES:
            assembly.add(event)
        elif failure_of(event) is None:
            response = assembly.finish(event)
            if response is not None:
                steers.followed(target_id, response)
        on_event(event)
        observer.on_next(event)

    def on_error(error: Exception) -> None:
        observer.on_error(error)
        on_end()

    def on_completed() -> None:
        observer.on_completed()
        on_end()

    subscription = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
    return CompositeDisposable(subscription, Disposable(on_end))
