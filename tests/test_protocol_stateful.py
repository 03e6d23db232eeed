"""The protocol against model servers: any interleaving of requests, events, disposals and losses.

The server here is a few lines that know which request each event belongs to.  Whatever order the
moves come in, an event goes to its request or to nobody, never to another one and never after that
request's terminal event; and when all is over, nothing is left in the tables.
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
from rxresponses.exchange import ENDED, QUEUED, STARTED, Exchange
from rxresponses.protocol import Protocol

LANES: list[str | None] = [None, "a", "b", "c", "d"]
MAX_ACTIVE = 3
KINDS = ["lanes", "one at a time"]


@dataclass
class Answer:
    """A response at the server: whose it is, and what it has said."""

    exchange: Exchange
    response_id: str
    lane: str | None
    created: bool = False
    failing: bool = False
    sent: list[str] = field(default_factory=list)


class ModelServer:
    """What a server of each kind may say next."""

    def __init__(self, kind: str) -> None:
        self.echoes = kind == "lanes"
        self.queues: dict[str | None, deque[Answer]] = {}
        self.strays: list[Answer] = []  # ended by `error`, whose `response.failed` is still to come
        self._count = 0

    def take(self, exchange: Exchange) -> None:
        self._count += 1
        # A server without lanes has one queue for all.
        name = exchange.stream_id if self.echoes else None
        answer = Answer(exchange, f"resp_{self._count}", exchange.stream_id)
        self.queues.setdefault(name, deque()).append(answer)

    def running(self) -> list[Answer]:
        return [queue[0] for queue in self.queues.values() if queue]

    def say(self, answer: Answer, kind: str, **fields: Any) -> dict[str, Any]:
        answer.sent.append(kind)
        data: dict[str, Any] = {"type": kind, **fields}
        if self.echoes and answer.lane is not None:
            data["stream_id"] = answer.lane
        return data

    def end(self, answer: Answer) -> None:
        for queue in self.queues.values():
            if queue and queue[0] is answer:
                queue.popleft()


class ProtocolMachine(RuleBasedStateMachine):
    """Drive protocol and model server together."""

    @initialize(kind=st.sampled_from(KINDS), told=st.booleans())
    def start(self, kind: str, told: bool) -> None:
        self.server = ModelServer(kind)
        self.protocol = Protocol(max_active=MAX_ACTIVE, echoes=self.server.echoes if told else None)
        self.requests: list[Exchange] = []
        self.ended: set[Exchange] = set()

    @rule(lane=st.sampled_from(LANES))
    def submit(self, lane: str | None) -> None:
        exchange = Exchange(b"{}", lane)
        self.protocol.submit(exchange)
        self.requests.append(exchange)

    @rule()
    def write(self) -> None:
        while (exchange := self.protocol.next_to_send()) is not None:
            assert not exchange.cancelled
            lane_in_flight = [
                one for queue in self.server.queues.values() for one in queue if one.lane == exchange.stream_id
            ]
            assert not lane_in_flight, "one request in flight a lane"
            self.server.take(exchange)
            assert sum(map(len, self.server.queues.values())) <= MAX_ACTIVE
            if self.protocol.echoes is False:
                assert sum(map(len, self.server.queues.values())) == 1

    @precondition(lambda self: any(self.server.running()))
    @rule(data=st.data(), move=st.sampled_from(["go on", "go on", "complete", "fail", "error", "error, then failed"]))
    def server_speaks(self, data: st.DataObject, move: str) -> None:
        server = self.server
        answer = data.draw(st.sampled_from(server.running()))
        response = {"id": answer.response_id}
        if not answer.created:
            if move.startswith("error"):  # refused before it began
                self.deliver(answer, server.say(answer, "error", code="invalid", message="no"), terminal=True)
                server.end(answer)
                return
            answer.created = True
            self.deliver(answer, server.say(answer, "response.created", response=response))
        elif move == "go on":
            if len(answer.sent) == 1:
                self.deliver(answer, server.say(answer, "response.in_progress", response=response))
            else:
                self.deliver(answer, server.say(answer, "response.output_text.delta", delta="x"))
        else:
            if move.startswith("error"):
                frame = server.say(answer, "error", code="server_error", message="sorry")
            else:
                kind = "response.completed" if move == "complete" else "response.failed"
                frame = server.say(answer, kind, response=response)
            self.deliver(answer, frame, terminal=True)
            server.end(answer)
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

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def dispose(self, data: st.DataObject) -> None:
        exchange = data.draw(st.sampled_from(self.requests))
        was = exchange.state
        self.protocol.dispose(exchange)
        if was is QUEUED:
            assert exchange.state is ENDED

    @rule()
    def lose(self) -> None:
        open_requests = {one for one in self.requests if one.state is not ENDED}
        lost = self.protocol.lost()
        assert set(lost) == open_requests
        assert len(lost) == len(open_requests)
        for exchange in lost:
            served = any(exchange is one.exchange for queue in self.server.queues.values() for one in queue)
            assert (exchange.delivery == "not_sent") == (not served)
        echoes = self.protocol.echoes
        self.start("lanes" if self.server.echoes else "one at a time", False)
        self.protocol.echoes = echoes

    def deliver(self, answer: Answer, frame: dict[str, Any], *, terminal: bool = False) -> None:
        got = self.protocol.receive(event_from(frame))
        assert got is answer.exchange, f"{frame} went to {got}"
        assert got not in self.ended, "an event after the terminal one"
        assert (got.state is ENDED) == terminal
        if not terminal:
            assert got.state is STARTED
        else:
            self.ended.add(got)

    @invariant()
    def tables_agree(self) -> None:
        if not hasattr(self, "protocol"):
            return
        protocol = self.protocol
        waiting = [one for queue in protocol._waiting.values() for one in queue]
        assert all(one.state is QUEUED and not one.cancelled for one in waiting)
        assert set(protocol._ready) == set(protocol._waiting) - set(protocol._in_flight)
        in_flight = set(protocol._in_flight.values())
        assert set(protocol._open.values()) <= in_flight
        assert set(protocol._by_id.values()) <= in_flight
        assert set(protocol._unanswered) <= in_flight
        assert not any(one.state is ENDED for one in in_flight)

    def teardown(self) -> None:
        """Let the server finish everything: no lane may stay taken."""
        if not hasattr(self, "protocol"):
            return
        self.write()
        while running := self.server.running():
            answer = running[0]
            if not answer.created:
                answer.created = True
                self.deliver(answer, self.server.say(answer, "response.created", response={"id": answer.response_id}))
            self.deliver(
                answer,
                self.server.say(answer, "response.completed", response={"id": answer.response_id}),
                terminal=True,
            )
            self.server.end(answer)
            self.write()
        assert self.protocol.active == self.protocol.queued == 0
        assert not self.protocol._open
        assert not self.protocol._by_id
        assert all(one.state is ENDED for one in self.requests)


TestProtocolMachine = ProtocolMachine.TestCase
TestProtocolMachine.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


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
