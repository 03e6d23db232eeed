from __future__ import annotations

import asyncio

import pytest

from rxresponses import Limits
from rxresponses.batch.ray.gate import GateServer
from rxresponses.limits.admission import Estimate
from rxresponses.limits.permits import Grant, Report
from rxresponses.wire.models import ResponseUsage

ONE = Estimate(10, 20)
USAGE = ResponseUsage(input_tokens=1, output_tokens=2, total_tokens=3)


class TestGateServer:
    def test_two_workers_share_a_budget(self) -> None:
        async def work() -> None:
            gate = GateServer(Limits(), {"requests": 1})
            first = await gate.exchange("a", Report(waiting=ONE))
            [permit] = first.permits
            second = asyncio.ensure_future(gate.exchange("b", Report(waiting=ONE)))
            await gate.exchange("a", Report(settled=((permit.number, None),)))
            assert len((await second).permits) == 1
            assert (await gate.metrics())["in_flight"] == 1
            await gate.gone("b")
            metrics = await gate.metrics()
            assert (metrics["spent"]["requests"], metrics["in_flight"], metrics["workers"]) == (1, 0, 1)

        asyncio.run(work())

    def test_a_worker_waits_for_its_turn(self) -> None:
        async def work() -> None:
            gate = GateServer(Limits(requests_per_minute=1200), {})
            permits = 0
            while permits < 5:
                grant = await gate.exchange("a", Report(waiting=ONE))
                permits += len(grant.permits)
            metrics = await gate.metrics()
            assert metrics["permits"] == 5
            assert metrics["calls"] >= 5

        asyncio.run(work())

    def test_a_stopped_budget_refuses(self) -> None:
        async def work() -> Grant:
            gate = GateServer(Limits(), {})
            await gate.stop()
            return await gate.exchange("a", Report(waiting=ONE))

        assert asyncio.run(work()).refusal is not None

    def test_what_the_workers_count(self) -> None:
        async def work() -> None:
            gate = GateServer(Limits(), {"usd": 1.0})
            await gate.count({None: 3, "TimeoutError": 1}, 10, 20)
            metrics = await gate.metrics()
            assert (metrics["requests"], metrics["answered"], metrics["errors"]) == (4, 3, {"TimeoutError": 1})
            assert (metrics["input_tokens"], metrics["output_tokens"]) == (10, 20)
            prices, needs_price = await gate.terms()
            assert prices is not None
            assert needs_price

        asyncio.run(work())

    def test_a_call_of_a_worker_that_is_gone_gets_no_answer(self) -> None:
        async def work() -> None:
            gate = GateServer(Limits(requests_per_minute=60), {})
            await gate.exchange("a", Report(waiting=ONE))
            call = asyncio.ensure_future(gate.exchange("b", Report(waiting=ONE)))
            await asyncio.sleep(0)
            await gate.gone("b")
            await gate.exchange("c", Report())
            assert not call.done()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        asyncio.run(work())
