"""The observers of a client by themselves: what they pass on, hold back, and tell the pool."""

from __future__ import annotations

import json
import sys
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
from rxresponses.pool.actions import FailRequest, OpenConnection, SendRequest
from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolRequestState
from rxresponses.pool.pool import Pool
from rxresponses.senders.client_observers import _MOST_CALLS, ClientRequestObserver, ClientSteerObserver, open_calls
from rxresponses.senders.client_request import ClientRequest, ClientSteer, answered_calls
from rxresponses.wire import codec
from rxresponses.wire.ids import id_key

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


class Received(ObserverBase[ServerEvent]):
    """The observer of a subscriber, which records its calls."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def on_next(self, value: ServerEvent) -> None:
        self.items.append(value)

    def on_error(self, error: Exception) -> None:
        self.items.append(error)

    def on_completed(self) -> None:
        self.items.append("completed")


class Driver:
    """Drives a pool whose connections do nothing, and counts how often the observers wake it."""

    def __init__(self, *, has_lanes: bool | None = True, **options: Any) -> None:
        backoff = Backoff(initial=1.0, jitter=0.0, max_retries=2)
        self.pool = Pool(PoolOptions(backoff=backoff, **options), has_lanes=has_lanes, draw=lambda: 0.0)
        self.connection: Any = SimpleNamespace(echoes_stream_id=has_lanes)
        self.woken = 0
        self.failed: list[FailRequest] = []
        self.connections: list[PoolConnection] = []

    def now(self) -> float:
        """Return the time."""
        return NOW

    def wake(self) -> None:
        """Count the calls."""
        self.woken += 1

    def act(self) -> list[ClientRequest]:
        """Do what the pool says, and return the requests to send."""
        sent = []
        while actions := self.pool.next_actions(NOW):
            for action in actions:
                if isinstance(action, OpenConnection):
                    self.pool.connection_opened(action.connection, NOW)
                    self.connections.append(action.connection)
                elif isinstance(action, SendRequest):
                    sent.append(action.request)
                elif isinstance(action, FailRequest):
                    self.failed.append(action)
        return sent  # type: ignore[return-value]

    def send(self, **fields: Any) -> Sent:
        """Submit a request, which is sent at once."""
        request = ClientRequest(ResponseCreate(model="m", input="hi"), b"{}", Received(), **fields)
        self.pool.submit(request, NOW)
        assert self.act() == [request]
        return Sent(self, request)


class Sent:
    """A request on a lane, and its observer on the connection."""

    def __init__(self, driver: Driver, request: ClientRequest) -> None:
        assert request.lane is not None
        self.driver = driver
        self.request = request
        assert isinstance(request.observer, Received)
        self.received = request.observer.items
        self.connection_request = request.connection_request = ConnectionRequest(
            b"{}", request.lane.wire_name, None, NO_OBSERVER
        )
        self.observer = ClientRequestObserver(driver, request, driver.connection, self.connection_request)

    def is_in(self, state: PoolRequestState) -> bool:
        """Whether the request is in this state."""
        return self.request.state is state

    def receive(self, *events: ServerEvent) -> Sent:
        """Do with these events what a connection does."""
        for event in events:
            found = getattr(getattr(event, "response", None), "id", None)
            if found is not None:
                self.connection_request.response_ids.append(found)
            self.observer.on_next(event)
            if event.is_terminal:
                self.observer.ended(event)
                self.observer.on_completed()
        return self


class TestEvents:
    def test_the_first_event_is_not_kept_once_there_is_output(self) -> None:
        """It may be large: servers put the instructions and the tools of the request into it."""
        sent = Driver().send().receive(CREATED)
        references = sys.getrefcount(CREATED)
        sent.receive(event("response.output_text.delta", delta="a", item_id="i", output_index=0, content_index=0))
        assert sys.getrefcount(CREATED) == references - 1

    def test_events_are_passed_on(self) -> None:
        sent = Driver().send().receive(CREATED, PROGRESS, COMPLETED)
        assert sent.received == [CREATED, PROGRESS, COMPLETED, "completed"]
        assert sent.is_in(PoolRequestState.ENDED)
        lane = sent.driver.pool.lane_of("r")
        assert lane is sent.request.lane
        assert lane is not None
        assert lane.held == HeldResponse("r", stored=True)

    def test_the_pool_is_told_of_the_first_event(self) -> None:
        sent = Driver().send().receive(CREATED)
        assert sent.driver.pool.lane_of("r") is sent.request.lane
        assert sent.driver.connections[0].has_worked

    def test_the_pool_is_told_whether_the_server_has_lanes(self) -> None:
        driver = Driver(has_lanes=None)
        sent = driver.send()
        driver.connection.echoes_stream_id = True
        woken = driver.woken
        sent.receive(CREATED)
        assert driver.pool.has_lanes is True
        assert driver.woken > woken

    def test_a_fork_needs_its_parent_until_it_is_in_progress(self) -> None:
        driver = Driver()
        driver.send(stream_id="main", stores=False).receive(CREATED, COMPLETED)
        fork = driver.send(stream_id="fork", parent_id="r", stores=False)
        assert fork.request.parent_lane is not None
        fork.receive(response("created", "f"), response("queued", "f"))
        assert fork.request.parent_lane is not None
        fork.receive(response("in_progress", "f"))
        assert fork.request.parent_lane is None

    def test_a_request_taken_back_before_it_was_sent_loses_nothing(self) -> None:
        driver = Driver()
        driver.send(stores=False).receive(CREATED, COMPLETED)
        sent = driver.send(parent_id="r", stores=False)
        sent.observer.ended(None)
        assert sent.is_in(PoolRequestState.ENDED)
        assert driver.pool.active == 0
        assert sent.received == []
        assert not driver.pool.is_lost("r")  # the server has not seen the continuation


class TestRefusals:
    def test_a_temporary_refusal_is_held_back(self) -> None:
        sent = Driver().send().receive(error("server_error"))
        assert sent.received == []
        assert sent.is_in(PoolRequestState.WAITING)
        assert sent.driver.pool.deadline(NOW) == NOW + 1.0
        assert (sent.request.connection_request, sent.request.delivery, sent.request.retries) == (None, "not_sent", 1)

    def test_no_retry_after_max_retries(self) -> None:
        sent = Driver().send()
        sent.request.retries = 2
        sent.receive(error("server_error"))
        assert len(sent.received) == 2
        assert sent.is_in(PoolRequestState.ENDED)

    def test_no_retry_of_a_disposed_request(self) -> None:
        sent = Driver().send()
        detach_observer(sent.request)
        sent.receive(error("server_error"))
        assert sent.is_in(PoolRequestState.ENDED)

    def test_no_retry_of_a_request_disposed_between_the_refusal_and_its_end(self) -> None:
        """The subscriber disposes on another thread."""
        sent = Driver().send()
        sent.observer.on_next(error("server_error"))
        detach_observer(sent.request)
        sent.observer.ended(error("server_error"))
        assert sent.is_in(PoolRequestState.ENDED)

    @pytest.mark.parametrize("code", ["response_already_in_flight", "websocket_queue_full"])
    def test_a_server_without_lanes_gets_one_request_at_a_time(self, code: str) -> None:
        sent = Driver().send().receive(error(code))
        assert sent.driver.pool.has_lanes is False
        assert sent.driver.act() == [sent.request]  # at once, as the pool did not know that
        again = Sent(sent.driver, _with(sent.request, Received())).receive(error(code))
        assert again.driver.act() == []  # after a delay, as the pool knew that
        assert again.driver.pool.deadline(NOW) == NOW + 2.0

    def test_a_refused_lane_name(self) -> None:
        driver = Driver()
        first = driver.send().receive(CREATED)
        second = driver.send().receive(error("websocket_stream_limit_reached"))
        (connection,) = driver.connections
        assert connection.max_named_lanes == 1
        assert list(connection.lanes.values()) == [first.request.lane]
        assert driver.act() == [second.request]  # on another connection
        assert len(driver.connections) == 2

    def test_a_rate_limit_pauses_all_requests(self) -> None:
        sent = Driver().send().receive(error("rate_limit_exceeded", headers={"Retry-After": "7"}))
        assert sent.driver.pool.rate_limit.remaining_pause(NOW) == 7.0
        assert sent.driver.act() == []

    @pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error"])
    def test_scenario_28_no_retry_if_the_server_asks_for_too_long_a_wait(self, code: str) -> None:
        refusal = error(code, headers={"Retry-After": "601"})
        sent = Driver().send().receive(refusal)
        assert sent.received == [refusal, "completed"]
        assert sent.driver.pool.rate_limit.remaining_pause(NOW) is None
        assert sent.driver.act() == []

    def test_a_response_that_fails_at_a_rate_limit_pauses_all_requests_too(self) -> None:
        facts: dict[str, Any] = {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "no"}}
        failed = response("failed", usage={"input_tokens": 3}, **facts)
        sent = Driver().send().receive(CREATED, failed)
        assert sent.received[-2:] == [failed, "completed"]
        assert sent.driver.pool.rate_limit.remaining_pause(NOW) == 1.0

    def test_scenario_64_a_response_that_fails_at_a_rate_limit_without_output_waits(self) -> None:
        facts: dict[str, Any] = {
            "status": "failed",
            "error": {"code": "rate_limit_exceeded", "message": "try again in 0.2s"},
        }
        sent = Driver().send().receive(CREATED, response("failed", **facts))
        assert sent.received[-1] == CREATED
        assert sent.is_in(PoolRequestState.WAITING)
        assert sent.driver.pool.rate_limit.remaining_pause(NOW) == pytest.approx(0.2)

    def test_a_parent_that_the_server_does_not_know(self) -> None:
        for history, state in ((None, PoolRequestState.ENDED), ([user_message("hi")], PoolRequestState.WAITING)):
            sent = Driver().send(parent_id="p", history=history).receive(error("previous_response_not_found"))
            assert sent.driver.pool.is_lost("p")
            assert sent.is_in(state)
            sent.driver.act()
            assert sent.request.sends_history is (history is not None)

    def test_previous_response_not_found_without_a_parent_is_passed_on(self) -> None:
        sent = Driver().send().receive(error("previous_response_not_found"))
        assert len(sent.received) == 2
        sent = Driver().send().receive(CREATED, error("previous_response_not_found"))
        assert len(sent.received) == 3

    def test_the_history_is_sent_once(self) -> None:
        sent = Driver().send(parent_id="p", history=[user_message("hi")]).receive(error("previous_response_not_found"))
        assert sent.driver.act() == [sent.request]
        again = Sent(sent.driver, _with(sent.request, Received())).receive(error("previous_response_not_found"))
        assert len(again.received) == 2
        assert again.is_in(PoolRequestState.ENDED)


class TestTimings:
    """The timings of a request show that it waits again."""

    @pytest.mark.parametrize("refused", [True, False])
    def test_a_requeued_request_counts_as_unsent(self, refused: bool) -> None:
        sent = Driver().send()
        sent.request.timings = Timings(lambda: NOW)
        sent.request.timings.mark_sent()
        if refused:
            sent.receive(error("rate_limit_exceeded"))
        else:
            sent.driver.pool.connection_ended(sent.driver.connections[0], None, NOW)
            sent.observer.on_error(ConnectionLostError("gone", delivery="not_sent"))
        assert sent.is_in(PoolRequestState.WAITING)
        assert sent.request.timings.sent is None


class TestErrors:
    def test_an_unsent_request_is_requeued(self) -> None:
        sent = Driver().send()
        sent.driver.pool.connection_ended(sent.driver.connections[0], None, NOW)
        sent.observer.on_error(ConnectionLostError("gone", delivery="not_sent"))
        assert sent.received == []
        assert sent.is_in(PoolRequestState.WAITING)
        assert sent.request.connection_request is None

    @pytest.mark.parametrize("delivery", ["unknown", "started"])
    def test_an_error_of_a_sent_request_is_passed_on(self, delivery: Any) -> None:
        sent = Driver().send(stream_id="mine")
        sent.driver.pool.connection_ended(sent.driver.connections[0], None, NOW)
        lost = ConnectionLostError("gone", delivery=delivery, stream_id="lane-1")
        sent.observer.on_error(lost)
        assert sent.received == [lost]
        assert lost.stream_id == "mine"
        assert sent.is_in(PoolRequestState.ENDED)

    def test_a_request_is_not_requeued_when_the_client_closes(self) -> None:
        sent = Driver().send()
        sent.driver.pool.connection_ended(sent.driver.connections[0], None, NOW)
        sent.observer.on_error(SocketClosedError("closed", delivery="not_sent"))
        assert sent.is_in(PoolRequestState.ENDED)

    def test_a_disposed_request_is_not_requeued(self) -> None:
        sent = Driver().send()
        sent.driver.pool.connection_ended(sent.driver.connections[0], None, NOW)
        detach_observer(sent.request)
        sent.observer.on_error(ConnectionLostError("gone", delivery="not_sent"))
        assert sent.is_in(PoolRequestState.ENDED)
        assert sent.received == []

    def test_a_request_that_the_connection_refuses_frees_its_lane(self) -> None:
        """This cannot happen; if it does, the lane is free and the subscriber gets the error."""
        sent = Driver().send()
        sent.observer.on_error(LaneLimitError("33", delivery="not_sent"))
        assert sent.is_in(PoolRequestState.ENDED)
        assert sent.driver.pool.active == 0

    @pytest.mark.parametrize("failure", [IdleTimeoutError(5, delivery="started"), BufferOverflowError(5)])
    def test_an_error_of_the_subscriber_leaves_the_response_running(self, failure: RequestError) -> None:
        sent = Driver().send().receive(CREATED)
        sent.observer.on_error(failure)
        assert sent.received[-1] is failure
        assert sent.request.cancelled
        assert sent.is_in(PoolRequestState.RUNNING)
        sent.receive(COMPLETED)
        assert sent.is_in(PoolRequestState.ENDED)
        assert sent.received[-1] is failure

    def test_an_error_that_an_observer_raised_leaves_the_request_alone(self) -> None:
        sent = Driver().send(stream_id="mine").receive(CREATED)
        raised = ConnectionLostError("of another", delivery="not_sent", stream_id="other")
        detach_observer(sent.connection_request)
        sent.observer.on_error(raised)
        assert sent.received[-1] is raised
        assert raised.stream_id == "other"
        assert sent.is_in(PoolRequestState.RUNNING)
        sent.driver.pool.connection_ended(sent.driver.connections[0], None, NOW)
        sent.observer.on_error(raised)
        assert sent.is_in(PoolRequestState.ENDED)


class Steered:
    """A steer of the response that a lane runs."""

    def __init__(self, sent: Sent) -> None:
        assert sent.request.lane is not None
        self.lane = sent.request.lane
        self.pool = sent.driver.pool
        observer = Received()
        self.received = observer.items
        self.steer = ClientSteer(b"{}", "r", observer)
        assert (self.steer.delivery, self.steer.response_id, self.steer.stream_id) == ("not_sent", None, None)
        self.observer = ClientSteerObserver(sent.driver, self.steer, self.lane)
        self.connection_steer = self.steer.connection_steer = ConnectionSteer(b"{}", "r", self.observer)

    def has(self, *, latest: str | None, running: str | None) -> bool:
        """Whether the lane holds and runs these responses."""
        held = None if self.lane.held is None else self.lane.held.response_id
        return (held, self.lane.running_response_id) == (latest, running)

    def start_successor(self, response_id: str = "s") -> None:
        """Have the successor start."""
        self.connection_steer.response_ids.append(response_id)
        self.observer.on_next(response("created", response_id))


class TestSteering:
    def test_the_lane_runs_and_then_holds_the_successor(self) -> None:
        sent = Driver().send(stores=False).receive(CREATED)
        steered = Steered(sent)
        accepted = event("response.steer.accepted", steer={"previous_response_id": "r"})
        steered.observer.on_next(accepted)
        sent.receive(response("incomplete", incomplete_details={"reason": "steered"}))
        assert not steered.lane.is_idle
        assert steered.has(latest="r", running=None)
        steered.start_successor()
        assert steered.has(latest=None, running="s")
        assert steered.pool.is_lost("r")
        assert steered.pool.lane_of("s") is steered.lane
        end = response("completed", "s", output=[{"type": "function_call", "call_id": "c"}])
        steered.observer.on_next(end)
        steered.observer.ended(end)
        steered.observer.on_completed()
        assert steered.lane.held == HeldResponse("s", stored=False, open_calls=frozenset({"c"}))
        assert steered.pool.lane_of("s") is steered.lane
        assert steered.lane.is_idle
        assert steered.received[-2:] == [end, "completed"]

    def test_two_steers_with_one_successor(self) -> None:
        sent = Driver().send(stores=False).receive(CREATED)
        both = [Steered(sent), Steered(sent)]
        sent.receive(COMPLETED)
        for steered in both:
            steered.start_successor()
        for steered in both:
            steered.observer.ended(response("completed", "s"))
            assert steered.pool.lane_of("s") is steered.lane
        assert not both[0].pool.is_lost("s")
        assert both[0].lane.connection.load == 0

    def test_the_successor_fails(self) -> None:
        sent = Driver().send(stores=False).receive(CREATED)
        steered = Steered(sent)
        sent.receive(COMPLETED)
        steered.start_successor()
        steered.observer.ended(error("server_error"))
        assert steered.has(latest=None, running=None)
        assert steered.pool.lane_of("s") is None
        assert steered.lane.is_idle

    def test_the_steer_is_refused(self) -> None:
        sent = Driver().send().receive(CREATED, COMPLETED)
        steered = Steered(sent)
        assert steered.observer.is_awaited
        steered.observer.ended(event("response.steer.failed", steer={"previous_response_id": "r", "input": "x"}))
        assert steered.has(latest="r", running=None)
        assert steered.lane.is_idle
        assert not steered.observer.is_awaited

    def test_the_steer_is_taken_back(self) -> None:
        steered = Steered(Driver().send().receive(CREATED))
        detach_observer(steered.steer)
        assert not steered.observer.is_awaited
        steered.observer.ended(None)
        assert steered.lane.connection.load == 1  # the steered response

    def test_the_steer_gets_no_answer(self) -> None:
        sent = Driver().send().receive(CREATED, COMPLETED)
        steered = Steered(sent)
        woken = sent.driver.woken
        steered.observer.on_error(SteerTimeoutError(5, delivery="unknown"))
        assert steered.lane.is_idle
        assert steered.steer.cancelled
        assert sent.driver.woken > woken

    def test_an_error_of_the_subscriber_leaves_the_successor_running(self) -> None:
        sent = Driver().send().receive(CREATED, COMPLETED)
        steered = Steered(sent)
        steered.start_successor()
        steered.observer.on_error(IdleTimeoutError(5, delivery="started"))
        assert not steered.lane.is_idle
        steered.observer.ended(response("completed", "s"))
        assert steered.lane.is_idle
        assert steered.has(latest="s", running=None)

    @pytest.mark.parametrize("stores", [True, False])
    def test_the_successor_is_lost_with_its_connection(self, stores: bool) -> None:
        sent = Driver().send(stores=stores).receive(CREATED, COMPLETED)
        steered = Steered(sent)
        steered.start_successor()
        steered.pool.connection_ended(steered.lane.connection, None, NOW)
        steered.observer.on_error(ConnectionLostError("gone", delivery="started"))
        assert steered.pool.lane_of("s") is None
        assert steered.pool.is_lost("s") is not stores
        steered.observer.ended(None)

    def test_a_successor_after_the_next_request_has_started(self) -> None:
        """The lane runs the next request, which is not disturbed."""
        sent = Driver().send(stream_id="a").receive(CREATED, COMPLETED)
        steered = Steered(sent)
        steered.observer.on_error(SteerTimeoutError(5, delivery="started"))
        following = sent.driver.send(stream_id="a", parent_id="r").receive(response("created", "n"))
        assert following.request.lane is steered.lane
        steered.start_successor()
        steered.observer.ended(response("completed", "s"))
        assert steered.pool.lane_of("s") is None
        assert steered.pool.lane_of("n") is steered.lane


class TestFunctionCalls:
    def test_open_calls(self) -> None:
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

    def test_scenario_77_open_calls_are_bounded(self) -> None:
        def calls(count: int) -> frozenset[str]:
            output = [{"type": "function_call", "call_id": f"c{number}"} for number in range(count)]
            return open_calls(response("completed", output=output))

        assert [len(calls(count)) for count in (_MOST_CALLS, _MOST_CALLS + 1)] == [_MOST_CALLS, 0]
        long = "c" * 100_000
        (call,) = open_calls(response("completed", output=[{"type": "function_call", "call_id": long}]))
        assert call == id_key(long)
        answer = {"type": "function_call_output", "call_id": long, "output": "x"}
        assert answered_calls(ResponseCreate(model="m", input=[answer])) == frozenset({call})

    def test_answered_calls(self) -> None:
        def answers(*items: Any) -> frozenset[str] | None:
            return answered_calls(ResponseCreate(model="m", input=list(items)))

        assert answered_calls(ResponseCreate(model="m", input="text")) == frozenset()
        assert answered_calls(ResponseCreate(model="m", prompt={"id": "p"})) == frozenset()
        both = answers(function_result("a", 1), {"type": "custom_tool_call_output", "call_id": "b"})
        assert both == frozenset({"a", "b"})
        assert answers({"type": "function_call", "call_id": "a"}, user_message("hi"), {"call_id": "b"}) == frozenset()
        assert answers({"type": "function_call_output", "call_id": None}) == frozenset()
        assert answers(function_result("a", 1), ItemReference(id="x")) is None


def _with(request: ClientRequest, observer: Received) -> ClientRequest:
    request.observer = observer
    return request
