"""Disposing a stream of a client, in every state, from observers and from operators."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    ClientState,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    PoolOptions,
    PreviousResponseLostError,
    ResponseCompletedEvent,
    ResponsesClient,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.net import dispatch
from rxresponses.testing import Close, Failure, Fault, Hold, RefuseUpgrade, ResponsesServer, Text
from rxresponses.wire.codec import decode

from ..support.clients import (
    CLOSE_ON_DISPOSE,
    STEADY_BACKOFF,
    WITH_LANES,
    ask,
    fast_retries,
    input_counts,
    inputs,
    late_retries,
    no_thread_left,
    response_id,
    run,
    states_of,
    until_state,
    without_pings,
)
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from ..support.steering import HeldResponse, successor_id
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time

BOTH = pytest.mark.parametrize("options", [WITH_LANES, CLOSE_ON_DISPOSE], ids=["drain", "close"])


class TestDisposing:
    @BOTH
    def test_while_it_connects(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        asked, go = threading.Event(), threading.Event()

        def key() -> str:
            asked.set()
            go.wait(WAIT)
            return "k"

        with no_thread_left(), ResponsesClient(server.url, api_key=key, options=options) as client:
            states = states_of(client)
            got = Recorder(client.send_request(ask()))
            assert asked.wait(WAIT)
            got.subscription.dispose()
            go.set()
            until_state(states, lambda state: state == ClientState(open=1))
        assert not got.ended
        assert (server.accepted, server.requests) == (1, [])

    @BOTH
    def test_while_requests_are_queued(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        one = ConnectionOptions(lanes=True, max_active=1, on_dispose=options.on_dispose)
        with no_thread_left(), ResponsesClient(server.url, options=one, pool=fast_retries(max_connections=1)) as client:
            states = states_of(client)
            running = Recorder(client.send_request(ask("hold"))).wait_for(2)
            parent = response_id(running)
            waiting = [
                Recorder(client.send_request(ask("free"))),
                Recorder(client.send_request(ask("in a lane"), stream_id="a")),
                Recorder(client.send_request(ask("behind it"), stream_id="a")),
                Recorder(client.send_request(ask("bound"), stream_id="a")),
                Recorder(client.send_request(ask("bound", previous_response_id=parent))),
            ]
            until_state(states, lambda state: state.queued == 5)
            for got in (waiting[1], waiting[0], *waiting[2:]):
                got.subscription.dispose()
                got.subscription.dispose()
            until_state(states, lambda state: state.queued == 0)
            gate.open()
            assert running.wait().completions == 1
            assert Recorder(client.send_request(ask("last"))).wait().completions == 1
            assert not any(got.ended for got in waiting)
        assert inputs(server) == ["hold", "last"]

    @BOTH
    def test_while_the_client_waits_to_reconnect(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        server.fault(Fault(RefuseUpgrade(503), times=1))
        with no_thread_left(), ResponsesClient(server.url, options=options, pool=late_retries()) as client:
            states = states_of(client)
            got = Recorder(client.send_request(ask("given up")))
            until_state(states, lambda state: state.reconnect_in is not None)
            got.subscription.dispose()
            error = states.values[-1].connect_error
            assert isinstance(error, ConnectFailedError)
            until_state(states, lambda state: state == ClientState(connect_error=error))
            assert Recorder(client.send_request(ask("next"))).wait().completions == 1
            assert not got.ended
        assert inputs(server) == ["next"]

    def test_the_events_of_a_sent_request_are_swallowed(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("silent", Hold(gate, after=0))
        server.on("begun", ["text", Hold(gate)])
        states = states_of(client)
        silent = Recorder(client.send_request(ask("silent"), stream_id="a"))
        begun = Recorder(client.send_request(ask("begun"), stream_id="b")).wait_for(2)
        server.wait_until(lambda: len(server.requests) == 2)
        behind = [Recorder(client.send_request(ask("behind"), stream_id=name)) for name in "ab"]
        for got in (silent, begun):
            got.subscription.dispose()
        assert Recorder(client.send_request(ask("other"))).wait().completions == 1
        assert until_state(states, lambda state: state.active == 2).queued == 2
        gate.open()
        assert all(one.wait().text == behind[0].text for one in behind)
        assert (len(silent.values), len(begun.values)) == (0, 2)
        assert server.accepted == 1

    @pytest.mark.parametrize("seen", [1, 8], ids=["before its output", "behind its output"])
    def test_a_swallowed_response_is_not_decoded(
        self, server: ResponsesServer, seen: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate, decoded = server.gate(), 0

        def count(*args: Any) -> ServerEvent:
            nonlocal decoded
            decoded += 1
            return decode(*args)

        monkeypatch.setattr(dispatch, "decode", count)
        server.on("long", [Text(deltas=["x"] * 100), Hold(gate, after=seen)])
        one = ConnectionOptions(lanes=True, max_active=1)
        with ResponsesClient(server.url, options=one, pool=PoolOptions(max_connections=1)) as client:
            got = Recorder(client.send_request(ask("long"))).wait_for(seen)
            got.subscription.dispose()
            behind = Recorder(client.send_request(ask("behind")))
            gate.open()
            received = len(behind.wait().values)
        assert behind.completions == 1
        assert server.accepted == 1
        assert decoded < received + 20

    def test_a_swallowed_response_can_be_continued(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("begun", ["text", Hold(gate)])
        begun = Recorder(client.send_request(ask("begun", store=False))).wait_for(2)
        begun.subscription.dispose()
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=response_id(begun))))
        gate.open()
        assert after.wait().types[-1] == "response.completed"

    def test_close_on_dispose_stops_no_other_request(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("silent", Hold(after=0))
        server.on("begun", ["text", Hold()])
        server.on("other", ["text", Hold(gate)])
        with no_thread_left(), ResponsesClient(server.url, options=CLOSE_ON_DISPOSE, pool=late_retries()) as client:
            states = states_of(client)
            silent = Recorder(client.send_request(ask("silent"), stream_id="a"))
            begun = Recorder(client.send_request(ask("begun"), stream_id="b")).wait_for(2)
            others = [Recorder(client.send_request(ask("other"))).wait_for(2) for _ in range(3)]
            behind = [Recorder(client.send_request(ask("behind"), stream_id=name)) for name in "ab"]
            server.wait_until(lambda: len(server.requests) == 5)
            assert server.connections == 5  # one for each request, so that closing one ends no other request
            for got in (silent, begun):
                got.subscription.dispose()
            for one in behind:
                assert one.wait().completions == 1
            gate.open()
            for one in others:
                assert one.wait().completions == 1
            assert not any(state.reconnect_in for state in states.values)
        assert (len(silent.values), len(begun.values)) == (0, 2)
        outcomes = {one.message["input"]: one.outcome for one in server.exchanges}
        assert (outcomes["silent"], outcomes["begun"]) == ("lost", "lost")

    def test_close_on_dispose_loses_the_response(self, server: ResponsesServer) -> None:
        server.on("begun", ["text", Hold()])
        with ResponsesClient(server.url, options=CLOSE_ON_DISPOSE) as client:
            begun = Recorder(client.send_request(ask("begun", store=False))).wait_for(2)
            after = Recorder(client.send_request(ask("after", store=False, previous_response_id=response_id(begun))))
            begun.subscription.dispose()
            assert type(after.wait().error).__name__ == "PreviousResponseLostError"

    @BOTH
    def test_inside_an_observer(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        with no_thread_left(), ResponsesClient(server.url, options=options, pool=late_retries()) as client:
            for count in (1, 3, 7):
                got = Recorder(client.send_request(ask()).pipe(ops.take(count))).wait()
                assert (len(got.values), got.completions) == (count, 1)
            assert Recorder(client.send_request(ask())).wait().types[-1] == "response.completed"

    @BOTH
    def test_leaving_an_async_for(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            async with ResponsesClient(server.url, options=options) as client:
                for _ in range(3):
                    async with client.send_request(ask("hold")).pipe(rops.to_async_iterable()) as events:
                        async for _ in events:
                            break
                assert isinstance(await client.send_request(ask()), ResponseCompletedEvent)

        run(main())

    @BOTH
    def test_a_cancelled_await(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            async with ResponsesClient(server.url, options=options) as client:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.send_request(ask("hold")), 0.05)
                assert isinstance(await client.send_request(ask()), ResponseCompletedEvent)

        run(main())

    def test_switch_latest_disposes_the_request_before(self, server: ResponsesServer) -> None:
        """Each prompt disposes the request of the prompt before, whose connection closes."""
        server.on("draft", ["text", Hold()])
        with no_thread_left(), ResponsesClient(server.url, options=CLOSE_ON_DISPOSE, pool=late_retries()) as client:
            prompts = reactivex.of(*["draft"] * 12, "final")
            asked: Observable[Observable[ServerEvent]] = prompts.pipe(
                ops.map(lambda text: client.send_request(ask(str(text))))
            )
            got = Recorder(asked.pipe(ops.switch_latest())).wait()
            assert got.types[-1] == "response.completed"


class TestObservers:
    def fail(self, event: ServerEvent) -> None:
        raise RuntimeError("observer failed")

    @BOTH
    def test_an_observer_that_raises_ends_its_own_stream_only(
        self, server: ResponsesServer, options: ConnectionOptions, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        with no_thread_left(), ResponsesClient(server.url, options=options, pool=late_retries()) as client:
            other = Recorder(client.send_request(ask("hold"))).wait_for(2)
            client.events.subscribe(self.fail)
            bad = Recorder(client.send_request(ask()), self.fail).wait()
            assert str(bad.error) == "observer failed"
            assert len(bad.values) == 1
            gate.open()
            assert other.wait().completions == 1
            assert Recorder(client.send_request(ask())).wait().completions == 1
        assert len([record for record in caplog.records if record.exc_info]) == 2
        assert set(input_counts(server).values()) <= {1, 2}

    def test_an_observer_that_raises_at_the_end(
        self, server: ResponsesServer, client: ResponsesClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("observer failed")

        server.reply("text", [Close(1006, after=2), "text"])
        completed = threading.Event()

        def complete() -> None:
            completed.set()
            fail()

        client.send_request(ask()).subscribe(on_completed=complete)
        assert completed.wait(WAIT)
        errors: list[Exception] = []
        failed = threading.Event()

        def error(error: Exception) -> None:
            errors.append(error)
            failed.set()
            fail()

        client.send_request(ask()).subscribe(on_error=error)
        assert failed.wait(WAIT)
        assert isinstance(errors[0], ConnectionLostError)
        lost = client.send_request(ask(store=False, previous_response_id="lost"))
        failed.clear()
        lost.subscribe(on_error=error)
        assert failed.wait(WAIT)
        assert Recorder(client.send_request(ask())).wait().completions == 1
        assert len([record for record in caplog.records if record.exc_info]) == 3

    def test_a_continuation_sent_from_on_completed(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """At `on_completed` the lane is free, and it holds the response."""
        lane = client.lane("a")
        second: list[Recorder[ServerEvent]] = []
        heard: list[ServerEvent] = []
        done = threading.Event()

        def go_on() -> None:
            parent = heard[-1].response.id  # type: ignore[attr-defined]
            second.append(Recorder(lane.send_request(ask("second", store=False, previous_response_id=parent))))
            done.set()

        lane.send_request(ask("first", store=False)).subscribe(heard.append, on_completed=go_on)
        assert done.wait(WAIT)
        assert second[0].wait().types[-1] == "response.completed"
        assert len({request["stream_id"] for request in server.requests}) == 1


Operator = Callable[[Observable[ServerEvent]], Observable[Any]]


def is_terminal(event: ServerEvent) -> bool:
    return event.is_terminal


def goes_on(event: ServerEvent) -> bool:
    return not event.is_terminal


LEAVES = pytest.mark.parametrize(
    "operator",
    [
        ops.first(is_terminal),
        ops.take_while(goes_on, inclusive=True),
        rops.final_response(),
        rops.collect_text(),
        rops.raise_on_failure(),
    ],
    ids=["first", "take_while", "final_response", "collect_text", "raise_on_failure"],
)


@LEAVES
def test_a_lane_holds_the_response_after_operators_that_dispose(
    server: ResponsesServer, client: ResponsesClient, operator: Operator
) -> None:
    parent: str | None = None
    for turn in range(3):
        events = Recorder(client.events)
        request = ask(str(turn), store=False, previous_response_id=parent)
        assert Recorder(client.send_request(request).pipe(operator)).wait().errors == []
        parent = response_id(events)
    assert len({(one.connection, one.message["stream_id"]) for one in server.exchanges}) == 1


@LEAVES
def test_the_response_that_the_lane_held_before_is_lost(
    server: ResponsesServer, client: ResponsesClient, operator: Operator
) -> None:
    parent = response_id(Recorder(client.send_request(ask("first", store=False))).wait())
    request = client.send_request(ask("second", store=False, previous_response_id=parent)).pipe(operator)
    assert Recorder(request).wait().errors == []
    assert isinstance(Recorder(request).wait().error, PreviousResponseLostError)
    assert inputs(server) == ["first", "second"]


@LEAVES
@pytest.mark.parametrize("after", [0, 3])
def test_scenario_33_client_a_failure_behind_operators_evicts_the_parent(
    server: ResponsesServer, client: ResponsesClient, operator: Operator, after: int
) -> None:
    parent = response_id(Recorder(client.send_request(ask("first", store=False))).wait())
    server.fault(Fault(Failure("invalid_prompt", after=after), match="fail"))
    Recorder(client.send_request(ask("fail", store=False, previous_response_id=parent)).pipe(operator)).wait()
    after_it = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent))).wait()
    assert isinstance(after_it.error, PreviousResponseLostError)
    assert inputs(server) == ["first", "fail"]


@LEAVES
def test_a_rate_limit_behind_operators_pauses_the_client(server: ResponsesServer, operator: Operator) -> None:
    server.fault(Fault(Failure("rate_limit_exceeded", after=3, headers={"Retry-After": "7"}), match="limited"))

    async def main(loop: VirtualTimeLoop) -> None:
        async with ResponsesClient(
            server.url, options=without_pings(), pool=PoolOptions(backoff=STEADY_BACKOFF)
        ) as client:
            states = AsyncRecorder(client.state)
            await AsyncRecorder(client.send_request(ask("limited")).pipe(operator)).until_end()
            await states.until(lambda: states.values[-1].paused_for is not None)
            assert states.values[-1].paused_for == pytest.approx(7.0)
            after = AsyncRecorder(client.send_request(ask("after")))
            await loop.advance(6.9)
            assert input_counts(server) == {"limited": 1}
            await loop.advance(0.1)
            assert (await after.until_end()).completions == 1

    run_in_virtual_time(main)


@pytest.mark.parametrize("steers", [1, 2])
def test_scenario_37_client_the_lane_holds_the_response_to_a_steer(
    server: ResponsesServer, client: ResponsesClient, steers: int
) -> None:
    target = HeldResponse(server, client, store=False)
    steer = client.steer(target.id, "shorter").pipe(rops.raise_on_failure(), ops.take_while(goes_on, inclusive=True))
    got = [Recorder(steer).wait_for(1) for _ in range(steers)]
    target.gate.open()
    parent = successor_id(got[0])
    for one in got:
        assert one.wait().completions == 1
    until_state(states_of(client), lambda state: state.active == 0)
    after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent))).wait()
    assert after.types[-1] == "response.completed"
