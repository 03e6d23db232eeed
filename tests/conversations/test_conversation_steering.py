"""New input for a turn that runs, and what the conversation remembers of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from rxresponses import (
    ConfigurationError,
    ConnectionLostError,
    Conversation,
    InvalidRequestError,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    function_result,
    tool,
    user_message,
)
from rxresponses.testing import FunctionCall, Gate, Hold, ResponsesServer, Text
from rxresponses.wire.events.base import event_from

from ..support.events import accepted, completed, created, failed, incomplete, message, refused
from ..support.recorder import Recorder
from .chains import user
from .hand_sender import HandSender
from .scripted_sender import ScriptedSender
from .talk import drop, reasons, said, talk, text_of

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}


class Held:
    """A turn that waits in the middle of its text until its gate opens."""

    def __init__(self, server: ResponsesServer, sender: Any, *parts: Any, after: int = 5, **settings: Any) -> None:
        self.gate: Gate = server.gate()
        server.reply([*(parts or (Text(deltas=["a ", "b ", "c"]),)), Hold(self.gate, after)])
        self.chat = Conversation(sender, model="m", **settings)
        self.turn = Recorder(self.chat.send("count")).wait_for(after + 1)

    def steer(self, text: str = "stop") -> Recorder[ServerEvent]:
        return Recorder(self.chat.steer(text)).wait_for(1)

    def open(self) -> None:
        self.gate.open()
        self.turn.wait()

    @property
    def history(self) -> list[str]:
        return [text_of(item) for item in self.chat.history]


@pytest.fixture(params=["socket", "client", "lane"])
def sender(request: pytest.FixtureRequest) -> Any:
    """A sender that can steer."""
    if request.param == "lane":
        return request.getfixturevalue("socket").lane("mine")
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("store", [True, False])
def test_scenario_37_the_response_that_follows_is_remembered(server: ResponsesServer, sender: Any, store: bool) -> None:
    held = Held(server, sender, store=store)
    server.reply("stopped", "more")
    steer = held.steer()
    waiting = Recorder(held.chat.send("go on"))
    held.open()
    assert held.turn.types[-1] == "response.incomplete"
    assert steer.wait().types[-1] == "response.completed"
    waiting.wait()
    assert held.history[0::2][1:] == ["stop", "go on"]
    assert held.history[3::2] == ["stopped", "more"]
    assert reasons(waiting) == []
    assert said(server) == ["count", "go on"]
    latest = held.chat.last_response
    assert latest is not None
    assert latest.output_text == "more"


def test_two_steers_have_one_answer(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    held = Held(server, socket)
    server.reply("stopped", "more")
    steers = [held.steer("stop"), held.steer("now")]
    held.open()
    ends = [steer.wait().values[-1] for steer in steers]
    assert held.history[2:] == ["stop", "now", "stopped"]
    total = held.turn.values[-1].response.usage.total_tokens  # type: ignore[attr-defined]
    assert held.chat.usage.total_tokens == total + ends[0].response.usage.total_tokens  # type: ignore[attr-defined]
    talk(held.chat, "go on")
    assert server.requests[1]["previous_response_id"] == ends[0].response.id  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", [{}, {"temperature": 1}], ids=["same settings", "other settings"])
def test_scenario_37_the_server_keeps_the_input_until_the_calls_are_answered(
    server: ResponsesServer, socket: ResponsesWebSocket, change: dict[str, Any]
) -> None:
    held = Held(server, socket, FunctionCall("look", call_id="call_1"), tools=[LOOK], after=3)
    server.reply("stopped", "more")
    steer = held.steer()
    held.open()
    assert steer.wait().types == ["response.steer.accepted", "response.steer.pending"]
    assert held.history == ["count", "function_call", "stop"]
    answer = talk(held.chat, function_result("call_1", "seen"), **change)
    assert answer.values[-1].type == "response.completed"
    assert held.history == ["count", "function_call", "stop", "function_call_output", "stopped"]
    expected = ["function_call_output"] if not change else ["count", "function_call", "stop", "function_call_output"]
    assert said(server)[1] == expected


def test_scenario_37_a_steer_that_is_refused_changes_nothing(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    held = Held(server, socket)
    late = held.chat.steer("stop")
    held.open()
    error = Recorder(late).wait().error
    assert isinstance(error, InvalidRequestError)
    assert "no response of this conversation runs" in str(error)
    assert held.history[0] == "count"
    assert len(held.history) == 2


def test_scenario_37_a_connection_that_is_lost_before_the_answer(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    held = Held(server, socket, store=False)
    steer = held.steer()
    drop(server, socket)
    assert isinstance(steer.wait().error, ConnectionLostError)
    assert isinstance(held.turn.wait().error, ConnectionLostError)
    assert held.history == []
    assert talk(held.chat, "again").values[-1].type == "response.completed"


def test_a_steer_that_is_disposed(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    """The server has accepted it, and goes on: the lane no longer holds what the conversation remembers."""
    held = Held(server, socket, store=False)
    server.reply("stopped", "more")
    held.steer().subscription.dispose()
    held.open()
    turn = talk(held.chat, "go on")
    assert turn.values[-1].type == "response.completed"
    assert len(reasons(turn)) == 1
    assert held.history[2:] == ["go on", "more"]


def test_a_steer_of_the_response_that_follows(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    held = Held(server, socket)
    gate = server.gate()
    server.reply([Text(deltas=["d ", "e ", "f"]), Hold(gate, 5)], "stopped")
    first = held.steer("first")
    held.open()
    first.wait_for(6)
    second = held.steer("second")
    gate.open()
    first.wait()
    second.wait()
    assert held.history[2] == "first"
    assert held.history[4:] == ["second", "stopped"]


class SteeredByHand(HandSender):
    """A sender whose steers a test answers by hand, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.steers: list[ObserverBase[ServerEvent]] = []
        self.targets: list[str] = []

    def steer(self, response_id: str, input: Any) -> Observable[ServerEvent]:
        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            self.steers.append(observer)
            self.targets.append(response_id)
            return Disposable()

        return Observable(subscribe)


class ByHand:
    """A turn whose response runs, and its steer."""

    def __init__(self) -> None:
        self.sender = SteeredByHand()
        self.chat = Conversation(self.sender, model="m")
        assert isinstance(Recorder(self.chat.steer("stop")).error, InvalidRequestError)
        self.turn = Recorder(self.chat.send("count"))
        assert isinstance(Recorder(self.chat.steer("stop")).error, InvalidRequestError)
        self.sender.emit(created())
        self.steer = Recorder(self.chat.steer("stop"))
        assert self.sender.targets == ["resp_1"]

    def tell(self, *events: ServerEvent) -> None:
        for event in events:
            self.sender.steers[0].on_next(event)

    @property
    def history(self) -> list[str]:
        return [text_of(item) for item in self.chat.history]


FOLLOWER = [created("resp_2"), completed(message("stopped"), id="resp_2")]


def test_what_follows_may_be_known_first() -> None:
    """The turn and its steer may be delivered on different loops."""
    hand = ByHand()
    hand.tell(accepted(), *FOLLOWER)
    assert hand.history == []
    hand.sender.end(incomplete(message("1, 2"), reason="steered"))
    assert hand.history == ["count", "1, 2", "stop", "stopped"]
    latest = hand.chat.last_response
    assert latest is not None
    assert latest.id == "resp_2"


def test_the_next_turn_waits_for_what_follows() -> None:
    hand = ByHand()
    waiting = Recorder(hand.chat.send("go on"))
    hand.tell(accepted())
    hand.sender.end(incomplete(message("1, 2"), reason="steered"))
    assert waiting.values == []
    hand.tell(*FOLLOWER)
    hand.sender.steers[0].on_completed()
    assert waiting.types == ["rxresponses.turn_started"]
    assert hand.sender.requests[1]["previous_response_id"] == "resp_2"


@pytest.mark.parametrize(
    "end",
    [
        failed(id="resp_2"),
        refused(),
        event_from({"type": "response.completed", "response": 3}),
    ],
    ids=["failed", "returned", "unreadable"],
)
def test_if_nothing_follows_the_steered_response_stays(end: ServerEvent) -> None:
    hand = ByHand()
    hand.tell(accepted())
    hand.sender.end(incomplete(message("1, 2"), reason="steered"))
    hand.tell(created("resp_2"), end)
    hand.sender.steers[0].on_completed()
    assert hand.history == ["count", "1, 2"]
    Recorder(hand.chat.send("go on"))
    assert hand.sender.requests[1]["previous_response_id"] == "resp_1"


def test_a_steer_that_fails_ends() -> None:
    hand = ByHand()
    hand.sender.steers[0].on_error(ConnectionLostError("lost", delivery="unknown"))
    assert isinstance(hand.steer.error, ConnectionLostError)
    hand.sender.end(completed(message("1, 2, 3")))
    Recorder(hand.chat.send("go on"))
    assert len(hand.sender.requests) == 2


def test_a_turn_with_tools_is_not_steered(server: ResponsesServer, client: ResponsesClient) -> None:
    @tool
    def look() -> str:
        return "seen"

    held = Held(server, client, tools=[look])
    error = Recorder(held.chat.steer("stop")).error
    assert "runs tools" in str(error)
    held.open()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda chat: chat.steer(""), InvalidRequestError),
        (
            lambda chat: chat.steer([{"type": "function_call_output", "call_id": "c", "output": ""}]),
            InvalidRequestError,
        ),
        (lambda chat: Conversation(ScriptedSender(), model="m").steer("stop"), ConfigurationError),
    ],
    ids=["nothing", "no message", "no steering"],
)
def test_what_cannot_be_sent_is_refused_at_once(
    socket: ResponsesWebSocket, make: Callable[[Conversation], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(Conversation(socket, model="m"))


def test_items_are_taken_too(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    held = Held(server, socket)
    server.reply("stopped")
    steers = [Recorder(held.chat.steer(item)).wait_for(1) for item in (user("stop"), user_message("now"))]
    held.open()
    for steer in steers:
        steer.wait()
    assert held.history[2:] == ["stop", "now", "stopped"]
