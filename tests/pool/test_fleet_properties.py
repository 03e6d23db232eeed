"""A fleet in any interleaving of requests, answers, failures and time: what holds whatever happens.

Nothing goes to a member whose breaker is open, and one trial at most.  No request is given twice at once, or again
after it may have been processed.  Requests with one `stream_id` do not overlap.  In the end each request has an answer
or an error, and none is left waiting.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from rxresponses.pool.fleet_members import FleetRequest
from rxresponses.pool.lanes import PoolRequestState
from tests.effort import examples

from .fleet_driver import DOWN, FleetDriver, failure, lost

OUTCOMES = {
    "down": DOWN,
    "unsent": lost("not_sent"),
    "server error": failure("server_error", 500),
    "rate limit": failure("rate_limit_exceeded", 429),
    "bad key": failure("invalid_api_key", 401),
    "invalid": failure("invalid_prompt", 400),
    "lost": lost("started"),
    "unknown": lost("unknown"),
}
STEP = st.tuples(
    st.sampled_from(["send", "send", "send", "answer", "answer", "fail", "dispose", "wait", "room"]),
    st.integers(0, 50),
    st.sampled_from(sorted(OUTCOMES)),
)


class Run:
    """A fleet, and what has become of its requests."""

    def __init__(self, members: int, room: int) -> None:
        self.fleet = FleetDriver(members, rooms=(room,) * members, queue_timeout=500.0)
        self.requests: list[FleetRequest] = []
        self.answered: dict[FleetRequest, int] = {}
        self.final: set[FleetRequest] = set()  # failed, disposed

    def step(self, what: str, number: int, outcome: str) -> None:
        """Do one thing."""
        fleet = self.fleet
        running = [request for client in fleet.clients for request in client.running]
        if what == "send":
            stream_id = (None, None, "a", "b")[number % 4]
            parent_id = f"r{number % 5}" if number % 7 == 0 else None
            self.requests.append(fleet.send(stream_id=stream_id, parent_id=parent_id, has_history=number % 3 == 0))
        elif what == "wait":
            fleet.act(fleet.now + number / 5)
        elif what == "room":
            fleet.clients[number % len(fleet.clients)].most = number % 3
            fleet.act()
        elif what == "dispose" and self.requests:
            request = self.requests[number % len(self.requests)]
            fleet.leave(request)
            fleet.fleet.withdraw(request)
            self.final.add(request)
            fleet.act()
        elif running:
            request = running[number % len(running)]
            if what == "answer":
                self.answered[request] = self.answered.get(request, 0) + 1
                fleet.succeed(request, f"r{number % 5}")
            elif not fleet.fail(request, OUTCOMES[outcome], connection=(outcome, number % 3)):
                self.final.add(request)
            else:
                assert getattr(OUTCOMES[outcome], "delivery", None) in ("not_sent", "rejected")
        self.check()

    def check(self) -> None:
        """Check what holds at any time."""
        running = [request for client in self.fleet.clients for request in client.running]
        assert len(set(running)) == len(running)
        lanes = [request.stream_id for request in running if request.stream_id is not None]
        assert len(set(lanes)) == len(lanes)
        for member, client in zip(self.fleet.members, self.fleet.clients, strict=True):
            trials = [one for one in client.running if member.breaker.is_trial(one.generation)]
            assert len(trials) == (member.breaker.state == "half_open")
        for request in self.requests:
            ends = self.answered.get(request, 0) + (request in self.final) + (request in self.fleet.errors)
            assert (ends == 0) is (request.state is not PoolRequestState.ENDED)
            assert self.answered.get(request, 0) <= 1


@settings(max_examples=examples(300))
@given(st.integers(1, 4), st.integers(1, 3), st.lists(STEP, max_size=60))
def test_each_request_is_answered_once_or_fails(members: int, room: int, steps: list[tuple[str, int, str]]) -> None:
    run = Run(members, room)
    for step in steps:
        run.step(*step)
    for client in run.fleet.clients:
        client.most = 2
    run.fleet.act()
    for _ in range(1000):  # all members work from now on
        running = [request for client in run.fleet.clients for request in client.running]
        for request in running:
            run.answered[request] = run.answered.get(request, 0) + 1
            run.fleet.succeed(request)
        run.check()
        if not running and run.fleet.fleet.queued == 0:
            break
        if not running:
            run.fleet.until()
    assert all(request.state is PoolRequestState.ENDED for request in run.requests)
    assert run.fleet.fleet.queued == 0
    assert all(not member.has for member in run.fleet.members)


@settings(max_examples=examples(200))
@given(st.integers(2, 5), st.integers(1, 60), st.lists(st.integers(0, 100), max_size=60))
def test_members_are_balanced_within_one(members: int, count: int, ends: list[int]) -> None:
    fleet = FleetDriver(members, rooms=(100,) * members)
    for _ in range(count):
        fleet.send()
        assert max(fleet.loads()) - min(fleet.loads()) <= 1
    for number in ends:  # a request goes where one has ended, so the fleet stays balanced
        running = [request for client in fleet.clients for request in client.running]
        fleet.succeed(running[number % len(running)])
        fleet.send()
        assert max(fleet.loads()) - min(fleet.loads()) <= 1


@settings(max_examples=examples(100))
@given(st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(0, 20), min_size=1, max_size=80))
def test_no_request_is_passed_by_a_later_one(members: int, room: int, ends: list[int]) -> None:
    """Without conversations, requests are given in the order of their arrival."""
    fleet = FleetDriver(members, rooms=(room,) * members)
    for number in ends:
        for _ in range(3):
            fleet.send()
        running = [request for client in fleet.clients for request in client.running]
        fleet.succeed(running[number % len(running)])
    numbers = [request.number for request, _ in fleet.given]
    assert numbers == sorted(numbers)


@settings(max_examples=examples(100))
@given(st.lists(st.integers(1, 8), min_size=2, max_size=4))
def test_the_share_of_a_member_is_its_weight(weights: list[int]) -> None:
    fleet = FleetDriver(len(weights), rooms=(1000,) * len(weights), weights=tuple(map(float, weights)))
    for _ in range(20 * sum(weights)):
        fleet.send()
    for load, weight in zip(fleet.loads(), weights, strict=True):
        assert abs(load - 20 * weight) <= max(weights)
