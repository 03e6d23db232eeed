"""Conversations on a fleet: they stay where their parent is, and move only with their whole history."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from rxresponses import (
    Conversation,
    FallbackEvent,
    HistorySentEvent,
    PreviousResponseLostError,
    ResponsesFleet,
    fallback,
    run_tools,
    user_message,
)
from rxresponses import operators as rops
from rxresponses.testing import FunctionCall, ResponsesServer, When

from ..support.clients import ask, fast_retries, late_retries, response_id, run
from ..support.fleets import WITH_LANES, fleet_of, received, servers
from ..support.recorder import Recorder


@pytest.mark.parametrize("store", [True, False])
def test_conversations_stay_on_their_member(store: bool) -> None:
    async def main() -> None:
        async with fleet_of(several) as fleet:

            async def talk(number: int) -> None:
                conversation = Conversation(fleet, model="m", store=store)
                for turn in range(4):
                    text = await conversation.send(f"{number}.{turn}").pipe(rops.collect_text())
                    assert text == str(2 * turn)  # the server knows everything before

            await asyncio.gather(*(talk(number) for number in range(12)))

    with servers(3) as several:
        for server in several:
            server.on("", lambda request: str(len(request.history)))
        run(main())
        where = defaultdict(set)
        for number, server in enumerate(several):
            for request in server.requests:
                assert len(request["input"]) < 10 or isinstance(request["input"], list)
                text = request["input"] if isinstance(request["input"], str) else request["input"][-1]["content"]
                where[str(text).split(".")[0]].add(number)
        assert len(where) == 12
        assert all(len(members) == 1 for members in where.values())
        assert all(received(several))


def test_a_stored_parent_is_continued_on_its_member_only() -> None:
    with servers(3) as several, fleet_of(several) as fleet:
        parent = response_id(Recorder(fleet.send_request(ask("first"))).wait())
        home = received(several).index(1)
        for _ in range(5):
            assert Recorder(fleet.send_request(ask("next", previous_response_id=parent))).wait().completions
        assert received(several)[home] == 6


def test_a_parent_from_elsewhere_is_looked_for_on_each_member() -> None:
    with servers(3) as several:
        with ResponsesFleet([several[2].url]) as other:
            parent = response_id(Recorder(other.send_request(ask("first"))).wait())
        with fleet_of(several) as fleet:
            found = Recorder(fleet.send_request(ask("next", previous_response_id=parent))).wait()
            assert found.types[-1] == "response.completed"
            assert several[2].requests[-1]["input"] == "next"
            nowhere = Recorder(fleet.send_request(ask("lost", previous_response_id="resp_unknown"))).wait()
            assert nowhere.types == ["error"]
            assert nowhere.values[0].code == "previous_response_not_found"  # type: ignore[attr-defined]


def test_a_conversation_moves_with_its_history_when_its_member_is_gone() -> None:
    first = ResponsesServer().__enter__()
    with servers(1) as several, ResponsesFleet([first.url], options=WITH_LANES, pool=late_retries()) as fleet:
        conversation = Conversation(fleet, model="m")
        assert conversation.send("one").pipe(rops.collect_text()).run()
        fleet.add(several[0].url)
        parent = conversation.history
        first.drop()
        first.__exit__(None, None, None)
        got = Recorder(conversation.send("two")).wait()
        assert got.completions
        assert any(isinstance(event, HistorySentEvent) for event in got.values) or several[0].requests
        assert len(several[0].requests[0]["input"]) == len(parent) + 1
        assert "previous_response_id" not in several[0].requests[0]


def test_a_continuation_without_history_is_told_what_to_do() -> None:
    first = ResponsesServer().__enter__()
    with servers(1) as several, fleet_of([first, *several], pool=fast_retries()) as fleet:
        parent = response_id(Recorder(fleet.send_request(ask("one"))).wait())
        assert received([first, *several]) == [1, 0]
        first.drop()
        first.__exit__(None, None, None)
        lost = Recorder(fleet.send_request(ask("two", previous_response_id=parent))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)
        assert "pass `history`" in str(lost.error)
        assert lost.error.delivery == "not_sent"
        history = [user_message("one")]
        moved = Recorder(fleet.send_request(ask("two", previous_response_id=parent), history=history)).wait()
        assert moved.completions
        assert len(several[0].requests[0]["input"]) == 2


def test_the_history_function_is_called_once_for_a_request_that_moves() -> None:
    first = ResponsesServer().__enter__()
    calls = []

    def history() -> list[object]:
        calls.append(1)
        return [user_message("one")]

    with servers(1) as several, fleet_of([first, *several], pool=late_retries()) as fleet:
        parent = response_id(Recorder(fleet.send_request(ask("one", store=False))).wait())
        first.drop()
        first.__exit__(None, None, None)
        request = ask("two", store=False, previous_response_id=parent)
        assert Recorder(fleet.send_request(request, history=history)).wait().completions  # type: ignore[arg-type]
        assert calls == [1]


def test_tools_and_fallback_take_a_fleet() -> None:
    def get_weather(city: str) -> str:
        """Return the weather."""
        return f"sunny in {city}"

    with servers(2) as several:
        for server in several:
            server.on("weather", FunctionCall("get_weather", {"city": "Rome"}))
            server.on(When(tool="get_weather"), "It is sunny.")
        with fleet_of(several) as fleet:
            answers = run_tools(fleet, ask("weather"), [get_weather]).pipe(rops.collect_text())
            assert "sunny" in Recorder(answers).wait().values[-1]
            got = Recorder(fallback(fleet).send_request(ask())).wait()
            assert isinstance(got.values[0], FallbackEvent)
            assert got.completions
