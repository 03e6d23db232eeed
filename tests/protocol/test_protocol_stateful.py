"""The protocol against a model of a server: any order of requests, events, disposals, timeouts and losses.

The model knows which request each event belongs to.  In any order, an event goes to its request or to no request,
never to another request, and never to a request after its terminal event.  At the end no lane is taken, and no table
has an entry left.
"""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxresponses.errors import LaneLimitError
from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer
from rxresponses.wire.events.base import event_from
from tests.effort import examples

from .driver import assert_nothing_open
from .model_server import ModelServer, ServerResponse, ServerSteer

MOVES = ["go on", "go on", "complete", "complete", "fail", "error", "error, then failed"]
LANES: list[str | None] = [None, "a", "b", "c", "d"]
MAX_ACTIVE = 3
KINDS = ["lanes", "one at a time"]
STEERING = ["known", "known", "known", "silent", "errors"]


class ProtocolMachine(RuleBasedStateMachine):
    """Drive the protocol and the model of the server together."""

    @initialize(
        kind=st.sampled_from(KINDS),
        steering=st.sampled_from(STEERING),
        kind_known=st.booleans(),
        tells_parent=st.booleans(),
    )
    def start(self, kind: str, steering: str, kind_known: bool, tells_parent: bool) -> None:
        self.server = ModelServer(kind, steering, tells_parent)
        self.protocol = Protocol(max_active=MAX_ACTIVE, echoes_stream_id=self.server.echoes if kind_known else None)
        self.requests: list[ProtocolRequest] = []
        self.ended: set[ProtocolRequest] = set()

    # The client.

    # Some rules make several moves, with weighted chances.  Hypothesis leaves out some rules in each run and draws the
    # others alike, so a state that takes a long row of single moves would hardly ever be reached.

    @rule(lane=st.sampled_from(LANES), pick=st.integers(0, 20), at_once=st.booleans())
    def submit(self, lane: str | None, pick: int, at_once: bool) -> None:
        """Submit a request; some requests continue a response, which may have been steered."""
        chain = {"previous_response_id": self.server.ended[-1 - pick]} if pick < len(self.server.ended) else {}
        request = ProtocolRequest(json.dumps(chain).encode(), lane)
        self.protocol.submit(request)
        self.requests.append(request)
        if at_once:
            self.write()

    @rule(data=st.data(), at_once=st.booleans(), tell=st.sampled_from([None, True, True, False]))
    def steer(self, data: st.DataObject, at_once: bool, tell: bool | None) -> None:
        """Steer a response, mostly one that runs; unless `tell` is `None`, the server reads the steer at once."""
        if at_once and not self.server.running():
            self.submit(data.draw(st.sampled_from(LANES)), 20, True)
        not_created = [response for response in self.server.may_speak() if not response.created]
        if at_once and not_created:
            self.speak(not_created[0], "go on", False)
        known = [
            response.response_id for response in self.server.running() if response.created
        ] * 3 + self.server.ended[-3:]
        steer = ProtocolSteer(b"{}", data.draw(st.sampled_from([*known, "resp_unknown"])))
        self.protocol.submit(steer)
        self.requests.append(steer)
        if at_once:
            self.write()
        while tell is not None and self.server.unread:
            self.server_reads_a_steer(tell)

    @rule()
    def write(self) -> None:
        while (request := self.protocol.next_to_send()) is not None:
            assert not request.cancelled
            if isinstance(request, ProtocolSteer):
                self.server.unread.append(request)
                continue
            lane = request.stream_id
            at_server = [response for queue in self.server.queues.values() for response in queue]
            assert not [response for response in at_server if response.lane == lane], "one request in flight a lane"
            assert lane not in {lane for lane, *_ in self.server.outcomes}, "a reserved lane"
            for successor in (*self.server.withheld, *self.server.dropped):
                assert successor.lane != lane or all(map(_is_abandoned, successor.owners)), "a reserved lane"
            assert len(self.server.running()) < MAX_ACTIVE
            self.server.take(request)
            if self.protocol.lanes.echoes_stream_id is False:
                assert not at_server

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def dispose(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.requests))
        was = request.state
        assert not self.protocol.dispose(request)
        if was is QUEUED:
            assert request.state is ENDED

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
        """The steers that a timeout may end: without an answer, or with a successor that has not begun."""
        timed = self.protocol.start_steer_timeouts(1.0)
        assert all(steer.successor_due and steer.since == 1.0 for steer in timed)
        successors = (*self.server.withheld, *self.server.dropped)
        overdue = {id(steer) for successor in successors for steer in successor.owners}
        due = [steer for steer in self.open_steers() if steer.successor_due and id(steer) in overdue]
        return [*self.unanswered_steers(), *due]

    def open_steers(self) -> list[ProtocolSteer]:
        return [request for request in self.protocol.open_requests() if isinstance(request, ProtocolSteer)]

    def unanswered_steers(self) -> list[ProtocolSteer]:
        """The steers without an answer, except those whose answer, or whose successor, the server sends in time."""
        in_time = {id(server_steer.steer) for _, server_steer, _ in self.server.outcomes}
        in_time |= {id(request) for response in self.server.running() for request in response.owners}
        return [steer for steer in self.open_steers() if steer.state is SENT and id(steer) not in in_time]

    @rule(really=st.sampled_from([False] * 9 + [True]))
    def lose(self, really: bool) -> None:
        if not really:
            return
        open_requests = {
            request for request in self.requests if request.state is not ENDED and not _is_abandoned(request)
        }
        lost = self.protocol.lost()
        assert set(lost) == open_requests
        assert len(lost) == len(open_requests)
        at_server = [response.request for queue in self.server.queues.values() for response in queue]
        for request in lost:
            served = any(request is other for other in at_server)
            assert isinstance(request, ProtocolSteer) or (request.delivery == "not_sent") == (not served)
            assert (request.delivery == "not_sent") == (request.state is QUEUED)
        echoes = self.protocol.lanes.echoes_stream_id
        self.start(self.server.kind, self.server.steering, False, self.server.tells_parent)
        self.protocol.lanes.echoes_stream_id = echoes

    # The server.

    @precondition(lambda self: any(self.server.may_speak()))
    @rule(data=st.data(), move=st.sampled_from(MOVES))
    def server_speaks(self, data: st.DataObject, move: str) -> None:
        flags = data.draw(st.booleans()), data.draw(st.booleans())
        self.speak(data.draw(st.sampled_from(self.server.may_speak())), move, *flags)

    def speak(self, response: ServerResponse, move: str, flag: bool, withhold: bool = False) -> None:
        server = self.server
        payload: dict[str, Any] = {"id": response.response_id}
        if not response.created:
            # Refused before it began.  Not so for a successor with a response behind it: the client would take the
            # `error` for the refusal of that response.
            if move.startswith("error") and not (
                isinstance(response.request, ProtocolSteer) and server.has_next(response)
            ):
                self.deliver(response, server.say(response, "error", code="invalid", message="no"), terminal=True)
                server.end(response, failed=True)
                return
            response.created = True
            self.deliver(response, server.say(response, "response.created", response=payload))
        elif move == "go on":
            if len(response.sent) == 1:
                self.deliver(response, server.say(response, "response.in_progress", response=payload))
            else:
                self.deliver(response, server.say(response, "response.output_text.delta", delta="x"))
        elif move == "complete":
            # The reason "steered" tells the client that the server has accepted a steer, if it was not told before.
            # It does not tell which steer, unless there is only one that is not abandoned.
            untold = len(response.steers) == 1 and not response.steers[0].told
            if untold and _is_abandoned(response.steers[0].steer):
                untold = all(steer.target_id != response.response_id for steer in server.unread)
            if not untold:
                self.tell_all(response)
            if response.steers and (flag or untold):
                payload["incomplete_details"] = {"reason": "steered"}
                frame = server.say(response, "response.incomplete", response=payload)
            else:
                frame = server.say(response, "response.completed", response=payload)
            self.deliver(response, frame, terminal=True)
            # Without lanes a successor comes at once, if the client does not know the kind of the server yet, or has
            # sent more than one request.
            withhold = withhold and (
                server.echoes or (self.protocol.lanes.echoes_stream_id is False and not server.has_next(response))
            )
            server.end(response, failed=False, pending=not flag and not untold, withhold=withhold)
        else:
            self.tell_all(response)
            if move.startswith("error"):
                frame = server.say(response, "error", code="server_error", message="sorry")
            else:
                frame = server.say(response, "response.failed", response=payload)
            self.deliver(response, frame, terminal=True)
            server.end(response, failed=True)
            if move == "error, then failed":
                server.late_failures.append(response)

    @precondition(lambda self: self.server.late_failures)
    @rule(data=st.data(), kind=st.sampled_from(["response.output_text.delta", "response.failed"]))
    def late_event(self, data: st.DataObject, kind: str) -> None:
        response = data.draw(st.sampled_from(self.server.late_failures))
        others = [running for running in self.server.running() if self.server.same_lane(running, response)]
        if kind == "response.failed":
            self.server.late_failures.remove(response)
            frame = self.server.say(response, kind, response={"id": response.response_id})
        elif response in self.server.silent or any(other.created for other in others):
            return  # no server mixes the text of two responses on one lane
        else:
            frame = self.server.say(response, kind, delta="late")
        assert self.protocol.receive(event_from(frame)) is None

    @precondition(lambda self: self.server.not_done)
    @rule(data=st.data())
    def late_done(self, data: st.DataObject) -> None:
        """Send `response.done` of a response that has ended by another terminal event: it is for no request."""
        response = data.draw(st.sampled_from(self.server.not_done))
        self.server.not_done.remove(response)
        frame = self.server.tag(response.lane, {"type": "response.done", "response": {"id": response.response_id}})
        assert self.protocol.receive(event_from(frame)) is None

    @precondition(lambda self: self.server.steering == "known" and self.server.may_speak())
    @rule(data=st.data(), tell=st.booleans(), again=st.booleans())
    def server_withholds(self, data: st.DataObject, tell: bool, again: bool) -> None:
        """Let a steered response end without its successor, and the client abandon the steer and go on."""
        response = data.draw(st.sampled_from(self.server.may_speak()))
        if not response.created:
            self.speak(response, "go on", False)
        steer = ProtocolSteer(b"{}", response.response_id)
        self.protocol.submit(steer)
        self.requests.append(steer)
        self.write()
        while self.server.unread:
            self.server_reads_a_steer(tell)
        self.speak(response, "complete", True, True)
        for timed in self.timed_steers():
            if timed.successor_due:
                self.protocol.abandon(timed)
        if again:
            self.submit(response.lane, data.draw(st.integers(0, 20)), True)

    @precondition(lambda self: any(map(self.server.may_begin, self.server.withheld)))
    @rule(data=st.data(), ever=st.sampled_from([True, True, True, False]))
    def server_begins_late(self, data: st.DataObject, ever: bool) -> None:
        successors = [response for response in self.server.withheld if self.server.may_begin(response)]
        self.begin(data.draw(st.sampled_from(successors)), ever)

    def begin(self, response: ServerResponse, ever: bool) -> None:
        """Let a successor that was withheld begin, before the responses that wait on its lane; or never begin."""
        self.server.withheld.remove(response)
        if ever:
            self.server.prepend(response)
            self.speak(response, "go on", False)
        else:
            self.server.dropped.append(response)

    @precondition(lambda self: self.server.unread)
    @rule(tell=st.booleans())
    def server_reads_a_steer(self, tell: bool) -> None:
        server = self.server
        target, server_steer = server.read_steer()
        lane = target.lane if target is not None else None
        if server.steering == "errors":
            message = "unknown message type 'response.steer'"
            frame = server.tag(lane, {"type": "error", "error": {"message": message}})
            self.answer_steer(server_steer, frame, ended=True)
        elif server.steering == "known" and target is None:
            ids = {**server_steer.ids, "input": "x"}
            self.answer_steer(server_steer, {"type": "response.steer.failed", "steer": ids}, ended=True)
        elif target is not None and tell:
            self.tell_all(target)

    @precondition(lambda self: any(not steer.told for response in self.server.running() for steer in response.steers))
    @rule()
    def server_tells_that_it_accepted(self) -> None:
        for response in self.server.running():
            self.tell_all(response)

    def tell_all(self, target: ServerResponse) -> None:
        for server_steer in target.steers:
            if not server_steer.told:
                server_steer.told = True
                frame = self.server.tag(target.lane, {"type": "response.steer.accepted", "steer": server_steer.ids})
                self.answer_steer(server_steer, frame)

    @precondition(lambda self: self.server.outcomes)
    @rule()
    def server_settles_a_steer(self) -> None:
        lane, server_steer, kind = self.server.outcomes.popleft()
        frame = self.server.tag(lane, {"type": f"response.steer.{kind}", "steer": server_steer.ids})
        self.answer_steer(server_steer, frame, ended=True)

    # What must hold.

    def answer_steer(self, server_steer: ServerSteer, frame: dict[str, Any], *, ended: bool = False) -> None:
        got = self.protocol.receive(event_from(frame))
        steer = server_steer.steer
        assert got is steer, f"{frame} went to {got}"
        assert steer not in self.ended
        assert steer.state is (ENDED if ended else STARTED)
        if ended:
            self.ended.add(steer)

    def deliver(self, response: ServerResponse, frame: dict[str, Any], *, terminal: bool = False) -> None:
        got = self.protocol.receive(event_from(frame))
        owners = {*response.owners}
        assert got is not None, f"{frame} went to no request"
        told = {got, *got.shared_with}
        assert told <= owners, f"{frame} went to {told}"
        assert all(owner in told or owner.cancelled for owner in owners), f"{frame} went not to all of {owners}"
        assert not told & self.ended, "an event after the terminal one"
        for owner in told:
            assert owner.state is (ENDED if terminal else STARTED)
        if terminal:
            self.ended |= told

    @invariant()
    def tables_agree(self) -> None:
        if not hasattr(self, "protocol"):
            return
        protocol, lanes, responses = self.protocol, self.protocol.lanes, self.protocol._responses
        queued = list(lanes.queued_requests())
        assert all(request.state is QUEUED and not request.cancelled for request in queued)
        taken = lanes.in_flight.keys() | lanes.late_successors.keys()
        assert not lanes.reserved.keys() & taken
        assert set(lanes._ready) == set(lanes._queues) - lanes.reserved.keys() - taken
        occupants = [*lanes.in_flight.items(), *lanes.late_successors.items()]
        assert all(request.stream_id == lane for lane, request in occupants)
        in_flight = {request for _, request in occupants}
        assert set(responses.by_stream_id.values()) <= in_flight
        assert set(responses.by_id.values()) <= in_flight
        assert set(lanes.unanswered) <= in_flight
        assert not any(request.state is ENDED for request in in_flight)
        steers = protocol._steers._open
        assert all(steer.state in (SENT, STARTED) and not steer.owns_successor for steer in steers)
        assert len(set(protocol.open_requests())) == len(protocol.open_requests())
        assert all(protocol._steers.successor_may_begin(lane) for lane in lanes.reserved)
        for steer in steers:
            # No steer waits for a lane that has gone on, and no successor is due while a response runs on its lane.
            if not _is_abandoned(steer):
                assert not steer.lane_known or steer.stream_id in lanes.reserved.keys() | taken
                assert not steer.successor_due or steer.stream_id in lanes.reserved

    def teardown(self) -> None:
        """Let the server finish everything: no lane may stay taken."""
        if not hasattr(self, "protocol"):
            return
        server = self.server
        self.write()
        while server.running() or server.unread or server.outcomes or server.withheld or self.timed_steers():
            if server.unread:
                self.server_reads_a_steer(True)
            elif server.outcomes:
                self.server_settles_a_steer()
            elif server.running():
                self.speak(server.running()[0], "complete", True)
            elif server.withheld:
                self.begin(server.withheld[0], server.may_begin(server.withheld[0]))
            else:
                self.protocol.abandon(self.timed_steers()[0])
            self.write()
        assert_nothing_open(self.protocol)
        assert all(request.state is ENDED or _is_abandoned(request) for request in self.requests)


def _is_abandoned(request: ProtocolRequest) -> bool:
    return isinstance(request, ProtocolSteer) and request.abandoned


TestProtocolMachine = ProtocolMachine.TestCase
TestProtocolMachine.settings = settings(max_examples=examples(400), stateful_step_count=60)


class LaneNameMachine(RuleBasedStateMachine):
    """In any order of requests, no 33rd lane name is sent, and no name that was sent before is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = Protocol(max_active=4, echoes_stream_id=True)
        self.sent: set[str] = set()
        self.open: list[ProtocolRequest] = []

    @rule(number=st.integers(0, 45))
    def submit(self, number: int) -> None:
        name = f"lane-{number}"
        request = ProtocolRequest(b"{}", name)
        try:
            self.protocol.submit(request)
        except LaneLimitError:
            waiting = {request.stream_id for request in self.open if request.state is QUEUED}
            assert name not in self.sent | waiting
            assert len(self.sent | waiting) == 32
        else:
            self.open.append(request)

    @rule()
    def write(self) -> None:
        while (request := self.protocol.next_to_send()) is not None:
            assert request.stream_id is not None
            self.sent.add(request.stream_id)
        assert len(self.sent) <= 32
        assert self.protocol.lanes.names_used == len(self.sent)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end_or_dispose(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.open))
        if request.state is QUEUED:
            self.protocol.dispose(request)
        else:
            self.protocol.receive(
                event_from({"type": "response.completed", "response": {"id": "r"}, "stream_id": request.stream_id})
            )
        assert request.state is ENDED
        self.open.remove(request)


TestLaneNameMachine = LaneNameMachine.TestCase
TestLaneNameMachine.settings = settings(max_examples=examples(100), stateful_step_count=80)
