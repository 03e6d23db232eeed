"""The official client against the embedded server, as an independent reading of the protocol."""

from __future__ import annotations

import asyncio
import typing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("openai", reason="the official client is not installed")
pytest.importorskip("openai.lib.responses_websocket", reason="the official client has no WebSocket session")

from openai import AsyncOpenAI, OpenAI
from openai.lib._pydantic import to_strict_json_schema
from openai.lib.responses_websocket import (
    AsyncResponsesWebSocketLane,
    AsyncResponsesWebSocketSession,
    ResponsesWebSocketError,
    ResponsesWebSocketLimits,
)
from openai.resources.responses.responses import AsyncResponsesConnection
from openai.types import responses
from openai.types.responses import (
    Response,
    ResponseFunctionToolCall,
    response_create_params,
    response_input_item_param,
    tool_param,
)

from rxresponses.testing import FunctionCall, Hold, ResponsesServer, Text, item_checks, service_checks, tool_checks
from rxresponses.testing.schema_checks import problem_of

from .sockets import on_loop

LIMITS = ResponsesWebSocketLimits(
    max_lanes=4, max_events_per_lane=1000, max_events=2000, max_bytes_per_lane=2**20, max_bytes=2**21
)


@asynccontextmanager
async def connected(server: ResponsesServer) -> AsyncIterator[AsyncResponsesConnection]:
    async with AsyncOpenAI(api_key="secret", base_url=server.url) as client, client.responses.connect() as connection:
        yield connection


async def ask(lane: AsyncResponsesWebSocketLane, **body: Any) -> Response:
    command: Any = {"type": "response.create", "model": "m", **body}
    await lane.send(command)
    return await lane.get_final_response()


@on_loop
async def test_the_connection_streams_a_response() -> None:
    async with ResponsesServer(api_key="secret") as server, connected(server) as connection:
        await connection.response.create(model="gpt-9", input="hello", metadata={"a": "b"})
        text = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.completed":
                break
        assert event.type == "response.completed"
        assert event.response.output_text == text
        assert text.endswith("You asked: hello")
        assert event.response.model == "gpt-9"
        assert event.response.usage is not None
        assert event.response.usage.output_tokens > 0


@on_loop
async def test_the_session_runs_two_named_lanes() -> None:
    async with ResponsesServer() as server, connected(server) as connection:
        gate = server.gate()
        server.on("one", [Text("the first"), Hold(gate, 1)])
        server.on("two", [Text("the second"), Hold(gate, 1)])
        server.on("both", lambda request: request.conversation)
        async with AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session:
            first, second = session.lane("first"), session.lane("second")
            answers = asyncio.gather(ask(first, input="one"), ask(second, input="two"))
            await server.until(lambda: len(server.requests) == 2)
            gate.open()
            one, two = await answers
            assert (one.output_text, two.output_text) == ("the first", "the second")

            chained, forked = await asyncio.gather(
                ask(first, input="both", previous_response_id=one.id),
                ask(second, input="both", previous_response_id=one.id),
            )
            assert chained.output_text == forked.output_text == "user: one\nassistant: the first\nuser: both"

            with pytest.raises(ResponsesWebSocketError) as caught:
                await ask(second, input="x", previous_response_id="resp_missing")
            assert caught.value.event.error.code == "previous_response_not_found"  # type: ignore[union-attr]
            assert (await ask(second, input="two")).output_text == "the second"


@on_loop
async def test_tools_and_warm_up() -> None:
    async with ResponsesServer() as server, connected(server) as connection:
        server.on("weather", lambda request: "21 °C" if request.function_outputs else FunctionCall("weather", {}))
        async with AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session:
            lane = session.lane("main")
            warm = await ask(lane, input=[], generate=False, tools=[{"type": "function", "name": "weather"}])
            assert warm.output == []
            response = await ask(lane, input="the weather?", previous_response_id=warm.id)
            (call,) = response.output
            assert isinstance(call, ResponseFunctionToolCall)
            output = {"type": "function_call_output", "call_id": call.call_id, "output": "21"}
            answer = await ask(lane, input=[output], previous_response_id=response.id)
            assert answer.output_text == "21 °C"


@on_loop
async def test_steering() -> None:
    async with ResponsesServer() as server, connected(server) as connection:
        gate = server.gate()
        server.reply([Text("a b c"), Hold(gate, 5)], "shorter")
        async with AsyncResponsesWebSocketSession(connection, limits=LIMITS) as session:
            lane = session.lane("main")
            await lane.send({"type": "response.create", "model": "m", "input": "go on"})
            created = await lane.recv()
            assert created.type == "response.created"
            await lane.send(
                {"type": "response.steer", "previous_response_id": created.response.id, "input": "be brief"}
            )
            event = await lane.recv()
            while event.type != "response.steer.accepted":
                event = await lane.recv()
            assert event.steer.previous_response_id == created.response.id
            gate.open()
            while event.type != "response.created":
                event = await lane.recv()
            assert event.response.previous_response_id == created.response.id
            assert (await lane.get_final_response()).output_text == "shorter"


@pytest.mark.filterwarnings(
    "ignore:connect.. must be used as a context manager:DeprecationWarning"
)  # raised inside the client
def test_the_blocking_client_against_the_server_on_its_thread() -> None:
    with (
        ResponsesServer() as server,
        OpenAI(api_key="secret", base_url=server.url) as client,
        client.responses.connect() as connection,
    ):
        connection.response.create(model="m", input="hello")
        for event in connection:
            if event.type == "response.completed":
                break
        assert event.type == "response.completed"
        assert event.response.output_text.endswith("You asked: hello")


def kinds(union: Any) -> set[str]:
    """Return the values of `type` that the members of a union of the official SDK may have."""
    found: set[str] = set()
    waiting = [typing.get_type_hints(member)["type"] for member in typing.get_args(union)]
    while waiting:
        hint = waiting.pop()
        found |= {hint} if isinstance(hint, str) else set()
        waiting += typing.get_args(hint)
    return found


def test_the_lists_are_those_of_the_official_sdk() -> None:
    """A newer SDK may know more, and these lists must be brought up to date then."""
    assert kinds(response_input_item_param.ResponseInputItemParam) <= set(item_checks._TYPES)
    assert kinds(tool_param.ToolParam) <= set(tool_checks._TYPES)
    assert set(typing.get_args(responses.ResponseIncludable)) <= set(service_checks._INCLUDE)
    fields = typing.get_type_hints(response_create_params.ResponseCreateParamsBase)
    assert set(fields) <= service_checks._FIELDS
    assert set(typing.get_type_hints(responses.FunctionToolParam)) <= tool_checks._FUNCTION
    assert set(typing.get_type_hints(responses.CustomToolParam)) <= tool_checks._CUSTOM


def test_strict_schemas_of_the_official_client_are_accepted() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Step(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        text: str
        kind: typing.Literal["thought", "act"] = pydantic.Field(description="what it is")
        next: Step | None

    class Plan(pydantic.BaseModel):  # type: ignore[name-defined,misc]
        steps: list[Step] = pydantic.Field(min_length=1)
        cost: float | None = pydantic.Field(ge=0)

    Plan.model_rebuild(_types_namespace={"Step": Step})
    assert problem_of(to_strict_json_schema(Plan), strict=True) is None
