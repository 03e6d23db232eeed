"""`ask_latest` over sockets and clients to the embedded server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable, Subject
from reactivex import operators as ops

from rxresponses import (
    ConnectionLostError,
    ConnectionOptions,
    Conversation,
    LifecycleEvent,
    ResponseCompletedEvent,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    SteerTimeoutError,
    TurnStartedEvent,
    ask_latest,
)
from rxresponses import operators as rops
from rxresponses.testing import (
    Close,
    Failure,
    Fault,
    FunctionCall,
    Gate,
    Hold,
    IgnoreSteer,
    Request,
    ResponsesServer,
    Text,
)
from rxresponses.wire.requests.sent import plain_json

from ..support.clients import inputs
from ..support.recorder import WAIT, Recorder
from ..support.steering import steers_received

Events = Recorder[ServerEvent]


def held(server: ResponsesServer, *, after: int = 5) -> Gate:
    """Let the next response wait in the middle of its text."""
    gate = server.gate()
    server.reply([Text(deltas=["a ", "b ", "c"]), Hold(gate, after)])
    return gate


def conversation(request: Request) -> str:
    return request.conversation


def text_of(events: list[ServerEvent]) -> str:
    return "".join(getattr(event, "delta", "") for event in events)


def wait_for_type(seen: Events, kind: str, count: int) -> None:
    seen.wait(lambda: seen.types.count(kind) >= count)


@pytest.fixture(params=["socket", "client"])
def sender(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


class TestCancel:
    @pytest.mark.parametrize("talks", [False, True], ids=["sender", "conversation"])
    def test_the_next_prompt_does_not_wait_for_the_response_that_was_cancelled(
        self, server: ResponsesServer, sender: Any, talks: bool
    ) -> None:
        gates = [held(server) for _ in range(6)]
        server.reply(conversation)
        prompts: Subject[Any] = Subject()
        pipeline = ask_latest(Conversation(sender, model="m")) if talks else ask_latest(sender, model="m")
        seen: Events = Recorder(prompts.pipe(pipeline))
        for number in range(1, 7):
            prompts.on_next(f"story {number}")
            wait_for_type(seen, "response.output_text.delta", number)
            if number > 1:
                gates[number - 2].open()  # so that at most two responses run
        prompts.on_next("hello")
        prompts.on_completed()
        seen.wait()
        gates[-1].open()

        assert seen.types.count("response.completed") == 1
        assert seen.values[-1].is_terminal
        assert text_of(seen.values[-2:-1] + seen.values).endswith("user: hello")
        lanes = {request.get("stream_id") for request in server.requests}
        assert len(lanes) <= 5 or isinstance(sender, ResponsesClient)

    def test_on_a_lane_the_next_prompt_waits(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = held(server)
        server.reply("second")
        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(socket.lane("mine"), model="m")))
        prompts.on_next("A")
        seen.wait(lambda: "response.output_text.delta" in seen.types)
        prompts.on_next("B")
        prompts.on_completed()
        assert inputs(server) == ["A"]
        gate.open()

        assert seen.wait().text.endswith("second")
        assert {request["stream_id"] for request in server.requests} == {"mine"}

    def test_a_lane_of_the_program_stays(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply("first", "second")
        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(socket, model="m", stream_id="mine")))
        for count, prompt in enumerate("AB", 1):
            prompts.on_next(prompt)
            wait_for_type(seen, "response.completed", count)

        assert [request["stream_id"] for request in server.requests] == ["mine", "mine"]

    def test_answers_that_end_use_one_lane(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(socket, model="m")))
        for count in range(1, 4):
            prompts.on_next("A")
            wait_for_type(seen, "response.completed", count)

        assert {request.get("stream_id") for request in server.requests} == {None}

    def test_the_connection_is_closed_if_the_options_say_so(self, server: ResponsesServer) -> None:
        gate = held(server)
        server.reply("second")
        options = ConnectionOptions(on_dispose="close")
        with ResponsesWebSocket(server.url, options=options) as socket:
            prompts: Subject[Any] = Subject()
            seen: Events = Recorder(prompts.pipe(ask_latest(socket, model="m")))
            prompts.on_next("A")
            seen.wait(lambda: "response.output_text.delta" in seen.types)
            prompts.on_next("B")
            prompts.on_completed()
            assert seen.wait().text.endswith("second")
        gate.open()

        assert len({exchange.connection for exchange in server.exchanges}) == 2

    @pytest.mark.parametrize(
        ("keep", "heard"),
        [
            (False, "user: B"),
            (True, "user: A\nassistant: a \nuser: B"),
            (str.upper, "user: A\nassistant: A \nuser: B"),
            (lambda text: "", "user: A\nuser: B"),
        ],
    )
    def test_a_conversation_keeps_what_was_heard(
        self, server: ResponsesServer, socket: ResponsesWebSocket, keep: bool | Callable[[str], str], heard: str
    ) -> None:
        gate = held(server)
        server.reply(conversation)
        chat = Conversation(socket, model="m")
        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(chat, keep_heard=keep)))
        prompts.on_next("A")
        seen.wait(lambda: "response.output_text.delta" in seen.types)
        prompts.on_next("B")
        prompts.on_completed()
        seen.wait()
        gate.open()

        assert seen.text == f"a {heard}"
        assert len(chat.history) == heard.count("\n") + 2

    def test_what_was_heard_of_an_answer_that_has_ended_is_remembered_once(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply("first", conversation)
        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(Conversation(socket, model="m"), keep_heard=True)))
        prompts.on_next("A")
        seen.wait(lambda: "response.completed" in seen.types)
        prompts.on_next("B")
        prompts.on_completed()

        assert seen.wait().text == "firstuser: A\nassistant: first\nuser: B"

    @pytest.mark.parametrize(
        ("keep", "heard", "sent"),
        [(True, "One. Two.", 1), (lambda text: text[:4], "One.", 3), (str, "One. Two.", 1)],
    )
    def test_what_was_heard_of_an_answer_that_is_still_spoken(
        self, server: ResponsesServer, socket: ResponsesWebSocket, keep: Any, heard: str, sent: int
    ) -> None:
        server.reply("One. Two.", conversation)

        ended = threading.Event()

        def each(events: Observable[ServerEvent]) -> Observable[ServerEvent]:
            speech: Observable[ServerEvent] = reactivex.never()  # goes on
            return events.pipe(ops.do_action(on_completed=ended.set), ops.concat(speech))

        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(Conversation(socket, model="m"), each=each, keep_heard=keep)))
        prompts.on_next("A")
        assert ended.wait(WAIT)
        prompts.on_next("B")
        wait_for_type(seen, "response.completed", 2)

        assert seen.text == f"One. Two.user: A\nassistant: {heard}\nuser: B"
        assert len(server.requests[-1]["input"]) == sent

    def test_in_an_asyncio_program(self, server: ResponsesServer) -> None:
        gate = held(server)
        server.reply("One. Two.")

        async def main() -> list[str]:
            async with ResponsesWebSocket(server.url) as socket:
                prompts: Subject[Any] = Subject()
                begun = asyncio.Event()

                def begin(event: ServerEvent) -> None:
                    if "delta" in event.type:
                        begun.set()

                pipeline = prompts.pipe(
                    ask_latest(socket, model="m"),
                    ops.do_action(begin),
                    rops.sentences(strip=True),
                    ops.to_list(),
                )
                found = asyncio.ensure_future(_awaited(pipeline))
                await asyncio.sleep(0)
                prompts.on_next("A")
                await asyncio.wait_for(begun.wait(), WAIT)
                prompts.on_next("B")
                prompts.on_completed()
                return await asyncio.wait_for(found, WAIT)

        assert asyncio.run(main()) == ["One.", "Two."]
        gate.open()


async def _awaited(pipeline: Any) -> Any:
    return await pipeline


class TestSteer:
    @pytest.mark.parametrize("talks", [False, True], ids=["sender", "conversation"])
    def test_scenario_37_the_next_prompt_steers(self, server: ResponsesServer, sender: Any, talks: bool) -> None:
        gate = held(server)
        server.reply(conversation, conversation)
        chat = Conversation(sender, model="m")
        prompts: Subject[Any] = Subject()
        pipeline = ask_latest(chat, mode="steer") if talks else ask_latest(sender, mode="steer", model="m")
        seen: Events = Recorder(prompts.pipe(pipeline))
        prompts.on_next("A")
        prompts.on_next("B")
        prompts.on_next("C")
        seen.wait(lambda: seen.types.count("response.steer.accepted") == 2)
        gate.open()
        seen.wait(lambda: "response.completed" in seen.types)
        assert seen.text == "a user: A\nassistant: a \nuser: B\nuser: C"
        if talks:
            assert [type(event) for event in seen.values].count(TurnStartedEvent) == 1
            ends = [event.response.usage for event in seen.values if isinstance(event, LifecycleEvent)]
            assert chat.usage.total_tokens == sum(usage.total_tokens or 0 for usage in ends if usage is not None)
            prompts.on_next("D")
            seen.wait(lambda: seen.types.count("response.completed") == 2)
            assert text_of(seen.values).endswith(
                "user: C\nassistant: user: A\nassistant: a \nuser: B\nuser: C\nuser: D"
            )
            assert len(chat.history) == 7
            assert server.requests[-1]["previous_response_id"] == _ids(seen)[1]
        prompts.on_completed()
        assert seen.wait().errors == []

    def test_scenario_37_a_steer_that_comes_too_late_is_asked(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply("first", conversation)
        chat = Conversation(socket, model="m")
        prompts: Subject[Any] = Subject()
        asked: list[str] = []

        def ask_inside(event: ServerEvent) -> None:
            if isinstance(event, ResponseCompletedEvent) and not asked:
                asked.append("B")
                prompts.on_next("B")
                prompts.on_completed()

        prompts_seen = prompts.pipe(ask_latest(chat, mode="steer"), ops.do_action(ask_inside))
        seen: Events = Recorder(prompts_seen)
        prompts.on_next("A")

        assert seen.wait().text == "firstuser: A\nassistant: first\nuser: B"

    @pytest.mark.parametrize("talks", [False, True], ids=["sender", "conversation"])
    def test_scenario_37_pending(self, server: ResponsesServer, socket: ResponsesWebSocket, talks: bool) -> None:
        gate = server.gate()
        server.reply([FunctionCall("look", {}, call_id="call_1"), Hold(gate, 4)], conversation)
        chat = Conversation(socket, model="m")
        prompts: Subject[Any] = Subject()
        pipeline = ask_latest(chat, mode="steer") if talks else ask_latest(socket, mode="steer", model="m")
        seen: Events = Recorder(prompts.pipe(pipeline))
        prompts.on_next("A")
        prompts.on_next("B")
        seen.wait(lambda: "response.steer.accepted" in seen.types)
        gate.open()
        seen.wait(lambda: "response.steer.pending" in seen.types)
        if talks:
            prompts.on_next([{"type": "function_call_output", "call_id": "call_1", "output": "seen"}])
            seen.wait(lambda: seen.types.count("response.completed") == 2)
            assert "user: B" in seen.text
            assert [plain_json(item)["type"] for item in chat.history] == [
                *("message", "function_call", "message", "function_call_output", "message"),
            ]
        prompts.on_completed()
        assert seen.wait().errors == []

    def test_a_response_that_follows_and_fails_is_not_remembered(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = held(server)
        server.reply(Failure("server_error"))
        chat = Conversation(socket, model="m")
        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(chat, mode="steer")))
        prompts.on_next("A")
        prompts.on_next("B")
        prompts.on_completed()
        seen.wait_for(6)
        gate.open()
        seen.wait()

        assert seen.types[-1] == "error"
        assert [plain_json(item)["content"] for item in chat.history][:1] == ["A"]
        assert len(chat.history) == 2

    def test_a_turn_that_runs_tools_is_not_steered(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.reply([FunctionCall("look", {}), Hold(gate, 4)], "found", conversation)

        def look() -> str:
            """Look."""
            return "seen"

        prompts: Subject[Any] = Subject()
        seen: Events = Recorder(prompts.pipe(ask_latest(Conversation(socket, model="m", tools=[look]), mode="steer")))
        prompts.on_next("A")
        seen.wait(lambda: "response.created" in seen.types)
        prompts.on_next("B")
        gate.open()
        prompts.on_completed()
        seen.wait()

        assert steers_received(server) == []
        assert seen.types.count("response.completed") == 3
        assert seen.text.endswith("assistant: found\nuser: B")

    def test_scenario_37_a_server_that_ignores_steers(self) -> None:
        options = ConnectionOptions(steer_timeout=0.05)
        with (
            ResponsesServer(faults=[Fault(IgnoreSteer())]) as server,
            ResponsesWebSocket(server.url, options=options) as socket,
        ):
            gate = held(server)
            prompts: Subject[Any] = Subject()
            seen: Events = Recorder(prompts.pipe(ask_latest(socket, mode="steer", model="m")))
            prompts.on_next("A")
            prompts.on_next("B")
            seen.wait()
            gate.open()

        assert isinstance(seen.error, SteerTimeoutError)
        assert seen.error.delivery == "unknown"

    def test_scenario_37_the_socket_is_lost_before_the_acknowledgement(self) -> None:
        with (
            ResponsesServer(faults=[Fault(Close(1006, after=4), request=1)]) as server,
            ResponsesWebSocket(server.url) as socket,
        ):
            prompts: Subject[Any] = Subject()
            seen: Events = Recorder(prompts.pipe(ask_latest(socket, mode="steer", model="m")))
            prompts.on_next("A")
            prompts.on_next("B")
            seen.wait()

        assert isinstance(seen.error, ConnectionLostError)
        assert inputs(server) == ["A"]
        assert len(steers_received(server)) <= 1


def _ids(seen: Events) -> list[str]:
    return [event.response.id for event in seen.values if event.type == "response.created"]  # type: ignore[attr-defined]
