"""Closing a socket in every state, and the errors of its requests."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from reactivex import operators as ops

from rxresponses import ConnectionLostError, ConnectionOptions, ConnectionState, ResponsesWebSocket, SocketClosedError
from rxresponses.testing import Fault, Hold, ResponsesServer, Stall

from ..support.clients import ask, inputs
from ..support.internals import connections_of, spin_until, until_write_blocks
from ..support.raw_server import silent_listener
from ..support.recorder import WAIT, Recorder


class TestClosing:
    def test_requests_in_flight_and_queued_get_an_error(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        running = Recorder(socket.send_request(ask("hold"))).wait_for(2)
        waiting = Recorder(socket.send_request(ask("later")))
        socket.close()
        assert isinstance(running.wait().error, SocketClosedError)
        assert running.error.delivery == "started"
        assert waiting.wait().error.delivery == "not_sent"
        assert len(server.requests) == 1

    def test_a_closed_socket_stays_closed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        Recorder(socket.send_request(ask())).wait()
        socket.close()
        socket.close()
        error = Recorder(socket.send_request(ask(), stream_id="a")).wait().error
        assert isinstance(error, SocketClosedError)
        assert (error.delivery, error.stream_id) == ("not_sent", "a")
        assert server.accepted == 1

    def test_each_of_many_retries_after_the_end_of_the_background_loop_gets_its_error(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        """The thread of that loop may deliver the first of them while it ends; it must come to all others as well."""
        running = Recorder(socket.send_request(ask()).pipe(ops.repeat(2), ops.retry(300)), lambda _: socket.close())
        assert isinstance(running.wait().error, SocketClosedError)
        assert isinstance(Recorder(socket.send_request(ask()).pipe(ops.retry(300))).wait().error, SocketClosedError)

    def test_retries_for_ever_end_with_their_subscription(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        retries: list[Exception] = []
        thread: list[threading.Thread] = []
        is_retrying = threading.Event()

        def count(error: Exception) -> None:
            retries.append(error)
            if len(retries) == 300:
                thread.append(threading.current_thread())
                is_retrying.set()

        server.reply([Hold(server.gate(), after=1)])
        running = Recorder(socket.send_request(ask()).pipe(ops.do_action(on_error=count), ops.retry())).wait_for(1)
        socket.close()
        assert is_retrying.wait(WAIT)
        running.subscription.dispose()
        thread[0].join(WAIT)
        assert not thread[0].is_alive()

    def test_closed_before_it_was_used(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as socket:
            pass
        assert isinstance(Recorder(socket.send_request(ask())).wait().error, SocketClosedError)
        assert server.accepted == 0

    def test_close_while_connecting(self) -> None:
        with silent_listener() as (url, listener), ResponsesWebSocket(url) as socket:
            got = Recorder(socket.send_request(ask()))
            peer, _ = listener.accept()
            socket.close()
            assert isinstance(got.wait().error, SocketClosedError)
            assert got.error.delivery == "not_sent"
            peer.close()

    def test_closed_by_an_observer(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        got = Recorder(socket.send_request(ask()), lambda _: socket.close()).wait()
        assert len(got.values) == 1
        assert isinstance(got.error, SocketClosedError)

    def test_several_sockets_share_one_thread(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as one, ResponsesWebSocket(server.url) as two:
            got = [Recorder(socket.send_request(ask())).wait() for socket in (one, two)]
            assert got[0].threads == got[1].threads
            assert sum(thread.name == "rxresponses" for thread in threading.enumerate()) == 1


class TestRequestsInEveryState:
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
        with silent_listener() as (url, listener), ResponsesWebSocket(url, options=options) as socket:
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
    def test_scenario_29_closing_ends_within_close_timeout(self, server: ResponsesServer, how: str) -> None:
        async def main() -> None:
            options = ConnectionOptions(close_timeout=0.1, ping_interval=None, on_dispose="close", lanes=True)
            server.on("stall", ["text", Stall(after=1, pongs=False)])
            socket = ResponsesWebSocket(server.url, options=options)
            stalled = asyncio.Event()
            small = Recorder(socket.send_request(ask("stall"), stream_id="a"), lambda _: stalled.set())
            await stalled.wait()
            server.disturb(Stall(pongs=False))
            large = Recorder(socket.send_request(ask("x" * 2**25)))
            await until_write_blocks(socket)
            if how == "close":
                socket.close()
                assert isinstance(large.error, SocketClosedError)
                assert large.error.delivery == "unknown"
            else:
                large.subscription.dispose()
                assert isinstance(small.error, ConnectionLostError)
            assert small.error.delivery == "started"
            await spin_until(lambda: not connections_of(socket))
            socket.close()
            await socket.wait_closed()

        asyncio.run(asyncio.wait_for(main(), WAIT))
