"""The rules of one connection, without I/O.

The session takes the frames of the client (`receive`) and says what to send (`step`).  It makes an event only
when `step` asks for it.  A client that reads slowly thus slows its responses down and fills no memory.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .checks import check_lane, check_type
from .faults import DropStreamIds, IgnoreSteer, RefuseConcurrent, ReorderLanes
from .history import ConnectionHistory, EndedResponse, IdGenerator, StoredResponses
from .journal import Exchange, Journal, Outcome
from .jsontext import JSON, decode, is_deeper
from .model import ScriptedModel
from .outbox import Outbox, ToSend
from .plan import FaultPlan
from .refusal import RequestError
from .replies import Close, ConnectionIntervention, Delay, Expire, Gate, Inject
from .running import RunningResponse
from .starting import ResponseStarter
from .steering import Steering
from .transcript import TERMINAL, Frame
from .waiting import WaitingRequests

_OUTCOMES: dict[str, Outcome] = {"response.completed": "completed", "response.incomplete": "incomplete"}
_MOST_CONTAINERS = 2_000_000  # of a message, with those in strings: an empty array takes 70 bytes, and 3 in the frame
_DEEPEST = 200  # levels of a message: each level takes a part of the stack wherever the message is used
_COST = 1_000  # bytes: what a request costs besides its text
_MOST_WAITING = 50_000  # requests
_MOST_WAITING_SIZE = 64 * 2**20  # bytes: further requests are refused, unless none waits


@dataclass(frozen=True)
class Limits:
    """The limits of one connection."""

    active: int = 16
    """How many responses run at once.  Further requests wait."""

    lanes: int = 32
    """How many different named lanes the client may use in the life of the connection."""

    max_age: float | None = None
    """Seconds after which the connection expires, `None` for never."""

    event_interval: float = 0.0
    """Seconds between two events of a response.  Replays have their recorded timing instead."""

    remember: int | None = None
    """The `limit` of `ConnectionHistory`."""

    remember_bytes: int | None = None
    """The `size` of `ConnectionHistory`."""


class Session:
    """One connection: its lanes, the responses that run on them, and those that can be continued.

    A session is not thread-safe.

    Args:
        now: the time.  Like every `now` here it is in seconds, of any clock that never goes back.
        model: chooses the replies.
        storage: the stored responses of the server.
        ids: makes the ids of the server.
        limits: the limits of the connection.
        number: the number of the connection on the server, counted from 1.
        clock: the wall time in seconds, for the timestamps inside responses.
        journal: records the requests.
        plan: the faults of the server.
        checks: whether requests are refused as the service refuses them.
    """

    def __init__(
        self,
        *,
        now: float,
        model: ScriptedModel,
        storage: StoredResponses | None = None,
        ids: IdGenerator | None = None,
        limits: Limits = Limits(),
        number: int = 1,
        clock: Callable[[], float] = time.time,
        journal: Journal | None = None,
        plan: FaultPlan | None = None,
        checks: bool = True,
    ) -> None:
        self._limits = limits
        self._number = number
        self._journal = journal if journal is not None else Journal()
        self._plan = plan if plan is not None else FaultPlan()
        self._outbox = Outbox()
        bounds = (limits.remember, limits.remember_bytes)
        self._history = ConnectionHistory(storage if storage is not None else StoredResponses(*bounds), *bounds)
        ids = ids or IdGenerator()
        self._steering = Steering(self._outbox, self._history, ids)
        self._starter = ResponseStarter(
            model=model,
            plan=self._plan,
            history=self._history,
            steering=self._steering,
            ids=ids,
            clock=clock,
            number=number,
            checks=checks,
        )
        self._expiry = now + limits.max_age if limits.max_age is not None else None
        self._received = 0  # requests
        self._lane_names: set[str] = set()
        self._waiting = WaitingRequests()
        self._running: dict[str | None, RunningResponse] = {}  # by lane
        self._has_lanes = self._allows_concurrent = self._allows_steering = True
        self._pick: Callable[[list[RunningResponse]], RunningResponse] | None = None  # `None`: lanes take turns
        for fault in self._plan.at_opening(number):
            if isinstance(fault, DropStreamIds):
                self._has_lanes = False
            elif isinstance(fault, RefuseConcurrent):
                self._allows_concurrent = False
            elif isinstance(fault, IgnoreSteer):
                self._allows_steering = False
            elif isinstance(fault, ReorderLanes):
                self._pick = random.Random(f"{fault.seed}/{number}").choice if fault.order == "random" else _newest
            else:
                self.intervene(fault)

    # What the connection calls

    @property
    def size(self) -> int:
        """The memory for the requests that have not ended and for the frames that `step` returns next, in bytes."""
        running = sum(response.size for response in self._running.values())
        return self._waiting.size + running + len(self._waiting) * _COST + self._outbox.size

    def receive(self, frame: str | bytes, now: float) -> None:
        """Take a frame of the client.  Never raises: an invalid frame is answered with an `error` event."""
        lane = None
        exchange = None
        try:
            message = _parse(frame)
            if check_type(message) == "response.steer":
                if self._allows_steering:
                    self._steering.receive(message, self._running.values(), len(frame))
                return
            self._received += 1
            exchange = self._journal.add_request(self._number, self._received, message, now, len(frame))
            if self._has_lanes and "stream_id" in message:
                lane = check_lane(message["stream_id"])
                self._admit_lane(lane)
            if not self._allows_concurrent and self._is_busy():
                text = "A response is already in flight on this connection."
                raise RequestError(text, code="response_already_in_flight", status=409)
            if not self._has_room(exchange):
                text = f"{len(self._waiting)} requests of {self._waiting.size} bytes wait on this connection already."
                raise RequestError(text, code="websocket_queue_full", status=429)
        except RequestError as error:
            self._refuse(exchange, error, lane)
            return
        self._waiting.add(lane, exchange)
        self._start_waiting(now)

    def step(self, now: float) -> list[ToSend]:
        """Return what to send now: answers to frames, and one event of each response that is due.

        After a `Close` or a `Stall`, further calls return nothing.
        """
        if self._expiry is not None and now >= self._expiry:
            self._expire()
        ready = [response for response in self._running.values() if response.due <= now and not response.blocked]
        if self._pick is not None and ready:
            ready = [self._pick(ready)]
        for response in ready:
            if self._outbox.halted:
                break
            self._advance(response, now)
        return self._outbox.take()

    def due(self, now: float) -> float | None:
        """Return the time when `step` has something to do, `None` if it has nothing to do before the next frame.

        A response that waits for a gate becomes due when the gate opens, at any time.
        """
        if self._outbox.contents:
            return now
        if self._outbox.halted:
            return None
        times = [response.due for response in self._running.values() if not response.blocked]
        if self._expiry is not None:
            times.append(self._expiry)
        return min(times, default=None)

    def intervene(self, intervention: ConnectionIntervention) -> None:
        """Let an intervention happen to the connection now.  Its `after` is ignored."""
        if self._outbox.halted:
            return
        if isinstance(intervention, Inject):
            self._outbox.send_frame(Frame.exactly(intervention.frame).data)
        elif isinstance(intervention, Expire):
            self._expire()
        else:
            self._outbox.halt(intervention)
            if isinstance(intervention, Close):
                self.end()

    def end(self) -> None:
        """Record that the connection has ended: all requests that have not ended are lost."""
        self._outbox.halted = True
        for exchange in [*self._waiting, *(response.exchange for response in self._running.values())]:
            self._journal.end_request(exchange, "lost")

    # Starting responses

    def _admit_lane(self, lane: str) -> None:
        if lane not in self._lane_names and len(self._lane_names) >= self._limits.lanes:
            message = f"A connection may use at most {self._limits.lanes} distinct stream ids. Reuse one of them."
            raise RequestError(message, code="websocket_stream_limit_reached", param="stream_id")
        self._lane_names.add(lane)

    def _is_busy(self) -> bool:
        return len(self._waiting) > 0 or any(not response.ended for response in self._running.values())

    def _start_waiting(self, now: float) -> None:
        """Start the waiting requests that may start, oldest first.  On a lane no request overtakes another."""
        while not self._outbox.halted and len(self._running) < self._limits.active:
            taken = self._waiting.take(self._running)
            if taken is None:
                return
            lane, exchange = taken
            try:
                self._start(exchange, lane, now)
            except RequestError as error:
                self._refuse(exchange, error, lane)
                self._evict(lane, exchange.message.get("previous_response_id"))

    def _has_room(self, exchange: Exchange) -> bool:
        """Return whether one more request may wait.  One request, however large, may always wait."""
        fits = len(self._waiting) < _MOST_WAITING and self._waiting.size + exchange.size <= _MOST_WAITING_SIZE
        return fits or len(self._waiting) == 0

    def _refuse(self, exchange: Exchange | None, error: RequestError, lane: str | None) -> None:
        self._outbox.send(error.event(), lane)
        if exchange is None:
            return
        exchange.error = error.event()["error"]
        if not self._outbox.halted:
            self._journal.end_request(exchange, "refused")
        elif self._has_room(exchange):
            self._waiting.add(lane, exchange)  # the refusal cannot be sent: the request is lost with the connection
        else:
            self._journal.end_request(exchange, "lost")

    def _start(self, exchange: Exchange, lane: str | None, now: float) -> RunningResponse:
        response = self._running[lane] = self._starter.start(exchange, lane, now)
        return response

    # Sending responses

    def _advance(self, response: RunningResponse, now: float) -> None:
        """Take the next step of a response."""
        response.gate = None
        step = next(response.steps, None)
        if isinstance(step, dict):
            # A refusal has no sequence number, because there is no response yet.
            refusal = step["type"] == "error" and response.next_sequence_number == 0
            size = 0
            if refusal and response.successor_of:
                self._steering.fail_successor(response.successor_of, step["error"]["message"], response)
            else:
                event = step if refusal else {**step, "sequence_number": response.take_number()}
                size = self._outbox.send(event, response.lane)
            self._note(response, step, size)
            interval = self._limits.event_interval if response.interval is None else response.interval
            response.due = now if response.ended else now + interval
        elif isinstance(step, Frame):
            number = step.event.get("sequence_number")
            last = number if isinstance(number, int) else response.next_sequence_number
            response.next_sequence_number = last + 1
            size = self._outbox.send_frame(step.on_lane(response.lane))
            self._note(response, step.event, size)
        elif step is None:
            self._finish(response, now)
        elif isinstance(step, float):
            response.due = response.started + step
        elif isinstance(step, Delay):
            response.due = now + step.seconds
        else:
            if isinstance(step, Gate):
                response.gate = step
            else:
                self.intervene(step)
            self._journal.notify()  # a test may wait for the response to reach this intervention

    def _note(self, response: RunningResponse, event: JSON, size: int) -> None:
        """Count an event of `size` bytes, and record the end of the response if the event ends it.

        This happens when the event is sent, because the client may continue the response from then on.
        """
        response.exchange.events += 1
        event_type = event.get("type")
        if event_type == "error" or event_type == "response.failed":
            response.ended = True
            response.exchange.error = response.exchange.error or _error_of(event)
            self._journal.end_request(response.exchange, "refused" if response.exchange.events == 1 else "failed")
            self._history.set_status(response.response_id, response.lane, "failed")
            self._evict(response.lane, response.request.body.get("previous_response_id"))
        elif event_type in TERMINAL:
            response.ended = True
            self._journal.end_request(response.exchange, _OUTCOMES[str(event_type)])
            status = str(event_type).removeprefix("response.")
            self._history.set_status(response.response_id, response.lane, status)
            items = [*response.request.input, *_output_items(event)]
            ended = EndedResponse(response.response_id, items, response.parent, response.size + size)
            self._history.hold(response.lane, ended, store=response.request.body.get("store") is not False)

    def _finish(self, response: RunningResponse, now: float) -> None:
        """Free the lane of a response.  The successor of a steered response goes before the waiting requests."""
        del self._running[response.lane]
        body = self._steering.end_target(response) if response.steers else None
        if body is not None:
            size = sum(steer.size for steer in response.steers)
            # This exchange is not in the journal: no client sent this request.
            exchange = Exchange(0, 0, self._number, body, now, size=size)
            try:
                self._start(exchange, response.lane, now).successor_of = response.steers
            except RequestError as error:
                self._steering.fail_successor(response.steers, error.message, response)
        self._start_waiting(now)

    def _evict(self, lane: str | None, parent_id: Any) -> None:
        """Forget the parent of a continuation that failed on the parent's own lane."""
        if self._history.evict(lane, parent_id):
            self._steering.fail_pending(parent_id)

    # Ending the connection

    def _expire(self) -> None:
        age = f" of {self._limits.max_age:g} seconds" if self._limits.max_age is not None else ""
        message = f"The connection has reached its time limit{age}. Open a new one."
        self._outbox.send(RequestError(message, code="websocket_connection_limit_reached").event(), None)
        self.intervene(Close(1000, "connection limit reached"))


def _newest(ready: list[RunningResponse]) -> RunningResponse:
    return ready[-1]


def _error_of(event: JSON) -> JSON | None:
    """Return the error of an `error` or a `response.failed`, which may have any shape if the test has made it."""
    response = event.get("response")
    error = response.get("error") if isinstance(response, dict) else event.get("error", event)
    return error if isinstance(error, dict) else None


def _output_items(event: JSON) -> list[JSON]:
    """Return the output items of a terminal event, which may be recorded and incomplete."""
    response = event.get("response")
    output = response.get("output") if isinstance(response, dict) else None
    return [item for item in output or () if isinstance(item, dict) and "type" in item]


def _parse(frame: str | bytes) -> Any:
    if isinstance(frame, bytes):
        raise RequestError("Expected a text frame, but got a binary one.", code="invalid_type")
    if frame.count("[") + frame.count("{") > _MOST_CONTAINERS:
        text = f"Invalid JSON: more than {_MOST_CONTAINERS} opening brackets and braces"
        raise RequestError(text, code="invalid_json")
    try:
        message = decode(frame, finite=True)
    except ValueError as error:
        raise RequestError(f"Invalid JSON: {error}", code="invalid_json") from None
    if is_deeper(message, _DEEPEST):
        raise RequestError(f"Invalid JSON: nested deeper than {_DEEPEST} levels", code="invalid_json")
    return message
