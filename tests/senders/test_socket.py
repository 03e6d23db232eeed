"""The socket against the embedded server: how streams end, what subscribing sends, and the state."""

from __future__ import annotations

import pytest
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionState,
    InvalidRequestError,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponseIncompleteEvent,
    ResponsesWebSocket,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Failure, Hold, Raw, ResponsesServer

from ..support.clients import ask
from ..support.recorder import Recorder


class TestEndings:
    def test_scenario_01_completed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply("Hello there.", "Again.")
        got = Recorder(socket.send_request(ask())).wait()
        assert isinstance(got.values[-1], ResponseCompletedEvent)
        assert (got.completions, got.errors) == (1, [])
        assert got.text == "Hello there."
        assert Recorder(socket.send_request(ask())).wait().text == "Again."

    def test_scenario_01_failed_incomplete_and_error(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        for kind in ("response.failed", "response.incomplete"):
            server.reply(Raw([{"type": kind, "response": {"id": "r", "status": kind[9:]}}]))
            got = Recorder(socket.send_request(ask())).wait()
            assert (got.types, got.completions) == ([kind], 1)
        server.reply(Failure("server_error", after=0))
        got = Recorder(socket.send_request(ask())).wait()
        assert (got.types, got.completions) == (["error"], 1)
        assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_scenario_02_incomplete_is_a_value_and_keeps_its_usage(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply("word " * 20)
        got = Recorder(socket.send_request(ask(max_output_tokens=16))).wait()
        last = got.values[-1]
        assert isinstance(last, ResponseIncompleteEvent)
        assert last.response.incomplete_details is not None
        assert last.response.incomplete_details.reason == "max_output_tokens"
        assert last.response.usage is not None
        assert last.response.usage.output_tokens == 16
        assert got.completions == 1

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_03_error_then_failed(
        self, server: ResponsesServer, socket: ResponsesWebSocket, lane: str | None
    ) -> None:
        server.reply(["some text", Failure("server_error", after=6)], "the next")
        unrouted = Recorder(socket.unrouted)
        first = Recorder(socket.send_request(ask(), stream_id=lane))
        second = Recorder(socket.send_request(ask(), stream_id=lane))
        first.wait()
        second.wait()
        assert first.types[-1] == "error"
        assert first.completions == second.completions == 1
        assert second.text == "the next"
        assert unrouted.wait_for(1).types == ["response.failed"]

    def test_scenario_04_error_shapes(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        headers = {"retry-after": "7"}
        server.reply(
            Raw([{"type": "error", "code": "c", "message": "m", "param": "p"}]),
            Raw(
                [
                    {
                        "type": "error",
                        "status": 429,
                        "error": {"type": "t", "code": "c", "message": "m", "param": "p", "headers": headers},
                    }
                ]
            ),
        )
        for status, kind, sent in ((None, None, {}), (429, "t", headers)):
            failure = Recorder(socket.send_request(ask()).pipe(rops.raise_on_failure())).wait().error
            assert (failure.code, failure.param, failure.status, failure.type) == ("c", "p", status, kind)
            assert dict(failure.headers) == sent
            assert failure.delivery == "rejected"

    @pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012])
    def test_scenario_05_close_in_mid_response(
        self, server: ResponsesServer, socket: ResponsesWebSocket, code: int
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate, after=5)])
        server.on("close", ["text", Close(code, "bye", after=5)])
        held = Recorder(socket.send_request(ask("hold"), stream_id="a"))
        held.wait_for(5)
        closed = Recorder(socket.send_request(ask("close"), stream_id="b"))
        for got in (held.wait(), closed.wait()):
            assert isinstance(got.error, ConnectionLostError)
            assert got.error.close_code == code
            assert got.error.close_reason == ("bye" if code != 1006 else "")
            assert got.error.delivery == "started"
            assert got.error.response_id is not None
            assert str(code) in str(got.error) or code == 1006

    def test_scenario_05_sent_and_not_sent(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate, after=0)])
        sent = Recorder(socket.send_request(ask("hold")))
        waiting = Recorder(socket.send_request(ask("later")))
        server.wait_until(lambda: len(server.requests) == 1)
        server.close_connections(1011)
        assert sent.wait().error.delivery == "unknown"
        assert waiting.wait().error.delivery == "not_sent"
        assert len(server.requests) == 1

    def test_scenario_05_a_lost_socket_connects_again_on_the_next_request(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply(Close(1006), "fine")
        texts = Recorder(socket.send_request(ask()).pipe(ops.retry(2), rops.collect_text())).wait()
        assert texts.values == ["fine"]
        assert server.accepted == 2
        assert len(server.requests) == 2

    @pytest.mark.parametrize("code", [1000, 1006, 1011])
    def test_scenario_06_close_right_after_the_terminal_event(
        self, server: ResponsesServer, socket: ResponsesWebSocket, code: int
    ) -> None:
        server.reply(["all of it", Close(code, after=1000)])
        got = Recorder(socket.send_request(ask())).wait()
        assert got.types[-1] == "response.completed"
        assert (got.completions, got.errors) == (1, [])

    def test_scenario_07_warm_up(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        source = socket.send_request(ask("remember", generate=False))
        got = Recorder(source).wait()
        assert got.types == ["response.created", "response.in_progress", "response.completed"]
        last = got.values[-1]
        assert isinstance(last, ResponseCompletedEvent)
        assert last.response.output == []
        assert Recorder(source.pipe(rops.collect_text())).wait().values == [""]
        chained = ResponseCreate(model="m", input="go", previous_response_id=last.response.id)
        assert Recorder(socket.send_request(chained)).wait().types[-1] == "response.completed"


class TestRequests:
    def test_nothing_happens_before_a_subscription(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        socket.send_request(ask())
        assert server.accepted == 0

    def test_scenario_41_each_subscription_sends_once(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        source = socket.send_request(ask())
        Recorder(source).wait()
        Recorder(source).wait()
        assert len(server.requests) == 2
        shared = source.pipe(ops.share())
        gate = server.gate()
        server.reply(["text", Hold(gate)])
        both = [Recorder(shared), Recorder(shared)]
        gate.open()
        for one in both:
            assert one.wait().text == "text"
        assert len(server.requests) == 3

    def test_the_right_key(self) -> None:
        with ResponsesServer(api_key="sesame") as server, ResponsesWebSocket(server.url, api_key="sesame") as socket:
            assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_the_wrong_key(self) -> None:
        with ResponsesServer(api_key="sesame") as server, ResponsesWebSocket(server.url, api_key="open") as socket:
            error = Recorder(socket.send_request(ask(), stream_id="a")).wait().error
            assert isinstance(error, ConnectFailedError)
            assert (error.status, error.delivery, error.stream_id) == (401, "not_sent", "a")
            assert "open" not in str(error).split()
            assert server.requests == []

    def test_a_key_function_is_called_at_each_connect(self) -> None:
        keys = iter(["wrong", "sesame"])
        with (
            ResponsesServer(api_key="sesame") as server,
            ResponsesWebSocket(server.url, api_key=lambda: next(keys)) as socket,
        ):
            assert Recorder(socket.send_request(ask()).pipe(ops.retry(2))).wait().completions == 1

    def test_scenario_47_a_key_function_that_raises(self, server: ResponsesServer) -> None:
        def fail() -> str:
            raise RuntimeError("vault says s3cret")

        with ResponsesWebSocket(server.url, api_key=fail) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, ConfigurationError)
        assert error.delivery == "not_sent"
        assert "s3cret" not in str(error)
        assert server.accepted == 0

    def test_a_port_without_a_listener(self, server: ResponsesServer) -> None:
        url = server.url
        server.close()
        server.__exit__()
        with ResponsesWebSocket(url) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, ConnectFailedError)
        assert error.delivery == "not_sent"
        assert isinstance(error.__cause__, OSError)
        assert "nothing was sent" in str(error)

    def test_no_such_path(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url.replace("/v1", "/v9")) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert error.status == 404

    def test_the_model_is_in_the_url_for_gateways(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        assert "model" not in repr(socket)
        assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_no_key_for_the_official_service(self) -> None:
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            ResponsesWebSocket()

    def test_the_environment_is_read_when_the_socket_is_made(
        self, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with ResponsesWebSocket() as socket:
            monkeypatch.delenv("OPENAI_BASE_URL")
            assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_a_request_that_json_cannot_hold(self, socket: ResponsesWebSocket) -> None:
        with pytest.raises(InvalidRequestError):
            socket.send_request(ask(extra_body={"x": object()}))

    def test_a_mapping_is_a_request(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        body = {"type": "response.create", "model": "m", "input": [{"role": "user", "content": "hi"}], "stream": True}
        assert Recorder(socket.send_request(body)).wait().completions == 1
        assert server.requests == [{name: value for name, value in body.items() if name != "stream"}]


class TestState:
    def test_from_idle_to_closed(self, server: ResponsesServer) -> None:
        socket = ResponsesWebSocket(server.url)
        states = Recorder(socket.state)
        assert states.values == [ConnectionState.IDLE]
        Recorder(socket.send_request(ask())).wait()
        server.drop()
        states.wait_for(4)
        Recorder(socket.send_request(ask())).wait()
        socket.close()
        states.wait()
        assert [state.value for state in states.values] == [
            *("idle", "connecting", "open", "idle", "connecting", "open", "closing", "closed")
        ]
        assert states.completions == 1
        late = Recorder(socket.state)
        assert late.values == [ConnectionState.CLOSED]
        assert late.completions == 1

    def test_events_and_unrouted_complete(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        sources = [Recorder(socket.events), Recorder(socket.unrouted)]
        Recorder(socket.send_request(ask())).wait()
        socket.close()
        for source in sources:
            assert source.wait().completions == 1

    def test_a_disposed_subscription_to_events_gets_nothing(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        watcher = Recorder(socket.events)
        Recorder(socket.send_request(ask())).wait()
        count = len(watcher.values)
        assert count
        watcher.subscription.dispose()
        Recorder(socket.send_request(ask())).wait()
        assert len(watcher.values) == count


class TestSends:
    def test_scenario_41_twice_retried_and_shared(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        source = socket.send_request(ask("twice"))
        both = [Recorder(source), Recorder(source)]
        for one in both:
            assert one.wait().completions == 1
        assert len(server.requests) == 2
        server.on("retry", Close(1011))
        retried = Recorder(socket.send_request(ask("retry")).pipe(ops.retry(3))).wait()
        assert isinstance(retried.error, ConnectionLostError)
        assert len(server.requests) == 5
        shared = socket.send_request(ask("share")).pipe(ops.share())
        gate = server.gate()
        server.on("share", ["text", Hold(gate)])
        first = Recorder(shared).wait_for(2)
        late = Recorder(shared)
        gate.open()
        assert (first.wait().text, late.wait().text) == ("text", "text")
        assert len(server.requests) == 6
        replayed = socket.send_request(ask("replay")).pipe(ops.replay())
        connection = replayed.connect()
        for _ in range(2):
            assert Recorder(replayed).wait().types[0] == "response.created"
        assert connection is not None
        connection.dispose()
        assert len(server.requests) == 7

    def test_scenario_41_repeat_defer_amb_and_concat(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        source = socket.send_request(ask())
        assert Recorder(source.pipe(ops.repeat(3))).wait().types.count("response.completed") == 3
        assert Recorder(source.pipe(ops.concat(source))).wait().types.count("response.completed") == 2
        assert len(server.requests) == 5
        gate = server.gate()
        server.on("slow", ["slow", Hold(gate, after=0)])
        server.on("fast", "fast")
        lanes = {name: socket.send_request(ask(name), stream_id=name) for name in ("slow", "fast")}
        raced = Recorder(lanes["fast"].pipe(ops.amb(lanes["slow"])))
        gate.open()
        assert raced.wait().completions == 1
        assert len(server.requests) <= 7  # the request that lost the race may not be sent yet

    def test_scenario_41_a_pipeline_sends_nothing_by_itself(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        pipeline: Observable[str] = socket.send_request(ask()).pipe(ops.retry(3), rops.collect_text(), ops.share())
        assert server.upgrades == []
        Recorder(pipeline).wait()
        assert len(server.requests) == 1
