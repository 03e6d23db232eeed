"""A client with limits and a budget: what it sends when, what it refuses, and what each response costs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from rxresponses import (
    Budget,
    BudgetExceededError,
    ClientState,
    ConfigurationError,
    ConnectionLostError,
    Estimate,
    Limits,
    PoolOptions,
    Prices,
    ResponseCreate,
    ResponsesClient,
    SocketClosedError,
)
from rxresponses.limits.budget import Amount
from rxresponses.testing import Close, Failure, Fault, Hold, IgnoreSteer, ResponsesServer, Usage

from ..support import frames
from ..support.clients import (
    WITH_LANES,
    ask,
    fast_retries,
    inputs,
    response_id,
    run,
    states_of,
    until_state,
    without_pings,
)
from ..support.raw_server import raw_server
from ..support.recorder import AsyncRecorder, Recorder
from ..support.steering import HeldResponse
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time

PRICES = Prices({"m": {"input": 1.0, "cached_input": 0.5, "output": 10.0}})
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 15},
    "total_tokens": 120,
}
COST = (60 * 1.0 + 40 * 0.5 + 20 * 10.0) / 1e6
SPENT = Amount(COST, 120, 1)


def budgeted(server: ResponsesServer, budget: Budget, **fields: Any) -> ResponsesClient:
    return ResponsesClient(server.url, options=WITH_LANES, pool=fast_retries(), budget=budget, **fields)


def completed(response_id: str, **fields: Any) -> frames.Frame:
    return {"type": "response.completed", "response": {"id": response_id, "usage": USAGE}, **fields}


def tokens_of(*recorders: Recorder[Any]) -> int:
    """Return the tokens of these responses; one that several have got counts once."""
    responses = [recorder.values[-1].response for recorder in recorders]
    return sum({response.id: response.usage.total_tokens for response in responses}.values())


class TestLimits:
    def test_requests_arrive_at_the_pace_of_the_limit(self) -> None:
        """30 requests at once and 120 a minute: in no window of 10 seconds do more than 20 and one arrive."""

        async def main(loop: VirtualTimeLoop) -> None:
            options, limits = without_pings(), Limits(requests_per_minute=120)
            one = PoolOptions(max_connections=1)
            async with (
                raw_server() as raw,
                ResponsesClient(raw.url, options=options, pool=one, limits=limits) as client,
            ):
                states = AsyncRecorder(client.state)
                got = [AsyncRecorder(client.send_request(ask())) for _ in range(30)]
                arrived: list[float] = []
                await raw.until_received(1)
                while len(arrived) < 30:
                    await raw.until(lambda: len(raw.received) >= 30 - states.values[-1].queued)
                    for number in range(len(arrived), len(raw.received)):
                        arrived.append(loop.now)
                        await raw.answer(raw.received[number], f"r{number}")
                        await got[number].until_end()
                    await loop.advance(0.1)
                for start in arrived:
                    assert sum(start <= at < start + 10 for at in arrived) <= 21
                assert 14 < arrived[-1] - arrived[0] < 16

        run_in_virtual_time(main)

    def test_the_state_shows_that_requests_wait_for_the_limit(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_server() as raw:
                limits = Limits(requests_per_minute=6)
                async with ResponsesClient(raw.url, options=without_pings(), limits=limits) as client:
                    states = AsyncRecorder(client.state)
                    got = [AsyncRecorder(client.send_request(ask())) for _ in range(2)]
                    await states.until(lambda: states.values[-1].limited_for is not None)
                    state = states.values[-1]
                    assert (state.active, state.queued, state.awaits_budget) == (1, 1, False)
                    assert state.limited_for is not None
                    assert 9 < state.limited_for < 11
                    await raw.until_received(1)
                    await loop.advance(10.2)
                    await raw.until_received(2)
                    assert states.values[-1].limited_for is None
                    for number, request in enumerate(raw.received):
                        await raw.answer(request, f"r{number}")
                    for one in got:
                        await one.until_end()

        run_in_virtual_time(main)

    def test_limits_that_the_server_tells_in_the_handshake_are_kept(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with (
                raw_server({"x-ratelimit-limit-requests": "6", "x-ratelimit-limit-tokens": "100000"}) as raw,
                ResponsesClient(raw.url, options=without_pings(), limits=Limits()) as client,
            ):
                got = [AsyncRecorder(client.send_request(ask())) for _ in range(2)]
                await raw.until_received(1)
                await loop.advance(9)
                assert len(raw.received) == 1
                await loop.advance(1.2)
                await raw.until_received(2)
                for number, request in enumerate(raw.received):
                    await raw.answer(request, f"r{number}")
                for one in got:
                    await one.until_end()

        run_in_virtual_time(main)

    def test_a_response_that_used_less_than_estimated_lets_the_next_request_go(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_server() as raw:
                limits = Limits(tokens_per_minute=1200)
                async with ResponsesClient(raw.url, options=without_pings(), limits=limits) as client:
                    got = [AsyncRecorder(client.send_request(ask(max_output_tokens=160))) for _ in range(2)]
                    await raw.until_received(1)
                    await loop.advance(6.5)
                    assert len(raw.received) == 1
                    await raw.send(frames.created("r1", stream_id=raw.received[0]["stream_id"]))
                    await raw.send(completed("r1", stream_id=raw.received[0]["stream_id"]))
                    await got[0].until_end()
                    await raw.until_received(2)
                    await raw.answer(raw.received[1], "r2")
                    await got[1].until_end()

        run_in_virtual_time(main)

    def test_without_limits_a_client_has_no_admission(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url) as client:
            assert Recorder(client.send_request(ask())).wait().completions == 1
            assert client._driver is not None
            assert client._driver.pool.admission is None

    @pytest.mark.parametrize("name", ["limits", "budget"])
    def test_arguments_of_other_classes_are_refused(self, name: str) -> None:
        arguments: dict[str, Any] = {name: {"usd": 1}}
        with pytest.raises(TypeError, match=f"`{name}` must be a {name.capitalize()}, not dict"):
            ResponsesClient("http://127.0.0.1:1/v1", **arguments)


class TestBudget:
    def test_a_response_costs_what_its_terminal_event_says(self, server: ResponsesServer) -> None:
        server.on("cheap", ["text", Usage(input_tokens=100, cached_tokens=40, output_tokens=20, reasoning_tokens=15)])
        budget = Budget(prices=PRICES)
        with budgeted(server, budget) as client:
            assert Recorder(client.send_request(ask("cheap"))).wait().completions == 1
            assert budget.spent == SPENT
            assert budget.reserved == Amount(0.0, 0, 0)

    def test_a_request_for_which_nothing_is_left_is_not_sent_and_what_runs_finishes(
        self, server: ResponsesServer
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        budget = Budget(requests=2)
        with budgeted(server, budget) as client:
            states = states_of(client)
            running = [Recorder(client.send_request(ask("hold"))).wait_for(1) for _ in range(2)]
            refused = Recorder(client.send_request(ask("no")))
            until_state(states, lambda state: state.awaits_budget)
            gate.open()
            for got in running:
                assert got.wait().completions == 1
            error = refused.wait().error
            assert isinstance(error, BudgetExceededError)
            assert (error.unit, error.limit, error.spent, error.delivery) == ("requests", 2, 2, "not_sent")
            until_state(states, lambda state: state == ClientState(open=1))
        assert inputs(server) == ["hold", "hold"]

    def test_a_model_without_a_price_is_refused_at_once(self, server: ResponsesServer) -> None:
        with budgeted(server, Budget(usd=1, prices=PRICES)) as client:
            with pytest.raises(ConfigurationError, match="none for the model 'other'"):
                client.send_request(ResponseCreate(model="other", input="hi"))
            with pytest.raises(ConfigurationError, match="a request that names no model"):
                client.send_request(ResponseCreate(prompt={"id": "p"}, input="hi"))
            assert Recorder(client.send_request(ask())).wait().completions == 1
        with budgeted(server, Budget(tokens=10**6, prices=PRICES)) as client:
            assert Recorder(client.send_request(ResponseCreate(model="other", input="hi"))).wait().completions == 1

    def test_a_refused_request_costs_nothing_and_each_try_is_a_request(self, server: ResponsesServer) -> None:
        server.on("again", Failure("rate_limit_exceeded", after=0), times=2)
        server.on("again", ["text", Usage(input_tokens=100, output_tokens=20)])
        budget = Budget()
        with budgeted(server, budget) as client:
            assert Recorder(client.send_request(ask("again"))).wait().completions == 1
            assert budget.spent == Amount(0.0, 120, 3)
            assert budget.reserved.requests == 0

    def test_a_budget_that_is_used_up_ends_the_tries(self, server: ResponsesServer) -> None:
        server.on("again", Failure("rate_limit_exceeded", after=0))
        budget = Budget(requests=2)
        with budgeted(server, budget) as client:
            assert isinstance(Recorder(client.send_request(ask("again"))).wait().error, BudgetExceededError)
        assert len(server.requests) == 2

    def test_a_failed_response_costs_what_it_used(self, server: ResponsesServer) -> None:
        server.on("fail", ["some text", Failure(after=6), Usage(input_tokens=100, output_tokens=20)])
        budget = Budget()
        with budgeted(server, budget) as client:
            got = Recorder(client.send_request(ask("fail", max_output_tokens=500))).wait()
            assert got.types[-1] in ("response.failed", "error")
            assert budget.spent.requests == 1
            assert budget.spent.tokens >= 100
            assert budget.reserved.requests == 0

    def test_an_error_in_a_response_that_had_begun_to_answer_counts_as_estimated(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            budget = Budget()
            async with raw_server() as raw, ResponsesClient(raw.url, options=without_pings(), budget=budget) as client:
                got = AsyncRecorder(client.send_request(ask(max_output_tokens=500)))
                await raw.until_received(1)
                lane = {"stream_id": raw.received[0]["stream_id"]}
                await raw.send(frames.created(**lane), frames.delta(**lane), {"type": "error", **lane})
                await got.until_end()
                assert budget.spent.requests == 1
                assert 500 < budget.spent.tokens < 600

        run_in_virtual_time(main)

    def test_an_incomplete_and_a_cancelled_response_cost_what_they_used(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            budget = Budget()
            async with raw_server() as raw, ResponsesClient(raw.url, options=without_pings(), budget=budget) as client:
                for kind in ("response.incomplete", "response.cancelled", "response.failed"):
                    got = AsyncRecorder(client.send_request(ask()))
                    await raw.until_received(len(raw.received) + 1 if got.values else budget.spent.requests + 1)
                    lane = {"stream_id": raw.received[-1]["stream_id"]}
                    await raw.send(frames.created(kind, **lane))
                    await raw.send({"type": kind, "response": {"id": kind, "usage": USAGE}, **lane})
                    await got.until_end()
            assert budget.spent == Amount(0.0, 360, 3)

        run_in_virtual_time(main)

    def test_a_response_without_a_usage_counts_as_estimated(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            budget = Budget()
            async with raw_server() as raw, ResponsesClient(raw.url, options=without_pings(), budget=budget) as client:
                got = AsyncRecorder(client.send_request(ask(max_output_tokens=500)))
                await raw.until_received(1)
                await raw.answer(raw.received[0], "r1")
                await got.until_end()
            assert 500 < budget.spent.tokens < 600

        run_in_virtual_time(main)

    def test_a_lost_response_counts_as_estimated(self, server: ResponsesServer) -> None:
        server.on("lose", ["text", Close(after=3)])
        budget = Budget()
        with budgeted(server, budget) as client:
            got = Recorder(client.send_request(ask("lose", max_output_tokens=500))).wait()
            assert isinstance(got.error, ConnectionLostError)
            Recorder(client.send_request(ask())).wait()  # what is lost is settled with what happens next
            assert budget.spent.requests == 2
            assert budget.spent.tokens > 500
            assert budget.reserved.requests == 0

    def test_a_disposed_response_costs_what_the_server_says_in_the_end(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate), Usage(input_tokens=100, output_tokens=20)])
        budget = Budget()
        with budgeted(server, budget) as client:
            states = states_of(client)
            got = Recorder(client.send_request(ask("hold"))).wait_for(1)
            got.subscription.dispose()
            assert budget.spent.requests == 0
            gate.open()
            until_state(states, lambda state: state.active == 0)
            assert budget.spent == Amount(0.0, 120, 1)

    def test_a_request_that_was_disposed_in_the_queue_costs_nothing(self, server: ResponsesServer) -> None:
        budget = Budget(requests=1)
        server.on("hold", ["text", Hold()])
        with budgeted(server, budget) as client:
            states = states_of(client)
            Recorder(client.send_request(ask("hold"))).wait_for(1)
            waiting = Recorder(client.send_request(ask()))
            until_state(states, lambda state: state.awaits_budget)
            waiting.subscription.dispose()
            until_state(states, lambda state: not state.awaits_budget)
            assert budget.reserved.requests == 1

    def test_a_request_that_its_history_function_fails_costs_nothing(self, server: ResponsesServer) -> None:
        def history() -> list[Any]:
            raise ValueError("no history")

        budget = Budget()
        with budgeted(server, budget) as client:
            first = Recorder(client.send_request(ask(store=False))).wait()
            states = states_of(client)
            server.close_connections()
            until_state(states, lambda state: state.open == 0)
            request = ask(previous_response_id=response_id(first), store=False)
            got = Recorder(client.send_request(request, history=history)).wait()
            assert isinstance(got.error, ValueError)
            assert budget.spent.requests == 1
            assert budget.reserved.requests == 0

    def test_closing_settles_what_runs(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        budget = Budget(requests=9)
        with budgeted(server, budget) as client:
            got = Recorder(client.send_request(ask("hold"))).wait_for(1)
        assert isinstance(got.wait().error, SocketClosedError)
        assert budget.spent.requests == 1
        assert budget.reserved.requests == 0
        assert budget._callbacks == {}, "a closed client is not told of changes"

    def test_an_error_that_the_observer_raises_does_not_settle_before_the_response_has_ended(
        self, server: ResponsesServer
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate), Usage(input_tokens=100, output_tokens=20)])
        budget = Budget()

        def fail(event: object) -> None:
            raise ValueError("the observer")

        with budgeted(server, budget) as client:
            states = states_of(client)
            Recorder(client.send_request(ask("hold")), fail).wait()
            assert budget.reserved.requests == 1
            gate.open()
            until_state(states, lambda state: state.active == 0)
            assert budget.spent == Amount(0.0, 120, 1)


class TestSharing:
    def test_two_clients_share_a_budget_on_their_threads(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate), Usage(input_tokens=1, output_tokens=1)])
        budget = Budget(requests=1)
        with budgeted(server, budget) as one, budgeted(server, budget) as two:
            states = states_of(two)
            running = Recorder(one.send_request(ask("hold"))).wait_for(1)
            waiting = Recorder(two.send_request(ask()))
            until_state(states, lambda state: state.awaits_budget)
            gate.open()
            assert running.wait().completions == 1
            assert isinstance(waiting.wait().error, BudgetExceededError)

    def test_a_client_on_a_loop_hears_of_a_budget_that_a_thread_settles(self, server: ResponsesServer) -> None:
        budget = Budget(requests=1)
        reservation = budget.reserve(Estimate(0, 0))
        assert reservation is not None

        async def main() -> None:
            async with budgeted(server, budget) as client:
                states = AsyncRecorder(client.state)
                got = AsyncRecorder(client.send_request(ask()))
                await states.until(lambda: states.values[-1].awaits_budget)
                threading.Thread(target=budget.settle, args=(reservation, None)).start()
                assert (await got.until_end()).types[-1] == "response.completed"

        run(main())

    def test_stopping_a_budget_refuses_what_waits(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        budget = Budget(requests=1)
        with budgeted(server, budget) as client:
            states = states_of(client)
            running = Recorder(client.send_request(ask("hold"))).wait_for(1)
            waiting = Recorder(client.send_request(ask()))
            until_state(states, lambda state: state.awaits_budget)
            budget.stop()
            assert "stop()" in str(waiting.wait().error)
            gate.open()
            assert running.wait().completions == 1

    def test_a_loop_that_has_ended_is_not_told(self, server: ResponsesServer) -> None:
        budget = Budget(requests=5)

        async def leave() -> ResponsesClient:
            client = budgeted(server, budget)
            await asyncio.wait_for(AsyncRecorder(client.send_request(ask())).until_end(), 10)
            return client

        client = asyncio.run(leave())
        for callback in tuple(budget._callbacks.values()):
            callback()
        client.close()


class TestSteers:
    def test_the_response_to_a_steer_is_charged_beside_the_steered_one(self, server: ResponsesServer) -> None:
        budget = Budget()
        with budgeted(server, budget) as client:
            target = HeldResponse(server, client)
            steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
            target.gate.open()
            assert steer.wait().completions == target.events.wait().completions == 1
            assert budget.spent == Amount(0.0, tokens_of(steer, target.events), 2)
            assert budget.reserved.requests == 0

    def test_steers_that_share_a_successor_pay_for_it_once(self, server: ResponsesServer) -> None:
        budget = Budget()
        with budgeted(server, budget) as client:
            target = HeldResponse(server, client)
            first = Recorder(client.steer(target.id, "shorter")).wait_for(1)
            second = Recorder(client.steer(target.id, "still shorter")).wait_for(1)
            target.gate.open()
            assert first.wait().completions == second.wait().completions == target.events.wait().completions == 1
            assert budget.spent == Amount(0.0, tokens_of(first, second, target.events), 3)
            assert budget.reserved.requests == 0

    def test_a_steer_for_which_nothing_is_left_is_not_sent(self, server: ResponsesServer) -> None:
        budget = Budget()
        with budgeted(server, budget) as client:
            target = HeldResponse(server, client)
            budget.stop()
            assert isinstance(Recorder(client.steer(target.id, "shorter")).wait().error, BudgetExceededError)
            assert budget.reserved.requests == 1

    def test_a_refused_steer_costs_nothing(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            budget = Budget()
            async with raw_server() as raw, ResponsesClient(raw.url, options=without_pings(), budget=budget) as client:
                got = AsyncRecorder(client.send_request(ask()))
                await raw.until_received(1)
                lane = {"stream_id": raw.received[0]["stream_id"]}
                await raw.send(frames.created(**lane))
                await got.until_count(1)
                steer = AsyncRecorder(client.steer("r1", "shorter"))
                await raw.until_received(2)
                await raw.send({"type": "response.steer.failed", "steer": {"id": "s1", "previous_response_id": "r1"}})
                await steer.until_end()
                assert budget.spent == Amount(0.0, 0, 1)
                await raw.send(completed("r1", **lane))
                await got.until_end()
            assert budget.spent == Amount(0.0, 120, 2)

        run_in_virtual_time(main)

    def test_a_steer_that_the_server_ignores_counts_as_estimated(self, server: ResponsesServer) -> None:
        server.fault(Fault(IgnoreSteer()))
        budget = Budget()
        options = without_pings(steer_timeout=0.01)
        with ResponsesClient(server.url, options=options, budget=budget) as client:
            target = HeldResponse(server, client)
            Recorder(client.steer(target.id, "shorter")).wait()
            assert budget.spent.requests == 1
            assert budget.reserved.requests == 1

    def test_a_successor_that_is_lost_counts_as_estimated(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            budget = Budget()
            async with raw_server() as raw, ResponsesClient(raw.url, options=without_pings(), budget=budget) as client:
                states = AsyncRecorder(client.state)
                got = AsyncRecorder(client.send_request(ask(max_output_tokens=500)))
                await raw.until_received(1)
                lane = {"stream_id": raw.received[0]["stream_id"]}
                await raw.send(frames.created(**lane))
                await got.until_count(1)
                steer = AsyncRecorder(client.steer("r1", "shorter"))
                await raw.until_received(2)
                await raw.send(frames.accepted(), completed("r1", **lane), frames.created("r2", **lane))
                await got.until_end()
                await steer.until_count(2)
                steer.subscription.dispose()  # so that its observer does not hear of the loss
                raw.drop()
                await states.until(lambda: states.values[-1].open == 0)
                assert budget.reserved.requests == 0
                assert budget.spent.requests == 2
                assert budget.spent.tokens > 600

        run_in_virtual_time(main)

    def test_closing_settles_a_steer(self, server: ResponsesServer) -> None:
        server.fault(Fault(IgnoreSteer()))
        budget = Budget()
        with ResponsesClient(server.url, options=without_pings(steer_timeout=None), budget=budget) as client:
            target = HeldResponse(server, client)
            steer = Recorder(client.steer(target.id, "shorter"))
            states = states_of(client)
            until_state(states, lambda state: budget.reserved.requests == 2)
        steer.wait()
        assert budget.reserved.requests == 0
        assert budget.spent.requests >= 1
