"""`ResponsesFleet`: several servers behind one `send_request`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reactivex import Observable

from ..errors import ConfigurationError
from ..limits.budget import Budget
from ..limits.limits import Limits
from ..net.connection_errors import closed_error
from ..net.credentials import ApiKey
from ..net.loops import keep_for_parent, running_loop
from ..net.subject import IsolatedSubject
from ..options import BreakerOptions, ConnectionOptions, PoolOptions, options_of
from ..pool.fleet import Fleet
from ..pool.fleet_members import FailFleetRequest, FleetAction, GiveRequest, Member
from ..recording.collector import TapeCollector
from ..redaction import discreet, display
from ..wire.events.base import ServerEvent
from ..wire.requests import InputItem, ResponseCreate, ResponseSteer, create_from
from .client_admission import MemberAdmission, local_admission
from .client_request import ClientSteer, History, PreparedRequest, no_target_error
from .drain import Drain, drain_seconds, draining_error
from .fleet_client import FleetClient, FleetHooks, FleetMember, with_defaults
from .fleet_request import FleetHandle, FleetRequestObserver, FleetSteerObserver, FleetSubscription
from .fleet_state import FleetState, FleetStateChanges
from .loop_bound import weakly
from .source import Source


class ResponsesFleet(Source):
    """Several servers behind one `send_request`, such as model servers of your own, each with a `ResponsesClient`.

    `members` are base URLs, or `FleetMember` objects for servers with a key, options or a weight of their own.
    `api_key`, `options` and `pool` are those of `ResponsesClient`, for each member.

    Requests wait in the fleet until a member has room; each goes to the member with the lowest load in relation to its
    room and its weight.  So a slow member gets fewer.  A member at a rate limit gets none for as long as it asks.

    **Failures.** Each member has a circuit breaker, as `breaker` says.  While it is open, the member gets no request.
    After a delay one request is let through, the trial; if the member answers, the breaker closes.  A request that was
    not sent, or that the server refused for now before any output, goes to another member; any other failure ends it,
    because the request may have been answered.  Each request is tried `max_retries` times of `PoolOptions.backoff`, and
    once for each member.  If no member works, requests wait for the next trials.  They fail with
    `FleetUnavailableError`, which lists the members, when `queue_timeout` is over, when all keys are refused, or when
    `max_retries` trials of each member have failed.

    **Conversations.** Responses belong to the server that made them, stored or not, so a continuation goes to that
    member.  While that does not work, a request with `history` goes to another one, with the history in place of
    `previous_response_id`.  Without `history` it fails with `PreviousResponseLostError`, upon which a `Conversation`
    sends everything.  The fleet knows the latest 65,536 responses; for another one, each member is asked in turn.

    `limits` and `budget` are those of `ResponsesClient`, for all members together.  A limit that one server reports
    concerns this member alone.

    `max_queued` and `queue_timeout` are for the requests in the fleet.  A fleet lives on a loop as a client does, and
    is closed if it is forgotten; all methods may be called from any thread.  Raises `ConfigurationError` for URLs, keys
    or options that cannot be used, and `TypeError` for options of a wrong class.
    """

    chooses_lanes = True

    @discreet
    def __init__(
        self,
        members: Sequence[str | FleetMember],
        *,
        api_key: ApiKey | None = None,
        options: ConnectionOptions | None = None,
        pool: PoolOptions | None = None,
        breaker: BreakerOptions | None = None,
        limits: Limits | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(options)
        if isinstance(members, (str, FleetMember)) or not isinstance(members, Sequence) or not members:
            raise ConfigurationError("a fleet needs a list of base URLs, or of `FleetMember` objects")
        self._api_key = api_key
        self._pool_options = options_of(PoolOptions, "pool", pool)
        self._breaker_options = options_of(BreakerOptions, "breaker", breaker)
        self._admission = local_admission(limits, budget)
        self._hooks = FleetHooks(
            self._secrets,
            None if self._admission is None else MemberAdmission(self._admission),
            self._events,
            self._unrouted,
            weakly(self._wake, None),
            weakly(self._connection_cancelled, None),
            weakly(self._is_limited, False),
        )
        self._rules = self._new_rules()
        self._clients: dict[Member, FleetClient] = {}
        self._act_weakly = weakly(self._act, None)  # the loop does not keep a forgotten fleet alive
        self._woken = False  # `_act` is scheduled
        self._timer: asyncio.TimerHandle | None = None
        self._state_changes = FleetStateChanges()
        self._state: IsolatedSubject[FleetState] = self._subject(replay=True)
        self._drain = Drain(self._subject(replay=True))
        for member in members:
            self._add(self._new_client(member))
        self._show_state()
        self._made()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.urls) or '(half made)'}>"

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints of the members, without credentials."""
        return tuple(member.name for member in getattr(self, "_clients", ()))

    # Sending.

    @discreet
    def send_request(
        self,
        request: ResponseCreate | Mapping[str, Any],
        *,
        stream_id: str | None = None,
        history: History | None = None,
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends once.

        The same as `ResponsesClient.send_request`, with the member that `ResponsesFleet` describes.  Requests with the
        same `stream_id` run in order, on one member as long as that works.

        Marble::

            subscribe: --(waits, chooses a member)--created--in_progress--"He"--"llo"--completed|

        Errors are those of a client, and `FleetUnavailableError`.
        """
        prepared = PreparedRequest(create_from(request, stream_id), history, self._frame, self._admission)
        return self._observable(lambda observer: FleetSubscription(prepared, observer))

    def steer(self, response_id: str, input: str | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Give a running response new input; each subscription sends it once.

        The same as `ResponsesClient.steer`, on the member that runs the response.  If no member does, the error is
        `PreviousResponseLostError`.
        """
        frame = self._frame(ResponseSteer(previous_response_id=response_id, input=input))
        return self._observable(lambda observer: ClientSteer(frame, response_id, observer))

    def prewarm(self, connections: int | None = None, *, model: str | None = None) -> None:
        """Open connections to each member now, and keep so many open, as `ResponsesClient.prewarm` describes."""
        clients = tuple(self._clients.values())
        for client in clients:
            client.check_prewarm(connections, model)
        if self._choose_loop(running_loop()) is not None:
            self._run(self._prewarm, clients, connections, model)

    # Members.

    @discreet
    def add(self, member: str | FleetMember) -> None:
        """Add a member while the fleet runs; does nothing once it is closed."""
        client = self._new_client(member)
        self._run(self._add, client)
        self._run(self._members_changed)

    def remove(self, url: str) -> None:
        """Remove the members with this URL: they get nothing more, finish what they have, and are closed then.

        Their responses cannot be continued any more, unless the request has a `history`.  Returns at once; `state`
        shows them until they are gone.  Raises `ConfigurationError` if there is none.
        """
        found = [member for member, client in self._clients.items() if client.is_at(url)]
        if not found:
            raise ConfigurationError(f"the fleet has no member with the URL {display(url)!r}")
        for member in found:
            self._run(self._rules.leave, member)
        self._run(self._members_changed)

    # Watching.

    @property
    def state(self) -> Observable[FleetState]:
        """What the fleet does now, the latest state first; completes on `close()`."""
        return self._state.observable

    # Closing.

    def drain(self, timeout: float | None = None) -> Observable[bool]:
        """Refuse new requests, let those that were accepted finish, then close; as `ResponsesClient.drain`."""
        timeout = drain_seconds(timeout)
        with self._lock:
            idle = self._loop is None or self._has_ended(running_loop())
        if idle:
            self.close()
        else:
            self._run(self._start_drain, timeout)
        return self._drain.ended.observable

    def _start_drain(self, timeout: float | None) -> None:
        if not self._closing and self._loop is not None:
            self._drain.start(self._loop, timeout, self.close)
            self._wake()

    def _show_closing(self, *, closed: bool) -> None:
        if closed:
            self._stop_timer()
            self._state.on_next(FleetState(closed=True))
            self._state.on_completed()
            self._drain.finish()

    def _end_requests(self) -> None:
        self._drain.cut_short = self._has_work()
        self._fail_waiting()
        for client in self._clients.values():
            client.close_for_fleet(abrupt=self._abrupt)

    def _begin_closing(self) -> None:
        pass  # the clients are closed together with their requests

    async def _wait_disconnected(self) -> None:
        for client in tuple(self._clients.values()):
            await client.wait_closed()

    def _abandon_loop(self) -> Callable[[], None]:
        self._stop_timer()
        self._woken = False

        def end() -> None:
            self._fail_waiting()
            for client in tuple(self._clients.values()):
                client.driver()  # on the new loop; it ends what was on the one before

        return end

    def _forget_parent(self) -> None:
        keep_for_parent(self._rules, self._timer)
        self._drain.forget_parent()
        self._timer, self._woken = None, False
        super()._forget_parent()
        self._rules, clients = self._new_rules(), self._clients
        self._clients = {}
        for client in clients.values():
            self._add(client)

    def _collect(self, collector: TapeCollector) -> None:
        super()._collect(collector)
        for client in tuple(self._clients.values()):
            client._collect(collector)

    # On the loop.

    def _now(self) -> float:
        return 0.0 if self._loop is None else self._loop.time()

    def _handle(self) -> FleetHandle:
        assert self._loop is not None
        return FleetHandle(self._rules, self._loop.time, self._hooks.changed)

    def _wake(self) -> None:
        """Have the next actions of the rules done in a later turn of the loop."""
        loop = self._loop
        if loop is not None and not (self._woken or self._closing or loop.is_closed()):
            self._woken = True
            loop.call_soon(self._act_weakly)

    def _submit(self, request: Any) -> None:
        if self._drain.is_on:
            self._refuse(request, draining_error(request, "fleet"))
        elif not isinstance(request, ClientSteer):
            self._rules.submit(request, self._now())
        elif (member := self._rules.home_of(request.target_id)) in self._clients and member is not None:
            request.observer = FleetSteerObserver(self._handle(), request, member, request.observer)
            self._clients[member].give(request)
        else:
            self._refuse(request, no_target_error(request, "member of this fleet"))
        self._wake()

    def _dispose(self, request: Any) -> None:
        if isinstance(request, ClientSteer):
            member = self._rules.home_of(request.target_id)
            if member is not None and member in self._clients:
                self._clients[member].dispose(request)
        else:
            current, member = request.latest_try, request.member
            self._rules.withdraw(request)
            if current is not None and member in self._clients:
                self._clients[member].dispose(current)
        self._wake()

    def _prewarm(self, clients: Sequence[FleetClient], connections: int | None, model: str | None) -> None:
        if not self._closing and not self._drain.is_on:
            for client in clients:
                client.prewarm(connections, model=model)

    def _act(self) -> None:
        self._woken = False
        if self._closing:
            return
        if self._loop_is_ending():
            self._fail_waiting()
            return
        now = self._now()
        while (action := self._rules.next_action(now)) is not None:
            self._do(action, now)
        if self._closing:  # by an observer that got an error just now; the others have theirs too
            return
        self._set_timer(self._rules.deadline(now))
        self._let_go()
        for client in self._clients.values():
            client.tell(more_wait=self._rules.queued > 0)
        self._show_state()
        if self._drain.is_on and not self._has_work():
            self.close()

    def _do(self, action: FleetAction, now: float) -> None:
        request = action.request
        assert isinstance(request, FleetSubscription)
        if isinstance(action, FailFleetRequest):
            self._deliver_error(request, action.error)
        elif isinstance(action, GiveRequest):
            if request.cancelled:
                self._rules.withdraw(request)
            else:
                self._give(request, self._clients[action.member])
        elif request.member is action.member and self._clients[action.member].take_back(request.latest_try):
            request.take_back()
            self._rules.taken_back(request, now)

    def _give(self, request: FleetSubscription, client: FleetClient) -> None:
        made = client.request(request.prepared, FleetRequestObserver(self._handle(), request), request.history)
        made.timings = request.timings
        made.sends_history |= request.sends_history
        request.latest_try = made
        client.give(made)

    def _fail_waiting(self) -> None:
        """Fail the requests that wait in the fleet: nothing will be sent any more."""
        waiting = self._rules.waiting()
        for request in waiting:
            self._rules.withdraw(request)
        for request in waiting:
            assert isinstance(request, FleetSubscription)
            self._deliver_error(request, closed_error(request))

    def _has_work(self) -> bool:
        """Whether a subscriber still waits for a request or a steer."""
        return self._rules.queued > 0 or any(client.has_work() for client in self._clients.values())

    def _set_timer(self, deadline: float | None) -> None:
        self._stop_timer()
        if deadline is not None and self._loop is not None:
            self._timer = self._loop.call_at(deadline, self._hooks.changed)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # Members, on the loop.

    def _new_rules(self) -> Fleet:
        return Fleet(
            self._breaker_options,
            self._pool_options.backoff,
            max_queued=self._pool_options.max_queued,
            queue_timeout=self._options.queue_timeout,
        )

    def _new_client(self, member: str | FleetMember) -> FleetClient:
        return FleetClient(with_defaults(member, self._api_key, self._options, self._pool_options), self._hooks)

    def _add(self, client: FleetClient) -> None:
        if self._closing:
            return
        self._clients[self._rules.add(client.url, client, client.weight)] = client
        for collector in self._collectors:
            client._collect(collector)

    def _is_limited(self) -> bool:
        return any(client.is_limited for client in self._clients.values())

    def _let_go(self) -> None:
        """Close the clients of the members that leave and have nothing more to do."""
        for member, client in tuple(self._clients.items()):
            if member.is_leaving and not member.has and not client.has_work():
                self._rules.remove(member)
                del self._clients[member]
                client.close()

    def _members_changed(self) -> None:
        if self._loop is None and not self._closing:  # nothing has been sent yet
            self._let_go()
            self._show_state()
        self._wake()

    def _show_state(self) -> None:
        rows = [(member, client.pool) for member, client in self._clients.items()]
        state = self._state_changes.next(rows, self._rules.queued, self._now())
        if state is not None:
            self._state.on_next(state)
