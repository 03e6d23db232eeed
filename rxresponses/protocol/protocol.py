"""The rules of one connection, without I/O or Rx: which request goes, whose event this is.

A connection has ordered lanes: the default one (`None`) and named ones.  Within a lane one request
is in flight at a time; lanes run side by side.  `submit` queues a request, `next_to_send` says
which may go now, `receive` says whom an event belongs to, `dispose` gives a request up, `lost` ends
them all.  Everything happens on one thread; `now` is whatever clock the caller has.

Servers differ in one thing that decides the routing: whether they echo `stream_id`.  `echoes` is
`None` until an answer has shown it.  Until then one unanswered request is in flight at a time, so
that an untagged answer can mean only one request; a server that drops `stream_id` runs one request
at a time, so then one is in flight at all.

A steer goes out at once.  While one is unanswered or accepted, the lane of its target is held after
the target's end, because a response may come on it that belongs to the steer: see `steering`.  When
it comes only after the lane has gone on, it is belated: it gets the events of the lane while it lasts,
and the lane's next request goes, or goes on, after it.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain, islice
from typing import Any

from ..errors import LaneLimitError
from ..wire.events.base import TERMINAL_TYPES, ServerEvent, UnknownEvent
from ..wire.fields import error_field, response_field, response_id_of, was_steered
from .request import ENDED, QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer
from .steering import STEER_TYPES, OpenSteers

MAX_ACTIVE = 16
MAX_NAMED_LANES = 32

CONNECTION_ERROR_CODES = frozenset({"websocket_connection_limit_reached"})
"""Codes of an `error` that ends the whole connection."""

REFUSAL_CODES = frozenset({"response_already_in_flight", "websocket_queue_full"})
"""Codes by which a server without lanes refuses a request while another one runs."""

# Events that carry a response, or end a request: only they take more than one look-up.
_LIFECYCLE_TYPES = TERMINAL_TYPES | {"response.created", "response.queued", "response.in_progress"}
_SPECIAL_TYPES = _LIFECYCLE_TYPES | STEER_TYPES
# How many responses that have ended are remembered, since more of them may still come.
_REMEMBERED = 64


class Protocol:
    """The state of one connection: see the module's text."""

    def __init__(
        self, *, max_active: int = MAX_ACTIVE, echoes: bool | None = None, close_on_dispose: bool = False
    ) -> None:
        self.max_active = max_active
        self.echoes = echoes
        self.close_on_dispose = close_on_dispose
        self.fatal: ServerEvent | None = None  # the `error` that ends the connection, once it came
        self.unblocked = False  # an event may have let a waiting request go; whoever looks resets it
        # Ordered sets: whoever is given up leaves at once, however many wait.
        self._waiting: dict[str | None, OrderedDict[ProtocolRequest, None]] = {}
        self._ready: dict[str | None, None] = {}  # lanes with a waiting request that are free
        self._in_flight: dict[str | None, ProtocolRequest] = {}
        self._held: dict[str | None, None] = {}  # lanes with none in flight, where a steer's response may come
        self._belated: dict[str | None, ProtocolSteer] = {}  # whose response came after its lane had gone on
        self._unanswered: dict[ProtocolRequest, None] = {}  # in flight without an event yet, oldest first
        # Whom an event that carries no response belongs to, by its stream_id: the event path.
        self._open: dict[str | None, ProtocolRequest] = {}
        self._by_id: dict[str, ProtocolRequest] = {}
        self._over: dict[str, bool] = {}  # ids of the latest responses that have ended → by `error`
        # Lanes where more may come of a request that an `error` ended: of a response, or its first event yet.
        self._stray: set[str | None] = set()
        self._refused: set[str | None] = set()
        self._names: set[str] = set()
        self._steering = OpenSteers()

    @property
    def active(self) -> int:
        """How many responses run now, given-up ones included, or may begin to by themselves."""
        return len(self._in_flight) + len(self._held) + len(self._belated)

    @property
    def is_crowded(self) -> bool:
        """Whether more than one response runs, or others wait for the one that does."""
        return self.active + bool(self._waiting) > 1

    @property
    def queued(self) -> int:
        """How many requests wait to be sent."""
        return sum(map(len, self._waiting.values()))

    @property
    def named_lanes(self) -> int:
        """How many lane names this connection has spent."""
        return len(self._names)

    # What the caller wants.

    def submit(self, exchange: ProtocolRequest, now: float = 0.0) -> None:
        """Queue a request on its lane; raise `LaneLimitError` for a 33rd lane name."""
        exchange.since = now
        if isinstance(exchange, ProtocolSteer):
            self._steering.submit(exchange)
            return
        lane = exchange.stream_id
        if lane is not None and lane not in self._names and lane not in self._waiting:
            waiting_names = sum(name is not None and name not in self._names for name in self._waiting)
            if len(self._names) + waiting_names >= MAX_NAMED_LANES:
                raise LaneLimitError(
                    f"lane {lane!r} would be the {MAX_NAMED_LANES + 1}rd name on this connection, which takes "
                    f"{MAX_NAMED_LANES} in its life; nothing was sent: reuse a lane or open another connection",
                    delivery="not_sent",
                    stream_id=lane,
                )
        self._waiting.setdefault(lane, OrderedDict())[exchange] = None
        if lane not in self._in_flight and lane not in self._held and lane not in self._belated:
            self._ready[lane] = None

    def next_to_send(self, now: float = 0.0) -> ProtocolRequest | None:
        """Return the request to write now, counted as sent from here on, or `None`."""
        exchange = self._next_steer() or self._next_request()
        if exchange is not None:
            exchange.since = now
        return exchange

    def _next_steer(self) -> ProtocolSteer | None:
        steer = self._steering.next_to_send() if self.fatal is None else None
        if steer is not None and steer.target_id in self._by_id:
            steer.place(self._by_id[steer.target_id].stream_id)
        return steer

    def _next_request(self) -> ProtocolRequest | None:
        while self.fatal is None:
            lanes = [lane for lane in islice(self._ready, 2) if self._may_send(lane)]
            if not lanes:
                return None
            lane = lanes[0]
            exchange, _ = self._waiting[lane].popitem(last=False)
            self._forget_if_empty(lane)
            if exchange.cancelled:  # given up by another thread, and not yet taken out
                exchange.state = ENDED
                continue
            self._ready.pop(lane, None)
            self._start(lane, exchange)
            return exchange
        return None

    def dispose(self, exchange: ProtocolRequest) -> bool:
        """Give a request up: a queued one is forgotten, a sent one keeps its lane to its end.

        `receive` still returns a given-up request for its events, so that nobody else gets them.
        Returns whether the connection is to be closed instead, to stop what the server does: not for
        a steer without a response yet, because that would end its target, nor for a response that
        another steer shares.
        """
        exchange.cancelled = True
        self.unblocked = True
        if exchange.state is QUEUED:
            exchange.state = ENDED
            if isinstance(exchange, ProtocolSteer):
                self._steering.withdraw(exchange)
            elif exchange in self._waiting.get(exchange.stream_id, ()):
                del self._waiting[exchange.stream_id][exchange]
                self._forget_if_empty(exchange.stream_id)
            return False
        if self._table_of(exchange).get(exchange.stream_id) is not exchange:
            return False
        if isinstance(exchange, ProtocolSteer) and self._passed_on(exchange):
            return False
        return self.close_on_dispose

    def abandon(self, steer: ProtocolSteer) -> None:
        """Wait no longer for the answer to a steer, or for its response: its lane goes on without it.

        Should it come all the same, it is the steer's, and obeyed.
        """
        self._steering.abandon(steer)
        if steer.placed and steer.stream_id in self._held:
            self._hold_or_free(steer.stream_id)

    def start_clocks(self, now: float) -> list[ProtocolSteer]:
        """Let those wait from now on whose response has become what comes next on their lane; return them."""
        begun = [steer for lane in self._held for steer in self._steering.fall_due(lane)]
        for steer in begun:
            steer.since = now
        return begun

    def pending(self) -> list[ProtocolRequest]:
        """Return the requests that have not ended, those in flight first."""
        running = chain(self._in_flight.values(), self._belated.values())
        in_flight = (one for exchange in running for one in (exchange, *exchange.followers))
        waiting = (one for lane in self._waiting.values() for one in lane)
        return [*in_flight, *self._steering.pending(), *waiting]

    def lost(self) -> list[ProtocolRequest]:
        """Forget everything and return what was pending, in its state, for the verdict."""
        exchanges = self.pending()
        for table in (self._waiting, self._ready, self._in_flight, self._held, self._belated, self._unanswered):
            table.clear()
        for forgotten in (self._open, self._by_id, self._over, self._stray, self._refused, self._steering):
            forgotten.clear()
        return exchanges

    # What the server says.

    def receive(self, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request this event belongs to, ended if the event is terminal.

        `None`: it belongs to no request here.  When that is an `error` which ends the connection,
        `fatal` is set.
        """
        if type(event) is UnknownEvent and event.extra.get("stream_id") is not None:
            return None  # a lane name that is no string
        if event.type in _SPECIAL_TYPES:
            return self._receive_steering(event) if event.type in STEER_TYPES else self._receive_lifecycle(event)
        exchange = self._open.get(event.stream_id)
        if exchange is not None and exchange.state is SENT and event.type.startswith("response."):
            self._answered(exchange, event)
        return exchange

    # Sending.

    def _may_send(self, lane: str | None) -> bool:
        # One that was given up may never be answered, and must not hold up other named lanes: there an
        # untagged answer still means the oldest.
        waited_for = lane is None or not all(exchange.cancelled for exchange in self._unanswered)
        if self.echoes is None and self._unanswered and waited_for:
            return False
        return self.active < (1 if self.echoes is False else self.max_active)

    def _start(self, lane: str | None, exchange: ProtocolRequest) -> None:
        exchange.state = SENT
        self._in_flight[lane] = exchange
        self._unanswered[exchange] = None
        if lane is not None:
            self._names.add(lane)
        # Behind a response that ended by `error`, stray events may still come: then only
        # `response.created` opens the lane for the next request.
        if lane not in self._stray and not (self._stray and self.echoes is False):
            self._open_lane(exchange)

    def _open_lane(self, exchange: ProtocolRequest, event: ServerEvent | None = None) -> None:
        """Give the events that carry no response to this request from here on."""
        self._open[exchange.stream_id] = exchange
        if self.echoes is False or (event is not None and event.stream_id is None):
            self._open[None] = exchange
        if self.echoes is False:
            self._stray.clear()
        else:
            self._stray.discard(exchange.stream_id)

    def _forget_if_empty(self, lane: str | None) -> None:
        if not self._waiting[lane]:
            del self._waiting[lane]
            self._ready.pop(lane, None)

    # Routing.

    def _receive_lifecycle(self, event: ServerEvent) -> ProtocolRequest | None:
        response_id = response_id_of(event)
        if event.type == "error":
            exchange = self._target_of_error(event)
        elif self._is_late(event, response_id):
            return None
        else:
            exchange = self._target(event, response_id)
        if exchange is None or self._is_late_failure(event, exchange):
            return None
        self._answered(exchange, event)
        if event.type not in TERMINAL_TYPES:
            self._open_lane(exchange, event)
        if response_id is not None and self._by_id.get(response_id) is not exchange:
            self._by_id[response_id] = exchange
            exchange.response_ids.append(response_id)
        if event.type in TERMINAL_TYPES:
            self._end(exchange, event)
        return exchange

    def _target(self, event: ServerEvent, response_id: str | None) -> ProtocolRequest | None:
        """Whom a lifecycle event other than `error` belongs to."""
        target = self._target_by_parent(event, response_id)
        if target is not None:
            return target
        if event.stream_id is not None:
            return self._on_lane(event.stream_id, event)
        if event.type == "response.created":
            return self._on_lane(None, event) if self.echoes else self._target_of_untagged_created(event)
        default = self._in_flight.get(None)
        if default is not None and response_id in default.response_ids:
            return default  # another lane may have a response with the same id
        if response_id is not None and response_id in self._by_id:
            return self._by_id[response_id]
        exchange = self._open.get(None)
        if exchange is not None:
            return exchange
        return self._successor(None, event) if self.echoes else self._oldest_unanswered() or self._any_successor(event)

    def _target_of_untagged_created(self, event: ServerEvent) -> ProtocolRequest | None:
        default = self._in_flight.get(None)
        if default is not None and default.state is SENT:
            return default
        # A server that drops `stream_id` answers in the order sent, and a steered response goes on at once.
        return (
            self._any_successor(event, owed=True)
            or self._oldest_unanswered()
            or default
            or self._open.get(None)
            or self._any_successor(event)
        )

    def _target_of_error(self, event: ServerEvent) -> ProtocolRequest | None:
        code = error_field(event, "code")
        if code in CONNECTION_ERROR_CODES:
            self.fatal = event
            return None
        steer = self._steering.refused_by(
            lane=event.stream_id,
            text=f"{code} {error_field(event, 'message')}",
            param=error_field(event, "param"),
        )
        if steer is not None:
            return steer
        belated = self._belated_speaker(event)
        if belated is not None and code not in REFUSAL_CODES:
            return belated
        if event.stream_id is not None:
            return self._on_lane(event.stream_id, event)
        if code in REFUSAL_CODES and self._unanswered:
            # The one that runs, or will run first, is not the one that was refused.
            others = list(self._unanswered)
            return others[1] if len(others) == len(self._in_flight) > 1 else others[0]
        oldest = self._oldest_unanswered()
        # One that runs one request at a time may have been sent more before it showed that.
        running = self._open.get(None) if self.echoes is False else None
        exchange = running or self._in_flight.get(None)
        if exchange is None and (self.echoes or oldest is None or self._steering.is_owed(None)):
            exchange = self._successor(None, event)
        if exchange is None and not self.echoes:
            exchange = oldest
        if exchange is None and self.active == 1:
            exchange = next(chain(self._in_flight.values(), self._belated.values()), None)
            exchange = exchange or self._any_successor(event)
        # Several named lanes run and the error names none: it is about the connection.
        return exchange

    def _on_lane(self, lane: str | None, event: ServerEvent) -> ProtocolRequest | None:
        """Return what runs on a lane, or begins to."""
        return self._in_flight.get(lane) or self._successor(lane, event)

    def _oldest_unanswered(self) -> ProtocolRequest | None:
        return next(iter(self._unanswered), None)

    def _is_late(self, event: ServerEvent, response_id: str | None) -> bool:
        """Whether this is of a response that has ended: after `error` comes `response.failed`.

        Some servers have one id for all responses: then it is late only for a request that has another.
        """
        if response_id is None or response_id not in self._over:
            return False
        if event.type == "response.created":
            del self._over[response_id]
            return False
        lane = event.stream_id
        running = self._belated_speaker(event) or self._in_flight.get(lane) or self._open.get(lane)
        known = running.response_ids if running is not None else []
        if response_id in known or not (known or self._over[response_id]):
            return False
        if event.type in TERMINAL_TYPES:
            self._stray.discard(lane)
        return True

    def _is_late_failure(self, event: ServerEvent, exchange: ProtocolRequest) -> bool:
        """Whether this is the `response.failed` of a request that was refused before it had an id."""
        refused = exchange.stream_id in self._refused or (self._refused and self.echoes is False)
        if self.echoes is False:
            self._refused.clear()
        self._refused.discard(exchange.stream_id)
        return bool(refused) and event.type == "response.failed" and exchange.state is SENT

    def _answered(self, exchange: ProtocolRequest, event: ServerEvent) -> None:
        """An event has come for this request: it has started, and the server has shown its kind."""
        if exchange.state is SENT:
            exchange.state = STARTED
            self._unanswered.pop(exchange, None)
            self.unblocked = True
            tagged = event.stream_id is not None
            if exchange.stream_id is not None and self.echoes is None and (tagged or event.type != "error"):
                self.echoes = tagged

    # OpenSteers.

    def _receive_steering(self, event: ServerEvent) -> ProtocolRequest | None:
        steer = self._steering.find(event)
        if steer is None:
            return None
        if event.type != "response.steer.accepted":
            self._settle(steer)
            return steer
        self._steering.accept(steer)
        if steer.target_id in self._by_id:
            return steer
        if not steer.placed:
            # Its target goes by an id that was not seen: then it is what runs there.
            target = self._open.get(event.stream_id)
            steer.place(event.stream_id if target is None else target.stream_id)
        lane = steer.stream_id
        for running in (self._in_flight.get(lane), self._belated.get(lane)):
            if isinstance(running, ProtocolSteer) and running.continues(steer.target_id):
                # Told only after the response to all steers of this target had begun.
                self._steering.remove(steer)
                running.followers += (steer,)
                steer.response_ids = running.response_ids
                return steer
        self._hold_or_free(lane)
        return steer

    def _settle(self, steer: ProtocolSteer) -> None:
        """No response will come from this steer: let the lane go on without it."""
        steer.state = ENDED
        self._steering.remove(steer)
        if steer.placed and steer.stream_id in self._held:
            self._hold_or_free(steer.stream_id)

    def _hold_or_free(self, lane: str | None) -> None:
        """Let the next request go on a lane if nothing runs there, unless the response to a steer may come."""
        self.unblocked = True
        if lane in self._in_flight or lane in self._belated:
            return
        if self._steering.holds(lane):
            self._held[lane] = None
            self._ready.pop(lane, None)
            return
        self._held.pop(lane, None)
        if lane in self._waiting:
            self._ready[lane] = None

    def _successor(self, lane: str | None, event: ServerEvent) -> ProtocolSteer | None:
        """Return the steer whose response begins on a lane, if the lane is held for one."""
        if lane not in self._held:
            return None
        del self._held[lane]
        steer = self._steering.commit(self._steering.next_on(lane, response_field(event, "previous_response_id")))
        self._in_flight[lane] = steer
        self.unblocked = True
        return steer

    def _any_successor(self, event: ServerEvent, *, owed: bool = False) -> ProtocolSteer | None:
        for lane in self._held:
            if self._steering.is_owed(lane) or not owed:
                return self._successor(lane, event)
        return None

    def _target_by_parent(self, event: ServerEvent, response_id: str | None) -> ProtocolRequest | None:
        """Whom an event of a response belongs to, if it is a belated one, or what it continues tells."""
        belated = self._belated_speaker(event)
        running = self._by_id.get(response_id) if response_id is not None else None
        if belated is not None and (running is belated or (running is None and event.type != "response.created")):
            return belated
        target = self._child_of_steered(event, belated) if running is None else None
        if belated is not None:
            if target is belated:
                return belated
            if running is None or self._fits(running, event):
                self._end(belated, event)  # without a terminal event of its own: another response has begun
        if not isinstance(target, ProtocolSteer) or target.committed:
            return target
        if target.stream_id in self._held and not target.abandoned:
            return self._successor(target.stream_id, event)
        steer = self._steering.commit(target)
        self._belated[steer.stream_id] = steer
        self._held.pop(steer.stream_id, None)
        self._ready.pop(steer.stream_id, None)
        self.unblocked = True
        return steer

    def _belated_speaker(self, event: ServerEvent) -> ProtocolSteer | None:
        """Return the steer whose belated response the events with this `stream_id` are of, if there is one."""
        speaker = self._open.get(event.stream_id)
        return next((one for one in self._belated.values() if one is speaker), None)

    def _child_of_steered(self, event: ServerEvent, belated: ProtocolSteer | None) -> ProtocolRequest | None:
        """Return whose response this event begins, if there are steers that it may be for.

        Where a lane has gone on, only what a response continues tells that to a steer from that to the next
        request.  So where a request continues the very response that was steered, or the server does not
        say, it is the request's: else that would wait for ever whenever the response to the steer never comes.
        """
        open_steers = [one for one in self._steering.placed() if one.target_id not in self._by_id]
        steers = [one for one in chain((belated,) if belated else (), open_steers) if self._fits(one, event)]
        if not steers:
            return None
        requests = [one for one in self._in_flight.values() if self._fits(one, event)]
        continued = response_field(event, "previous_response_id")
        if continued is None:
            others = requests or any(one.stream_id in self._held for one in steers)
            return None if others or event.type in TERMINAL_TYPES else steers[0]
        in_time_first = sorted(steers, key=lambda one: one.abandoned)
        return next((one for one in (*requests, *in_time_first) if one.continues(continued)), None)

    def _fits(self, exchange: ProtocolRequest, event: ServerEvent) -> bool:
        """Whether an event may be meant for a request, as far as its `stream_id` tells."""
        return event.stream_id == exchange.stream_id or (event.stream_id is None and not self.echoes)

    def _table_of(self, exchange: ProtocolRequest) -> dict[str | None, Any]:
        """Return the table where a request stands while it runs."""
        belated = self._belated.get(exchange.stream_id) is exchange
        return self._belated if belated else self._in_flight

    def _passed_on(self, steer: ProtocolSteer) -> bool:
        """Let another steer account for the response that it shares with one that was given up."""
        heir = next((one for one in steer.followers if not one.cancelled), None)
        if not isinstance(heir, ProtocolSteer):
            return False
        heir.committed = True
        heir.followers = tuple(one for one in steer.followers if one is not heir)
        heir.response_ids, heir.since = steer.response_ids, steer.since
        self._table_of(steer)[steer.stream_id] = heir
        self._open.update({name: heir for name, one in self._open.items() if one is steer})
        self._by_id.update(dict.fromkeys(steer.response_ids, heir))
        steer.state = ENDED  # it keeps its followers, who may be about to get an event
        self.unblocked = True
        return True

    def _end(self, exchange: ProtocolRequest, event: ServerEvent) -> None:
        lane = exchange.stream_id
        if isinstance(exchange, ProtocolSteer) and exchange in self._steering:
            self._settle(exchange)  # refused by an `error`
            return
        for one in (exchange, *exchange.followers):
            one.state = ENDED
        for name in (lane, None):
            if self._open.get(name) is exchange:
                del self._open[name]
        for response_id in exchange.response_ids:
            if self._by_id.get(response_id) is exchange:
                del self._by_id[response_id]
            self._over[response_id] = event.type == "error"
        while len(self._over) > _REMEMBERED:
            del self._over[next(iter(self._over))]
        if event.type == "error":
            (self._stray if exchange.response_ids else self._refused).add(lane)
        del self._table_of(exchange)[lane]
        self._steering.target_ended(exchange, steered=was_steered(event))
        self._hold_or_free(lane)
