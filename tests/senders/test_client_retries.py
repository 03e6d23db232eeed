"""Requests that the server refuses: which are sent again, when, how often, and what is seen of it."""

from __future__ import annotations

from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConnectFailedError,
    InvalidRequestError,
    PoolOptions,
    QueueTimeoutError,
    ResponseErrorEvent,
    ResponseFailedError,
    ResponsesClient,
)
from rxresponses.testing import Close, Expire, Failure, Fault, Hold, Raw, RefuseUpgrade, ResponsesServer

from ..support.clients import (
    STEADY_BACKOFF,
    WITH_LANES,
    ask,
    fast_retries,
    input_counts,
    inputs,
    late_retries,
    states_of,
    until_state,
    without_pings,
)
from ..support.recorder import AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


def refusal(code: str | None, **facts: Any) -> Failure:
    """Return a failure that comes before the first event of a response."""
    return Failure(code, after=0, **facts)


class TestRefusedForNow:
    @pytest.mark.parametrize(
        "failure",
        [
            refusal("server_error"),
            refusal("server_is_overloaded", status=503),
            refusal(None, status=500),
            refusal("rate_limit_exceeded"),
            refusal("slow_down", status=503),
            refusal("websocket_queue_full", status=429),
            refusal("response_already_in_flight", status=409),
        ],
        ids=lambda failure: str(failure.code),
    )
    def test_a_temporary_refusal_is_sent_again_and_not_delivered(
        self, server: ResponsesServer, client: ResponsesClient, failure: Failure
    ) -> None:
        watcher = Recorder(client.events)
        server.reply(failure, failure, "answer")
        got = Recorder(client.send_request(ask("again"), stream_id="a")).wait()
        assert got.text == "answer"
        assert got.types[0] == "response.created"
        assert got.completions == 1
        assert input_counts(server) == {"again": 3}
        assert watcher.types.count("error") == 2
        assert [exchange.outcome for exchange in server.exchanges] == ["refused", "refused", "completed"]

    def test_max_retries_bounds_the_retries(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.fault(Fault(refusal("server_error"), match="broken"))
        got = Recorder(client.send_request(ask("broken"))).wait()
        assert (got.types, got.completions) == (["error"], 1)
        assert input_counts(server) == {"broken": 4}
        assert Recorder(client.send_request(ask("fine"))).wait().types[-1] == "response.completed"

    def test_the_lane_waits_for_the_retry(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.fault(Fault(refusal("server_error"), match="first", times=2))
        lane = client.lane("a")
        got = [Recorder(lane.send_request(ask(text))) for text in ("first", "second")]
        assert all(one.wait().types[-1] == "response.completed" for one in got)
        assert inputs(server) == ["first", "first", "first", "second"]

    @pytest.mark.parametrize(
        "failure",
        [
            refusal("insufficient_quota"),
            refusal("context_length_exceeded"),
            refusal("invalid_prompt", status=400),
            refusal("model_not_found", status=404, type="invalid_request_error"),
            refusal(None, status=401, type="authentication_error"),
        ],
        ids=lambda failure: str(failure.code),
    )
    def test_a_permanent_refusal_is_delivered(
        self, server: ResponsesServer, client: ResponsesClient, failure: Failure
    ) -> None:
        server.fault(Fault(failure))
        got = Recorder(client.send_request(ask("once"))).wait()
        assert (got.types, got.completions) == (["error"], 1)
        assert isinstance(got.values[0], ResponseErrorEvent)
        assert input_counts(server) == {"once": 1}
        assert Recorder(client.state).wait_for(1).values[0].paused_for is None

    @pytest.mark.parametrize("after", [1, 2, 6])
    def test_a_failure_after_output_is_delivered(
        self, server: ResponsesServer, client: ResponsesClient, after: int
    ) -> None:
        server.reply(["some text", Failure("server_error", after=after)])
        got = Recorder(client.send_request(ask("once"))).wait()
        assert got.types[-1] == "error"
        assert len(got.types) == after + 1
        assert input_counts(server) == {"once": 1}

    def test_the_delays_grow(self, server: ResponsesServer) -> None:
        server.fault(Fault(refusal("server_error"), match="broken"))

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(
                server.url, options=without_pings(), pool=PoolOptions(backoff=STEADY_BACKOFF)
            ) as client:
                events = AsyncRecorder(client.events)
                got = AsyncRecorder(client.send_request(ask("broken")))
                for number, delay in enumerate([1.0, 2.0, 4.0], 1):
                    await events.until(lambda: events.types.count("error") == number)  # noqa: B023
                    await AsyncRecorder(client.send_request(ask("fine"))).until_end()  # no other request has to wait
                    await loop.advance(delay - 0.001)
                    assert input_counts(server)["broken"] == number
                    await loop.advance(0.001)
                    await server.until(lambda: input_counts(server)["broken"] == number + 1)  # noqa: B023
                assert (await got.until_end()).types == ["error"]

        run_in_virtual_time(main)

    def test_retry_after_is_obeyed(self, server: ResponsesServer) -> None:
        server.reply(refusal("server_error", headers={"Retry-After": "20"}), "answer")

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(
                server.url, options=without_pings(), pool=PoolOptions(backoff=STEADY_BACKOFF)
            ) as client:
                events = AsyncRecorder(client.events)
                got = AsyncRecorder(client.send_request(ask()))
                await events.until_count(1)
                states = AsyncRecorder(client.state)
                await states.until(lambda: states.values[-1].queued == 1)
                assert states.values[-1].paused_for is None
                await loop.advance(19.9)
                assert len(server.requests) == 1
                await loop.advance(0.1)
                assert (await got.until_end()).text == "answer"

        run_in_virtual_time(main)

    def test_disposed_while_it_waits_for_its_retry(self, server: ResponsesServer) -> None:
        server.fault(Fault(refusal("server_error"), match="broken"))
        with ResponsesClient(server.url, options=WITH_LANES, pool=late_retries()) as client:
            states = states_of(client)
            got = Recorder(client.send_request(ask("broken"), stream_id="a"))
            behind = Recorder(client.send_request(ask("behind"), stream_id="a"))
            server.wait_until(lambda: len(server.requests) == 1)
            until_state(states, lambda state: (state.active, state.queued) == (0, 2))
            got.subscription.dispose()
            assert behind.wait().completions == 1
            until_state(states, lambda state: state.queued == 0)
            assert got.values == []
        assert input_counts(server) == {"broken": 1, "behind": 1}

    def test_disposed_before_it_was_refused(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("broken", [Hold(gate, after=0), refusal("server_error")])
        events = Recorder(client.events)
        got = Recorder(client.send_request(ask("broken")))
        server.wait_until(lambda: len(server.requests) == 1)
        got.subscription.dispose()
        gate.open()
        events.wait_for(1)
        assert Recorder(client.send_request(ask())).wait().completions == 1
        assert input_counts(server)["broken"] == 1

    def test_closed_while_it_waits_for_its_retry(self, server: ResponsesServer) -> None:
        server.fault(Fault(refusal("server_error")))
        with ResponsesClient(server.url, options=WITH_LANES, pool=late_retries()) as client:
            got = Recorder(client.send_request(ask()))
            until_state(states_of(client), lambda state: (state.open, state.queued, state.active) == (1, 1, 0))
            client.close()
            assert got.wait().error.delivery == "not_sent"
        assert len(server.requests) == 1

    def test_queue_timeout_does_not_include_the_wait_for_a_retry(self, server: ResponsesServer) -> None:
        """The request was sent in time.  `max_retries` bounds the wait for its retries."""
        server.reply(refusal("server_error", headers={"Retry-After": "100"}), "answer")

        async def main(loop: VirtualTimeLoop) -> None:
            options = without_pings(queue_timeout=10.0)
            async with ResponsesClient(server.url, options=options, pool=PoolOptions(backoff=STEADY_BACKOFF)) as client:
                events = AsyncRecorder(client.events)
                got = AsyncRecorder(client.send_request(ask()))
                await events.until_count(1)
                await loop.advance(99.0)
                assert not got.ended
                await loop.advance(1.0)
                assert (await got.until_end()).text == "answer"

        run_in_virtual_time(main)

    def test_an_error_of_the_package_that_an_observer_raises(
        self, server: ResponsesServer, client: ResponsesClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The observer may raise the error of another request: its own request is not sent again."""
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        raised = [ConnectFailedError("of another"), InvalidRequestError("of another")]
        for name, error in zip("ab", raised, strict=True):

            def fail(event: Any, error: Exception = error) -> None:
                raise error

            got = Recorder(client.send_request(ask("hold"), stream_id=name), fail).wait()
            assert got.error is error
            assert len(got.values) == 1
        assert getattr(raised[0], "stream_id", None) is None
        behind = Recorder(client.send_request(ask("behind"), stream_id="a"))
        until_state(states_of(client), lambda state: (state.active, state.queued) == (2, 1))
        gate.open()
        assert behind.wait().completions == 1
        assert input_counts(server) == {"hold": 2, "behind": 1}
        assert len(caplog.records) == 2

    def test_requests_with_delivery_unknown_or_started_are_not_sent_again(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        kinds: list[Close | Expire] = [Close(1006, after=0), Close(1001, after=1), Expire(after=0), Expire(after=3)]
        for number, kind in enumerate(kinds):
            server.on(f"^{number}$", ["text", kind])
            got = Recorder(client.send_request(ask(str(number)))).wait()
            assert got.error.delivery == ("started" if kind.after else "unknown")
        assert input_counts(server) == {str(number): 1 for number in range(len(kinds))}

    def test_the_retry_operator_counts_only_delivered_errors(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """`retry` does not count the refusals that the client has retried itself."""
        server.reply([Close(1006, after=3), "text"], refusal("server_error"), "answer")
        got = Recorder(client.send_request(ask()).pipe(ops.retry(2))).wait()
        assert got.types[-1] == "response.completed"
        assert len(server.requests) == 3


class TestRateLimits:
    """A rate limit pauses the whole client for as long as the server says."""

    POOL = PoolOptions(backoff=STEADY_BACKOFF)

    async def pauses(
        self, server: ResponsesServer, client: ResponsesClient, loop: VirtualTimeLoop, seconds: float
    ) -> None:
        """Check that the client pauses for so long, for all requests, and goes on then."""
        states = AsyncRecorder(client.state)
        await states.until(lambda: states.values[-1].paused_for is not None)
        assert states.values[-1].paused_for == pytest.approx(seconds)
        before = len(server.requests)
        waiting = [AsyncRecorder(client.send_request(ask(f"while paused {number}"))) for number in range(3)]
        await loop.advance(seconds - 0.1)
        assert len(server.requests) == before
        assert not any(one.ended for one in waiting)
        await loop.advance(0.1)
        for one in waiting:
            assert (await one.until_end()).types[-1] == "response.completed"
        await states.until(lambda: states.values[-1].paused_for is None)

    def test_refused_with_an_error(self, server: ResponsesServer) -> None:
        server.reply(refusal("rate_limit_exceeded", headers={"Retry-After": "7"}), "answer")

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                events = AsyncRecorder(client.events)
                got = AsyncRecorder(client.send_request(ask()))
                await events.until_count(1)
                assert events.types == ["error"]
                await self.pauses(server, client, loop, 7.0)
                assert (await got.until_end()).text == "answer"

        run_in_virtual_time(main)

    def test_an_error_in_mid_stream(self, server: ResponsesServer) -> None:
        server.reply(["text", Failure("rate_limit_exceeded", after=3, headers={"retry-after-ms": "2500"})])

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                got = await AsyncRecorder(client.send_request(ask("once"))).until_end()
                assert got.types[-1] == "error"
                await self.pauses(server, client, loop, 2.5)
                assert input_counts(server)["once"] == 1

        run_in_virtual_time(main)

    def test_a_failed_response(self, server: ResponsesServer) -> None:
        created = {"type": "response.created", "response": {"id": "r"}}
        failed = {
            "type": "response.failed",
            "response": {
                "id": "r",
                "status": "failed",
                "usage": {"input_tokens": 3},  # so it must not be sent again
                "error": {"code": "rate_limit_exceeded", "message": "slow"},
            },
        }
        server.on(
            "once",
            lambda request: Raw([{**event, "stream_id": request.stream_id} for event in (created, failed)]),
        )

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                got = await AsyncRecorder(client.send_request(ask("once"))).until_end()
                assert got.types == ["response.created", "response.failed"]
                await self.pauses(server, client, loop, 1.0)

        run_in_virtual_time(main)

    @pytest.mark.parametrize(
        ("code", "message", "seconds"),
        [
            ("rate_limit_exceeded", "Rate limit reached. Please try again in 0.2s.", 0.2),
            ("rate_limit_exceeded", "slow", 1.0),
            ("usage_limit_reached", "The limit resets in 9s", 9.0),
        ],
    )
    @pytest.mark.parametrize("with_error", [False, True], ids=["failed", "error and failed"])
    def test_scenario_64_a_failed_response_without_output_is_sent_again(
        self, server: ResponsesServer, code: str, message: str, seconds: float, with_error: bool
    ) -> None:
        created = {"type": "response.created", "response": {"id": "r"}}
        error = {"code": code, "message": message}
        failed = {"type": "response.failed", "response": {"id": "r", "output": [], "usage": None, "error": error}}
        # The service sends an `error` inside a running response, and then `response.failed`.
        frames = (created, {"type": "error", "error": error}, failed) if with_error else (created, failed)
        server.reply(lambda request: Raw([{**event, "stream_id": request.stream_id} for event in frames]), "answer")

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                events = AsyncRecorder(client.events)
                got = AsyncRecorder(client.send_request(ask("again")))
                await events.until_count(len(frames))
                assert (await got.until_count(1)).types == ["response.created"]
                await self.pauses(server, client, loop, seconds)
                assert (await got.until_end()).text == "answer"
                assert got.types.count("response.created") == 2
                assert "response.failed" not in got.types
                assert input_counts(server)["again"] == 2

        run_in_virtual_time(main)

    def test_a_refused_upgrade(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(429, headers={"Retry-After": "9"}), connection=2))

        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            async with ResponsesClient(server.url, options=without_pings(max_active=2), pool=self.POOL) as client:
                states = AsyncRecorder(client.state)
                held = [AsyncRecorder(client.send_request(ask("hold"))) for _ in range(2)]
                for one in held:
                    await one.until_count(2)  # so that the second connection is opened for "other"
                other = AsyncRecorder(client.send_request(ask("other")))
                await states.until(lambda: states.values[-1].paused_for is not None)
                gate.open()
                for one in held:
                    assert (await one.until_end()).completions == 1
                await self.pauses(server, client, loop, 9.0)
                assert (await other.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_the_pauses_grow_without_retry_after(self, server: ResponsesServer) -> None:
        server.fault(Fault(refusal("rate_limit_exceeded"), match="first", times=2))

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                states = AsyncRecorder(client.state)
                got = AsyncRecorder(client.send_request(ask("first")))
                for delay in (1.0, 2.0):
                    await states.until(lambda: states.values[-1].paused_for == pytest.approx(delay))  # noqa: B023
                    await loop.advance(delay)
                assert (await got.until_end()).types[-1] == "response.completed"

        run_in_virtual_time(main)

    def test_a_refused_burst_is_one_refusal(self, server: ResponsesServer) -> None:
        server.fault(Fault(refusal("rate_limit_exceeded"), times=10))

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                events = AsyncRecorder(client.events)
                got = [AsyncRecorder(client.send_request(ask(str(number)))) for number in range(10)]
                await events.until_count(10)
                assert events.types == ["error"] * 10
                await self.pauses(server, client, loop, 1.0)
                for one in got:
                    assert (await one.until_end()).types[-1] == "response.completed"
                assert {input_counts(server)[str(number)] for number in range(10)} == {2}

        run_in_virtual_time(main)

    def test_fewer_requests_at_once_after_a_rate_limit(self, server: ResponsesServer) -> None:
        server.fault(Fault(refusal("rate_limit_exceeded"), times=8))

        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("", ["text", Hold(gate)])
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                events, states = AsyncRecorder(client.events), AsyncRecorder(client.state)
                got = [AsyncRecorder(client.send_request(ask())) for _ in range(8)]
                await events.until_count(8)
                await states.until(lambda: states.values[-1].paused_for is not None and not states.values[-1].active)
                await loop.advance(1.0)
                await states.until(lambda: states.values[-1].active > 0)
                assert (states.values[-1].active, states.values[-1].queued) == (4, 4)
                gate.open()
                for one in got:
                    assert (await one.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_insufficient_quota_is_no_rate_limit(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.reply(refusal("insufficient_quota", headers={"Retry-After": "100"}), "answer")
        assert Recorder(client.send_request(ask())).wait().types == ["error"]
        assert Recorder(client.send_request(ask())).wait().text == "answer"

    def test_the_state_shows_the_end_of_the_pause(self, server: ResponsesServer) -> None:
        server.reply(["text", Failure("rate_limit_exceeded", after=3, headers={"Retry-After": "5"})])

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(), pool=self.POOL) as client:
                states = AsyncRecorder(client.state)
                await AsyncRecorder(client.send_request(ask())).until_end()
                await states.until(lambda: states.values[-1].paused_for is not None)
                await loop.advance(5.0)
                assert states.values[-1].paused_for is None

        run_in_virtual_time(main)

    def test_queue_timeout_includes_the_pause(self, server: ResponsesServer) -> None:
        server.reply(["text", Failure("rate_limit_exceeded", after=3, headers={"Retry-After": "60"})])

        async def main(loop: VirtualTimeLoop) -> None:
            async with ResponsesClient(server.url, options=without_pings(queue_timeout=10.0), pool=self.POOL) as client:
                await AsyncRecorder(client.send_request(ask())).until_end()
                waiting = AsyncRecorder(client.send_request(ask()))
                await loop.advance(10.0)
                assert isinstance(waiting.error, QueueTimeoutError)
                assert "sends nothing for 50 s more because of a rate limit" in str(waiting.error)
                refusal = waiting.error.__cause__
                assert isinstance(refusal, ResponseFailedError)
                assert refusal.code == "rate_limit_exceeded"

        run_in_virtual_time(main)


def test_scenario_63_heartbeats_before_a_rate_limit_leave_the_request_to_be_sent_again(
    server: ResponsesServer,
) -> None:
    refused = {
        "type": "error",
        "status": 429,
        "error": {"code": "rate_limit_exceeded", "headers": {"retry-after": "0"}},
    }
    beats = [{"type": kind, "stream_id": "lane-1"} for kind in ("codex.keepalive", "codex.rate_limits")]
    server.reply(Raw([*beats, refused]), "hello")
    with ResponsesClient(server.url, pool=fast_retries()) as client:
        got = Recorder(client.send_request(ask())).wait()
    assert not got.errors
    assert [event.type for event in got.values[:3]] == ["codex.keepalive", "codex.rate_limits", "response.created"]
    assert len(server.requests) == 2
