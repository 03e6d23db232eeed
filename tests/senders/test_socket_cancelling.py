"""Disposing, losing and closing: what is told to whom, what the server has seen, and what goes on after."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket as sockets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    ConnectionState,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponseFailedError,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Expire, Failure, Fault, Gate, Hold, RefuseUpgrade, ResponsesServer, Stall

from ..support.recorder import WAIT, Recorder

CLOSE = ConnectionOptions(on_dispose="close", lanes=True)


def ask(text: str = "hi", **fields: Any) -> ResponseCreate:
    return ResponseCreate(model="m", input=text, **fields)


def is_running(event: ServerEvent) -> bool:
    return not event.is_terminal


def has_ended(event: ServerEvent) -> bool:
    return event.is_terminal


def inputs(server: ResponsesServer) -> list[Any]:
    return [request["input"] for request in server.requests]


@pytest.fixture
def closing(server: ResponsesServer) -> Iterator[ResponsesWebSocket]:
    """A socket that is closed by disposing."""
    with ResponsesWebSocket(server.url, options=CLOSE) as socket:
        yield socket


@contextlib.contextmanager
def unanswering() -> Iterator[tuple[str, sockets.socket]]:
    """A listener that accepts connections, and never answers the handshake."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", listener


class TestVerdicts:
    def test_scenario_20_lost_before_it_was_written(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.on("hold", ["text", Hold()])
        running = Recorder(socket.send_request(ask("hold"))).wait_for(2)
        again: list[Exception] = []

        def only_unsent(error: Exception, source: Observable[ServerEvent]) -> Observable[ServerEvent]:
            again.append(error)
            return source

        waiting = Recorder(socket.send_request(ask("later")).pipe(ops.catch(only_unsent)))
        server.drop()
        waiting.wait()
        assert isinstance(running.wait().error, ConnectionLostError)
        assert running.error.delivery == "started"
        (error,) = again
        assert isinstance(error, ConnectionLostError)
        assert error.delivery == "not_sent"
        assert "never sent" in str(error)
        assert waiting.completions == 1
        assert inputs(server) == ["hold", "later"]
        assert [exchange.outcome for exchange in server.exchanges] == ["lost", "completed"]

    def test_scenario_20_lost_in_the_handshake(self) -> None:
        with unanswering() as (url, listener), ResponsesWebSocket(url) as socket:
            got = Recorder(socket.send_request(ask()))
            peer, _ = listener.accept()
            peer.close()
            assert isinstance(got.wait().error, ConnectFailedError)
            assert got.error.delivery == "not_sent"

    def test_scenario_21_lost_after_it_was_written(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(Close(1006, after=0))
        got = Recorder(socket.send_request(ask(), stream_id="a")).wait()
        assert isinstance(got.error, ConnectionLostError)
        assert (got.error.delivery, got.error.response_id, got.error.stream_id) == ("unknown", None, "a")
        assert "may or may not" in str(got.error)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("after", [1, 2, 3])
    def test_scenario_22_lost_after_events_and_before_text(
        self, server: ResponsesServer, socket: ResponsesWebSocket, after: int
    ) -> None:
        server.reply(["text", Close(1011, "oops", after=after)])
        got = Recorder(socket.send_request(ask())).wait()
        assert isinstance(got.error, ConnectionLostError)
        assert (got.error.delivery, got.error.close_code, got.error.close_reason) == ("started", 1011, "oops")
        assert got.error.response_id == got.values[0].response.id  # type: ignore[attr-defined]
        assert (len(got.values), got.text) == (after, "")
        assert len(server.requests) == 1

    def test_all_verdicts_of_one_loss(self, server: ResponsesServer) -> None:
        server.on("started", ["text", Hold()])
        server.on("sent", Hold(after=0))
        with ResponsesWebSocket(server.url, options=ConnectionOptions(lanes=True)) as socket:
            started = Recorder(socket.send_request(ask("started"), stream_id="a")).wait_for(2)
            sent = Recorder(socket.send_request(ask("sent"), stream_id="b"))
            server.wait_until(lambda: len(server.requests) == 2)
            waiting = Recorder(socket.send_request(ask("waiting"), stream_id="a"))
            server.close_connections(1012, "restart")
            for got, delivery in ((started, "started"), (sent, "unknown"), (waiting, "not_sent")):
                assert isinstance(got.wait().error, ConnectionLostError)
                assert (got.error.delivery, got.error.close_code) == (delivery, 1012)
        assert inputs(server) == ["started", "sent"]


class TestDrain:
    def test_the_usage_of_what_was_given_up_is_still_reported(
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

    def test_nobody_else_notices(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
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

    def test_a_loss_after_it_is_nobodys_error(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(["text", Hold()])
        got = Recorder(socket.send_request(ask())).wait_for(2)
        got.subscription.dispose()
        server.drop()
        server.wait_until(lambda: server.connections == 0)
        assert Recorder(socket.send_request(ask()).pipe(ops.retry(2))).wait().completions == 1
        assert not got.ended


class TestClose:
    def test_the_connection_goes_down_and_the_others_get_their_verdicts(
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

    def test_an_observer_that_raises_closes_it_too(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        def fail(event: ServerEvent) -> None:
            raise LookupError(event.type)

        server.on("hold", ["text", Hold()])
        other = Recorder(closing.send_request(ask("hold"), stream_id="a")).wait_for(2)
        raising = Recorder(closing.send_request(ask("hold"), stream_id="b"), fail)
        assert isinstance(raising.wait().error, LookupError)
        assert isinstance(other.wait().error, ConnectionLostError)
        server.wait_until(lambda: server.connections == 0)

    def test_a_request_that_was_not_answered_yet(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
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

    def test_after_the_end_it_closes_nothing(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
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
    def test_a_failure_made_an_error_closes_nothing(
        self, server: ResponsesServer, closing: ResponsesWebSocket, after: int
    ) -> None:
        server.reply(Failure("server_error", after=after))
        got = Recorder(closing.send_request(ask()).pipe(rops.raise_on_failure())).wait()
        assert isinstance(got.error, ResponseFailedError)
        assert Recorder(closing.send_request(ask())).wait().completions == 1
        assert server.accepted == 1

    def test_from_within_on_next(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        server.reply(["text", Hold(after=4)])
        one = Recorder(closing.send_request(ask()).pipe(ops.take(3))).wait()
        assert len(one.values) == 3
        server.wait_until(lambda: server.accepted == 1 and server.connections == 0)
        assert Recorder(closing.send_request(ask())).wait().completions == 1
        assert server.accepted == 2

    def test_what_comes_until_it_is_down_is_on_events_only(
        self, server: ResponsesServer, closing: ResponsesWebSocket
    ) -> None:
        unrouted, events = Recorder(closing.unrouted), Recorder(closing.events)
        server.reply(["word " * 100, Hold(after=100)])
        Recorder(closing.send_request(ask()).pipe(ops.take(3))).wait()
        server.wait_until(lambda: server.accepted == 1 and server.connections == 0)
        closing.close()
        assert unrouted.wait().values == []
        assert events.wait().types[:2] == ["response.created", "response.in_progress"]

    def test_twice_and_of_an_older_connection(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
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

    def test_an_observer_that_raises_stops_the_spending_too(
        self, server: ResponsesServer, closing: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.on("hold", ["text", Hold()])

        def fail(event: ServerEvent) -> None:
            raise RuntimeError("observer failed")

        got = Recorder(closing.send_request(ask("hold")), fail).wait()
        assert str(got.error) == "observer failed"
        server.wait_until(lambda: server.accepted == 1 and server.connections == 0)


class TestExpiry:
    def quietly(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing was reported: not as unhandled, not as never retrieved."""
        gc.collect()
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_scenario_24_at_the_age_limit_while_idle(self, caplog: pytest.LogCaptureFixture) -> None:
        with ResponsesServer(max_age=1.0) as server, ResponsesWebSocket(server.url) as socket:
            unrouted = Recorder(socket.unrouted)
            states = Recorder(socket.state)
            # A machine that is busy for a second is no reason to fail.
            source = socket.send_request(ask()).pipe(ops.retry(5))
            assert Recorder(source).wait().completions == 1
            event = unrouted.wait_for(1).values[0]
            assert event.code == "websocket_connection_limit_reached"  # type: ignore[attr-defined]
            states.wait(lambda: states.values[-1] is ConnectionState.IDLE)
            assert Recorder(source).wait().completions == 1
            assert server.accepted >= 2
            assert not unrouted.ended
        self.quietly(caplog)

    def test_scenario_24_the_same_again_and_again(
        self, server: ResponsesServer, socket: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        unrouted = Recorder(socket.unrouted)
        for number in range(1, 6):
            assert Recorder(socket.send_request(ask())).wait().completions == 1
            assert server.accepted == number
            server.disturb(Expire())
            unrouted.wait_for(number)
        socket.close()
        unrouted.wait()
        self.quietly(caplog)

    @pytest.mark.parametrize("code", [1000, 1001, 1006, 1012])
    def test_scenario_56_other_ends_while_idle(
        self, server: ResponsesServer, socket: ResponsesWebSocket, code: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        states = Recorder(socket.state)
        Recorder(socket.send_request(ask())).wait()
        server.close_connections(code)
        states.wait(lambda: states.values[-1] is ConnectionState.IDLE)
        assert Recorder(socket.send_request(ask())).wait().completions == 1
        assert server.accepted == 2
        self.quietly(caplog)


class TestRefusals:
    @pytest.mark.parametrize("status", [401, 403, 404, 426, 429, 503])
    def test_scenario_28_a_refused_upgrade(
        self, server: ResponsesServer, socket: ResponsesWebSocket, status: int
    ) -> None:
        message = f"because of {status}"
        headers = {"Retry-After": "7", "X-Request-Id": "req_1"}
        server.fault(Fault(RefuseUpgrade(status, {"error": {"message": message}}, headers), times=1))
        got = Recorder(socket.send_request(ask(), stream_id="a")).wait()
        assert isinstance(got.error, ConnectFailedError)
        assert (got.error.status, got.error.delivery, got.error.stream_id) == (status, "not_sent", "a")
        assert got.error.headers["Retry-After"] == "7"
        assert got.error.headers["X-Request-Id"] == "req_1"
        assert message in str(got.error)
        assert str(status) in str(got.error)
        assert got.error.__cause__ is not None
        assert Recorder(socket.send_request(ask())).wait().completions == 1
        assert (len(server.requests), len(server.upgrades)) == (1, 2)

    def test_scenario_28_every_request_that_waited_is_told(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = threading.Event()

        def key() -> str:
            gate.wait(WAIT)
            return "k"

        server.fault(Fault(RefuseUpgrade(503), times=1))
        with ResponsesWebSocket(server.url, api_key=key) as slow:
            got = [Recorder(slow.send_request(ask(), stream_id=name)) for name in "abc"]
            gate.set()
            for name, one in zip("abc", got, strict=True):
                assert (one.wait().error.status, one.error.stream_id) == (503, name)
            assert len({id(one.error) for one in got}) == 3  # each gets a traceback of its own
        assert len(server.upgrades) == 1


class TestClosing:
    def test_scenario_29_while_the_key_is_fetched(self, server: ResponsesServer) -> None:
        async def main() -> None:
            fetching = asyncio.Event()

            async def key() -> str:
                fetching.set()
                await asyncio.Event().wait()
                raise AssertionError

            socket = ResponsesWebSocket(server.url, api_key=key)
            got = Recorder(socket.send_request(ask()))
            await fetching.wait()
            socket.close()
            assert isinstance(got.error, SocketClosedError)
            await socket.wait_closed()

        asyncio.run(asyncio.wait_for(main(), WAIT))
        assert server.upgrades == []

    def test_scenario_29_while_connecting_with_queued_requests(self) -> None:
        options = ConnectionOptions(connect_timeout=3 * WAIT)
        with unanswering() as (url, listener), ResponsesWebSocket(url, options=options) as socket:
            got = [Recorder(socket.send_request(ask(), stream_id=name)) for name in ("a", "a", "b")]
            peer, _ = listener.accept()
            begun = time.monotonic()
            socket.close()
            for one in got:
                assert isinstance(one.wait().error, SocketClosedError)
                assert one.error.delivery == "not_sent"
            asyncio.run(asyncio.wait_for(socket.wait_closed(), WAIT))
            assert time.monotonic() - begun < WAIT
            peer.close()
            self.stays_closed(socket)

    def test_scenario_29_with_requests_in_every_state(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.on("started", ["text", Hold()])
        server.on("sent", Hold(after=0))
        started = Recorder(socket.send_request(ask("started"), stream_id="a")).wait_for(2)
        sent = Recorder(socket.send_request(ask("sent"), stream_id="b"))
        server.wait_until(lambda: len(server.requests) == 2)
        waiting = Recorder(socket.send_request(ask("waiting"), stream_id="b"))
        socket.close()
        for got, delivery in ((started, "started"), (sent, "unknown"), (waiting, "not_sent")):
            assert isinstance(got.wait().error, SocketClosedError)
            assert got.error.delivery == delivery
        server.wait_until(lambda: server.connections == 0)
        self.stays_closed(socket)
        assert (inputs(server), server.accepted) == (["started", "sent"], 1)

    def test_scenario_29_an_observer_that_sends_again_at_once(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.on("hold", ["text", Hold()])
        got = Recorder(socket.send_request(ask("hold")).pipe(ops.retry(5))).wait_for(2)
        socket.close()
        assert isinstance(got.wait().error, SocketClosedError)
        assert len(got.values) == 2
        self.stays_closed(socket)
        assert server.accepted == 1

    def test_scenario_29_the_peer_does_not_answer_the_closing_handshake(self) -> None:
        options = ConnectionOptions(close_timeout=0.1, ping_interval=None)
        with ResponsesServer() as server:
            server.fault(Fault(Hold(after=0)))
            socket = ResponsesWebSocket(server.url, options=options)
            got = Recorder(socket.send_request(ask()))
            server.wait_until(lambda: len(server.requests) == 1)
            server.disturb(Stall(pongs=False))
            socket.close()
            assert isinstance(got.wait().error, SocketClosedError)
            asyncio.run(asyncio.wait_for(socket.wait_closed(), WAIT))

    def stays_closed(self, socket: ResponsesWebSocket) -> None:
        socket.close()
        late = Recorder(socket.send_request(ask())).wait()
        assert isinstance(late.error, SocketClosedError)
        assert late.error.delivery == "not_sent"
        states = Recorder(socket.state).wait()
        assert set(states.values) <= {ConnectionState.CLOSING, ConnectionState.CLOSED}
        assert states.values[-1] is ConnectionState.CLOSED


class TestBlockedWrites:
    """The peer reads nothing while a large request is written to it."""

    @pytest.mark.parametrize("how", ["close", "dispose"])
    def test_scenario_29_it_ends_within_the_bound(self, server: ResponsesServer, how: str) -> None:
        async def main() -> None:
            options = ConnectionOptions(close_timeout=0.1, ping_interval=None, on_dispose="close", lanes=True)
            server.on("stall", ["text", Stall(after=1, pongs=False)])
            socket = ResponsesWebSocket(server.url, options=options)
            stalled = asyncio.Event()
            small = Recorder(socket.send_request(ask("stall"), stream_id="a"), lambda _: stalled.set())
            await stalled.wait()
            server.disturb(Stall(pongs=False))
            large = Recorder(socket.send_request(ask("x" * 2**25)))
            await asyncio.sleep(0)
            assert socket._connection is not None
            websocket = socket._connection._websocket
            assert websocket is not None
            while not websocket.transport.get_write_buffer_size():  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0)
            if how == "close":
                socket.close()
                assert isinstance(large.error, SocketClosedError)
                assert large.error.delivery == "unknown"
            else:
                large.subscription.dispose()
                assert isinstance(small.error, ConnectionLostError)
            assert small.error.delivery == "started"
            while socket._connections:  # noqa: ASYNC110
                await asyncio.sleep(0)
            socket.close()
            await socket.wait_closed()

        asyncio.run(asyncio.wait_for(main(), WAIT))


class TestOneConnection:
    @pytest.mark.parametrize("options", [ConnectionOptions(), CLOSE], ids=["drain", "close"])
    def test_scenario_30_disposed_in_the_handshake_and_sent_again(
        self, server: ResponsesServer, options: ConnectionOptions
    ) -> None:
        asked, go = threading.Event(), threading.Event()

        def key() -> str:
            asked.set()
            go.wait(WAIT)
            return "k"

        with ResponsesWebSocket(server.url, api_key=key, options=options) as socket:
            first = Recorder(socket.send_request(ask("first")))
            assert asked.wait(WAIT)
            first.subscription.dispose()
            second = Recorder(socket.send_request(ask("second")))
            go.set()
            assert second.wait().completions == 1
            assert (server.accepted, server.connections) == (1, 1)
            assert not first.ended
        server.wait_until(lambda: server.connections == 0)
        assert inputs(server) == ["second"]

    def test_scenario_30_sent_again_while_the_old_one_goes_down(
        self, server: ResponsesServer, closing: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold()])
        server.on("again", ["again", Hold(gate)])
        first = Recorder(closing.send_request(ask("hold"))).wait_for(2)
        first.subscription.dispose()  # begins to close
        second = Recorder(closing.send_request(ask("again"))).wait_for(2)
        server.wait_until(lambda: server.accepted == 2 and server.connections == 1)
        third = Recorder(closing.send_request(ask("third"), stream_id="a"))
        assert third.wait().completions == 1
        gate.open()
        assert second.wait().text == "again"
        assert (server.accepted, server.connections) == (2, 1)

    def test_scenario_30_over_and_over(self, server: ResponsesServer, closing: ResponsesWebSocket) -> None:
        server.on("hold", ["text", Hold(Gate())])
        for number in range(20):
            got = Recorder(closing.send_request(ask("hold")))
            if number % 3:
                got.wait_for(number % 3)
            got.subscription.dispose()
        assert Recorder(closing.send_request(ask("last"))).wait().completions == 1
        server.wait_until(lambda: server.connections == 1)
        closing.close()
        server.wait_until(lambda: server.connections == 0)


def test_scenario_11_leaving_a_stream_leaves_no_task_behind(server: ResponsesServer) -> None:
    async def main() -> None:
        server.on("hold", ["text", Hold()])
        for options in (ConnectionOptions(lanes=True), CLOSE):
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
