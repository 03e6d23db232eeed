"""What a request costs the pool, however many requests and connections there are."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.pool.lanes import PoolConnectionState, PoolRequest
from tests.support.calls import count_calls

from .driver import Driver


def full_pool(running: int, **fields: Any) -> tuple[Driver, list[PoolRequest]]:
    driver = Driver(max_connections=running // 16, max_queued=10_000)
    requests = driver.burst(running, **fields)
    for number, request in enumerate(requests):
        driver.pool.began(request, f"r{number}")
    driver.act()
    assert driver.pool.active == running
    return driver, requests


def finish(driver: Driver, request: PoolRequest, number: int) -> None:
    driver.pool.finished(request, driver.now, response_id=f"r{number}")
    driver.act()


def start_and_end(running: int, *, waiting: int, stores: bool) -> int:
    """Return how many calls it takes to end a request and to start and end the next one."""
    driver, requests = full_pool(running, stores=stores)
    for request in requests[:4]:  # the lanes that are used first are new ones
        finish(driver, request, request.number)
        driver.submit(stores=stores)
    driver.burst(waiting, stores=stores)
    ended, sent = requests[5], len(driver.sent)

    def act() -> None:
        finish(driver, ended, 5)
        if not waiting:
            driver.submit(stores=stores)
        driver.pool.began(driver.sent[-1], "next")
        finish(driver, driver.sent[-1], 1)

    calls = count_calls(act)
    assert len(driver.sent) == sent + 1 + bool(waiting)
    return calls


@pytest.mark.parametrize("stores", [True, False])
@pytest.mark.parametrize("waiting", [0, 40])
def test_the_cost_of_a_request_does_not_depend_on_those_that_run(waiting: int, stores: bool) -> None:
    few, many = (start_and_end(running, waiting=waiting, stores=stores) for running in (32, 512))
    assert many <= 1.1 * few


def test_many_conversations_go_on_at_once() -> None:
    few, many = conversations_go_on(64), conversations_go_on(256)
    assert many <= 1.3 * few


def conversations_go_on(count: int) -> float:
    """Return how many calls it takes for each of so many conversations to go on, all at once."""
    driver, requests = full_pool(count, stores=False)
    for number, request in enumerate(requests):
        finish(driver, request, number)

    def act() -> None:
        for number in range(count):
            driver.queue(parent_id=f"r{number}", stores=False)
        driver.act()

    calls = count_calls(act)
    assert len(driver.sent) == 2 * count
    return calls / count


def test_nothing_is_left_of_routes() -> None:
    driver = Driver(max_connections=4, close_idle_after=1.0)
    for number in range(20):
        request = driver.submit(route=f"model {number}")
        driver.pool.began(request, f"r{number}")
        finish(driver, request, number)
    driver.wait(10.0)
    index = driver.pool._connections._index
    assert driver.pool.connections == []
    assert not any((index._without_loss, index._with_loss, index._live, index._connecting, index._counted))
    assert index.in_state(PoolConnectionState.OPEN) == 0
