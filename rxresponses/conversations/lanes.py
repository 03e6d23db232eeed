"""Which turn of the conversations of one sender is next, on which lane, and whether that lane still has its parent.

A lane holds its latest response.  If that is not stored, only its connection can continue it, and only until the lane
goes on.  So each conversation has a lane of its own while there are names, and a lane waits until the forks of its
response have been started.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator

from ..protocol.lanes import MAX_NAMED_LANES
from .chain import Chain

_MOST_ABANDONED = 4  # lanes; with so many, the lane that was abandoned first is used again in place of a new name


class LaneState:
    """A lane, as the conversations on it know it.

    `held` is the response that it holds, `None` while it runs another one, or if a request there has failed.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.held: str | None = None
        self.running = 0  # turns
        self.loading: set[Turn] = set()  # forks of `held` that the server has not started yet
        self.branches = 0  # conversations that live on it
        self.abandoned = 0  # the number of the latest disposed request that the server may still run; 0 for none


class Branch:
    """The place of one conversation: the lane on which it lives, and its turns.

    `chosen` is the lane's name if the program chose the lane.  `lane` is `None` before the first turn.
    """

    def __init__(self, chosen: str | None = None) -> None:
        self.chosen = chosen
        self.lane: LaneState | None = None
        self.running: Turn | None = None
        self.waiting: deque[Turn] = deque()


class Turn(ABC):
    """A turn of a conversation."""

    def __init__(self, branch: Branch) -> None:
        self.branch = branch
        self.chain = Chain()
        """The chain with which the turn starts."""
        self.held_before: str | None = None
        """What the lane held before the latest request of this turn."""
        self.parent_lane: LaneState | None = None  # from which a fork loads its parent

    @property
    def lane(self) -> LaneState:
        """The lane of a turn that runs."""
        assert self.branch.lane is not None
        return self.branch.lane

    @property
    @abstractmethod
    def is_gone(self) -> bool:
        """Whether no observer can get the events of the turn any more."""

    @property
    @abstractmethod
    def may_remember(self) -> bool:
        """Whether the turn may still change the conversation."""

    @abstractmethod
    def latest_chain(self) -> Chain:
        """Return the chain of the conversation."""

    @abstractmethod
    def begin(self) -> None:
        """Start the turn where its subscriber lives."""


class Lanes:
    """The lanes of one sender and the turns that want them.  Not thread-safe.

    A sender may itself choose a lane for each request.  It then knows which lane holds which response, and takes the
    name as that of the conversation: by it, it tells a fork from the next turn of the conversation itself.
    """

    def __init__(self, *, sender_chooses: bool = False) -> None:
        self._sender_chooses = sender_chooses
        self._lanes: dict[str | None, LaneState] = {}
        self._most_names = math.inf if sender_chooses else MAX_NAMED_LANES
        self._waiting: dict[Branch, None] = {}
        self._abandoned = 0  # how many requests were abandoned
        self.running: dict[Turn, None] = {}
        """The turns that run, in the order of their start."""

    # Turns.

    def submit(self, turn: Turn) -> None:
        """Queue a turn behind those of its conversation."""
        for running in tuple(self.running):
            if running.is_gone:
                self.end(running, None)
        turn.branch.waiting.append(turn)
        self._waiting[turn.branch] = None

    def withdraw(self, turn: Turn) -> None:
        """Take out a turn that waits."""
        turn.branch.waiting.remove(turn)

    def next_turns(self) -> Iterator[Turn]:
        """Yield the turns that may start now, and count each as running."""
        for branch in tuple(self._waiting):
            if branch.running is not None:
                continue
            if not branch.waiting:
                del self._waiting[branch]
                continue
            lane = branch.lane or self._settle(branch)
            if lane.loading:
                continue
            lane.running += 1
            turn = branch.running = branch.waiting.popleft()
            self.running[turn] = None
            self.begin_request(turn, lane.held)
            turn.chain = self._chain_for(turn, turn.latest_chain())
            yield turn

    def _chain_for(self, turn: Turn, chain: Chain) -> Chain:
        """Return the chain of a conversation, without its parent if that is lost as far as the lanes tell."""
        if self._sender_chooses or chain.stored or chain.parent_id in (None, turn.held_before):
            return chain
        for other in self._lanes.values():
            if other.held == chain.parent_id:
                turn.parent_lane = other
                other.loading.add(turn)
                return chain
        return chain.without_parent("the response to continue is not stored, and its lane no longer holds it")

    def loaded(self, turn: Turn) -> None:
        """Note that the server has started the response of a turn, so that it has the parent."""
        if turn.parent_lane is not None:
            turn.parent_lane.loading.discard(turn)
            turn.parent_lane = None

    def begin_request(self, turn: Turn, held: str | None) -> None:
        """Note that a turn sends a request, to a lane that holds this response."""
        if turn in self.running:  # another thread may have ended it
            turn.held_before = held
            turn.lane.held = None

    def hold(self, turn: Turn, held: str | None) -> None:
        """Note that the lane of a running turn holds its response, which has ended: a fork may load it from now on."""
        if turn in self.running:
            turn.lane.held = held

    def end(self, turn: Turn, held: str | None, *, abandoned: bool = False) -> None:
        """Note that a running turn has ended; `held` is the response that its lane holds now, `None` for none.

        If the turn was abandoned, the server may still run its request.  The lane is taken until that ends, so the
        conversation moves to another lane, unless the program chose this one.
        """
        self.loaded(turn)
        self.running.pop(turn, None)
        turn.branch.running = None
        self._end_request(turn.lane, held, abandoned=abandoned)
        if abandoned and turn.branch.chosen is None:
            self.give_back(turn.branch)

    def _end_request(self, lane: LaneState, held: str | None, *, abandoned: bool) -> None:
        lane.running -= 1
        lane.held = held
        self._abandoned += abandoned
        lane.abandoned = self._abandoned if abandoned else 0

    # Lanes.

    def take(self, branch: Branch) -> str | None:
        """Give a lane to a request of no conversation; return the name of the lane."""
        lane = self._settle(branch)
        lane.running += 1
        lane.held = None
        return lane.name

    def leave(self, branch: Branch, *, abandoned: bool) -> None:
        """Take the lane back from such a request; abandoned as for `end`."""
        if branch.lane is not None:
            self._end_request(branch.lane, None, abandoned=abandoned)
            self.give_back(branch)

    def give_back(self, branch: Branch) -> None:
        """Note that a conversation is gone, so that another one may have its lane."""
        lane, branch.lane = branch.lane, None
        if lane is not None:
            lane.branches -= 1
            if not lane.branches and branch.chosen is not None:
                self._lanes.pop(lane.name, None)

    def refused(self, branch: Branch) -> bool:
        """Note that the connection takes no more names; return whether the conversation can move to another lane."""
        lane = branch.lane
        if branch.chosen is not None or lane is None or lane.name is None:
            return False
        self._lanes.pop(lane.name, None)
        self._most_names = sum(name is not None for name in self._lanes)
        self.give_back(branch)
        self._settle(branch).running += 1
        return True

    def _settle(self, branch: Branch) -> LaneState:
        lane = branch.lane = self._lane_for(branch)
        lane.branches += 1
        return lane

    def _lane_for(self, branch: Branch) -> LaneState:
        """Return the lane that the program chose, else a free one, else a new one, else the one with least use."""
        if branch.chosen is not None:
            return self._lane(branch.chosen)
        # A sender that chooses lanes takes a request without a name for the next turn of any conversation, for no fork.
        unnamed = [] if self._sender_chooses and self._lanes else [self._lane(None)]
        named = [lane for lane in self._lanes.values() if lane.name is not None and lane.name.startswith(_PREFIX)]
        free = [lane for lane in (*unnamed, *named) if not lane.branches and not lane.loading]
        abandoned = sorted((lane for lane in free if lane.abandoned), key=lambda lane: lane.abandoned)
        if len(free) > len(abandoned):
            return next(lane for lane in free if not lane.abandoned)
        if len(abandoned) >= _MOST_ABANDONED:
            return abandoned[0]
        if sum(name is not None for name in self._lanes) < self._most_names:
            return self._lane(f"{_PREFIX}{len(named) + 1}")
        return min((*unnamed, *named), key=lambda lane: (lane.branches, lane.running, lane.abandoned))

    def _lane(self, name: str | None) -> LaneState:
        return self._lanes.setdefault(name, LaneState(name))


_PREFIX = "conversation-"
