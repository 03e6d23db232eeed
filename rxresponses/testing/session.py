"""One connection, without I/O: frames and "now" go in, frames to send come out.

The session is asked for its output (`step`) and makes each event only then, so that a slow client slows
its responses down instead of filling memory.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from . import run as runs
from .answer import Answer, new_response
from .checks import RequestError, check_conversation, check_create, check_lane, check_steer_input, check_type
from .faults import DropStreamIds, FaultPlan, IgnoreSteer, RefuseConcurrent, ReorderLanes
from .history import Ids, Storage, Turn
from .items import count_tokens, item_tokens, normalize_input, required_input, unanswered_calls
from .journal import Exchange, Journal, Outcome
from .model import Script, ScriptedModel
from .replies import Close, Delay, Disturbance, Expire, Gate, Inject, Stall
from .request import Request
from .run import Run, Steer
from .transcript import TERMINAL, Frame
from .wire import JSON, decode, encode

_T = TypeVar("_T")

Output = str | bytes | Close | Stall

_CANNOT_STEER = {
    "unknown": ("response_not_found", "The response is not available on this connection."),
    "completed": ("response_already_completed", "The response has completed."),
    "": ("response_not_active", "The response no longer accepts input."),
}
"""Code and message with which a steer is refused, by the status of its target."""

_OUTCOMES: dict[str, Outcome] = {"response.completed": "completed", "response.incomplete": "incomplete"}


@dataclass(frozen=True)
class Limits:
    """What one connection allows."""

    active: int = 16
    """Responses that run at once; further ones queue."""

    lanes: int = 32
    """Distinct named lanes, ever."""

    max_age: float | None = None
    """Seconds after which the connection is closed."""

    event_interval: float = 0.0
    """Seconds between two events of a response.  Replays have their own timing."""

    remember: int | None = None
    """Ended responses that a connection knows, and stored ones that the server knows, the latest."""


class Session:
    """The state of one connection: its lanes, what runs on them, and what it remembers.

    Not thread-safe.  `now` is in seconds on any clock that does not go back; `clock` gives the wall time
    for the timestamps inside responses.
    """

    def __init__(
        self,
        *,
        now: float,
        model: ScriptedModel,
        storage: Storage | None = None,
        ids: Ids | None = None,
        limits: Limits = Limits(),
        number: int = 1,
        clock: Callable[[], float] = time.time,
        journal: Journal | None = None,
        plan: FaultPlan | None = None,
    ) -> None:
        self._halted = False  # closed or stalled: nothing more is sent
        self._model = model
        self._storage = storage if storage is not None else {}
        self._ids = ids or Ids()
        self._limits = limits
        self._number = number
        self._clock = clock
        self._journal = journal if journal is not None else Journal()
        self._plan = plan if plan is not None else FaultPlan()
        self._received = 0
        self._expiry = now + limits.max_age if limits.max_age is not None else None
        self._outbox: list[Output] = []
        self._names: set[str] = set()
        self._waiting: list[Exchange] = []
        self._running: dict[str | None, Run] = {}
        self._latest: dict[str | None, Turn] = {}
        self._ended: dict[str, tuple[str | None, str]] = {}  # lane and status by response id
        self._pending: dict[str, list[Steer]] = {}  # by the response that waits for the outputs of its calls
        self._laneless = self._exclusive = self._deaf_to_steer = False
        self._pick: Callable[[list[Run]], Run] | None = None  # who goes next, if not all in turns
        for fault in self._plan.at_opening(number):
            if isinstance(fault, DropStreamIds):
                self._laneless = True
            elif isinstance(fault, RefuseConcurrent):
                self._exclusive = True
            elif isinstance(fault, IgnoreSteer):
                self._deaf_to_steer = True
            elif isinstance(fault, ReorderLanes):
                self._pick = random.Random(f"{fault.seed}/{number}").choice if fault.order == "random" else _newest
            else:
                self.disturb(fault)

    def receive(self, frame: str | bytes, now: float) -> None:
        """Take a frame of the client.  What is wrong with it is told to the client, never raised."""
        lane = None
        exchange = None
        try:
            message = _parse(frame)
            if check_type(message) == "response.steer":
                if not self._deaf_to_steer:
                    self._steer(message)
                return
            self._received += 1
            exchange = self._journal.open(self._number, self._received, message, now)
            if not self._laneless and "stream_id" in message:
                lane = check_lane(message["stream_id"])
                self._admit_name(lane)
            if self._exclusive and (self._waiting or any(not run.ended for run in self._running.values())):
                text = "A response is already in flight on this connection."
                raise RequestError(text, code="response_already_in_flight", status=409)
        except RequestError as error:
            self._refuse(exchange, error, lane)
            return
        self._waiting.append(exchange)
        self._start_waiting(now)

    def step(self, now: float) -> list[Output]:
        """Return what to send now: answers to frames, and one event of each response that is due.

        After a `Close` or a `Stall` nothing more comes.
        """
        if self._expiry is not None and now >= self._expiry:
            self._expire()
        ready = [run for run in self._running.values() if run.due <= now and not run.blocked]
        if self._pick is not None and ready:
            ready = [self._pick(ready)]
        for run in ready:
            if self._halted:
                break
            self._advance(run, now)
        outputs, self._outbox = self._outbox, []
        return outputs

    def disturb(self, what: Disturbance) -> None:
        """Let something happen to the connection; `after` means nothing here."""
        if self._halted:
            return
        if isinstance(what, Inject):
            self._outbox.append(Frame.exactly(what.frame).data)
        elif isinstance(what, Expire):
            self._expire()
        else:
            self._halted = True
            self._outbox.append(what)
            if isinstance(what, Close):
                self.end()

    def end(self) -> None:
        """Note that the connection is gone, and with it what had not ended."""
        self._halted = True
        for exchange in [*self._waiting, *(run.exchange for run in self._running.values())]:
            self._journal.close(exchange, "lost")

    def due(self, now: float) -> float | None:
        """Return when `step` has something to do; `None` if not before the next `receive`.

        A gate that opens makes a response due without any call of the session.
        """
        if self._outbox:
            return now
        if self._halted:
            return None
        times = [run.due for run in self._running.values() if not run.blocked]
        if self._expiry is not None:
            times.append(self._expiry)
        return min(times, default=None)

    # Starting a response

    def _admit_name(self, lane: str) -> None:
        if lane not in self._names and len(self._names) >= self._limits.lanes:
            message = f"A connection may use at most {self._limits.lanes} distinct stream ids. Reuse one of them."
            raise RequestError(message, code="websocket_stream_limit_reached", param="stream_id")
        self._names.add(lane)

    def _start_waiting(self, now: float) -> None:
        """Start what may start, the oldest first, without overtaking within a lane."""
        if self._halted:
            return
        still: list[Exchange] = []
        for exchange in self._waiting:
            lane = self._lane(exchange.message)
            if lane in self._running or len(self._running) >= self._limits.active:
                still.append(exchange)
                continue
            try:
                check_create(exchange.message)
                self._start(exchange, now)
            except RequestError as error:
                self._refuse(exchange, error, lane)
                self._evict(lane, exchange.message.get("previous_response_id"))
        self._waiting = still

    def _lane(self, body: JSON) -> str | None:
        return None if self._laneless else body.get("stream_id")

    def _refuse(self, exchange: Exchange | None, error: RequestError, lane: str | None) -> None:
        self._send(error.event(), lane)
        if exchange is None:
            return
        if self._halted:
            self._waiting.append(exchange)  # the client is not told: it is lost with the connection
        else:
            self._journal.close(exchange, "refused")

    def _start(self, exchange: Exchange, now: float) -> Run:
        """Start the response to a checked `response.create`.

        The parent is looked up here, not on arrival: what a waiting fork continues may be gone by now.
        """
        body = exchange.message
        lane = self._lane(body)
        parent_id: str | None = body.get("previous_response_id")
        parent = self._load(parent_id) if parent_id is not None else None
        steers = self._pending.get(parent_id, []) if parent_id is not None else []
        if steers and steers[0].lane != lane:
            steers = []  # a fork: the input waits for the continuation on the parent's own lane
        steering = [item for steer in steers for item in normalize_input(steer.input)]
        request = Request(
            body=body,
            input=[*steering, *normalize_input(body.get("input"))],
            history=parent.history if parent is not None else [],
            connection=self._number,
            number=exchange.number,
            ordinal=exchange.ordinal,
        )
        check_conversation(request)
        script = self._script(request, exchange)
        if steers:
            del self._pending[steers[0].target]
        answer = self._answer(request, parent)
        run = runs.start(answer, script, request, parent, now, lane=lane, exchange=exchange)
        exchange.started, exchange.response_id = now, run.response_id
        self._running[lane] = run
        return run

    def _load(self, response_id: str) -> Turn:
        for turn in self._latest.values():
            if turn.response_id == response_id:
                return turn
        if response_id in self._storage:
            return self._storage[response_id]
        message = f"Previous response with id '{response_id}' not found."
        raise RequestError(message, code="previous_response_not_found", param="previous_response_id")

    def _script(self, request: Request, exchange: Exchange) -> Script:
        try:
            script = Script(()) if request.body.get("generate") is False else self._model.script(request)
            exchange.faults = self._plan.at_request(request)
            return replace(script, interventions=script.interventions + exchange.faults)
        except Exception as error:  # the mistake of a test's own function: told where the test looks
            message = f"The scripted model raised {type(error).__name__}: {error}"
            raise RequestError(message, code="server_error", status=500, type="server_error") from error

    def _answer(self, request: Request, parent: Turn | None) -> Answer:
        body = request.body
        cached = parent.tokens if parent is not None else 0
        return Answer(
            new_response(body, self._ids.new("resp"), int(self._clock())),
            ids=self._ids,
            clock=self._clock,
            input_tokens=cached + item_tokens(request.input) + count_tokens(body.get("instructions") or ""),
            cached_tokens=cached,
            encrypted="reasoning.encrypted_content" in (body.get("include") or ()),
        )

    # Sending a response

    def _advance(self, run: Run, now: float) -> None:
        """Take the next step of `run`."""
        run.gate = None
        step = next(run.steps, None)
        if isinstance(step, dict):
            # A refusal comes before there is a response, hence without a number.
            refusal = step["type"] == "error" and run.sequence == 0
            if refusal and run.successor_of:
                self._return(run.successor_of, step["error"]["message"], run)
            else:
                self._send(step if refusal else {**step, "sequence_number": run.next_number()}, run.lane)
            self._note(run, step)
            run.due = now if run.ended else now + self._limits.event_interval
        elif isinstance(step, Frame):
            number = step.event.get("sequence_number")
            run.sequence = number + 1 if isinstance(number, int) else run.sequence + 1
            self._outbox.append(step.on_lane(run.lane))
            self._note(run, step.event)
        elif step is None:
            self._finish(run, now)
        elif isinstance(step, float):
            run.due = run.started + step
        elif isinstance(step, Delay):
            run.due = now + step.seconds
        else:
            if isinstance(step, Gate):
                run.gate = step
            else:
                self.disturb(step)
            self._journal.notify()  # a test may wait for the response to get here

    def _note(self, run: Run, event: JSON) -> None:
        """Count an event, and remember what ends a response at the moment the client can know of it."""
        run.exchange.events += 1
        kind = event.get("type")
        if kind == "error" or kind == "response.failed":
            run.ended = True
            self._journal.close(run.exchange, "refused" if run.exchange.events == 1 else "failed")
            self._remember(self._ended, run.response_id, (run.lane, "failed"))
            self._evict(run.lane, run.request.body.get("previous_response_id"))
        elif kind in TERMINAL:
            run.ended = True
            self._journal.close(run.exchange, _OUTCOMES[str(kind)])
            response = event.get("response")
            output = response.get("output") if isinstance(response, dict) else None
            items = [item for item in output or () if isinstance(item, dict) and "type" in item]
            turn = Turn(run.response_id, [*run.request.input, *items], run.parent)
            self._remember(self._ended, run.response_id, (run.lane, str(kind).removeprefix("response.")))
            self._latest[run.lane] = turn
            if run.request.body.get("store") is not False:
                self._remember(self._storage, run.response_id, turn)

    def _remember(self, memory: dict[str, _T], response_id: str, value: _T) -> None:
        memory[response_id] = value
        if self._limits.remember is not None and len(memory) > self._limits.remember:
            del memory[next(iter(memory))]

    def _finish(self, run: Run, now: float) -> None:
        """Free the lane of `run` for what comes next: the successor of a steered response goes first."""
        del self._running[run.lane]
        if run.steers:
            self._settle(run, now)
        self._start_waiting(now)

    def _evict(self, lane: str | None, response_id: object) -> None:
        """Forget the parent of a continuation that failed in the parent's own lane."""
        turn = self._latest.get(lane)
        if turn is None or turn.response_id != response_id:
            return
        del self._latest[lane]
        if turn.response_id not in self._storage:
            for steer in self._pending.pop(turn.response_id, ()):
                message = "The response to continue from is gone."
                self._fail_steer(steer, lane, "successor_creation_failed", message)

    # Steering

    def _steer(self, message: JSON) -> None:
        target, value = message.get("previous_response_id"), message.get("input")
        for name, given in (("previous_response_id", isinstance(target, str)), ("input", value is not None)):
            if not given:
                text = f"Missing required parameter: '{name}'."
                raise RequestError(text, code="missing_required_parameter", param=name)
        run = next((run for run in self._running.values() if run.response_id == target), None)
        if run is None or run.ended:
            lane, status = self._ended.get(str(target), (None, "unknown"))
            code, text = _CANNOT_STEER.get(status, _CANNOT_STEER[""])
            self._fail_steer(Steer("", value, str(target)), lane, code, text)
            return
        lane = run.lane
        try:
            _check_steer(message, run.request.body)
        except RequestError as error:
            code = error.code or ""
            self._fail_steer(Steer("", value, run.response_id), lane, code, error.message, number=run.next_number())
            return
        steer = Steer(self._ids.new("steer"), value, run.response_id, lane)
        run.steers.append(steer)
        run.answer.steered = True
        event = {"type": "response.steer.accepted", "sequence_number": run.next_number(), "steer": steer.identity}
        self._send(event, lane)

    def _settle(self, run: Run, now: float) -> None:
        """Hand the accepted steering input of an ended response on: to a successor, or to the client."""
        if run.exchange.outcome in ("failed", "refused"):
            for steer in run.steers:
                message = "The response failed before the input was used."
                self._fail_steer(steer, run.lane, "response_not_active", message, number=run.next_number())
            return
        turn = self._latest[run.lane]
        calls = unanswered_calls(turn.history)
        if calls:
            self._pending[run.response_id] = run.steers
            for steer in run.steers:
                event = {"type": "response.steer.pending", "sequence_number": run.next_number()}
                event |= {"steer": steer.identity, "reason": "waiting_for_required_input"}
                self._send({**event, "required_input": [required_input(call) for call in calls]}, run.lane)
            return
        items = [item for steer in run.steers for item in normalize_input(steer.input)]
        body = {**run.request.body, "previous_response_id": run.response_id, "input": items}
        exchange = Exchange(0, 0, self._number, body, now)  # nobody's request: not in the journal
        try:
            self._start(exchange, now).successor_of = run.steers
        except RequestError as error:
            self._return(run.steers, error.message, run)

    def _return(self, steers: Sequence[Steer], message: str, run: Run) -> None:
        """Give accepted steering input back, for which there is no successor; `run` counts the events."""
        for steer in steers:
            self._fail_steer(steer, run.lane, "successor_creation_failed", message, number=run.next_number())

    def _fail_steer(self, steer: Steer, lane: str | None, code: str, message: str, *, number: int = 0) -> None:
        identity = steer.identity if steer.id else {"previous_response_id": steer.target}
        error = {"type": "invalid_request_error", "code": code, "message": message}
        event = {"type": "response.steer.failed", "sequence_number": number, "error": error}
        self._send({**event, "steer": {**identity, "input": steer.input}}, lane)

    # Ending the connection

    def _expire(self) -> None:
        age = f" of {self._limits.max_age:g} seconds" if self._limits.max_age is not None else ""
        message = f"The connection has reached its time limit{age}. Open a new one."
        self._send(RequestError(message, code="websocket_connection_limit_reached").event(), None)
        self.disturb(Close(1000, "connection limit reached"))

    def _send(self, event: JSON, lane: str | None) -> None:
        if not self._halted:
            self._outbox.append(encode(event if lane is None else {**event, "stream_id": lane}))


def _newest(ready: list[Run]) -> Run:
    return ready[-1]


def _parse(frame: str | bytes) -> Any:
    if isinstance(frame, bytes):
        raise RequestError("Expected a text frame, but got a binary one.", code="invalid_type")
    try:
        return decode(frame)
    except ValueError as error:
        raise RequestError(f"Invalid JSON: {error}", code="invalid_json") from None


def _check_steer(message: JSON, body: JSON) -> None:
    if body.get("conversation") is not None or body.get("context_management"):
        text = "Responses with a conversation or automatic compaction cannot be steered."
        raise RequestError(text, code="steering_not_supported")
    try:
        check_steer_input(message)
    except RequestError as error:
        raise RequestError(error.message, code="invalid_input") from error
