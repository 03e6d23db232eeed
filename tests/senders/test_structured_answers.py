"""Typed answers from end to end: a type goes to the server as a schema and comes back as a value."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    Conversation,
    OutputParseError,
    ResponseCreate,
    ResponseIncompleteError,
    ResponseRefusedError,
    ResponsesClient,
    ResponsesWebSocket,
    run_tools,
)
from rxresponses import operators as rops
from rxresponses.testing import FunctionCall, Incomplete, Refusal, ResponsesServer, Text


@dataclasses.dataclass
class Day:
    name: str
    stops: list[str]


@dataclasses.dataclass
class Trip:
    city: str
    days: list[Day]
    note: str | None = None


TRIP = '{"city": "Rome", "days": [{"name": "one", "stops": ["a"]}, {"name": "two", "stops": []}], "note": null}'
DAYS = [Day("one", ["a"]), Day("two", [])]
ASK = ResponseCreate(model="m", input="Where to?", text_format=Trip)


def test_the_server_gets_a_strict_schema_and_its_made_up_answer_fits(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    trip = socket.send_request(ASK).pipe(rops.parse_output(Trip)).run()
    days = socket.send_request({"model": "m", "input": "hi", "text_format": list[Day]}).pipe(rops.elements(Day)).run()

    assert isinstance(trip, Trip)
    assert isinstance(days, Day)
    formats = [request["text"]["format"] for request in server.requests]
    assert [(one["type"], one["strict"], one["name"]) for one in formats] == [
        ("json_schema", True, "Trip"),
        ("json_schema", True, "list_Day"),
    ]


def test_an_answer_that_grows(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply(TRIP, TRIP, TRIP)
    parts = socket.send_request(ASK).pipe(rops.partial_output(Trip), ops.to_list()).run()
    trips = socket.send_request(ASK).pipe(rops.partial_output(Trip, validate=True), ops.to_list()).run()
    days = socket.send_request(ASK).pipe(rops.elements(Day, at="days"), ops.to_list()).run()

    assert parts[-1]["days"] == [dataclasses.asdict(day) for day in DAYS]
    assert len(parts) > 3
    assert trips[-1] == Trip("Rome", DAYS)
    assert days == DAYS


def test_answers_that_are_none(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    errors: list[tuple[Any, type[Exception]]] = [
        (Refusal("I will not."), ResponseRefusedError),
        ([Text('{"city": "Ro'), Incomplete()], ResponseIncompleteError),
        ('{"city": 5}', OutputParseError),
    ]
    for reply, kind in errors:
        server.reply(reply)
        with pytest.raises(kind) as caught:
            socket.send_request(ASK).pipe(rops.parse_output(Trip)).run()
        assert caught.value.response_id == server.exchanges[-1].response_id  # type: ignore[attr-defined]


def test_in_a_coroutine(server: ResponsesServer) -> None:
    async def main() -> list[Any]:
        async with ResponsesWebSocket(server.url) as socket:
            values = [await socket.send_request(ASK).pipe(rops.parse_output(Trip))]
            async with socket.send_request(ASK).pipe(rops.elements(Day), rops.to_async_iterable()) as days:
                return values + [day async for day in days]

    server.reply(TRIP, TRIP)
    assert asyncio.run(main()) == [Trip("Rome", DAYS), *DAYS]


def stops(city: str) -> list[str]:
    """Find the stops in a city."""
    return [f"{city} 1"]


def test_the_answer_after_turns_of_tools(server: ResponsesServer, client: ResponsesClient) -> None:
    call = FunctionCall("stops", {"city": "Rome"})
    server.reply([Text("Let me look."), call], TRIP, [call], TRIP)
    alone = run_tools(client, ASK, [stops]).pipe(rops.parse_output(Trip), ops.to_list()).run()
    conversation = Conversation(client, model="m", text_format=Trip, tools=[stops])
    in_a_conversation = conversation.send("Where to?").pipe(rops.partial_output(Trip), ops.to_list()).run()

    assert alone == [Trip("Rome", DAYS)]
    assert in_a_conversation[-1]["city"] == "Rome"
