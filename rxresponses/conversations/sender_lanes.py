"""The lanes of each sender, which all conversations on it share; usable from any thread."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from .lanes import Branch, Lanes, Turn

T = TypeVar("T")


class SenderLanes:
    """The lanes of one sender, and the turns that want them."""

    def __init__(self, *, sender_chooses: bool = False) -> None:
        self._lanes = Lanes(sender_chooses=sender_chooses)
        self._lock = threading.RLock()
        # Of forgotten conversations.  The garbage collector calls `forget` at any time, also while the lock is held.
        self._forgotten: deque[Branch] = deque()
        self._here = threading.local()

    def enter(self, turn: Turn) -> None:
        """Start a turn, now or once the turns before it have ended."""
        self.change(lambda lanes: lanes.submit(turn))

    def forget(self, branch: Branch) -> None:
        """Note that the conversation of a branch was forgotten."""
        self._forgotten.append(branch)

    def change(self, change: Callable[[Lanes], T]) -> T:
        """Call `change` with the lanes, and start the turns that may start then; return what `change` returns."""
        with self._lock:
            while self._forgotten:
                self._lanes.give_back(self._forgotten.popleft())
            result = change(self._lanes)
            turns = list(self._lanes.next_turns())
        self._begin(turns)
        return result

    def _begin(self, turns: list[Turn]) -> None:
        """Start turns one after the other: a turn that fails at once must not start the next one inside its own start.

        Many of them would need the stack of as many calls.
        """
        waiting: deque[Turn] | None = getattr(self._here, "waiting", None)
        if waiting is not None:
            waiting.extend(turns)  # for the call of this method that runs on this thread
            return
        waiting = self._here.waiting = deque(turns)
        try:
            while waiting:
                waiting.popleft().begin()
        finally:
            self._here.waiting = None
            if waiting:  # a turn has raised: those behind it start all the same
                self._begin(list(waiting))


_of_senders: weakref.WeakKeyDictionary[object, SenderLanes] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def home_of(sender: object) -> Any:
    """Return the socket or client of a lane; any other sender itself."""
    source = getattr(sender, "source", None) if isinstance(getattr(sender, "stream_id", None), str) else None
    return sender if source is None else source


def lanes_of(sender: object) -> SenderLanes:
    """Return the lanes of a sender; of one that allows no weak references, new lanes for each conversation."""
    lanes = SenderLanes(sender_chooses=bool(getattr(sender, "chooses_lanes", False)))
    try:
        with _lock:
            return _of_senders.setdefault(sender, lanes)
    except TypeError:
        return lanes
