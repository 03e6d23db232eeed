"""A lent lane by itself: what is passed on, what is held back, and what the pool is told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from reactivex.abc import ObserverBase

from rxresponses import (
    Backoff,
    BufferOverflowError,
    ConnectionLostError,
    IdleTimeoutError,
    ItemReference,
    LaneLimitError,
    PoolOptions,
    RequestError,
    ResponseCreate,
    ServerEvent,
    SocketClosedError,
    SteerTimeoutError,
    function_result,
    user_message,
)
from rxresponses.net.request import NO_OBSERVER, ConnectionRequest, ConnectionSteer, detach_observer
from rxresponses.net.timing import Timings
from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolRequestState
from rxresponses.pool.pool import Fail, Open, Pool, Send
from rxresponses.senders.client_request import ClientRequest, ClientSteer, answered_calls
from rxresponses.senders.pooled import ClientRequestObserver, ClientSteerObserver, PoolHandle, open_calls
from rxresponses.wire import codec

NOW = 100.0


def event(kind: str, **fields: Any) -> ServerEvent:
    """Return an event as it is received."""
    return codec.decode(json.dumps({"type": kind, **fields}))


def response(kind: str, response_id: str = "r", **fields: Any) -> ServerEvent:
    """Return an event that carries a response."""
    return event(f"response.{kind}", response={"id": response_id, **fields})


def error(code: str | None = None, **facts: Any) -> ServerEvent:
    """Return an `error`."""
    return event("error", error={"code": code, "message": "no", **facts})


CREATED, PROGRESS, COMPLETED = response("created"), response("in_progress"), response("completed")


class Heard(ObserverBase[ServerEvent]):
    """A subscriber that keeps what it hears."""

    def __init__(self) -> None:
        self.what: list[Any] = []

    def on_next(self, value: ServerEvent) -> None:
        self.what.append(value)

    def on_error(self, error: Exception) -> None:
        self.what.append(error)

    def on_completed(self) -> None:
        self.what.append("completed")


class Driver:
    """Drives a pool whose connections do nothing."""

    def __init__(self, *, lanes: bool | None = True, **options: Any) -> None:
        backoff = Backoff(initial=1.0, jitter=0.0, max_retries=2)
        self.pool = Pool(PoolOptions(backoff=backoff, **options), lanes=lanes, draw=lambda: 0.0)
        self.connection: Any = SimpleNamespace(echoes=lanes)
        self.woken = 0
        self.failed: list[Fail] = []
        self.slots: list[PoolConnection] = []
        self.desk = PoolHandle(self.pool, lambda: NOW, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def turn(self) -> list[ClientRequest]:
        """Take a turn, open what is to be opened, and return what is to be sent."""
        sent = []
        while actions := self.pool.turn(NOW):
            for action in actions:
                if isinstance(action, Open):
                    self.pool.opened(action.slot, NOW)
                    self.slots.append(action.slot)
                elif isinstance(action, Send):
                    sent.append(action.ticket)
                elif isinstance(action, Fail):
                    self.failed.append(action)
        return sent  # type: ignore[return-value]

    def lend(self, **fields: Any) -> Lent:
        """Submit a request, and lend it a lane."""
        job = ClientRequest(ResponseCreate(model="m", input="hi"), b"{}", Heard(), **fields)
        self.pool.submit(job, NOW)
        assert self.turn() == [job]
        return Lent(self, job)


class Lent:
    """A request on a lane."""

    def __init__(self, driver: Driver, job: ClientRequest) -> None:
        assert job.place is not None
        self.driver = driver
        self.job = job
        assert isinstance(job.observer, Heard)
        self.heard = job.observer.what
        self.request = job.sent = ConnectionRequest(b"{}", job.place.name, None, NO_OBSERVER)
        self.lease = ClientRequestObserver(driver.desk, job, driver.connection, self.request)

    def is_in(self, state: PoolRequestState) -> bool:
        """Whether this is where the request is."""
        return self.job.state is state

    def receive(self, *events: ServerEvent) -> Lent:
        """Do what a connection does with events."""
        for one in events:
            found = getattr(getattr(one, "response", None), "id", None)
            if found is not None:
                self.request.response_ids.append(found)
            self.lease.on_next(one)
            if one.is_terminal:
                self.lease.ended(one)
                self.lease.on_completed()
        return self


class TestEvents:
    def test_they_are_passed_on(self) -> None:
        lent = Driver().lend().receive(CREATED, PROGRESS, COMPLETED)
        assert lent.heard == [CREATED, PROGRESS, COMPLETED, "completed"]
        assert lent.is_in(PoolRequestState.OVER)
        place = lent.driver.pool.place_of("r")
        assert place is lent.job.place
        assert place is not None
        assert place.held == HeldResponse("r", stores=True)

    def test_the_pool_hears_of_the_first_one(self) -> None:
        lent = Driver().lend().receive(CREATED)
        assert lent.driver.pool.place_of("r") is lent.job.place
        assert lent.driver.slots[0].proven

    def test_whether_the_server_has_lanes(self) -> None:
        driver = Driver(lanes=None)
        lent = driver.lend()
        driver.connection.echoes = True
        woken = driver.woken
        lent.receive(CREATED)
        assert driver.pool.lanes is True
        assert driver.woken > woken

    def test_a_fork_has_begun_at_its_first_sign_of_work(self) -> None:
        driver = Driver()
        driver.lend(lane="main", stores=False).receive(CREATED, COMPLETED)
        fork = driver.lend(lane="fork", parent="r", stores=False)
        assert fork.job.source is not None
        fork.receive(response("created", "f"), response("queued", "f"))
        assert fork.job.source is not None
        fork.receive(response("in_progress", "f"))
        assert fork.job.source is None

    def test_taken_back_before_it_was_sent(self) -> None:
        driver = Driver()
        driver.lend(stores=False).receive(CREATED, COMPLETED)
        lent = driver.lend(parent="r", stores=False)
        lent.lease.ended(None)
        assert lent.is_in(PoolRequestState.OVER)
        assert driver.pool.active == 0
        assert lent.heard == []
        assert not driver.pool.is_lost("r")  # the server has seen nothing


class TestRefusals:
    def test_one_that_passes_is_held_back(self) -> None:
        lent = Driver().lend().receive(error("server_error"))
        assert lent.heard == []
        assert lent.is_in(PoolRequestState.WAITING)
        assert lent.driver.pool.deadline(NOW) == NOW + 1.0
        assert (lent.job.sent, lent.job.delivery, lent.job.retries) == (None, "not_sent", 1)

    def test_up_to_the_limit(self) -> None:
        lent = Driver().lend()
        lent.job.retries = 2
        lent.receive(error("server_error"))
        assert len(lent.heard) == 2
        assert lent.is_in(PoolRequestState.OVER)

    def test_not_for_one_that_was_given_up(self) -> None:
        lent = Driver().lend()
        detach_observer(lent.job)
        lent.receive(error("server_error"))
        assert lent.is_in(PoolRequestState.OVER)

    def test_given_up_while_it_is_held_back(self) -> None:
        """On another thread, between the event and its end."""
        lent = Driver().lend()
        lent.lease.on_next(error("server_error"))
        detach_observer(lent.job)
        lent.lease.ended(error("server_error"))
        assert lent.is_in(PoolRequestState.OVER)

    @pytest.mark.parametrize("code", ["response_already_in_flight", "websocket_queue_full"])
    def test_one_at_a_time_from_here_on(self, code: str) -> None:
        lent = Driver().lend().receive(error(code))
        assert lent.driver.pool.lanes is False
        assert lent.driver.turn() == [lent.job]  # at once, as that was news
        again = Lent(lent.driver, _with(lent.job, Heard())).receive(error(code))
        assert again.driver.turn() == []  # that was none: the server is busy
        assert again.driver.pool.deadline(NOW) == NOW + 2.0

    def test_a_lane_name_too_much(self) -> None:
        driver = Driver()
        first = driver.lend().receive(CREATED)
        second = driver.lend().receive(error("websocket_stream_limit_reached"))
        (slot,) = driver.slots
        assert slot.most_names == 1
        assert list(slot.places.values()) == [first.job.place]
        assert driver.turn() == [second.job]  # on another connection
        assert len(driver.slots) == 2

    def test_a_rate_limit_pauses_everything(self) -> None:
        lent = Driver().lend().receive(error("rate_limit_exceeded", headers={"Retry-After": "7"}))
        assert lent.driver.pool.throttle.pause(NOW) == 7.0
        assert lent.driver.turn() == []

    @pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error"])
    def test_scenario_28_when_the_server_asks_for_too_long_nobody_waits(self, code: str) -> None:
        refusal = error(code, headers={"Retry-After": "601"})
        lent = Driver().lend().receive(refusal)
        assert lent.heard == [refusal, "completed"]
        assert lent.driver.pool.throttle.pause(NOW) is None
        assert lent.driver.turn() == []

    def test_a_rate_limit_of_a_response_too(self) -> None:
        failed = response("failed", status="failed", error={"code": "rate_limit_exceeded", "message": "no"})
        lent = Driver().lend().receive(CREATED, failed)
        assert lent.heard[-2:] == [failed, "completed"]
        assert lent.driver.pool.throttle.pause(NOW) == 1.0

    def test_the_parent_is_unknown(self) -> None:
        for history, state in ((None, PoolRequestState.OVER), ([user_message("hi")], PoolRequestState.WAITING)):
            lent = Driver().lend(parent="p", history=history).receive(error("previous_response_not_found"))
            assert lent.driver.pool.is_lost("p")
            assert lent.is_in(state)
            lent.driver.turn()
            assert lent.job.replays is (history is not None)

    def test_without_a_parent_that_means_nothing(self) -> None:
        lent = Driver().lend().receive(error("previous_response_not_found"))
        assert len(lent.heard) == 2
        lent = Driver().lend().receive(CREATED, error("previous_response_not_found"))
        assert len(lent.heard) == 3

    def test_one_replay_only(self) -> None:
        lent = Driver().lend(parent="p", history=[user_message("hi")]).receive(error("previous_response_not_found"))
        assert lent.driver.turn() == [lent.job]
        again = Lent(lent.driver, _with(lent.job, Heard())).receive(error("previous_response_not_found"))
        assert len(again.heard) == 2
        assert again.is_in(PoolRequestState.OVER)


class TestTimings:
    """Whoever measures a request sees that it waits again."""

    @pytest.mark.parametrize("refused", [True, False])
    def test_what_waits_again_is_not_sent(self, refused: bool) -> None:
        lent = Driver().lend()
        lent.job.timings = Timings(lambda: NOW)
        lent.job.timings.mark_sent()
        if refused:
            lent.receive(error("rate_limit_exceeded"))
        else:
            lent.driver.pool.ended(lent.driver.slots[0], None, NOW)
            lent.lease.on_error(ConnectionLostError("gone", delivery="not_sent"))
        assert lent.is_in(PoolRequestState.WAITING)
        assert lent.job.timings.sent is None


class TestErrors:
    def test_what_was_not_sent_is_queued_again(self) -> None:
        lent = Driver().lend()
        lent.driver.pool.ended(lent.driver.slots[0], None, NOW)
        lent.lease.on_error(ConnectionLostError("gone", delivery="not_sent"))
        assert lent.heard == []
        assert lent.is_in(PoolRequestState.WAITING)
        assert lent.job.sent is None

    @pytest.mark.parametrize("delivery", ["unknown", "started"])
    def test_what_was_sent_is_told(self, delivery: Any) -> None:
        lent = Driver().lend(lane="mine")
        lent.driver.pool.ended(lent.driver.slots[0], None, NOW)
        lost = ConnectionLostError("gone", delivery=delivery, stream_id="lane-1")
        lent.lease.on_error(lost)
        assert lent.heard == [lost]
        assert lost.stream_id == "mine"
        assert lent.is_in(PoolRequestState.OVER)

    def test_closing_is_no_reason_to_try_again(self) -> None:
        lent = Driver().lend()
        lent.driver.pool.ended(lent.driver.slots[0], None, NOW)
        lent.lease.on_error(SocketClosedError("closed", delivery="not_sent"))
        assert lent.is_in(PoolRequestState.OVER)

    def test_what_was_given_up_is_over(self) -> None:
        lent = Driver().lend()
        lent.driver.pool.ended(lent.driver.slots[0], None, NOW)
        detach_observer(lent.job)
        lent.lease.on_error(ConnectionLostError("gone", delivery="not_sent"))
        assert lent.is_in(PoolRequestState.OVER)
        assert lent.heard == []

    def test_the_connection_does_not_take_it(self) -> None:
        """It cannot happen; if it does, the lane is free and the sender told."""
        lent = Driver().lend()
        lent.lease.on_error(LaneLimitError("33", delivery="not_sent"))
        assert lent.is_in(PoolRequestState.OVER)
        assert lent.driver.pool.active == 0

    @pytest.mark.parametrize("failure", [IdleTimeoutError(5, delivery="started"), BufferOverflowError(5)])
    def test_told_while_the_response_runs_on(self, failure: RequestError) -> None:
        lent = Driver().lend().receive(CREATED)
        lent.lease.on_error(failure)
        assert lent.heard[-1] is failure
        assert lent.job.cancelled
        assert lent.is_in(PoolRequestState.RUNNING)
        lent.receive(COMPLETED)
        assert lent.is_in(PoolRequestState.OVER)
        assert lent.heard[-1] is failure

    def test_what_an_observer_raised_says_nothing_of_the_request(self) -> None:
        lent = Driver().lend(lane="mine").receive(CREATED)
        raised = ConnectionLostError("of another", delivery="not_sent", stream_id="other")
        detach_observer(lent.request)
        lent.lease.on_error(raised)
        assert lent.heard[-1] is raised
        assert raised.stream_id == "other"
        assert lent.is_in(PoolRequestState.RUNNING)
        lent.driver.pool.ended(lent.driver.slots[0], None, NOW)
        lent.lease.on_error(raised)
        assert lent.is_in(PoolRequestState.OVER)


class Steered:
    """A steer of the response that a lane runs."""

    def __init__(self, lent: Lent) -> None:
        assert lent.job.place is not None
        self.place = lent.job.place
        self.pool = lent.driver.pool
        observer = Heard()
        self.heard = observer.what
        self.job = ClientSteer(b"{}", "r", observer)
        assert (self.job.delivery, self.job.response_id, self.job.stream_id) == ("not_sent", None, None)
        self.steering = ClientSteerObserver(lent.driver.desk, self.job, self.place)
        self.request = self.job.sent = ConnectionSteer(b"{}", "r", self.steering)

    def has(self, *, latest: str | None, running: str | None) -> bool:
        """Whether this is what the lane holds, and runs."""
        held = None if self.place.held is None else self.place.held.response_id
        return (held, self.place.running_id) == (latest, running)

    def follow(self, response_id: str = "s") -> None:
        """Let the response that follows begin."""
        self.request.response_ids.append(response_id)
        self.steering.on_next(response("created", response_id))


class TestSteering:
    def test_what_follows_is_what_the_lane_runs_and_then_holds(self) -> None:
        lent = Driver().lend(stores=False).receive(CREATED)
        steered = Steered(lent)
        accepted = event("response.steer.accepted", steer={"previous_response_id": "r"})
        steered.steering.on_next(accepted)
        lent.receive(response("incomplete", incomplete_details={"reason": "steered"}))
        assert not steered.place.is_idle
        assert steered.has(latest="r", running=None)
        steered.follow()
        assert steered.has(latest=None, running="s")
        assert steered.pool.is_lost("r")
        assert steered.pool.place_of("s") is steered.place
        end = response("completed", "s", output=[{"type": "function_call", "call_id": "c"}])
        steered.steering.on_next(end)
        steered.steering.ended(end)
        steered.steering.on_completed()
        assert steered.place.held == HeldResponse("s", stores=False, calls=frozenset({"c"}))
        assert steered.pool.place_of("s") is steered.place
        assert steered.place.is_idle
        assert steered.heard[-2:] == [end, "completed"]

    def test_two_that_share_it(self) -> None:
        lent = Driver().lend(stores=False).receive(CREATED)
        both = [Steered(lent), Steered(lent)]
        lent.receive(COMPLETED)
        for one in both:
            one.follow()
        for one in both:
            one.steering.ended(response("completed", "s"))
            assert one.pool.place_of("s") is one.place
        assert not both[0].pool.is_lost("s")
        assert both[0].place.slot.load == 0

    def test_it_fails(self) -> None:
        lent = Driver().lend(stores=False).receive(CREATED)
        steered = Steered(lent)
        lent.receive(COMPLETED)
        steered.follow()
        steered.steering.ended(error("server_error"))
        assert steered.has(latest=None, running=None)
        assert steered.pool.place_of("s") is None
        assert steered.place.is_idle

    def test_refused(self) -> None:
        lent = Driver().lend().receive(CREATED, COMPLETED)
        steered = Steered(lent)
        assert steered.steering.is_awaited
        steered.steering.ended(event("response.steer.failed", steer={"previous_response_id": "r", "input": "x"}))
        assert steered.has(latest="r", running=None)
        assert steered.place.is_idle
        assert not steered.steering.is_awaited

    def test_taken_back(self) -> None:
        steered = Steered(Driver().lend().receive(CREATED))
        detach_observer(steered.job)
        assert not steered.steering.is_awaited
        steered.steering.ended(None)
        assert steered.place.slot.load == 1  # the response itself

    def test_no_answer(self) -> None:
        lent = Driver().lend().receive(CREATED, COMPLETED)
        steered = Steered(lent)
        woken = lent.driver.woken
        steered.steering.on_error(SteerTimeoutError(5, delivery="unknown"))
        assert steered.place.is_idle
        assert steered.job.cancelled
        assert lent.driver.woken > woken

    def test_an_error_while_it_runs_on(self) -> None:
        lent = Driver().lend().receive(CREATED, COMPLETED)
        steered = Steered(lent)
        steered.follow()
        steered.steering.on_error(IdleTimeoutError(5, delivery="started"))
        assert not steered.place.is_idle
        steered.steering.ended(response("completed", "s"))
        assert steered.place.is_idle
        assert steered.has(latest="s", running=None)

    @pytest.mark.parametrize("stores", [True, False])
    def test_lost_with_its_connection(self, stores: bool) -> None:
        lent = Driver().lend(stores=stores).receive(CREATED, COMPLETED)
        steered = Steered(lent)
        steered.follow()
        steered.pool.ended(steered.place.slot, None, NOW)
        steered.steering.on_error(ConnectionLostError("gone", delivery="started"))
        assert steered.pool.place_of("s") is None
        assert steered.pool.is_lost("s") is not stores
        steered.steering.ended(None)

    def test_belated_behind_the_next_request(self) -> None:
        """Its lane has gone on: what runs there is not disturbed."""
        lent = Driver().lend(lane="a").receive(CREATED, COMPLETED)
        steered = Steered(lent)
        steered.steering.on_error(SteerTimeoutError(5, delivery="started"))
        following = lent.driver.lend(lane="a", parent="r").receive(response("created", "n"))
        assert following.job.place is steered.place
        steered.follow()
        steered.steering.ended(response("completed", "s"))
        assert steered.pool.place_of("s") is None
        assert steered.pool.place_of("n") is steered.place


class TestCalls:
    def test_that_are_open(self) -> None:
        def call(call_id: str | None, **fields: Any) -> dict[str, Any]:
            return {"type": "function_call", "name": "f", "arguments": "", "call_id": call_id or "", **fields}

        output = [
            call("a", status="completed"),
            call("b"),
            call("cut", status="incomplete"),
            call(None),
            call("done"),
            {"type": "function_call_output", "call_id": "done", "output": "x"},
            {"type": "message", "role": "assistant", "content": []},
        ]
        assert open_calls(response("completed", output=output)) == frozenset({"a", "b"})
        assert open_calls(COMPLETED) == frozenset()
        assert open_calls(error("server_error")) == frozenset()
        assert open_calls(event("response.completed", response=5)) == frozenset()

    def test_that_are_answered(self) -> None:
        def answers(*items: Any) -> frozenset[str] | None:
            return answered_calls(ResponseCreate(model="m", input=list(items)))

        assert answered_calls(ResponseCreate(model="m", input="text")) == frozenset()
        assert answered_calls(ResponseCreate(model="m", prompt={"id": "p"})) == frozenset()
        both = answers(function_result("a", 1), {"type": "custom_tool_call_output", "call_id": "b"})
        assert both == frozenset({"a", "b"})
        assert answers({"type": "function_call", "call_id": "a"}, user_message("hi"), {"call_id": "b"}) == frozenset()
        assert answers({"type": "function_call_output", "call_id": None}) == frozenset()
        assert answers(function_result("a", 1), ItemReference(id="x")) is None


def _with(job: ClientRequest, observer: Heard) -> ClientRequest:
    job.observer = observer
    return job
