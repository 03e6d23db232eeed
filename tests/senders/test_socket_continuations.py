"""Continuations on a socket: an unstored response is lost with its connection, and not asked for again."""

from __future__ import annotations

import asyncio

import pytest

from rxresponses import PreviousResponseLostError, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.senders.socket import ConnectionState
from rxresponses.testing import Hold, Raw, ResponsesServer, Text

from ..support.clients import ask, inputs, response_id, resubscribe_on_every_error
from ..support.frames import response
from ..support.recorder import WAIT, AsyncRecorder, Recorder


def drop(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    """Cut the connection, and wait until the socket knows."""
    states = Recorder(socket.state)
    server.drop()
    states.wait(lambda: states.values[-1:] == [ConnectionState.IDLE])


@pytest.mark.parametrize("stores", [True, False])
def test_scenario_32_the_stale_id_is_never_sent(
    server: ResponsesServer, socket: ResponsesWebSocket, stores: bool
) -> None:
    """Whether the continuation itself is stored or not."""
    parent = response_id(Recorder(socket.send_request(ask("first", store=False))).wait())
    drop(server, socket)
    request = socket.send_request(ask("second", store=stores, previous_response_id=parent), stream_id="a")
    for _ in range(2):
        got = Recorder(request).wait()
        assert isinstance(got.error, PreviousResponseLostError)
        assert (got.error.delivery, got.error.stream_id) == ("not_sent", "a")
        assert got.error.previous_response_id == parent
        assert "whole history" in str(got.error)
    assert server.accepted == 1
    assert Recorder(socket.send_request(ask("third"))).wait().completions == 1
    assert isinstance(Recorder(request).wait().error, PreviousResponseLostError)
    assert inputs(server) == ["first", "third"]


def test_scenario_77_an_id_of_any_length_is_known(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    parent = "r" * 100_000
    server.reply(Raw(response(parent)))
    Recorder(socket.send_request(ask("first", store=False))).wait()
    drop(server, socket)
    error = Recorder(socket.send_request(ask("second", previous_response_id=parent))).wait().error
    assert isinstance(error, PreviousResponseLostError)
    assert len(str(error)) < 1000
    Recorder(socket.send_request(ask("third", previous_response_id="other"))).wait()
    assert inputs(server) == ["first", "third"]


def test_scenario_32_a_stored_parent_is_continued(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    parent = response_id(Recorder(socket.send_request(ask("first"))).wait())
    drop(server, socket)
    got = Recorder(socket.send_request(ask("second", store=False, previous_response_id=parent))).wait()
    assert got.types[-1] == "response.completed"
    assert inputs(server) == ["first", "second"]


def test_scenario_32_a_parent_of_this_connection_is_continued(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    Recorder(socket.send_request(ask("lost", store=False))).wait()
    drop(server, socket)
    parent = None
    for text in ("first", "second", "third"):
        got = Recorder(socket.send_request(ask(text, store=False, previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"
        parent = response_id(got)
    assert inputs(server) == ["lost", "first", "second", "third"]


def test_scenario_32_an_unknown_parent_is_sent(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    got = Recorder(socket.send_request(ask("second", store=False, previous_response_id="resp_unknown"))).wait()
    assert got.types == ["error"]
    assert inputs(server) == ["second"]


@pytest.mark.parametrize("stores", [True, False])
def test_scenario_32_a_successor_is_stored_if_its_target_is(
    server: ResponsesServer, socket: ResponsesWebSocket, stores: bool
) -> None:
    gate = server.gate()
    server.on("^target$", [Text(deltas=["a ", "b "]), Hold(gate, after=5)])
    target = Recorder(socket.send_request(ask("target", store=stores))).wait_for(5)
    steer = Recorder(socket.steer(response_id(target), "shorter")).wait_for(1)
    gate.open()
    parent = steer.wait().values[-1].response.id  # type: ignore[attr-defined]
    drop(server, socket)
    got = Recorder(socket.send_request(ask("after", previous_response_id=parent))).wait()
    assert [type(error) for error in got.errors] == ([] if stores else [PreviousResponseLostError])


def test_scenario_32_in_a_second_program(server: ResponsesServer) -> None:
    socket = ResponsesWebSocket(server.url)

    async def begin() -> str:
        response = await socket.send_request(ask("first", store=False)).pipe(rops.final_response())
        assert response.id is not None
        return response.id

    async def go_on(parent: str) -> None:
        async with socket:
            with pytest.raises(PreviousResponseLostError):
                await socket.send_request(ask("second", store=False, previous_response_id=parent))

    parent = asyncio.run(begin())  # the program ends without closing the socket
    asyncio.run(asyncio.wait_for(go_on(parent), WAIT))
    assert inputs(server) == ["first"]


def test_resubscribing_on_every_error_does_not_block_the_loop(server: ResponsesServer) -> None:
    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            response = await socket.send_request(ask("first", store=False)).pipe(rops.final_response())
            states = AsyncRecorder(socket.state)
            server.drop()
            await states.until(lambda: states.values[-1] is ConnectionState.IDLE)
            await resubscribe_on_every_error(socket.send_request(ask("second", previous_response_id=response.id)))
            assert (await socket.send_request(ask("third"))).type == "response.completed"

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_a_request_disposed_at_once_gets_no_error(server: ResponsesServer) -> None:
    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            response = await socket.send_request(ask("first", store=False)).pipe(rops.final_response())
            gone = asyncio.Event()
            watching = socket.state.subscribe(
                lambda state: gone.set() if state is ConnectionState.IDLE else None, scheduler=None
            )
            server.drop()
            await gone.wait()
            watching.dispose()
            heard = Recorder(socket.send_request(ask("second", previous_response_id=response.id)))
            heard.subscription.dispose()
            assert (await socket.send_request(ask("third"))).type == "response.completed"
            assert not heard.ended

    asyncio.run(asyncio.wait_for(main(), WAIT))
