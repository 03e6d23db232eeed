"""The protocol against model servers: any interleaving of requests, events, disposals and losses.

The server here is a few lines that know which request each event belongs to.  Whatever order the
moves come in, an event goes to its request or to nobody, never to another one and never after that
request's terminal event; and when all is over, nothing is left in the tables.

Servers know steering, ignore it in silence, or answer it with an `error`.  Some begin the response to
a steer long after the client has gone on without it, or never; these tell what a response continues,
or do so only where nobody could take it for something else.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxresponses.errors import LaneLimitError
from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer
from rxresponses.wire.events.base import event_from
from tests.effort import examples

MOVES = ["go on", "go on", "complete", "complete", "fail", "error", "error, then failed"]
LANES: list[str | None] = [None, "a", "b", "c", "d"]
MAX_ACTIVE = 3
KINDS = ["lanes", "one at a time"]
STEERING = ["known", "known", "known", "silent", "errors"]


@dataclass
class Answer:
    """A response at the server: whose it is, and what it has said."""

    exchange: ProtocolRequest
    response_id: str
    lane: str | None
    continues: str | None = None
    created: bool = False
    sent: list[str] = field(default_factory=list)
    steers: list[Submission] = field(default_factory=list)  # accepted for it
    shared: list[ProtocolSteer] = field(default_factory=list)  # whose it is besides

    @property
    def both(self) -> list[ProtocolRequest]:
        """All whose it is."""
        return [self.exchange, *self.shared]


@dataclass
class Submission:
    """A steer at the server."""

    steer: ProtocolSteer
    identity: dict[str, str]
    told: bool = False  # that it was accepted


class ModelServer:
    """What a server of each kind may say next."""

    def __init__(self, kind: str, steering: str, tells: bool) -> None:
        self.kind = kind
        self.steering = steering
        self.tells = tells  # what a response continues
        self.echoes = kind == "lanes"
        self.queues: dict[str | None, deque[Answer]] = {}
        self.strays: list[Answer] = []  # ended by `error`, whose `response.failed` is still to come
        self.mute: list[Answer] = []  # those of them that say nothing else, since another response has begun
        self.withheld: list[Answer] = []  # to steers: they begin late
        self.never: list[Answer] = []  # or not at all
        self.unread: deque[ProtocolSteer] = deque()
        self.owed: deque[tuple[str | None, Submission, str]] = deque()  # what becomes of a submission, by lane
        self.ended: list[str] = []
        self._count = 0

    def _queue(self, lane: str | None) -> deque[Answer]:
        # A server without lanes has one queue for all.
        return self.queues.setdefault(lane if self.echoes else None, deque())

    def _next_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def behind(self, answer: Answer) -> bool:
        """Whether more waits behind a response that runs."""
        return len(self._queue(answer.lane)) > 1

    def take(self, exchange: ProtocolRequest) -> None:
        continues = json.loads(exchange.frame).get("previous_response_id")
        answer = Answer(exchange, self._next_id("resp"), exchange.stream_id, continues)
        self._queue(exchange.stream_id).append(answer)
        for one in self.withheld:  # nothing would tell the two apart: it takes the input of the steer with it
            if one.continues == continues and (one.lane == answer.lane or not self.echoes):
                self.never.append(one)
        self.withheld = [one for one in self.withheld if one not in self.never]

    def running(self) -> list[Answer]:
        return [queue[0] for queue in self.queues.values() if queue]

    def may_speak(self) -> list[Answer]:
        """The responses whose lane waits for no word about a steer."""
        waiting = {lane for lane, *_ in self.owed}
        return [one for one in self.running() if not waiting or (self.echoes and one.lane not in waiting)]

    def say(self, answer: Answer, kind: str, **fields: Any) -> dict[str, Any]:
        answer.sent.append(kind)
        if kind == "response.created":
            self.mute += [one for one in self.strays if one.lane == answer.lane or not self.echoes]
        if "response" in fields and self.tells:
            fields["response"]["previous_response_id"] = answer.continues
        return self.tag(answer.lane, {"type": kind, **fields})

    def tag(self, lane: str | None, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "stream_id": lane} if self.echoes and lane is not None else data

    def end(self, answer: Answer, *, failed: bool, pending: bool = False, withhold: bool = False) -> None:
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
        successor = Answer(first, self._next_id("resp"), answer.lane, answer.response_id, shared=others)
        if withhold:
            self.withheld.append(successor)
        else:
            self.prepend(successor)

    def prepend(self, successor: Answer) -> None:
        """Let a response run before what waits on its lane."""
        self._queue(successor.lane).appendleft(successor)

    def may_begin(self, successor: Answer) -> bool:
        """Whether a response that was withheld may begin now."""
        queue = self._queue(successor.lane)
        if queue and queue[0].created:
            return False
        others = any(self.queues.values()) or self.unread or self.owed or len(self.withheld) + len(self.never) > 1
        return self.tells or not others

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

    @initialize(
        kind=st.sampled_from(KINDS), steering=st.sampled_from(STEERING), told=st.booleans(), tells=st.booleans()
    )
    def start(self, kind: str, steering: str, told: bool, tells: bool) -> None:
        self.server = ModelServer(kind, steering, tells)
        self.protocol = Protocol(max_active=MAX_ACTIVE, echoes_stream_id=self.server.echoes if told else None)
        self.requests: list[ProtocolRequest] = []
        self.ended: set[ProtocolRequest] = set()

    # The client.

    # Several moves in one rule, and chances: hypothesis leaves out some of the rules in each run, and draws
    # the others alike, so that what takes a row of them would hardly ever happen.

    @rule(lane=st.sampled_from(LANES), pick=st.integers(0, 20), at_once=st.booleans())
    def submit(self, lane: str | None, pick: int, at_once: bool) -> None:
        """Submit a request; some continue a response, also one that was steered."""
        chain = {"previous_response_id": self.server.ended[-1 - pick]} if pick < len(self.server.ended) else {}
        exchange = ProtocolRequest(json.dumps(chain).encode(), lane)
        self.protocol.submit(exchange)
        self.requests.append(exchange)
        if at_once:
            self.write()

    @rule(data=st.data(), at_once=st.booleans(), tell=st.sampled_from([None, True, True, False]))
    def steer(self, data: st.DataObject, at_once: bool, tell: bool | None) -> None:
        """ProtocolSteer a response, mostly one that runs; `tell`: the server reads it at once."""
        if at_once and not self.server.running():
            self.submit(data.draw(st.sampled_from(LANES)), 20, True)
        unborn = [one for one in self.server.may_speak() if not one.created]
        if at_once and unborn:
            self.speak(unborn[0], "go on", False)
        known = [one.response_id for one in self.server.running() if one.created] * 3 + self.server.ended[-3:]
        steer = ProtocolSteer(b"{}", data.draw(st.sampled_from([*known, "resp_nobody"])))
        self.protocol.submit(steer)
        self.requests.append(steer)
        if at_once:
            self.write()
        while tell is not None and self.server.unread:
            self.server_reads_a_steer(tell)

    @rule()
    def write(self) -> None:
        while (exchange := self.protocol.next_to_send()) is not None:
            assert not exchange.cancelled
            if isinstance(exchange, ProtocolSteer):
                self.server.unread.append(exchange)
                continue
            at_server = [one for queue in self.server.queues.values() for one in queue]
            assert not [one for one in at_server if one.lane == exchange.stream_id], "one request in flight a lane"
            assert exchange.stream_id not in {lane for lane, *_ in self.server.owed}, "a lane that is held"
            for one in (*self.server.withheld, *self.server.never):
                assert one.lane != exchange.stream_id or all(map(_is_silent, one.both)), "a lane that is held"
            assert len(self.server.running()) < MAX_ACTIVE
            self.server.take(exchange)
            if self.protocol.lanes.echoes_stream_id is False:
                assert not at_server

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def dispose(self, data: st.DataObject) -> None:
        exchange = data.draw(st.sampled_from(self.requests))
        was = exchange.state
        assert not self.protocol.dispose(exchange)
        if was is QUEUED:
            assert exchange.state is ENDED

    @precondition(lambda self: self.timed_steers())
    @rule(data=st.data(), count=st.integers(1, 3))
    def time_out(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            steers = self.timed_steers()
            if steers:
                steer = data.draw(st.sampled_from(steers))
                self.protocol.abandon(steer)
                assert steer not in self.protocol.open_requests()
        self.write()

    def timed_steers(self) -> list[ProtocolSteer]:
        """Those that a clock may end: without an answer, or with a response that does not begin."""
        begun = self.protocol.start_steer_timeouts(1.0)
        assert all(one.successor_due and one.since == 1.0 for one in begun)
        overdue = {id(one) for answer in (*self.server.withheld, *self.server.never) for one in answer.both}
        due = [
            one
            for one in self.protocol.open_requests()
            if isinstance(one, ProtocolSteer) and one.successor_due and id(one) in overdue
        ]
        return [*self.unanswered_steers(), *due]

    def unanswered_steers(self) -> list[ProtocolSteer]:
        """Those whose clock runs; of the accepted ones a server tells in time, if it does not show it."""
        owed = {id(one.steer) for _, one, _ in self.server.owed}
        owed |= {id(one) for answer in self.server.running() for one in answer.both}
        steers = (one for one in self.protocol.open_requests() if isinstance(one, ProtocolSteer) and one.state is SENT)
        return [one for one in steers if id(one) not in owed]

    @rule(really=st.sampled_from([False] * 9 + [True]))
    def lose(self, really: bool) -> None:
        if not really:
            return
        open_requests = {one for one in self.requests if one.state is not ENDED and not _is_silent(one)}
        lost = self.protocol.lost()
        assert set(lost) == open_requests
        assert len(lost) == len(open_requests)
        taken = [one.exchange for queue in self.server.queues.values() for one in queue]
        for exchange in lost:
            served = any(exchange is one for one in taken)
            assert isinstance(exchange, ProtocolSteer) or (exchange.delivery == "not_sent") == (not served)
            assert (exchange.delivery == "not_sent") == (exchange.state is QUEUED)
        echoes = self.protocol.lanes.echoes_stream_id
        self.start(self.server.kind, self.server.steering, False, self.server.tells)
        self.protocol.lanes.echoes_stream_id = echoes

    # The server.

    @precondition(lambda self: any(self.server.may_speak()))
    @rule(data=st.data(), move=st.sampled_from(MOVES))
    def server_speaks(self, data: st.DataObject, move: str) -> None:
        flags = data.draw(st.booleans()), data.draw(st.booleans())
        self.speak(data.draw(st.sampled_from(self.server.may_speak())), move, *flags)

    def speak(self, answer: Answer, move: str, flag: bool, withhold: bool = False) -> None:
        server = self.server
        response: dict[str, Any] = {"id": answer.response_id}
        if not answer.created:
            # Refused before it began; if it answers steers, this would be taken for that of what waits behind it.
            if move.startswith("error") and not (isinstance(answer.exchange, ProtocolSteer) and server.behind(answer)):
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
            # The reason shows that one was accepted, and which one, if it was not given up beside another.
            untold = len(answer.steers) == 1 and not answer.steers[0].told
            if untold and _is_silent(answer.steers[0].steer):
                untold = all(one.target_id != answer.response_id for one in server.unread)
            if not untold:
                self.tell_all(answer)
            if answer.steers and (flag or untold):
                response["incomplete_details"] = {"reason": "steered"}
                frame = server.say(answer, "response.incomplete", response=response)
            else:
                frame = server.say(answer, "response.completed", response=response)
            self.deliver(answer, frame, terminal=True)
            # A server that runs one at a time goes on at once, as far as a client knows that does not know its
            # kind, or has sent more.
            withhold = withhold and (
                server.echoes or (self.protocol.lanes.echoes_stream_id is False and not server.behind(answer))
            )
            server.end(answer, failed=False, pending=not flag and not untold, withhold=withhold)
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
        elif answer in self.server.mute or any(one.created for one in successors):
            return  # no server mixes the text of two responses on one lane
        else:
            frame = self.server.say(answer, kind, delta="late")
        assert self.protocol.receive(event_from(frame)) is None

    @precondition(lambda self: self.server.steering == "known" and self.server.may_speak())
    @rule(data=st.data(), tell=st.booleans(), again=st.booleans())
    def server_withholds(self, data: st.DataObject, tell: bool, again: bool) -> None:
        """Let a steered response end, and the client wait in vain for what follows, and go on without it."""
        answer = data.draw(st.sampled_from(self.server.may_speak()))
        if not answer.created:
            self.speak(answer, "go on", False)
        steer = ProtocolSteer(b"{}", answer.response_id)
        self.protocol.submit(steer)
        self.requests.append(steer)
        self.write()
        while self.server.unread:
            self.server_reads_a_steer(tell)
        self.speak(answer, "complete", True, True)
        for one in self.timed_steers():
            if one.successor_due:
                self.protocol.abandon(one)
        if again:
            self.submit(answer.lane, data.draw(st.integers(0, 20)), True)

    @precondition(lambda self: any(map(self.server.may_begin, self.server.withheld)))
    @rule(data=st.data(), ever=st.sampled_from([True, True, True, False]))
    def server_begins_late(self, data: st.DataObject, ever: bool) -> None:
        successors = [one for one in self.server.withheld if self.server.may_begin(one)]
        self.begin(data.draw(st.sampled_from(successors)), ever)

    def begin(self, answer: Answer, ever: bool) -> None:
        """Let a response begin that was withheld, before what waits on its lane; or never begin."""
        self.server.withheld.remove(answer)
        if ever:
            self.server.prepend(answer)
            self.speak(answer, "go on", False)
        else:
            self.server.never.append(answer)

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
        owners = {*answer.both}
        assert got is not None, f"{frame} went to nobody"
        told = {got, *got.shared_with}
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
        waiting = [one for queue in protocol.lanes._queues.values() for one in queue]
        assert all(one.state is QUEUED and not one.cancelled for one in waiting)
        taken = protocol.lanes.in_flight.keys() | protocol.lanes.late_successors.keys()
        assert not protocol.lanes.reserved.keys() & taken
        assert set(protocol.lanes._ready) == set(protocol.lanes._queues) - protocol.lanes.reserved.keys() - taken
        in_flight = {*protocol.lanes.in_flight.values(), *protocol.lanes.late_successors.values()}
        assert all(
            one.stream_id == lane
            for lane, one in [*protocol.lanes.in_flight.items(), *protocol.lanes.late_successors.items()]
        )
        assert set(protocol._responses.by_stream_id.values()) <= in_flight
        assert set(protocol._responses.by_id.values()) <= in_flight
        assert set(protocol.lanes.unanswered) <= in_flight
        assert not any(one.state is ENDED for one in in_flight)
        steers = protocol._steers._open
        assert all(one.state in (SENT, STARTED) and not one.owns_successor for one in steers)
        assert len(set(protocol.open_requests())) == len(protocol.open_requests())
        assert all(protocol._steers.successor_may_begin(lane) for lane in protocol.lanes.reserved)
        for one in steers:
            # None waits for a lane that has gone on, and no clock counts while something runs there.
            assert not one.lane_known or one.stream_id in protocol.lanes.reserved.keys() | taken or _is_silent(one)
            assert not one.successor_due or one.stream_id in protocol.lanes.reserved or _is_silent(one)

    def teardown(self) -> None:
        """Let the server finish everything: no lane may stay taken."""
        if not hasattr(self, "protocol"):
            return
        server = self.server
        self.write()
        while server.running() or server.unread or server.owed or server.withheld or self.timed_steers():
            if server.unread:
                self.server_reads_a_steer(True)
            elif server.owed:
                self.server_settles_a_steer()
            elif server.running():
                self.speak(server.running()[0], "complete", True)
            elif server.withheld:
                self.begin(server.withheld[0], server.may_begin(server.withheld[0]))
            else:
                self.protocol.abandon(self.timed_steers()[0])
            self.write()
        assert self.protocol.lanes.active == self.protocol.lanes.queued == 0
        assert not self.protocol.open_requests()
        assert not self.protocol._responses.by_stream_id
        assert not self.protocol._responses.by_id
        assert not self.protocol.lanes.reserved
        assert not self.protocol.lanes.late_successors
        assert all(one.state is ENDED or _is_silent(one) for one in self.requests)


def _is_silent(exchange: ProtocolRequest) -> bool:
    return isinstance(exchange, ProtocolSteer) and exchange.abandoned


TestProtocolMachine = ProtocolMachine.TestCase
TestProtocolMachine.settings = settings(max_examples=examples(400), stateful_step_count=60)


class LaneNameMachine(RuleBasedStateMachine):
    """However names come and go, no 33rd is ever sent and no known one is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = Protocol(max_active=4, echoes_stream_id=True)
        self.sent: set[str] = set()
        self.open: list[ProtocolRequest] = []

    @rule(number=st.integers(0, 45))
    def submit(self, number: int) -> None:
        name = f"lane-{number}"
        exchange = ProtocolRequest(b"{}", name)
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
        assert self.protocol.lanes.names_used == len(self.sent)

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
TestLaneNameMachine.settings = settings(max_examples=examples(100), stateful_step_count=80)
