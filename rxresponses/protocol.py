"""The rules of one connection, without I/O or Rx: which request goes, whose event this is.

A connection has ordered lanes: the default one (`None`) and named ones.  Within a lane one request
is in flight at a time; lanes run side by side.  `submit` queues a request, `next_to_send` says
which may go now, `receive` says whom an event belongs to, `dispose` gives a request up, `lost` ends
them all.  Everything happens on one thread; `now` is whatever clock the caller has.

Servers differ in one thing that decides the routing: whether they echo `stream_id`.  `echoes` is
`None` until an answer has shown it.  Until then one unanswered request is in flight at a time, so
that an untagged answer can mean only one request; a server that drops `stream_id` runs one request
at a time, so then one is in flight at all.

A steer goes out at once.  While one is unanswered or accepted, the lane of its target stays taken
after the target's end, because a successor may come on it, which belongs to the steer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from .errors import LaneLimitError
from .events.base import TERMINAL_TYPES, ServerEvent, UnknownEvent
from .exchange import ENDED, QUEUED, SENT, STARTED, Exchange, Steer

MAX_ACTIVE = 16
MAX_NAMED_LANES = 32

CONNECTION_ERROR_CODES = frozenset({"websocket_connection_limit_reached"})
"""Codes of an `error` that ends the whole connection."""

REFUSAL_CODES = frozenset({"response_already_in_flight", "websocket_queue_full"})
"""Codes by which a server without lanes refuses a request while another one runs."""

# Events that carry a response, or end a request: only they take more than one look-up.
_LIFECYCLE_TYPES = TERMINAL_TYPES | {"response.created", "response.queued", "response.in_progress"}
_STEER_TYPES = frozenset({"response.steer.accepted", "response.steer.pending", "response.steer.failed"})
_SPECIAL_TYPES = _LIFECYCLE_TYPES | _STEER_TYPES
# How many ended responses are remembered whose `response.failed` may still come.
_LATE_LIMIT = 64


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
        self._waiting: dict[str | None, deque[Exchange]] = {}
        self._ready: dict[str | None, None] = {}  # lanes with a waiting request and none in flight
        self._in_flight: dict[str | None, Exchange] = {}
        self._unanswered: dict[Exchange, None] = {}  # in flight without an event yet, oldest first
        # Whom an event that carries no response belongs to, by its stream_id: the event path.
        self._open: dict[str | None, Exchange] = {}
        self._by_id: dict[str, Exchange] = {}
        self._late: dict[str, str | None] = {}  # response ended by `error` → its lane
        self._names: set[str] = set()
        self._steers_waiting: deque[Steer] = deque()
        self._steers: list[Steer] = []  # sent, and neither refused, pending nor committed

    @property
    def active(self) -> int:
        """How many responses run now, given-up ones included."""
        return len(self._in_flight)

    @property
    def queued(self) -> int:
        """How many requests wait to be sent."""
        return sum(map(len, self._waiting.values()))

    @property
    def named_lanes(self) -> int:
        """How many lane names this connection has spent."""
        return len(self._names)

    # What the caller wants.

    def submit(self, exchange: Exchange, now: float = 0.0) -> None:
        """Queue a request on its lane; raise `LaneLimitError` for a 33rd lane name."""
        exchange.since = now
        if isinstance(exchange, Steer):
            self._steers_waiting.append(exchange)
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
        self._waiting.setdefault(lane, deque()).append(exchange)
        if lane not in self._in_flight:
            self._ready[lane] = None

    def next_to_send(self, now: float = 0.0) -> Exchange | None:
        """Return the request to write now, counted as sent from here on, or `None`."""
        exchange = self._next_steer() or self._next_request()
        if exchange is not None:
            exchange.since = now
        return exchange

    def _next_steer(self) -> Steer | None:
        while self._steers_waiting and self.fatal is None:
            steer = self._steers_waiting.popleft()
            if steer.cancelled:
                steer.state = ENDED
                continue
            steer.state = SENT
            target = self._by_id.get(steer.target_id)
            steer.stream_id = None if target is None else target.stream_id
            self._steers.append(steer)
            return steer
        return None

    def _next_request(self) -> Exchange | None:
        while self._ready and self.fatal is None and self._may_send():
            lane = next(iter(self._ready))
            exchange = self._waiting[lane].popleft()
            self._forget_if_empty(lane)
            if exchange.cancelled:  # given up by another thread, and not yet taken out
                exchange.state = ENDED
                continue
            self._ready.pop(lane, None)
            self._start(lane, exchange)
            return exchange
        return None

    def dispose(self, exchange: Exchange) -> bool:
        """Give a request up: a queued one is forgotten, a sent one keeps its lane to its end.

        `receive` still returns a given-up request for its events, so that nobody else gets them.
        Returns whether the connection is to be closed instead, to stop what the server does.
        """
        exchange.cancelled = True
        if exchange.state is QUEUED:
            waiting: deque[Any] | None = self._waiting.get(exchange.stream_id)
            if isinstance(exchange, Steer):
                waiting = self._steers_waiting
            if waiting is not None and exchange in waiting:
                waiting.remove(exchange)
                if not isinstance(exchange, Steer):
                    self._forget_if_empty(exchange.stream_id)
            exchange.state = ENDED
            return False
        return self.close_on_dispose and exchange.state is not ENDED and exchange in self.pending()

    def pending(self) -> list[Exchange]:
        """Return the requests that have not ended, those in flight first."""
        waiting = (one for lane in self._waiting.values() for one in lane)
        # A steer that holds its target's lane is in two tables.
        return list(dict.fromkeys([*self._in_flight.values(), *self._steers, *self._steers_waiting, *waiting]))

    def lost(self) -> list[Exchange]:
        """Forget everything and return what was pending, in its state, for the verdict."""
        exchanges = self.pending()
        for table in (self._waiting, self._ready, self._in_flight, self._unanswered, self._open):
            table.clear()
        for tables in (self._by_id, self._late, self._steers, self._steers_waiting):
            tables.clear()
        return exchanges

    # What the server says.

    def receive(self, event: ServerEvent) -> Exchange | None:
        """Return the request this event belongs to, ended if the event is terminal.

        `None`: it belongs to no request here.  When that is an `error` which ends the connection,
        `fatal` is set.
        """
        if type(event) is UnknownEvent and event.extra.get("stream_id") is not None:
            return None  # a lane name that is no string
        if event.type in _SPECIAL_TYPES:
            return self._receive_steering(event) if event.type in _STEER_TYPES else self._receive_lifecycle(event)
        exchange = self._open.get(event.stream_id)
        if exchange is not None and exchange.state is SENT:
            self._answered(exchange, event)
        return exchange

    # Sending.

    def _may_send(self) -> bool:
        if self.echoes is None and self._unanswered:
            return False
        return len(self._in_flight) < (1 if self.echoes is False else self.max_active)

    def _start(self, lane: str | None, exchange: Exchange) -> None:
        exchange.state = SENT
        self._in_flight[lane] = exchange
        self._unanswered[exchange] = None
        if lane is not None:
            self._names.add(lane)
        # Behind a response that ended by `error`, stray events may still come: then only
        # `response.created` opens the lane for the next request.
        if lane not in self._late.values() and not (self._late and self.echoes is False):
            self._open[lane] = exchange
            if self.echoes is False:
                self._open[None] = exchange

    def _forget_if_empty(self, lane: str | None) -> None:
        if not self._waiting[lane]:
            del self._waiting[lane]
            self._ready.pop(lane, None)

    # Routing.

    def _receive_lifecycle(self, event: ServerEvent) -> Exchange | None:
        response_id = response_id_of(event)
        if event.type == "error":
            exchange = self._target_of_error(event)
        elif self._is_late(event, response_id):
            return None
        else:
            exchange = self._target(event, response_id)
        if exchange is None:
            return None
        if isinstance(exchange, Steer) and event.type != "error":
            self._commit(exchange)
        self._answered(exchange, event)
        if response_id is not None and self._by_id.get(response_id) is not exchange:
            self._by_id[response_id] = exchange
            exchange.response_ids.append(response_id)
        if event.type in TERMINAL_TYPES:
            self._end(exchange, by_error=event.type == "error")
        return exchange

    def _target(self, event: ServerEvent, response_id: str | None) -> Exchange | None:
        """Whom a lifecycle event other than `error` belongs to."""
        if event.stream_id is not None:
            return self._in_flight.get(event.stream_id)
        if event.type == "response.created":
            return self._target_of_untagged_created()
        if response_id is not None and response_id in self._by_id:
            return self._by_id[response_id]
        exchange = self._open.get(None)
        return exchange if exchange is not None or self.echoes else self._oldest_unanswered()

    def _target_of_untagged_created(self) -> Exchange | None:
        default = self._in_flight.get(None)
        awaited = default is not None and (default.state is SENT or _awaits_response(default))
        if self.echoes or awaited:
            return default
        # A server that drops `stream_id` answers in the order sent.
        return self._oldest_unanswered() or default or self._open.get(None)

    def _target_of_error(self, event: ServerEvent) -> Exchange | None:
        code = _code_of(event)
        if code in CONNECTION_ERROR_CODES:
            self.fatal = event
            return None
        if "steer" in f"{code} {_message_of(event)}":
            steer = next((one for one in self._steers if one.state is SENT), None)
            if steer is not None:
                return steer
        if event.stream_id is not None:
            return self._in_flight.get(event.stream_id)
        if code in REFUSAL_CODES and self._unanswered:
            # The one that runs, or will run first, is not the one that was refused.
            others = list(self._unanswered)
            return others[1] if len(others) == len(self._in_flight) > 1 else others[0]
        if None in self._in_flight:
            return self._in_flight[None]
        # Several named lanes run and the error names none: it is about the connection.
        return next(iter(self._in_flight.values())) if len(self._in_flight) == 1 else None

    def _oldest_unanswered(self) -> Exchange | None:
        return next(iter(self._unanswered), None)

    def _is_late(self, event: ServerEvent, response_id: str | None) -> bool:
        """Whether this comes after the `error` that ended its response (`response.failed` does)."""
        if response_id not in self._late or event.type == "response.created":
            return False
        if event.type in TERMINAL_TYPES:
            del self._late[response_id]
        return True

    def _answered(self, exchange: Exchange, event: ServerEvent) -> None:
        """An event has come for this request: it has started, and the server has shown its kind."""
        if exchange.state is SENT:
            exchange.state = STARTED
            self._unanswered.pop(exchange, None)
            self.unblocked = True
            tagged = event.stream_id is not None
            if exchange.stream_id is not None and self.echoes is None and (tagged or event.type != "error"):
                self.echoes = tagged
        if event.type == "response.created":
            self._open[exchange.stream_id] = exchange
            if event.stream_id is None:
                self._open[None] = exchange

    # Steering.

    def _receive_steering(self, event: ServerEvent) -> Exchange | None:
        steer = self._steer_of(event)
        if steer is None:
            return None
        if event.type == "response.steer.accepted":
            steer.state = STARTED
        else:
            self._resolve(steer)
        return steer

    def _steer_of(self, event: ServerEvent) -> Steer | None:
        """Return the steer that an event is about: by its id, else the oldest without an answer."""
        steer_id, target_id = _steer_ids_of(event)
        for steer in self._steers:
            if steer_id is not None and steer.steer_id == steer_id:
                return steer
        for steer in self._steers:
            if steer.state is SENT and target_id in (None, steer.target_id):
                steer.steer_id = steer_id
                return steer
        return None

    def abandon(self, steer: Steer) -> None:
        """Stop waiting for the answer to a steer: the lane goes on without it."""
        self._resolve(steer)

    def _resolve(self, steer: Steer) -> None:
        """No response will follow from this steer: let the lane of its target go on."""
        steer.state = ENDED
        self._steers = [one for one in self._steers if one is not steer]
        if self._in_flight.get(steer.stream_id) is steer:
            self._hand_over(steer.stream_id, [steer.target_id])

    def _commit(self, steer: Steer) -> None:
        """The response that a steer asked for has begun; one response answers all accepted steers."""
        if not steer.committed:
            steer.committed = True
            accepted = [one for one in self._steers if one.target_id == steer.target_id and one.state is STARTED]
            steer.followers = tuple(one for one in accepted if one is not steer)
            self._steers = [one for one in self._steers if one is not steer and one not in accepted]

    def _hand_over(self, lane: str | None, response_ids: list[str]) -> None:
        """Free a lane, unless a steer of the response that ended may still bring a successor on it."""
        del self._in_flight[lane]
        self.unblocked = True
        heirs = sorted(
            (one for one in self._steers if one.target_id in response_ids),
            key=lambda one: one.state is SENT,  # accepted ones first
        )
        if heirs:
            heirs[0].stream_id = lane
            self._in_flight[lane] = heirs[0]
        elif lane in self._waiting:
            self._ready[lane] = None

    def _end(self, exchange: Exchange, *, by_error: bool) -> None:
        exchange.state = ENDED
        for follower in exchange.followers:
            follower.state = ENDED
        lane = exchange.stream_id
        if isinstance(exchange, Steer) and self._in_flight.get(lane) is not exchange:
            self._resolve(exchange)  # refused before it took a lane
            return
        for name in (lane, None):
            if self._open.get(name) is exchange:
                del self._open[name]
        for response_id in exchange.response_ids:
            self._by_id.pop(response_id, None)
            if by_error:
                self._late[response_id] = lane
        while len(self._late) > _LATE_LIMIT:
            del self._late[next(iter(self._late))]
        if isinstance(exchange, Steer) and not exchange.committed:
            self._resolve(exchange)
        else:
            self._hand_over(lane, exchange.response_ids)


def response_id_of(event: ServerEvent) -> str | None:
    """Return the id of the response that an event carries, `None` when it carries none."""
    if isinstance(event, UnknownEvent):
        response = event.extra.get("response")
        found = response.get("id") if isinstance(response, Mapping) else None
        return found if isinstance(found, str) else None
    response = getattr(event, "response", None)
    return None if response is None else response.id


def _awaits_response(exchange: Exchange) -> bool:
    return isinstance(exchange, Steer) and not exchange.committed


def _steer_ids_of(event: ServerEvent) -> tuple[str | None, str | None]:
    """Return the steer's id and the id of the response it is for, as far as the event tells them."""
    if isinstance(event, UnknownEvent):
        found = event.extra.get("steer")
        data: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        ids = (data.get("id"), data.get("previous_response_id"))
    else:
        steer = getattr(event, "steer", None)
        ids = (getattr(steer, "id", None), getattr(steer, "previous_response_id", None))
    steer_id, target_id = (one if isinstance(one, str) else None for one in ids)
    return steer_id, target_id


def _code_of(event: ServerEvent) -> str | None:
    return _error_field(event, "code")


def _message_of(event: ServerEvent) -> str | None:
    return _error_field(event, "message")


def _error_field(event: ServerEvent, name: str) -> str | None:
    if isinstance(event, UnknownEvent):
        detail = event.extra.get("error")
        found = detail.get(name) if isinstance(detail, Mapping) else event.extra.get(name)
        return found if isinstance(found, str) else None
    return getattr(event, name, None)
