"""Steers over a socket to the embedded server, in programs with and without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    InvalidRequestError,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponseIncompleteEvent,
    ResponseSteerFailedEvent,
    ResponseSteerPendingEvent,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
    SteerPendingError,
    SteerTimeoutError,
    function_result,
    user_message,
)
from rxresponses import operators as rops
from rxresponses.testing import (
    DropStreamIds,
    Failure,
    Fault,
    FunctionCall,
    Hold,
    IgnoreSteer,
    Raw,
    RefuseUpgrade,
    Request,
    ResponsesServer,
    Text,
)

from ..support.clients import ask, inputs, run
from ..support.recorder import Recorder
from ..support.steering import HeldResponse, steers_received

LANES = pytest.mark.parametrize("lane", [None, "a"])
Events = Recorder[ServerEvent]


def conversation(request: Request) -> str:
    return request.conversation


def types(events: Events) -> list[str]:
    """Return the types without their common prefix, each run of deltas once."""
    short = [one.removeprefix("response.") for one in events.types]
    return [one for number, one in enumerate(short) if one != "output_text.delta" or short[number - 1] != one]


@contextmanager
def deaf(**options: Any) -> Iterator[tuple[ResponsesServer, ResponsesWebSocket]]:
    """A server that ignores steers, and a socket to it."""
    with (
        ResponsesServer(faults=[Fault(IgnoreSteer())]) as server,
        ResponsesWebSocket(server.url, options=ConnectionOptions(**options)) as socket,
    ):
        yield server, socket


class TestAccepted:
    @LANES
    def test_scenario_37_the_successor_comes_to_the_steer(
        self, server: ResponsesServer, socket: ResponsesWebSocket, lane: str | None
    ) -> None:
        target = HeldResponse(server, socket, lane)
        server.reply(conversation, "the next one")
        unrouted = Recorder(socket.unrouted)
        after: Events = Recorder(socket.send_request(ask("queued"), stream_id=lane))
        steer: Events = Recorder(socket.steer(target.id, "shorter")).wait_for(1)
        assert types(steer) == ["steer.accepted"]
        assert not target.events.ended
        target.gate.open()

        end = target.events.wait().values[-1]
        assert isinstance(end, ResponseIncompleteEvent)
        assert end.response.incomplete_details is not None
        assert end.response.incomplete_details.reason == "steered"
        assert types(steer.wait())[:3] == ["steer.accepted", "created", "in_progress"]
        last = steer.values[-1]
        assert isinstance(last, ResponseCompletedEvent)
        assert last.response.previous_response_id == target.id
        assert steer.text == "user: hi\nassistant: a \nuser: shorter"
        assert after.wait().text == "the next one"
        for got in (target.events, steer, after):
            assert (got.completions, got.errors) == (1, [])
            assert {event.stream_id for event in got.values} == {lane}
        assert unrouted.values == []
        assert [one.message for one in steers_received(server)] == [
            {"type": "response.steer", "previous_response_id": target.id, "input": "shorter"}
        ]
        assert inputs(server) == ["hi", "queued"]

    def test_a_target_that_completes_all_the_same(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket, None, Text(deltas=["a"]), after=8)
        steer: Events = Recorder(socket.steer(target.id, [user_message("and now?")])).wait_for(1)
        server.reply(conversation)
        target.gate.open()
        assert target.events.wait().types[-1] == "response.completed"
        assert steer.wait().text.endswith("user: and now?")
        assert steer.types[-1] == "response.completed"

    def test_two_steers_share_the_successor(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket, "a")
        server.reply(conversation, "the next one")
        both: list[Events] = [Recorder(socket.steer(target.id, text)) for text in ("first", "second")]
        after: Events = Recorder(socket.send_request(ask("queued"), stream_id="a"))
        for steer in both:
            steer.wait_for(1)
        target.gate.open()
        for steer in both:
            assert steer.wait().text.endswith("user: first\nuser: second")
            assert types(steer).count("steer.accepted") == 1
            assert (steer.types[-1], steer.completions) == ("response.completed", 1)
        assert both[0].values[1:] == both[1].values[1:]
        assert after.wait().text == "the next one"

    def test_a_successor_can_be_steered(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket)
        gate = server.gate()
        server.reply([Text(deltas=["x", "y"]), Hold(gate, after=5)], conversation)
        first: Events = Recorder(socket.steer(target.id, "first")).wait_for(1)
        target.gate.open()
        created = first.wait_for(6).values[1]
        second: Events = Recorder(socket.steer(created.response.id, "second")).wait_for(1)  # type: ignore[attr-defined]
        gate.open()
        assert first.wait().types[-1] == "response.incomplete"
        assert second.wait().text.endswith("user: first\nassistant: x\nuser: second")

    def test_other_lanes_go_on(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target, other = HeldResponse(server, socket, "a"), HeldResponse(server, socket, "b")
        steer: Events = Recorder(socket.steer(target.id, "shorter")).wait_for(1)
        target.gate.open()
        assert {event.stream_id for event in steer.wait().values} == {"a"}
        assert not other.events.ended
        other.gate.open()
        assert other.events.wait().text == "a b c"

    def test_a_server_that_drops_stream_ids(self) -> None:
        with ResponsesServer(faults=[Fault(DropStreamIds())]) as server, ResponsesWebSocket(server.url) as socket:
            target = HeldResponse(server, socket, "a")
            server.reply(conversation, "the next one")
            after: Events = Recorder(socket.send_request(ask("queued"), stream_id="b"))
            steer: Events = Recorder(socket.steer(target.id, "shorter")).wait_for(1)
            target.gate.open()
            assert steer.wait().text.endswith("user: shorter")
            assert after.wait().text == "the next one"
            assert target.events.completions == steer.completions == after.completions == 1

    def test_each_subscription_steers_once(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket)
        source = socket.steer(target.id, "again")
        assert steers_received(server) == []
        both: list[Events] = [Recorder(source), Recorder(source)]
        for steer in both:
            steer.wait_for(1)
        target.gate.open()
        for steer in both:
            steer.wait()
        assert len(steers_received(server)) == 2

    def test_an_observer_that_raises_disturbs_no_other(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        target = HeldResponse(server, socket)

        def fail(event: ServerEvent) -> None:
            if event.type == "response.created":
                raise LookupError("mine")

        first: Events = Recorder(socket.steer(target.id, "first"), fail)
        second: Events = Recorder(socket.steer(target.id, "second"), fail)
        third: Events = Recorder(socket.steer(target.id, "third")).wait_for(1)
        target.gate.open()
        assert third.wait().types[-1] == "response.completed"
        for got in (first, second):
            assert isinstance(got.wait().error, LookupError)
            assert types(got) == ["steer.accepted", "created"]


class TestPending:
    @LANES
    def test_scenario_37_an_explicit_create_with_the_results(
        self, server: ResponsesServer, socket: ResponsesWebSocket, lane: str | None
    ) -> None:
        target = HeldResponse(server, socket, lane, FunctionCall("weather", {"city": "Oslo"}))
        server.reply(conversation)
        steer: Events = Recorder(socket.steer(target.id, "in Fahrenheit")).wait_for(1)
        target.gate.open()
        assert target.events.wait().types[-1] == "response.completed"
        assert types(steer.wait()) == ["steer.accepted", "steer.pending"]
        assert (steer.completions, steer.errors) == (1, [])

        pending = steer.values[-1]
        assert isinstance(pending, ResponseSteerPendingEvent)
        results = [function_result(stub, "it rains") for stub in pending.required_input]
        create = ResponseCreate(model="m", input=results, previous_response_id=pending.steer.previous_response_id)
        answer: Events = Recorder(socket.send_request(create, stream_id=pending.stream_id)).wait()
        assert answer.types[-1] == "response.completed"
        assert answer.text.endswith("user: in Fahrenheit")
        (output,) = server.requests[1]["input"]
        assert (output["call_id"], output["output"]) == (pending.required_input[0].call_id, "it rains")

    def test_a_request_that_waits_goes_first(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket, None, FunctionCall("weather"))
        steer: Events = Recorder(socket.steer(target.id, "x")).wait_for(1)
        after: Events = Recorder(socket.send_request(ask("queued")))
        target.gate.open()
        steer.wait()
        assert after.wait().types[-1] == "response.completed"

    def test_collect_text_raises_when_the_steer_is_pending(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        target = HeldResponse(server, socket, None, FunctionCall("weather", call_id="call_7"))
        text = Recorder(socket.steer(target.id, "x").pipe(rops.collect_text()))
        server.wait_until(lambda: len(steers_received(server)) == 1)
        target.gate.open()
        error = text.wait().error
        assert isinstance(error, SteerPendingError)
        assert [stub.call_id for stub in error.required_input] == ["call_7"]
        assert (error.response_id, text.values) == (target.id, [])

    def test_input_that_comes_back_later_is_seen_on_unrouted(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        target = HeldResponse(server, socket, None, FunctionCall("weather"), store=False)
        unrouted = Recorder(socket.unrouted)
        steer: Events = Recorder(socket.steer(target.id, "x")).wait_for(1)
        target.gate.open()
        steer.wait()
        wrong: Events = Recorder(socket.send_request(ask(previous_response_id=target.id))).wait()
        assert wrong.types == ["error"]
        assert unrouted.wait_for(1).types == ["response.steer.failed"]


class TestFailed:
    def code(self, steer: Events) -> str | None:
        (event,) = steer.values
        assert isinstance(event, ResponseSteerFailedEvent)
        assert event.steer.input == "x"
        assert (steer.completions, steer.errors) == (1, [])
        assert event.error is not None
        return event.error.code

    def test_scenario_37_the_input_comes_back(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        assert self.code(Recorder(socket.steer("resp_nobody", "x")).wait()) == "response_not_found"
        done: Events = Recorder(socket.send_request(ask())).wait()
        steer: Events = Recorder(socket.steer(done.values[-1].response.id, "x")).wait()  # type: ignore[attr-defined]
        assert self.code(steer) == "response_already_completed"
        assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_a_response_that_cannot_be_steered(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket, "a", conversation="conv_1")
        assert self.code(Recorder(socket.steer(target.id, "x")).wait()) == "steering_not_supported"
        assert not target.events.ended
        target.gate.open()
        assert target.events.wait().types[-1] == "response.completed"

    def test_the_target_fails(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket, "a", Text("a b c"), Failure("server_error", after=6))
        steer: Events = Recorder(socket.steer(target.id, "x")).wait_for(1)
        after: Events = Recorder(socket.send_request(ask(), stream_id="a"))
        target.gate.open()
        assert target.events.wait().types[-1] == "error"
        assert types(steer.wait()) == ["steer.accepted", "steer.failed"]
        assert after.wait().types[-1] == "response.completed"


class TestServersThatDoNotSteer:
    @LANES
    def test_scenario_37_silence(self, lane: str | None) -> None:
        with deaf(steer_timeout=0.05) as (server, socket):
            target = HeldResponse(server, socket, lane)
            after: Events = Recorder(socket.send_request(ask("queued"), stream_id=lane))
            steer: Events = Recorder(socket.steer(target.id, "x")).wait()
            assert isinstance(steer.error, SteerTimeoutError)
            assert (steer.error.delivery, steer.error.seconds) == ("unknown", 0.05)
            assert steer.values == []
            assert not target.events.ended
            target.gate.open()
            assert target.events.wait().text == "a b c"
            assert after.wait().types[-1] == "response.completed"

    def test_silence_after_the_target(self) -> None:
        with deaf(steer_timeout=0.2) as (server, socket):
            target = HeldResponse(server, socket)
            steer: Events = Recorder(socket.steer(target.id, "x"))
            after: Events = Recorder(socket.send_request(ask("queued")))
            target.gate.open()
            target.events.wait()
            assert isinstance(steer.wait().error, SteerTimeoutError)
            assert after.wait().types[-1] == "response.completed"

    def test_silence_does_not_close_the_connection(self) -> None:
        with deaf(steer_timeout=0.05, on_dispose="close") as (server, socket):
            target = HeldResponse(server, socket)
            steer: Events = Recorder(socket.steer(target.id, "x")).wait()
            assert isinstance(steer.error, SteerTimeoutError)
            target.gate.open()
            assert target.events.wait().types[-1] == "response.completed"
            assert server.accepted == 1

    def test_an_error_about_the_type_ends_the_steer_only(self) -> None:
        with deaf() as (server, socket):
            gate = server.gate()
            server.reply(
                [
                    Raw(
                        [
                            {"type": "response.created", "response": {"id": "r1"}},
                            {"type": "error", "error": {"message": "Unknown message type: 'response.steer'"}},
                            {"type": "response.output_text.delta", "delta": "as it was"},
                            {"type": "response.completed", "response": {"id": "r1"}},
                        ]
                    ),
                    Hold(gate, after=1),
                ]
            )
            target: Events = Recorder(socket.send_request(ask())).wait_for(1)
            steer: Events = Recorder(socket.steer("r1", "x"))
            server.wait_until(lambda: len(steers_received(server)) == 1)
            gate.open()
            assert (steer.wait().types, steer.completions) == (["error"], 1)
            assert target.wait().text == "as it was"
            assert target.types[-1] == "response.completed"


class TestLoss:
    def test_scenario_37_before_the_answer(self) -> None:
        with deaf() as (server, socket):
            target = HeldResponse(server, socket, "a")
            steer: Events = Recorder(socket.steer(target.id, "x"))
            server.wait_until(lambda: len(steers_received(server)) == 1)
            server.drop()
            assert isinstance(steer.wait().error, ConnectionLostError)
            assert (steer.error.delivery, steer.error.close_code) == ("unknown", 1006)
            assert target.events.wait().error.delivery == "started"

    def test_scenario_37_after_it_was_accepted(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket)
        steer: Events = Recorder(socket.steer(target.id, "x")).wait_for(1)
        server.drop()
        assert isinstance(steer.wait().error, ConnectionLostError)
        assert steer.error.delivery == "started"
        assert "accepted the steer" in str(steer.error)
        assert types(steer) == ["steer.accepted"]

    def test_in_a_shared_successor(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket)
        server.reply([Text("never"), Hold(after=2)])
        both: list[Events] = [Recorder(socket.steer(target.id, text)) for text in ("first", "second")]
        for steer in both:
            steer.wait_for(1)
        target.gate.open()
        for steer in both:
            steer.wait_for(3)
        server.drop()
        for steer in both:
            assert steer.wait().error.delivery == "started"
            assert steer.error.response_id == steer.values[1].response.id  # type: ignore[attr-defined]
            assert "the response had begun" in str(steer.error)

    def test_before_it_was_sent(self) -> None:
        with ResponsesServer(faults=[Fault(RefuseUpgrade(503))]) as server, ResponsesWebSocket(server.url) as socket:
            steer: Events = Recorder(socket.steer("resp_1", "x")).wait()
            assert isinstance(steer.error, ConnectFailedError)
            assert steer.error.delivery == "not_sent"

    def test_close(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as socket:
            target = HeldResponse(server, socket)
            steer: Events = Recorder(socket.steer(target.id, "x")).wait_for(1)
        assert isinstance(steer.wait().error, SocketClosedError)
        assert steer.error.delivery == "started"
        late: Events = Recorder(socket.steer(target.id, "x")).wait()
        assert late.error.delivery == "not_sent"


class TestDispose:
    def test_before_it_was_sent(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        def steer_and_think_better(event: ServerEvent) -> None:
            if event.type == "response.created":
                Recorder(socket.steer(event.response.id, "never")).subscription.dispose()  # type: ignore[attr-defined]

        got: Events = Recorder(socket.send_request(ask()), steer_and_think_better).wait()
        assert got.types[-1] == "response.completed"
        assert Recorder(socket.send_request(ask())).wait().completions == 1
        assert steers_received(server) == []

    @pytest.mark.parametrize("on_dispose", ["drain", "close"])
    def test_before_its_response_began(self, server: ResponsesServer, on_dispose: Any) -> None:
        with ResponsesWebSocket(server.url, options=ConnectionOptions(on_dispose=on_dispose)) as socket:
            target = HeldResponse(server, socket, "a")
            server.reply("swallowed", "the next one")
            everything = Recorder(socket.events)
            steer: Events = Recorder(socket.steer(target.id, "x")).wait_for(1)
            after: Events = Recorder(socket.send_request(ask("queued"), stream_id="a"))
            steer.subscription.dispose()
            target.gate.open()
            assert target.events.wait().types[-1] == "response.incomplete"
            assert after.wait().text == "the next one"
            assert types(steer) == ["steer.accepted"]
            assert not steer.ended
            assert "swallowed" in everything.text

    def test_its_response_is_drained(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket)
        server.reply("swallowed", "the next one")
        steer: Events = Recorder(socket.steer(target.id, "x").pipe(ops.take(2))).wait_for(1)
        target.gate.open()
        assert types(steer.wait()) == ["steer.accepted", "created"]
        assert Recorder(socket.send_request(ask())).wait().text == "the next one"

    def test_its_response_is_stopped_by_closing(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url, options=ConnectionOptions(on_dispose="close")) as socket:
            target, other = HeldResponse(server, socket, "a"), HeldResponse(server, socket, "b")
            server.reply([Text("never"), Hold(after=2)])
            first: Events = Recorder(socket.steer(target.id, "x").pipe(ops.take(2)))
            second: Events = Recorder(socket.steer(target.id, "y").pipe(ops.take(3)))
            first.wait_for(1)
            second.wait_for(1)
            target.gate.open()
            assert types(first.wait()) == ["steer.accepted", "created"]
            assert types(second.wait()) == ["steer.accepted", "created", "in_progress"]  # not stopped by the first
            assert isinstance(other.events.wait().error, ConnectionLostError)
            server.wait_until(lambda: server.connections == 0)


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda socket: socket.steer("", "x"), "previous_response_id"),
        (lambda socket: socket.steer(None, "x"), "previous_response_id"),
        (lambda socket: socket.steer("resp_1", ""), "input"),
        (lambda socket: socket.steer("resp_1", []), "input"),
        (lambda socket: socket.steer("resp_1", 5), "input"),
        (lambda socket: socket.steer("resp_1", [user_message("x"), {"role": "system", "content": "x"}]), "input[1]"),
        (lambda socket: socket.steer("resp_1", [function_result("call_1", "x")]), "input[0]"),
        (lambda socket: socket.steer("resp_1", [{"role": "user"}]), "input[0]"),
    ],
)
def test_invalid_input_raises_at_once(
    server: ResponsesServer, socket: ResponsesWebSocket, act: Callable[[ResponsesWebSocket], Any], field: str
) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        act(socket)
    assert (raised.value.field, raised.value.delivery) == (field, "not_sent")
    assert server.accepted == 0


class TestAsyncio:
    def test_scenario_37_on_the_running_loop(self, server: ResponsesServer) -> None:
        async def main() -> None:
            gate = server.gate()
            server.reply([Text(deltas=["a ", "b ", "c"]), Hold(gate, after=5)], conversation)
            async with ResponsesWebSocket(server.url) as socket:
                threads = set()
                answers: list[asyncio.Future[str]] = []

                def steer(event: ServerEvent) -> None:
                    threads.add(threading.get_ident())
                    if event.type == "response.output_text.delta" and not answers:
                        source = socket.steer(created.result(), "shorter").pipe(ops.do_action(go_on))
                        answers.append(asyncio.ensure_future(source.pipe(rops.collect_text())))

                def go_on(event: ServerEvent) -> None:
                    if event.type == "response.steer.accepted":
                        gate.open()

                created: asyncio.Future[str] = asyncio.get_running_loop().create_future()

                def note(event: ServerEvent) -> None:
                    if event.type == "response.created":
                        created.set_result(event.response.id)  # type: ignore[attr-defined]

                last = await socket.send_request(ask()).pipe(ops.do_action(note), ops.do_action(steer))
                assert isinstance(last, ResponseIncompleteEvent)
                assert (await answers[0]).endswith("user: shorter")
                assert threads == {threading.get_ident()}
            assert server.accepted == 1

        run(main())

    def test_from_another_loop(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        """The socket lives on the background thread; the loop that subscribed gets the events of the steer."""
        target = HeldResponse(server, socket)
        server.reply(conversation)

        async def main() -> None:
            threads = set()

            def note(event: ServerEvent) -> None:
                threads.add(threading.get_ident())
                if event.type == "response.steer.accepted":
                    target.gate.open()

            last = await socket.steer(target.id, "shorter").pipe(ops.do_action(note))
            assert isinstance(last, ResponseCompletedEvent)
            assert threads == {threading.get_ident()}

        run(main())
        assert target.events.wait().types[-1] == "response.incomplete"

    def test_cancelling_an_await(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        target = HeldResponse(server, socket)
        server.reply("swallowed", "the next one")

        async def main() -> None:
            async def wait() -> Any:
                return await socket.steer(target.id, "x")

            task = asyncio.create_task(wait())
            await server.until(lambda: len(steers_received(server)) == 1)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            target.gate.open()
            assert await socket.send_request(ask()).pipe(rops.collect_text()) == "the next one"

        run(main())
