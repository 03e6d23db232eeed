"""Disposing a stream of a socket: nothing is sent, or the response is drained, or the connection closed."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConnectionLostError,
    ResponseCompletedEvent,
    ResponseFailedError,
    ResponsesWebSocket,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.testing import Failure, Hold, ResponsesServer

from ..support.clients import CLOSE_ON_DISPOSE, WITH_LANES, ask, inputs
from ..support.recorder import WAIT, Recorder


class TestStreams:
    def test_scenario_08_the_second_stream_sees_nothing_of_the_first(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.reply(["one two three four", Hold(gate, after=0)], "five six")
        deltas = 0

        def stop(event: ServerEvent) -> None:
            nonlocal deltas
            deltas += event.type == "response.output_text.delta"
            if deltas == 2:
                first.subscription.dispose()

        everything = Recorder(socket.events)
        first: Recorder[ServerEvent] = Recorder(socket.send_request(ask()), stop)
        gate.open()  # `stop` needs the subscription
        second = Recorder(socket.send_request(ask())).wait()
        assert second.text == "five six"
        assert not first.ended
        assert first.text == "one two"
        assert everything.types.count("response.completed") == 2

    def test_scenario_09_disposed_before_created(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.reply(["the first", Hold(gate, after=0)], "the second")
        first = Recorder(socket.send_request(ask()))
        server.wait_until(lambda: len(server.requests) == 1)
        first.subscription.dispose()
        second = Recorder(socket.send_request(ask()))
        gate.open()
        assert second.wait().text == "the second"
        assert (first.values, first.ended) == ([], False)

    def test_scenario_10_disposed_before_it_was_sent(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        running = Recorder(socket.send_request(ask("hold"))).wait_for(2)
        never = Recorder(socket.send_request(ask("never")))
        next_one = Recorder(socket.send_request(ask("next")))
        never.subscription.dispose()
        gate.open()
        running.wait()
        next_one.wait()
        assert inputs(server) == ["hold", "next"]

    def test_scenario_10_disposed_at_once(self, server: ResponsesServer) -> None:
        disposed = threading.Event()

        def key() -> str:
            assert disposed.wait(WAIT)  # this blocks the loop of the socket, which writes nothing before
            return "sk-test"

        with ResponsesWebSocket(server.url, api_key=key) as socket:
            Recorder(socket.send_request(ask("never"))).subscription.dispose()
            disposed.set()
            Recorder(socket.send_request(ask("next"))).wait()
        assert inputs(server) == ["next"]

    def test_scenario_11_take_one_and_dispose_twice(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        one = Recorder(socket.send_request(ask()).pipe(ops.take(1))).wait()
        assert one.types == ["response.created"]
        assert one.completions == 1
        one.subscription.dispose()
        one.subscription.dispose()
        again = Recorder(socket.send_request(ask())).wait()
        again.subscription.dispose()
        assert again.completions == 1
        assert len(server.requests) == 2

    def test_scenario_11_an_ended_request_keeps_no_observer(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        class Box:
            pass

        box = Box()
        kept = weakref.ref(box)
        got = Recorder(socket.send_request(ask()), lambda _, box=box: None)  # type: ignore[misc]
        got.wait()
        del box, got
        Recorder(socket.send_request(ask())).wait()
        gc.collect()
        assert kept() is None


def is_running(event: ServerEvent) -> bool:
    return not event.is_terminal


def has_ended(event: ServerEvent) -> bool:
    return event.is_terminal


@pytest.fixture
def closing(server: ResponsesServer) -> Iterator[ResponsesWebSocket]:
    """A socket whose connection closes when a request is disposed."""
    with ResponsesWebSocket(server.url, options=CLOSE_ON_DISPOSE) as socket:
        yield socket


class TestDrain:
    def test_events_show_the_usage_of_a_disposed_request(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.reply(["one two three", Hold(gate, after=5)])
        events = Recorder(socket.events)
        got = Recorder(socket.send_request(ask())).wait_for(5)
        got.subscription.dispose()
        gate.open()
        events.wait(lambda: events.types[-1:] == ["response.completed"])
        last = events.values[-1]
        assert isinstance(last, ResponseCompletedEvent)
        assert last.response.usage is not None
        assert last.response.usage.output_tokens == 3
        assert (len(got.values), got.ended) == (5, False)
        assert server.accepted == 1

    def test_other_lanes_are_not_disturbed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gates = [server.gate(), server.gate()]
        server.on("given up", ["text", Hold(gates[0])])
        server.on("other", ["other", Hold(gates[1])])
        unrouted = Recorder(socket.unrouted)
        given_up = Recorder(socket.send_request(ask("given up"), stream_id="a")).wait_for(2)
        other = Recorder(socket.send_request(ask("other"), stream_id="b")).wait_for(2)
        given_up.subscription.dispose()
        gates[1].open()
        assert other.wait().text == "other"
        after = Recorder(socket.send_request(ask("after"), stream_id="a"))
        gates[0].open()
        assert after.wait().completions == 1
        assert unrouted.values == []
        assert server.accepted == 1

    def test_a_later_loss_is_not_delivered(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(["text", Hold()])
        got = Recorder(socket.send_request(ask())).wait_for(2)
        got.subscription.dispose()
        server.drop()
        server.wait_until(lambda: server.connections == 0)
        assert Recorder(socket.send_request(ask()).pipe(ops.retry(2))).wait().completions == 1
        assert not got.ended


class TestCloseOnDispose:
    def test_the_other_requests_get_errors_with_their_delivery(
        self, server: ResponsesServer, closing: ResponsesWebSocket
    ) -> None:
        server.on("hold", ["text", Hold()])
        server.on("sent", Hold(after=0))
        states = Recorder(closing.state)
        given_up = Recorder(closing.send_request(ask("hold"), stream_id="a")).wait_for(2)
        started = Recorder(closing.send_request(ask("hold"), stream_id="b")).wait_for(2)
        sent = Recorder(closing.send_request(ask("sent"), stream_id="c"))
        server.wait_until(lambda: len(server.requests) == 3)
        waiting = Recorder(closing.send_request(ask("waiting"), stream_id="a"))
        given_up.subscription.dispose()
        server.wait_until(lambda: server.connections == 0)
        for got, delivery in ((started, "started"), (sent, "unknown"), (waiting, "not_sent")):
            assert isinstance(got.wait().error, ConnectionLostError)
            assert got.error.delivery == delivery
            assert "on_dispose='close'" in str(got.error)
        assert started.error.response_id
        assert started.error.stream_id == "b"
        assert not given_up.ended
        assert Recorder(closing.send_request(ask("after"), stream_id="a")).wait().completions == 1
        assert server.accepted == 2
        assert inputs(server) == ["hold", "hold", "sent", "after"]
        assert [state.value for state in states.values] == ["idle", "connecting", "open"] * 2
        assert [exchange.outcome for exchange in server.exchanges] == ["lost", "lost", "lost", "completed"]

    def test_an_observer_that_raises_closes_the_connection(
        self, server: ResponsesServer, closing: ResponsesWebSocket
    ) -> None:
        def fail(event: ServerEvent) -> None:
            raise LookupError(event.type)

        server.on("hold", ["text", Hold()])
        other = Recorder(closing.send_request(ask("hold"), stream_id="a")).wait_for(2)
        raising = Recorder(closing.send_request(ask("hold"), stream_id="b"), fail)
        assert isinstance(raising.wait().error, LookupError)
        assert isinstance(other.wait().error, ConnectionLostError)
        server.wait_until(lambda: server.connections == 0)

    def test_a_request_without_an_event_yet(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        server.on("hold", Hold(after=0))
        got = Recorder(closing.send_request(ask("hold")))
        server.wait_until(lambda: len(server.requests) == 1)
        got.subscription.dispose()
        server.wait_until(lambda: server.connections == 0)
        assert Recorder(closing.send_request(ask())).wait().completions == 1

    def test_scenario_10_a_request_that_was_not_sent_closes_nothing(
        self, server: ResponsesServer, closing: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        running = Recorder(closing.send_request(ask("hold"))).wait_for(2)
        Recorder(closing.send_request(ask("never"))).subscription.dispose()
        gate.open()
        assert running.wait().completions == 1
        assert (server.accepted, inputs(server)) == (1, ["hold"])

    def test_disposing_after_the_end_closes_nothing(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        got = Recorder(closing.send_request(ask())).wait()
        got.subscription.dispose()
        assert Recorder(closing.send_request(ask())).wait().completions == 1
        assert server.accepted == 1

    @pytest.mark.parametrize(
        "operator",
        [
            ops.take_while(is_running),
            ops.take_while(is_running, inclusive=True),
            ops.first(has_ended),
            rops.final_response(),
            rops.collect_text(),
        ],
    )
    def test_disposing_at_the_terminal_event_closes_nothing(
        self, server: ResponsesServer, closing: ResponsesWebSocket, operator: Any
    ) -> None:
        for _ in range(2):
            got: Recorder[Any] = Recorder(closing.send_request(ask()).pipe(operator))
            assert got.wait().completions == 1
        assert server.accepted == 1

    @pytest.mark.parametrize("after", [0, 3])
    def test_raise_on_failure_closes_nothing(
        self, server: ResponsesServer, closing: ResponsesWebSocket, after: int
    ) -> None:
        server.reply(Failure("server_error", after=after))
        got = Recorder(closing.send_request(ask()).pipe(rops.raise_on_failure())).wait()
        assert isinstance(got.error, ResponseFailedError)
        assert Recorder(closing.send_request(ask())).wait().completions == 1
        assert server.accepted == 1

    def test_disposed_inside_on_next(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        server.reply(["text", Hold(after=4)])
        one = Recorder(closing.send_request(ask()).pipe(ops.take(3))).wait()
        assert len(one.values) == 3
        server.wait_until(lambda: server.accepted == 1 and server.connections == 0)
        assert Recorder(closing.send_request(ask())).wait().completions == 1
        assert server.accepted == 2

    def test_later_events_are_on_events_only(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        unrouted, events = Recorder(closing.unrouted), Recorder(closing.events)
        server.reply(["word " * 100, Hold(after=100)])
        Recorder(closing.send_request(ask()).pipe(ops.take(3))).wait()
        server.wait_until(lambda: server.accepted == 1 and server.connections == 0)
        closing.close()
        assert unrouted.wait().values == []
        assert events.wait().types[:2] == ["response.created", "response.in_progress"]

    def test_disposing_twice_and_after_a_reconnect(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        old = Recorder(closing.send_request(ask("hold"), stream_id="a")).wait_for(2)
        lost = Recorder(closing.send_request(ask("hold"), stream_id="b")).wait_for(2)
        server.drop()
        lost.wait()
        new = Recorder(closing.send_request(ask("hold"))).wait_for(2)
        for _ in range(2):
            old.subscription.dispose()
            lost.subscription.dispose()
        gate.open()
        assert new.wait().completions == 1
        assert server.accepted == 2

    def test_an_observer_that_raises_alone_closes_the_connection(
        self, server: ResponsesServer, closing: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.on("hold", ["text", Hold()])

        def fail(event: ServerEvent) -> None:
            raise RuntimeError("observer failed")

        got = Recorder(closing.send_request(ask("hold")), fail).wait()
        assert str(got.error) == "observer failed"
        server.wait_until(lambda: server.accepted == 1 and server.connections == 0)


def test_scenario_11_leaving_a_stream_leaves_no_task_behind(server: ResponsesServer) -> None:
    async def main() -> None:
        server.on("hold", ["text", Hold()])
        for options in (WITH_LANES, CLOSE_ON_DISPOSE):
            socket = ResponsesWebSocket(server.url, options=options)
            for name in "ab":
                async with socket.send_request(ask("hold"), stream_id=name).pipe(rops.to_async_iterable()) as events:
                    async for _ in events:
                        break
            socket.close()
            await socket.wait_closed()
            left = {task.get_name() for task in asyncio.all_tasks()}
            assert not any("rxresponses" in name for name in left), left

    asyncio.run(asyncio.wait_for(main(), WAIT))
