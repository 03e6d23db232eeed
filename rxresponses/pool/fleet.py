"""Which member of a fleet gets which request, and when; the caller passes the time, in seconds by any clock."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from ..backoff import Backoff, requested_wait
from ..errors import (
    ConnectionLostError,
    QueueTimeoutError,
    ResponseFailedError,
)
from ..options import BreakerOptions
from ..wire.ids import LatestIds
from .breaker import Breaker, may_go_elsewhere, verdict_of
from .fleet_errors import full_error, lost_with_member_error, unavailable_error
from .fleet_members import FailFleetRequest, FleetAction, FleetRequest, GiveRequest, Member, MemberClient, TakeBack
from .lanes import PoolRequest, PoolRequestState
from .ordering import RequestHeap
from .queue import RequestQueue
from .responses import lost_error

# How many responses are remembered with their member.  Long ids make it fewer, by `LatestIds`.
_REMEMBERED = 65_536


class Fleet:
    """The requests and members of a fleet, without I/O or Rx.

    Requests wait here until a member has room, so that a member that is slow, or at a limit, gets fewer.  The oldest
    request goes first, to the member with the lowest load in relation to its room and its weight.  A continuation goes
    to the member that has made its parent, and requests with the same `stream_id` one after the other to one member,
    as long as that works.

    `next_action` says what to do now, one thing at a time, until there is nothing more to do.  `deadline` says when to
    ask again if nothing happens before.
    """

    def __init__(
        self,
        options: BreakerOptions,
        backoff: Backoff,
        *,
        max_queued: int = 10_000,
        queue_timeout: float | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.members: list[Member] = []
        self._options = options
        self._backoff = backoff
        self._max_queued = max_queued
        self._draw = draw
        self._queue = RequestQueue(max_queued, queue_timeout)
        self._actions: deque[FleetAction] = deque()
        self._unsent_until: RequestHeap[PoolRequest] = RequestHeap()  # given, by deadline: they may not be sent yet
        self._homes: LatestIds[Member | None] = LatestIds(_REMEMBERED)
        self._latest_number = 0  # of a member
        self._latest_turn = 0.0
        self._give_up_to = 0  # a member has become hopeless: the requests up to this number may have to fail

    @property
    def queued(self) -> int:
        """How many requests wait for a member."""
        return len(self._queue)

    def waiting(self) -> list[FleetRequest]:
        """Return the requests that wait for a member, in the order of their arrival."""
        return [_ours(request) for request in sorted(self._queue, key=lambda request: request.number)]

    def home_of(self, response_id: str) -> Member | None:
        """Return the member that has made a response, `None` if that is not known."""
        return self._homes.get(response_id, None)

    # Members.

    def add(self, name: str, client: MemberClient, weight: float = 1.0) -> Member:
        """Add a member."""
        self._latest_number += 1
        breaker = Breaker(self._options, self._backoff, draw=self._draw)
        member = Member(self._latest_number, name, client, weight, breaker)
        self.members.append(member)
        return member

    def leave(self, member: Member) -> None:
        """Give nothing more to a member, and take back what it has not sent."""
        member.is_leaving = True
        self._empty(member)
        self._give_up_to = self._queue.latest_number

    def remove(self, member: Member) -> None:
        """Forget a member that has left."""
        self.members.remove(member)

    # Requests.

    def submit(self, request: FleetRequest, now: float) -> None:
        """Queue a request.  If too many wait already, `next_action` fails it."""
        self._queue.add(request, now)

    def withdraw(self, request: FleetRequest) -> None:
        """Forget a request, since its sender has disposed it, or its end says nothing of the member."""
        if request.state is PoolRequestState.RUNNING and request.member is not None:
            request.member.breaker.undecided(request.generation)
        self._end(request)

    def began(self, request: FleetRequest, response_id: str) -> None:
        """Note that the member of a request makes this response."""
        assert request.member is not None
        self.made(request.member, response_id)

    def made(self, member: Member, response_id: str) -> None:
        """Note that a member makes this response."""
        self._homes.add(response_id, member)

    def answers(self, request: FleetRequest) -> None:
        """Note that the response to a request shows output: that is enough for a trial."""
        member = request.member
        self._unsent_until.remove(request)
        if member is not None and member.breaker.is_trial(request.generation):
            member.breaker.succeeded(request.generation)
            request.generation = member.breaker.generation

    def succeeded(self, request: FleetRequest) -> None:
        """Note that a request has been answered to its end."""
        if request.state is PoolRequestState.RUNNING and request.member is not None:
            request.member.breaker.succeeded(request.generation)
        self._end(request)

    def failed(
        self,
        request: FleetRequest,
        error: Exception,
        now: float,
        *,
        may_move: bool = True,
        connection: object = None,
    ) -> bool:
        """Note that a request has failed; return whether it is sent again, and so waits here once more.

        With `may_move` false it is not: it has output, or more than this request depends on its response.
        `connection` is what it was sent on: all requests of a lost connection are one failure of the member.
        """
        member = request.member
        if request.state is not PoolRequestState.RUNNING or member is None:
            return False
        self._note(member, request, error, now, connection)
        if not (may_move and self._may_resend(request, member, error)):
            self._end(request)
            return False
        self._requeue(request, self._delay(request, member, error), now)
        return True

    def taken_back(self, request: FleetRequest, now: float) -> None:
        """Note that a request was taken back from its member, which had not sent it."""
        if request.state is PoolRequestState.RUNNING and request.member is not None:
            request.member.breaker.undecided(request.generation)
            self._requeue(request, 0.0, now)

    # What to do.

    def next_action(self, now: float) -> FleetAction | None:
        """Return what to do next, `None` if there is nothing; the fleet counts it as done."""
        while True:
            if self._actions:
                return self._actions.popleft()
            while (late := self._unsent_until.due(now)) is not None:
                self._take_back(_ours(late))
            while (overdue := self._queue.overdue(now)) is not None:
                self._fail(_ours(overdue), self._overdue_error(_ours(overdue), now))
            self._queue.release_delayed(now)
            for request in self._queue.to_route():
                self._route(_ours(request), now)
            self._give_up(now)
            found = None if self._actions else self._next(now)
            if found is not None:
                return self._give(*found)
            for request in self._queue.excess():
                self._fail(_ours(request), full_error(_ours(request), self._max_queued))
            if not self._actions:
                return None

    def deadline(self, now: float) -> float | None:
        """Return when to call `next_action` again if nothing happens before, `None` for never."""
        times = [self._queue.deadline(), self._unsent_until.first_priority]
        if self._queue:
            times.extend(member.breaker.trial_at for member in self.members if member.breaker.trial_at > now)
        earliest = min(times)
        return earliest if earliest < math.inf else None

    # Where a request goes.

    def _route(self, request: FleetRequest, now: float) -> None:
        """Let a request wait for one member, or for any; or fail it."""
        parent_id = request.parent_id
        if parent_id is None or request.sends_history:
            preferred = request.preferred
            if preferred is not None and preferred.breaker.state == "closed" and not preferred.is_leaving:
                self._wait_for(preferred, request)
            else:
                self._queue.wait_for_any_lane(request)
            return
        home = self.home_of(parent_id)
        if home is None and request.stores and not request.has_history:
            self._ask_for_parent(request, now)
        elif home is None or home.client.has_lost(parent_id):
            self._send_history(request, lambda: lost_error(parent_id, request.stream_id, _OWN_HISTORY))
        elif home.is_leaving or (not home.breaker.allows(now) and self._has_working()):
            self._send_history(request, lambda: lost_with_member_error(request, home))
        else:
            self._wait_for(home, request)

    def _has_working(self) -> bool:
        """Whether any member works, so that a request need not wait for one that does not."""
        return any(member.breaker.state == "closed" and not member.is_leaving for member in self.members)

    def _wait_for(self, member: Member, request: FleetRequest) -> None:
        self._queue.wait_in(member.bound, request, request.number)

    def _send_history(self, request: FleetRequest, error: Callable[[], Exception]) -> None:
        """Have a request send its whole history, to any member; fail it with this error if it has no history."""
        if request.has_history:
            request.sends_history = True
            self._queue.wait_for_any_lane(request)
        else:
            self._fail(request, error())

    def _ask_for_parent(self, request: FleetRequest, now: float) -> None:
        """Let a request go to any member, since none is known to have made its parent; then to each of the others."""
        if not request.not_found_at:
            self._queue.wait_for_any_lane(request)
            return
        others = self._without_parent(request)
        if not others:  # the one that was still to be asked has left
            self._fail(request, lost_error(request.parent_id or "", request.stream_id, _OWN_HISTORY))
            return
        self._wait_for(min(others, key=lambda member: (not member.may_get(now), member.number)), request)

    def _without_parent(self, request: FleetRequest) -> list[Member]:
        """Return the members that have not been asked for the parent of a request yet."""
        return [one for one in self.members if not one.is_leaving and one not in request.not_found_at]

    def _next(self, now: float) -> tuple[FleetRequest, Member] | None:
        """Return the oldest request for which a member has room, and this member."""
        ready = [one for one in self.members if one.may_get(now) and one.client.load() < one.client.room(now)]
        if not ready:
            return None
        member = min(ready, key=lambda one: one.bound.first_priority)
        first = member.bound.first()
        free = self._queue.by_route.get(None)
        if free is not None and free.first_priority < member.bound.first_priority:
            first = free.first()
            tried = _ours(first).tried
            member = min(ready, key=lambda one: (one in tried, one.client.load() / _share(one, now), one.turn))
        return None if first is None else (_ours(first), member)

    def _give(self, request: FleetRequest, member: Member) -> GiveRequest:
        self._queue.start(request)
        request.member, request.generation = member, member.breaker.sending()
        member.has[request] = None
        if request.deadline is not None:
            self._unsent_until.add(request, request.deadline)
        # A member that was not there for a while does not get all that it has missed.
        self._latest_turn = max(member.turn, self._latest_turn)
        member.turn = self._latest_turn + 1 / member.weight
        return GiveRequest(request, member)

    # How a request comes back.

    def _may_resend(self, request: FleetRequest, member: Member, error: Exception) -> bool:
        parent_id = None if request.sends_history else request.parent_id
        if parent_id is not None and getattr(error, "code", None) == "previous_response_not_found":
            request.not_found_at.add(member)
            return self.home_of(parent_id) is None and bool(self._without_parent(request))
        if not may_go_elsewhere(error):
            return False
        if parent_id is not None and not request.has_history and member.client.has_lost(parent_id):
            return False
        if getattr(error, "delivery", None) == "not_sent":
            return True  # the breaker bounds the tries
        request.refused = True
        request.retries += 1
        return request.retries < self._backoff.max_retries + max(1, len(self.members))

    def _delay(self, request: FleetRequest, member: Member, error: Exception) -> float:
        """Return the seconds that a request waits before it is sent again: none, as long as another member may try."""
        not_sent = getattr(error, "delivery", None) == "not_sent"
        if not_sent or member in request.not_found_at or verdict_of(error) == "busy":
            return 0.0
        request.tried.add(member)
        if any(
            one.breaker.state == "closed" and not one.is_leaving and one not in request.tried for one in self.members
        ):
            return 0.0
        request.tried.clear()
        rounds = max(1, request.retries // max(1, len(self.members)))
        return self._backoff.delay(rounds, requested_wait(error), draw=self._draw)

    def _requeue(self, request: FleetRequest, delay: float, now: float) -> None:
        self._leave(request)
        self._queue.add_again(request, now + delay if delay > 0 else None)

    def _take_back(self, request: FleetRequest) -> None:
        self._unsent_until.remove(request)
        assert request.member is not None
        self._actions.append(TakeBack(request, request.member))

    def _leave(self, request: FleetRequest) -> None:
        self._unsent_until.remove(request)
        if request.member is not None:
            request.member.has.pop(request, None)

    def _end(self, request: FleetRequest) -> None:
        self._leave(request)
        following = self._queue.end(request)
        if following is not None:
            _ours(following).preferred = request.member

    def _fail(self, request: FleetRequest, error: Exception) -> None:
        self._actions.append(FailFleetRequest(request, error))
        self._end(request)

    # How members fail.

    def _note(self, member: Member, request: FleetRequest, error: Exception, now: float, connection: object) -> None:
        """Note what the failure of a request says of its member."""
        breaker, verdict, wait = member.breaker, verdict_of(error), requested_wait(error)
        if verdict == "busy" and self._backoff.is_too_long(wait):
            verdict = "gone"
        if verdict in ("well", "busy"):
            if verdict == "well" and isinstance(error, ResponseFailedError):
                breaker.succeeded(request.generation)
            else:
                breaker.undecided(request.generation)
            if verdict == "busy":
                self._empty(member)
            return
        if isinstance(error, ConnectionLostError):
            # The end of a trial decides by itself, also if an earlier request was on the same connection.
            is_known = connection is not None and connection == member.lost_connection
            if is_known and not breaker.is_trial(request.generation):
                return
            member.lost_connection = connection
        if breaker.failed(request.generation, now, error, gone=verdict == "gone", requested_wait=wait):
            self._empty(member)
            if breaker.is_hopeless:
                self._give_up_to = self._queue.latest_number

    def _empty(self, member: Member) -> None:
        """Take back what a member has not sent, and let the requests that wait for it look for another one."""
        for request in member.has:
            self._take_back(request)
        for bound in member.bound:
            self._queue.reroute(bound)

    def _give_up(self, now: float) -> None:
        """Fail the requests that no member can take: they have seen how it became hopeless."""
        number, self._give_up_to = self._give_up_to, 0
        if number == 0:
            return
        here = [member for member in self.members if not member.is_leaving]
        nobody = all(member.breaker.is_hopeless for member in here)
        for request in self.waiting():
            if request.number > number:
                continue
            home = self._home_for(request)
            if nobody:
                self._fail(request, unavailable_error(request, here, now))
            elif home is not None and home.breaker.is_hopeless:
                self._fail(request, lost_with_member_error(request, home))

    def _home_for(self, request: FleetRequest) -> Member | None:
        """Return the only member that can take a request, `None` if there is no such restriction."""
        return None if request.parent_id is None or request.sends_history else self.home_of(request.parent_id)

    def _overdue_error(self, request: FleetRequest, now: float) -> Exception:
        seconds = self._queue.timeout or 0.0
        home = self._home_for(request)
        needed: Sequence[Member] = [one for one in self.members if not one.is_leaving] if home is None else [home]
        if any(one.breaker.state == "closed" for one in needed):
            why = "no member that could take it had room, or the limits or the budget of the fleet let none begin"
            return QueueTimeoutError(seconds, stream_id=request.stream_id, why=why)
        return unavailable_error(request, needed, now, waited=seconds)


_OWN_HISTORY = "or pass `history`, for the fleet to do it"


def _share(member: Member, now: float) -> float:
    """Return the share of a member in the requests that run, in relation to those of the others."""
    return member.client.room(now) * member.weight


def _ours(request: PoolRequest | None) -> FleetRequest:
    """Return a request of the queue as what it is."""
    return cast("FleetRequest", request)
