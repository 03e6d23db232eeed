"""Limits of requests a minute, counted by a server; what limits and a budget cost a request."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import Callable, Sequence

from rxresponses import Budget, Limits, Prices, ResponsesClient
from rxresponses import operators as rops
from rxresponses.limits.admission import Admission
from rxresponses.limits.estimate import RequestSize
from rxresponses.limits.gate import Gate
from rxresponses.limits.local import LocalAdmission
from rxresponses.testing import ResponsesServer
from rxresponses.wire.models import ResponseUsage
from tests.pool.driver import Driver
from tests.support.calls import count_calls
from tests.support.clients import WITH_LANES, ask

PER_MINUTE = 3000
SECONDS = 8
PRICES = Prices({"m": {"input": 1.0, "output": 10.0}})
SIZE = RequestSize("m", 400, 100)
USED = ResponseUsage(input_tokens=100, output_tokens=80, total_tokens=180)


def most_in(times: Sequence[float], window: float) -> int:
    """Return how many of these times are in a window of so many seconds, at most."""
    return max(bisect.bisect_left(times, start + window) - index for index, start in enumerate(times))


def test_a_server_counts_no_more_than_the_limit(figure: Callable[[str], None]) -> None:
    """A window of 5 seconds, since the test lasts 8; the server's clock sees each delay of a busy machine."""
    count = PER_MINUTE * SECONDS // 60

    async def main(url: str) -> None:
        async with ResponsesClient(url, options=WITH_LANES, limits=Limits(requests_per_minute=PER_MINUTE)) as client:
            streams = (client.send_request(ask(f"#{number}")).pipe(rops.collect_text()) for number in range(count))
            await asyncio.gather(*streams)

    with ResponsesServer() as server:
        asyncio.run(main(server.url))
        times = sorted(exchange.received for exchange in server.exchanges)
    assert len(times) == count
    most, rate = most_in(times, 5.0), (count - 1) / (times[-1] - times[0])
    figure(
        f"limits: {PER_MINUTE} requests a minute are {PER_MINUTE / 60:g} a second; the server counts {rate:.1f}, and "
        f"{most} in 5 s at most ({most / (PER_MINUTE / 12):.1%})"
    )
    assert most <= 1.1 * PER_MINUTE / 12
    assert rate > 0.8 * PER_MINUTE / 60


def test_what_limits_and_a_budget_cost_a_request(figure: Callable[[str], None]) -> None:
    """Of a request's way through the rules of the client; its bytes, events and observers come to that."""

    def request(admission: Admission | None) -> Callable[[], None]:
        driver = Driver(admission=admission)

        def run() -> None:
            made = driver.submit(size=SIZE)
            driver.now += 0.001
            if driver.pool.admission is not None:
                driver.pool.admission.settle(made, USED, driver.now)
            driver.finish(made)

        for _ in range(100):
            run()
        return run

    limits = Limits(requests_per_minute=1e9, tokens_per_minute=1e12)
    plain, limited = request(None), request(LocalAdmission(Gate(limits), Budget(usd=1e6, prices=PRICES)))
    calls = count_calls(plain), count_calls(limited)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(30):
        for run, noted in zip((plain, limited), seconds, strict=True):
            start = time.process_time()
            for _ in range(100):
                run()
            noted.append((time.process_time() - start) / 100)
    micros = [1e6 * min(noted) for noted in seconds]
    figure(
        f"limits and a budget: {calls[1] - calls[0]} Python calls more for a request than {calls[0]}, and "
        f"{micros[1] - micros[0]:.0f} µs of processor time more than {micros[0]:.0f} µs"
    )
    assert calls[1] < 1.4 * calls[0]
    assert micros[1] < 2 * micros[0]
