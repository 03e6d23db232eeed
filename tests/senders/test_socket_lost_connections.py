"""Lost connections: the `delivery` in the error of each request, and the next connection."""

from __future__ import annotations

import threading

import pytest
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import ConnectFailedError, ConnectionLostError, ConnectionState, ResponsesWebSocket, ServerEvent
from rxresponses.testing import Close, Expire, Fault, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import WITH_LANES, ask, inputs
from ..support.raw_server import silent_listener
from ..support.recorder import WAIT, Recorder


class TestDelivery:
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
        with silent_listener() as (url, listener), ResponsesWebSocket(url) as socket:
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

    def test_each_delivery_of_one_loss(self, server: ResponsesServer) -> None:
        server.on("started", ["text", Hold()])
        server.on("sent", Hold(after=0))
        with ResponsesWebSocket(server.url, options=WITH_LANES) as socket:
            started = Recorder(socket.send_request(ask("started"), stream_id="a")).wait_for(2)
            sent = Recorder(socket.send_request(ask("sent"), stream_id="b"))
            server.wait_until(lambda: len(server.requests) == 2)
            waiting = Recorder(socket.send_request(ask("waiting"), stream_id="a"))
            server.close_connections(1012, "restart")
            for got, delivery in ((started, "started"), (sent, "unknown"), (waiting, "not_sent")):
                assert isinstance(got.wait().error, ConnectionLostError)
                assert (got.error.delivery, got.error.close_code) == (delivery, 1012)
        assert inputs(server) == ["started", "sent"]


@pytest.mark.usefixtures("nothing_logged")
class TestExpiry:
    def test_scenario_24_at_the_age_limit_while_idle(self) -> None:
        with ResponsesServer(max_age=1.0) as server, ResponsesWebSocket(server.url) as socket:
            unrouted = Recorder(socket.unrouted)
            states = Recorder(socket.state)
            # A retry, because a busy machine may need the whole second.
            source = socket.send_request(ask()).pipe(ops.retry(5))
            assert Recorder(source).wait().completions == 1
            event = unrouted.wait_for(1).values[0]
            assert event.code == "websocket_connection_limit_reached"  # type: ignore[attr-defined]
            states.wait(lambda: states.values[-1] is ConnectionState.IDLE)
            assert Recorder(source).wait().completions == 1
            assert server.accepted >= 2
            assert not unrouted.ended

    def test_scenario_24_at_the_age_limit_again_and_again(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        unrouted = Recorder(socket.unrouted)
        for number in range(1, 6):
            assert Recorder(socket.send_request(ask())).wait().completions == 1
            assert server.accepted == number
            server.disturb(Expire())
            unrouted.wait_for(number)
        socket.close()
        unrouted.wait()

    @pytest.mark.parametrize("code", [1000, 1001, 1006, 1012])
    def test_scenario_56_closed_while_idle(
        self, server: ResponsesServer, socket: ResponsesWebSocket, code: int
    ) -> None:
        states = Recorder(socket.state)
        Recorder(socket.send_request(ask())).wait()
        server.close_connections(code)
        states.wait(lambda: states.values[-1] is ConnectionState.IDLE)
        assert Recorder(socket.send_request(ask())).wait().completions == 1
        assert server.accepted == 2


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

    def test_scenario_28_every_waiting_request_gets_an_error(
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
            assert len({id(one.error) for one in got}) == 3  # each error gets its own traceback
        assert len(server.upgrades) == 1
