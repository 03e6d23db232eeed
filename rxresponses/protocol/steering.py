"""The steers of one connection: which are unanswered, and to whom a lane's next response belongs.

A part of `protocol`, and like it without I/O, clock or Rx.

A steer is open from when it was sent until the server refuses it, lets it wait for a request of the
client (pending), or begins a response with its input.  Its lane is that of its target.  Once the target
has ended, the lane is held for that response, since on many servers nothing but the order of events
tells it from the response to the next request.  One response answers all steers that were accepted for
its target.

No lane need be held for ever: once the response is what comes next on it, the steer is `due`, and a
clock may count until it is abandoned.
"""

from __future__ import annotations

from collections import OrderedDict

from ..wire.events.base import ServerEvent
from ..wire.fields import steer_ids_of
from .request import ENDED, SENT, STARTED, ProtocolRequest, ProtocolSteer

STEER_TYPES = frozenset({"response.steer.accepted", "response.steer.pending", "response.steer.failed"})

# How many steers are remembered whose answer or response did not come in time.
_ABANDONED_LIMIT = 64


class OpenSteers:
    """The steers that wait to be sent, and the open ones: see the module's text."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[ProtocolSteer, None] = OrderedDict()
        self._open: list[ProtocolSteer] = []  # oldest first

    def submit(self, steer: ProtocolSteer) -> None:
        """Take a steer, to be sent at once."""
        self._waiting[steer] = None

    def withdraw(self, steer: ProtocolSteer) -> None:
        """Forget a steer that was not sent."""
        self._waiting.pop(steer, None)

    def next_to_send(self) -> ProtocolSteer | None:
        """Return the steer to write now, open from here on, or `None`."""
        while self._waiting:
            steer, _ = self._waiting.popitem(last=False)
            if not steer.cancelled:
                steer.state = SENT
                self._open.append(steer)
                return steer
            steer.state = ENDED
        return None

    def pending(self) -> list[ProtocolSteer]:
        """Return the steers that somebody may wait for."""
        return [*(steer for steer in self._open if not steer.abandoned), *self._waiting]

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._open.clear()

    def __contains__(self, steer: ProtocolSteer) -> bool:
        """Whether a steer is open."""
        return steer in self._open

    def remove(self, steer: ProtocolSteer) -> None:
        """Count an open steer as open no more."""
        self._open.remove(steer)

    def accept(self, steer: ProtocolSteer) -> None:
        """Count a steer as accepted: its lane is held until its response begins."""
        if steer.state is SENT:
            steer.state = STARTED
            steer.abandoned = False  # what it waited for has come after all

    def abandon(self, steer: ProtocolSteer) -> None:
        """Let a steer hold its lane no more, unless an answer comes: a late one must find no one else."""
        steer.cancelled = True
        steer.abandoned = True
        abandoned = [one for one in self._open if one.abandoned]
        for one in abandoned[:-_ABANDONED_LIMIT]:
            one.state = ENDED
            self._open.remove(one)

    def holds(self, lane: str | None) -> bool:
        """Whether the next response on a lane may be the answer to a steer."""
        return bool(self.on(lane))

    def is_owed(self, lane: str | None) -> bool:
        """Whether the next response on a lane must be the answer to a steer: it was accepted."""
        return any(steer.state is STARTED for steer in self.on(lane))

    def on(self, lane: str | None) -> list[ProtocolSteer]:
        """Return the steers that hold a lane, oldest first."""
        return [one for one in self._open if one.placed and one.stream_id == lane and not one.abandoned]

    def placed(self) -> list[ProtocolSteer]:
        """Return the open steers whose lane is known, oldest first, abandoned ones included."""
        return [one for one in self._open if one.placed]

    def fall_due(self, lane: str | None) -> list[ProtocolSteer]:
        """Count the response to the steers of a lane as what comes next there; return those it is news for."""
        steers = [one for one in self.on(lane) if one.state is STARTED and not one.due]
        for one in steers:
            one.due = True
        return steers

    def find(self, event: ServerEvent) -> ProtocolSteer | None:
        """Return the open steer that a steering event is about.

        Servers answer in the order in which the steers came, so without an id it is the oldest one in a
        state that fits: only an accepted one can be pending, while a refusal comes at once or not at all.
        Of the accepted ones it is rather one whose response is not overdue.
        """
        steer_id, target_id = steer_ids_of(event)
        fits = STARTED if event.type == "response.steer.pending" else SENT
        steer = min(
            (
                one
                for one in self._open
                if target_id in (None, one.target_id) and (None in (steer_id, one.steer_id) or steer_id == one.steer_id)
            ),
            key=lambda one: (
                one.steer_id is None and steer_id is not None,
                one.state is not fits,
                one.state is STARTED and one.abandoned,
            ),
            default=None,
        )
        if steer is not None and steer_id is not None:
            steer.steer_id = steer_id
        return steer

    def refused_by(self, *, lane: str | None, text: str, param: str | None) -> ProtocolSteer | None:
        """Return the steer that an `error` is about: so answers a server that does not know steering.

        It says so, or that a `type` is wrong, which that of a request never is.
        """
        named = "steer" in text.lower()
        if not named and param != "type":
            return None
        fitting = (
            one
            for one in self._open
            if (lane is None or not one.placed or one.stream_id == lane) and (named or one.state is SENT)
        )
        return min(fitting, key=lambda one: one.state is not SENT, default=None)

    def target_ended(self, target: ProtocolRequest, *, steered: bool) -> None:
        """Let the steers of a response wait for what follows it.

        When it ended because it was `steered`, one of them was accepted, told or not: then no clock may
        free the lane just before the successor comes.
        """
        steers = [one for one in self._open if one.target_id in target.response_ids]
        if steered and steers and not any(one.state is STARTED for one in steers):
            self.accept(min(steers, key=lambda one: one.abandoned))
        for steer in steers:
            steer.place(target.stream_id)
            steer.target_ids = target.response_ids

    def next_on(self, lane: str | None, continued: str | None) -> ProtocolSteer:
        """Return the steer whose response begins on a lane it holds, by what that continues, if it tells.

        Without an accepted one it is the answer to the oldest, told before it was accepted.
        """
        here = self.on(lane)
        return min(here, key=lambda one: (continued is None or not one.continues(continued), one.state is not STARTED))

    def commit(self, steer: ProtocolSteer) -> ProtocolSteer:
        """Return the steer that accounts for the response that begins for this one, with its followers set.

        Those are all that were accepted for the same target, even those whose time was up.
        """
        shared = [
            one for one in self._open if one is steer or (one.state is STARTED and steer.continues(one.target_id))
        ]
        self.accept(steer)
        first, *others = sorted(shared, key=lambda one: one.cancelled)
        first.committed = True
        first.followers = tuple(others)
        for one in shared:
            one.due = one.abandoned = False
            one.response_ids = first.response_ids
        self._open = [one for one in self._open if one not in shared]
        for one in self.on(steer.stream_id):
            one.due = False  # something runs there again
        return first
