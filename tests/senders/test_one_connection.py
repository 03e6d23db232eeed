"""A request that is disposed and sent again at once: there is never a second connection beside the first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rxresponses import ConnectionOptions, ResponsesClient, ResponsesWebSocket
from rxresponses.testing import Hold, ResponsesServer

from ..support.clients import CLOSE_ON_DISPOSE, ask, inputs, late_retries, no_thread_left, states_of
from ..support.fleets import OneServerFleet
from ..support.recorder import WAIT, Recorder

KINDS = pytest.mark.parametrize(
    "kind", [ResponsesWebSocket, ResponsesClient, OneServerFleet], ids=["socket", "client", "fleet"]
)


def pool_of(kind: type) -> dict[str, Any]:
    return {"pool": late_retries()} if kind is ResponsesClient else {}


@KINDS
@pytest.mark.parametrize("options", [ConnectionOptions(), CLOSE_ON_DISPOSE], ids=["drain", "close"])
def test_scenario_30_disposed_in_the_handshake_and_sent_again(
    server: ResponsesServer, kind: type, options: ConnectionOptions
) -> None:
    asked, go = threading.Event(), threading.Event()

    def key() -> str:
        asked.set()
        go.wait(WAIT)
        return "k"

    with no_thread_left(), kind(server.url, api_key=key, options=options) as sender:
        first = Recorder(sender.send_request(ask("first")))
        assert asked.wait(WAIT)
        first.subscription.dispose()
        second = Recorder(sender.send_request(ask("second")))
        go.set()
        assert second.wait().completions == 1
        assert (server.accepted, server.connections) == (1, 1)
        assert not first.ended
    server.wait_until(lambda: server.connections == 0)
    assert inputs(server) == ["second"]


@KINDS
def test_scenario_30_sent_again_while_the_old_connection_closes(server: ResponsesServer, kind: type) -> None:
    gate = server.gate()
    server.on("hold", ["text", Hold()])
    server.on("again", ["again", Hold(gate)])
    with no_thread_left(), kind(server.url, options=CLOSE_ON_DISPOSE, **pool_of(kind)) as sender:
        Recorder(sender.send_request(ask("hold"))).wait_for(2).subscription.dispose()  # begins to close
        second = Recorder(sender.send_request(ask("again"))).wait_for(2)
        server.wait_until(lambda: server.accepted == 2 and server.connections == 1)
        if kind is ResponsesWebSocket:
            third = Recorder(sender.send_request(ask("third"), stream_id="a"))
            assert third.wait().completions == 1
        gate.open()
        assert second.wait().text == "again"
        assert (server.accepted, server.connections) == (2, 1)


def test_scenario_30_socket_over_and_over(server: ResponsesServer) -> None:
    server.on("hold", ["text", Hold()])
    with no_thread_left(), ResponsesWebSocket(server.url, options=CLOSE_ON_DISPOSE) as socket:
        for number in range(20):
            got = Recorder(socket.send_request(ask("hold")))
            if number % 3:
                got.wait_for(number % 3)
            got.subscription.dispose()
        assert Recorder(socket.send_request(ask("last"))).wait().completions == 1
        server.wait_until(lambda: server.connections == 1)
    server.wait_until(lambda: server.connections == 0)


def test_scenario_30_client_over_and_over(server: ResponsesServer) -> None:
    """Disposing is no failure: no later connection is delayed for it."""
    server.on("hold", ["text", Hold()])
    server.on("silent", Hold(after=0))
    pool = late_retries(max_connections=1)
    with no_thread_left(), ResponsesClient(server.url, options=CLOSE_ON_DISPOSE, pool=pool) as client:
        states = states_of(client)
        for number in range(20):
            got = Recorder(client.send_request(ask("hold" if number % 2 else "silent")))
            if number % 2:
                got.wait_for(2)
            else:
                server.wait_until(lambda: number + 1 <= len(server.requests) + 20)  # noqa: B023
                server.wait_until(lambda: "silent" in inputs(server))
            got.subscription.dispose()
        assert Recorder(client.send_request(ask("last"))).wait().completions == 1
        assert not any(state.reconnect_in for state in states.values)
        server.wait_until(lambda: server.connections == 1)
    server.wait_until(lambda: server.connections == 0)
