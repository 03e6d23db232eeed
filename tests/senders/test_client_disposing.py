"""Operators that dispose at the terminal event: the client must know what it meant all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import PoolOptions, PreviousResponseLostError, ResponsesClient, ServerEvent
from rxresponses import operators as rops
from rxresponses.testing import Failure, Fault, ResponsesServer

from ..support.clients import arrivals, ask, inputs, response_id, states_of, until
from ..support.recorder import Recorder
from .test_client_retries import STEADY
from .test_client_steering import Target, follower
from .test_socket_clocks import MovedLoop, Watch, quiet
from .test_socket_clocks import run as run_moved

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
def test_the_lane_holds_the_response(server: ResponsesServer, client: ResponsesClient, operator: Operator) -> None:
    parent: str | None = None
    for turn in range(3):
        events = Recorder(client.events)
        request = ask(str(turn), store=False, previous_response_id=parent)
        assert Recorder(client.send_request(request).pipe(operator)).wait().errors == []
        parent = response_id(events)
    assert len({(one.connection, one.message["stream_id"]) for one in server.exchanges}) == 1


@LEAVES
def test_what_it_held_before_is_gone(server: ResponsesServer, client: ResponsesClient, operator: Operator) -> None:
    parent = response_id(Recorder(client.send_request(ask("first", store=False))).wait())
    request = client.send_request(ask("second", store=False, previous_response_id=parent)).pipe(operator)
    assert Recorder(request).wait().errors == []
    assert isinstance(Recorder(request).wait().error, PreviousResponseLostError)
    assert inputs(server) == ["first", "second"]


@LEAVES
@pytest.mark.parametrize("after", [0, 3])
def test_scenario_33_client_behind_operators_too(
    server: ResponsesServer, client: ResponsesClient, operator: Operator, after: int
) -> None:
    parent = response_id(Recorder(client.send_request(ask("first", store=False))).wait())
    server.fault(Fault(Failure("invalid_prompt", after=after), match="fail"))
    Recorder(client.send_request(ask("fail", store=False, previous_response_id=parent)).pipe(operator)).wait()
    after_it = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent))).wait()
    assert isinstance(after_it.error, PreviousResponseLostError)
    assert inputs(server) == ["first", "fail"]


@LEAVES
def test_a_rate_limit_in_mid_stream_is_one(server: ResponsesServer, operator: Operator) -> None:
    server.fault(Fault(Failure("rate_limit_exceeded", after=3, headers={"Retry-After": "7"}), match="limited"))

    async def main(loop: MovedLoop) -> None:
        async with ResponsesClient(server.url, options=quiet(), pool=PoolOptions(backoff=STEADY)) as client:
            states = Watch(client.state)
            await Watch(client.send_request(ask("limited")).pipe(operator)).end()
            await states.until(lambda: states.values[-1].paused_for is not None)
            assert states.values[-1].paused_for == pytest.approx(7.0)
            after = Watch(client.send_request(ask("after")))
            await loop.move(6.9)
            assert arrivals(server) == {"limited": 1}
            await loop.move(0.1)
            assert (await after.end()).completions == 1

    run_moved(main)


@pytest.mark.parametrize("steers", [1, 2])
def test_scenario_37_client_the_lane_holds_the_response_to_a_steer(
    server: ResponsesServer, client: ResponsesClient, steers: int
) -> None:
    target = Target(server, client, store=False)
    steer = client.steer(target.id, "shorter").pipe(rops.raise_on_failure(), ops.take_while(goes_on, inclusive=True))
    got = [Recorder(steer).wait_for(1) for _ in range(steers)]
    target.gate.open()
    parent = follower(got[0])
    for one in got:
        assert one.wait().completions == 1
    until(states_of(client), lambda state: state.active == 0)
    after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent))).wait()
    assert after.types[-1] == "response.completed"
