"""The protocol against model servers: any interleaving of requests, events, disposals and losses.

The server here is a few lines that know which request each event belongs to.  Whatever order the
moves come in, an event goes to its request or to nobody, never to another one and never after that
request's terminal event; and when all is over, nothing is left in the tables.

Servers know steering, ignore it in silence, or answer it with an `error`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxresponses.errors import LaneLimitError
from rxresponses.events.base import event_from
from rxresponses.exchange import ENDED, QUEUED, SENT, STARTED, Exchange, Steer
from rxresponses.protocol import Protocol

LANES: list[str | None] = [None, "a", "b", "c", "d"]
MAX_ACTIVE = 3
KINDS = ["lanes", "one at a time"]
STEERING = ["known", "silent", "errors"]


@dataclass
class Answer:
    """A response at the server: whose it is, and what it has said."""

    exchange: Exchange
    response_id: str
    lane: str | None
    created: bool = False
    sent: list[str] = field(default_factory=list)
    steers: list[Submission] = field(default_factory=list)  # accepted for it
    shared: list[Steer] = field(default_factory=list)  # whose it is besides


@dataclass
class Submission:
    """A steer at the server."""

    steer: Steer
    identity: dict[str, str]
    told: bool = False  # that it was accepted


class ModelServer:
    """What a server of each kind may say next."""

    def __init__(self, kind: str, steering: str) -> None:
        self.kind = kind
        self.steering = steering
        self.echoes = kind == "lanes"
        self.queues: dict[str | None, deque[Answer]] = {}
        self.strays: list[Answer] = []  # ended by `error`, whose `response.failed` is still to come
        self.unread: deque[Steer] = deque()
        self.owed: deque[tuple[str | None, Submission, str]] = deque()  # what becomes of a submission, by lane
        self.ended: list[str] = []
        self._count = 0

    def _queue(self, lane: str | None) -> deque[Answer]:
        # A server without lanes has one queue for all.
        return self.queues.setdefault(lane if self.echoes else None, deque())

    def _next_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def take(self, exchange: Exchange) -> None:
        answer = Answer(exchange, self._next_id("resp"), exchange.stream_id)
        self._queue(exchange.stream_id).append(answer)

    def running(self) -> list[Answer]:
        return [queue[0] for queue in self.queues.values() if queue]

    def may_speak(self) -> list[Answer]:
        """The responses whose lane waits for no word about a steer."""
        waiting = {lane for lane, *_ in self.owed}
        return [one for one in self.running() if not waiting or (self.echoes and one.lane not in waiting)]

    def say(self, answer: Answer, kind: str, **fields: Any) -> dict[str, Any]:
        answer.sent.append(kind)
        return self.tag(answer.lane, {"type": kind, **fields})

    def tag(self, lane: str | None, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "stream_id": lane} if self.echoes and lane is not None else data

    def end(self, answer: Answer, *, failed: bool, pending: bool = False) -> None:
        """Go on after a terminal event: with the successor, or with the words about its steers."""
        queue = self._queue(answer.lane)
        assert queue.popleft() is answer
        self.ended.append(answer.response_id)
        if not answer.steers:
            return
        if failed or pending:
            self.owed.extend((answer.lane, one, "failed" if failed else "pending") for one in answer.steers)
            return
        first, *others = (one.steer for one in answer.steers)
        queue.appendleft(Answer(first, self._next_id("resp"), answer.lane, shared=others))

    def read_steer(self) -> tuple[Answer | None, Submission]:
        """Read one steer, and accept it if its target runs."""
        steer = self.unread.popleft()
        target = next((one for one in self.running() if one.created and one.response_id == steer.target_id), None)
        submission = Submission(steer, {"previous_response_id": steer.target_id})
        if target is not None and self.steering == "known":
            submission.identity["id"] = self._next_id("steer")
            target.steers.append(submission)
        return target, submission


class ProtocolMachine(RuleBasedStateMachine):
    """Drive protocol and model server together."""

    @initialize(kind=st.sampled_from(KINDS), steering=st.sampled_from(STEERING), told=st.booleans())
    def start(self, kind: str, steering: str, told: bool) -> None:
        self.server = ModelServer(kind, steering)
        self.protocol = Protocol(max_active=MAX_ACTIVE, echoes=self.server.echoes if told else None)
        self.requests: list[Exchange] = []
        self.ended: set[Exchange] = set()

    # The client.

    @rule(lane=st.sampled_from(LANES))
    def submit(self, lane: str | None) -> None:
        exchange = Exchange(b"{}", lane)
        self.protocol.submit(exchange)
        self.requests.append(exchange)

    @rule(data=st.data())
    def steer(self, data: st.DataObject) -> None:
        known = [one.response_id for one in self.server.running() if one.created] * 3 + self.server.ended[-3:]
        steer = Steer(b"{}", data.draw(st.sampled_from([*known, "resp_nobody"])))
        self.protocol.submit(steer)
        self.requests.append(steer)

    @rule()
    def write(self) -> None:
        while (exchange := self.protocol.next_to_send()) is not None:
            assert not exchange.cancelled
            if isinstance(exchange, Steer):
                self.server.unread.append(exchange)
                continue
            at_server = [one for queue in self.server.queues.values() for one in queue]
            assert not [one for one in at_server if one.lane == exchange.stream_id], "one request in flight a lane"
            assert exchange.stream_id not in {lane for lane, *_ in self.server.owed}, "a lane that is held"
            self.server.take(exchange)
            assert len(at_server) < MAX_ACTIVE
            if self.protocol.echoes is False:
                assert not at_server

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def dispose(self, data: st.DataObject) -> None:
        exchange = data.draw(st.sampled_from(self.requests))
        was = exchange.state
        assert not self.protocol.dispose(exchange)
        if was is QUEUED:
            assert exchange.state is ENDED

    @precondition(lambda self: self.unanswered_steers())
    @rule(data=st.data())
    def time_out(self, data: st.DataObject) -> None:
        steer = data.draw(st.sampled_from(self.unanswered_steers()))
        self.protocol.abandon(steer)
        assert steer not in self.protocol.pending()

    def unanswered_steers(self) -> list[Steer]:
        """Those whose clock runs; of the accepted ones a server tells in time, if it does not show it."""
        owed = {id(one.steer) for _, one, _ in self.server.owed}
        owed |= {id(one) for answer in self.server.running() for one in (answer.exchange, *answer.shared)}
        steers = (one for one in self.protocol.pending() if isinstance(one, Steer) and one.state is SENT)
        return [one for one in steers if id(one) not in owed]

    @rule()
    def lose(self) -> None:
        open_requests = {one for one in self.requests if one.state is not ENDED and not _is_silent(one)}
        lost = self.protocol.lost()
        assert set(lost) == open_requests
        assert len(lost) == len(open_requests)
        taken = [one.exchange for queue in self.server.queues.values() for one in queue]
        for exchange in lost:
            served = any(exchange is one for one in taken)
            assert isinstance(exchange, Steer) or (exchange.delivery == "not_sent") == (not served)
            assert (exchange.delivery == "not_sent") == (exchange.state is QUEUED)
        echoes = self.protocol.echoes
        self.start(self.server.kind, self.server.steering, False)
        self.protocol.echoes = echoes

    # The server.

    @precondition(lambda self: any(self.server.may_speak()))
    @rule(data=st.data(), move=st.sampled_from(["go on", "go on", "complete", "fail", "error", "error, then failed"]))
    def server_speaks(self, data: st.DataObject, move: str) -> None:
        self.speak(data.draw(st.sampled_from(self.server.may_speak())), move, data.draw(st.booleans()))

    def speak(self, answer: Answer, move: str, flag: bool) -> None:
        server = self.server
        response: dict[str, Any] = {"id": answer.response_id}
        if not answer.created:
            if move.startswith("error"):  # refused before it began
                self.deliver(answer, server.say(answer, "error", code="invalid", message="no"), terminal=True)
                server.end(answer, failed=True)
                return
            answer.created = True
            self.deliver(answer, server.say(answer, "response.created", response=response))
        elif move == "go on":
            if len(answer.sent) == 1:
                self.deliver(answer, server.say(answer, "response.in_progress", response=response))
            else:
                self.deliver(answer, server.say(answer, "response.output_text.delta", delta="x"))
        elif move == "complete":
            untold = len(answer.steers) == 1 and not answer.steers[0].told  # then the reason shows it
            if not untold:
                self.tell_all(answer)
            if answer.steers and (flag or untold):
                response["incomplete_details"] = {"reason": "steered"}
                frame = server.say(answer, "response.incomplete", response=response)
            else:
                frame = server.say(answer, "response.completed", response=response)
            self.deliver(answer, frame, terminal=True)
            server.end(answer, failed=False, pending=not flag and not untold)
        else:
            self.tell_all(answer)
            if move.startswith("error"):
                frame = server.say(answer, "error", code="server_error", message="sorry")
            else:
                frame = server.say(answer, "response.failed", response=response)
            self.deliver(answer, frame, terminal=True)
            server.end(answer, failed=True)
            if move == "error, then failed":
                server.strays.append(answer)

    @precondition(lambda self: self.server.strays)
    @rule(data=st.data(), kind=st.sampled_from(["response.output_text.delta", "response.failed"]))
    def late_event(self, data: st.DataObject, kind: str) -> None:
        answer = data.draw(st.sampled_from(self.server.strays))
        successors = [one for one in self.server.running() if one.lane == answer.lane or not self.server.echoes]
        if kind == "response.failed":
            self.server.strays.remove(answer)
            frame = self.server.say(answer, kind, response={"id": answer.response_id})
        elif any(one.created for one in successors):
            return  # no server mixes the text of two responses on one lane
        else:
            frame = self.server.say(answer, kind, delta="late")
        assert self.protocol.receive(event_from(frame)) is None

    @precondition(lambda self: self.server.unread)
    @rule(tell=st.booleans())
    def server_reads_a_steer(self, tell: bool) -> None:
        server = self.server
        target, submission = server.read_steer()
        lane = target.lane if target is not None else None
        if server.steering == "errors":
            message = "unknown message type 'response.steer'"
            frame = server.tag(lane, {"type": "error", "error": {"message": message}})
            self.answer_steer(submission, frame, ended=True)
        elif server.steering == "known" and target is None:
            identity = {**submission.identity, "input": "x"}
            self.answer_steer(submission, {"type": "response.steer.failed", "steer": identity}, ended=True)
        elif target is not None and tell:
            self.tell_all(target)

    @precondition(lambda self: any(not one.told for answer in self.server.running() for one in answer.steers))
    @rule()
    def server_tells_that_it_accepted(self) -> None:
        for answer in self.server.running():
            self.tell_all(answer)

    def tell_all(self, target: Answer) -> None:
        for submission in target.steers:
            if not submission.told:
                submission.told = True
                frame = self.server.tag(target.lane, {"type": "response.steer.accepted", "steer": submission.identity})
                self.answer_steer(submission, frame)

    @precondition(lambda self: self.server.owed)
    @rule()
    def server_settles_a_steer(self) -> None:
        lane, submission, kind = self.server.owed.popleft()
        frame = self.server.tag(lane, {"type": f"response.steer.{kind}", "steer": submission.identity})
        self.answer_steer(submission, frame, ended=True)

    # What must hold.

    def answer_steer(self, submission: Submission, frame: dict[str, Any], *, ended: bool = False) -> None:
        got = self.protocol.receive(event_from(frame))
        steer = submission.steer
        assert got is steer, f"{frame} went to {got}"
        assert steer not in self.ended
        assert steer.state is (ENDED if ended else STARTED)
        if ended:
            self.ended.add(steer)

    def deliver(self, answer: Answer, frame: dict[str, Any], *, terminal: bool = False) -> None:
        got = self.protocol.receive(event_from(frame))
        owners = {answer.exchange, *answer.shared}
        assert got is not None, f"{frame} went to nobody"
        told = {got, *got.followers}
        assert told <= owners, f"{frame} went to {told}"
        assert all(one in told or one.cancelled for one in owners), f"{frame} went not to all of {owners}"
        assert not told & self.ended, "an event after the terminal one"
        for one in told:
            assert one.state is (ENDED if terminal else STARTED)
        if terminal:
            self.ended |= told

    @invariant()
    def tables_agree(self) -> None:
        if not hasattr(self, "protocol"):
            return
        protocol = self.protocol
        waiting = [one for queue in protocol._waiting.values() for one in queue]
        assert all(one.state is QUEUED and not one.cancelled for one in waiting)
        assert not protocol._held.keys() & protocol._in_flight.keys()
        assert set(protocol._ready) == set(protocol._waiting) - protocol._in_flight.keys() - protocol._held.keys()
        in_flight = set(protocol._in_flight.values())
        assert set(protocol._open.values()) <= in_flight
        assert set(protocol._by_id.values()) <= in_flight
        assert set(protocol._unanswered) <= in_flight
        assert not any(one.state is ENDED for one in in_flight)
        steers = protocol._steering._open
        assert all(one.state in (SENT, STARTED) and not one.committed for one in steers)
        assert len(set(protocol.pending())) == len(protocol.pending())
        assert all(protocol._steering.holds(lane) for lane in protocol._held)
        for one in steers:  # none waits for a lane that has gone on
            held = {**protocol._held, **protocol._in_flight}
            assert not one.placed or one.stream_id in held or _is_silent(one)

    def teardown(self) -> None:
        """Let the server finish everything: no lane may stay taken."""
        if not hasattr(self, "protocol"):
            return
        server = self.server
        self.write()
        while server.running() or server.unread or server.owed or self.unanswered_steers():
            if server.unread:
                self.server_reads_a_steer(True)
            elif server.owed:
                self.server_settles_a_steer()
            elif server.running():
                self.speak(server.running()[0], "complete", True)
            else:
                self.protocol.abandon(self.unanswered_steers()[0])
            self.write()
        assert self.protocol.active == self.protocol.queued == 0
        assert not self.protocol.pending()
        assert not self.protocol._open
        assert not self.protocol._by_id
        assert not self.protocol._held
        assert all(one.state is ENDED or _is_silent(one) for one in self.requests)


def _is_silent(exchange: Exchange) -> bool:
    return isinstance(exchange, Steer) and exchange.silent


TestProtocolMachine = ProtocolMachine.TestCase
TestProtocolMachine.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)


class LaneNameMachine(RuleBasedStateMachine):
    """However names come and go, no 33rd is ever sent and no known one is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = Protocol(max_active=4, echoes=True)
        self.sent: set[str] = set()
        self.open: list[Exchange] = []

    @rule(number=st.integers(0, 45))
    def submit(self, number: int) -> None:
        name = f"lane-{number}"
        exchange = Exchange(b"{}", name)
        try:
            self.protocol.submit(exchange)
        except LaneLimitError:
            waiting = {one.stream_id for one in self.open if one.state is QUEUED}
            assert name not in self.sent | waiting
            assert len(self.sent | waiting) == 32
        else:
            self.open.append(exchange)

    @rule()
    def write(self) -> None:
        while (exchange := self.protocol.next_to_send()) is not None:
            assert exchange.stream_id is not None
            self.sent.add(exchange.stream_id)
        assert len(self.sent) <= 32
        assert self.protocol.named_lanes == len(self.sent)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end_or_dispose(self, data: st.DataObject) -> None:
        exchange = data.draw(st.sampled_from(self.open))
        if exchange.state is QUEUED:
            self.protocol.dispose(exchange)
        else:
            self.protocol.receive(
                event_from({"type": "response.completed", "response": {"id": "r"}, "stream_id": exchange.stream_id})
            )
        assert exchange.state is ENDED
        self.open.remove(exchange)


TestLaneNameMachine = LaneNameMachine.TestCase
TestLaneNameMachine.settings = settings(max_examples=100, stateful_step_count=80, deadline=None)
