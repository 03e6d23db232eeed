"""Branches of a conversation: their lanes, and that none of them loses the history."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from rxresponses import (
    ConfigurationError,
    Conversation,
    LaneLimitError,
    ResponsesClient,
    ResponsesWebSocket,
    Sender,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.protocol.lanes import MAX_NAMED_LANES
from rxresponses.testing import Failure, Fault, Hold, ResponsesServer, Text

from ..support.clients import ask
from ..support.events import completed, created
from ..support.recorder import Recorder
from .hand_sender import HandSender
from .scripted_sender import ScriptedSender
from .talk import lanes, parents, reasons, said, talk, text_of

KINDS = [
    *("socket", "client", "lane of a socket", "lane of a client", "own sender"),
    *("traced client", "traced lane of a socket"),
]


class OwnSender:
    """A sender of the program."""

    def __init__(self, socket: ResponsesWebSocket) -> None:
        self._socket = socket

    def send_request(self, request: Any, /) -> Any:
        return self._socket.send_request(request)


@pytest.fixture(params=KINDS)
def sender(request: pytest.FixtureRequest) -> Sender:
    """A sender of each kind."""
    source = request.getfixturevalue("client" if "client" in request.param else "socket")
    sender = source.lane("mine") if "lane" in request.param else source
    if "traced" in request.param:
        pytest.importorskip("opentelemetry", reason="needs opentelemetry-api, which the extra `otel` installs")
        from rxresponses.telemetry import traced

        sender = traced(sender)
    return OwnSender(source) if "own" in request.param else sender


@pytest.mark.parametrize("store", [True, False])
class TestForks:
    def test_merged_branches_continue_the_same_response(
        self, server: ResponsesServer, sender: Sender, store: bool
    ) -> None:
        """The conversation itself goes on meanwhile, and waits as long as the branches need its response."""
        chat = Conversation(sender, model="m", store=store)
        talk(chat, "a")
        branches = [chat.fork(), chat.fork(), chat]
        turns = [branch.send(text).pipe(ops.ignore_elements()) for branch, text in zip(branches, "bcd", strict=True)]
        assert Recorder(reactivex.merge(*turns)).wait().completions == 1
        for branch in branches:
            assert reasons(talk(branch, "more")) == []
            assert len(branch.history) == 6
            assert [text_of(item) for item in branch.history][::2][::2] == ["a", "more"]
        assert all(isinstance(sent, str) for sent in said(server))
        assert parents(server)[1:4] == [1, 1, 1]

    def test_a_branch_that_is_sent_at_the_terminal_event(
        self, server: ResponsesServer, socket: ResponsesWebSocket, store: bool
    ) -> None:
        chat = Conversation(socket, model="m", store=store)
        branches: list[Recorder[ServerEvent]] = []

        def fork(event: ServerEvent) -> None:
            if event.is_terminal:
                branches.append(Recorder(chat.fork().send("b")))

        Recorder(chat.send("a"), fork).wait()

        assert "rxresponses.history_sent" not in branches[0].wait().types
        assert said(server) == ["a", "b"]

    def test_scenario_34_the_conversation_waits_for_its_branch(
        self, server: ResponsesServer, socket: ResponsesWebSocket, store: bool
    ) -> None:
        gate = server.gate()
        server.reply("A", [Text("B"), Hold(gate, after=1)])
        chat = Conversation(socket, model="m", store=store)
        talk(chat, "a")
        branch = Recorder(chat.fork().send("b")).wait_for(2)
        own = Recorder(chat.send("c"))
        if store:
            own.wait()
        else:
            assert Recorder(Conversation(socket, model="m").send("other")).wait().completions == 1
            assert own.values == []
        gate.open()
        assert branch.wait().completions == own.wait().completions == 1
        assert parents(server)[:2] == [None, 1]
        assert reasons(own) == reasons(branch) == []

    def test_scenario_33_a_branch_that_fails_costs_nobody_the_response(
        self, server: ResponsesServer, sender: Sender, store: bool
    ) -> None:
        server.fault(Fault(Failure("invalid_prompt", after=0), match="fail"))
        chat = Conversation(sender, model="m", store=store)
        talk(chat, "a")
        branch = chat.fork()
        assert talk(branch, "fail").values[-1].type == "error"
        assert reasons(talk(branch, "b")) == []
        assert reasons(talk(chat, "c")) == []
        assert parents(server) == [None, 1, 1, 1]

    def test_scenario_33_a_turn_that_fails_costs_its_lane_the_response(
        self, server: ResponsesServer, socket: ResponsesWebSocket, store: bool
    ) -> None:
        server.fault(Fault(Failure("invalid_prompt", after=0), match="fail"))
        chat = Conversation(socket, model="m", store=store)
        talk(chat, "a")
        talk(chat, "fail")
        lost = [] if store else ["the response to continue is not stored, and its lane no longer holds it"]
        assert reasons(talk(chat, "b")) == lost
        assert [request.get("previous_response_id") is None for request in server.requests] == [True, False, not store]

    def test_a_branch_of_a_conversation_that_has_gone_on(
        self, server: ResponsesServer, sender: Sender, store: bool
    ) -> None:
        chat = Conversation(sender, model="m", store=store)
        talk(chat, "a")
        branch = chat.fork()
        talk(chat, "b")
        turn = talk(branch, "c")
        assert turn.values[-1].type == "response.completed"
        assert len(reasons(turn)) == (0 if store else 1)
        assert len(branch.history) == 4

    def test_branches_of_branches(self, server: ResponsesServer, sender: Sender, store: bool) -> None:
        chat = Conversation(sender, model="m", store=store)
        talk(chat, "a")
        branch = chat.fork()
        talk(branch, "b")
        twig = branch.fork(instructions="be brief")
        talk(twig, "c")
        assert said(server)[2] == ["a", text_of(chat.history[1]), "b", text_of(branch.history[3]), "c"]
        assert (len(chat.history), len(branch.history), len(twig.history)) == (2, 4, 6)


def test_the_first_of_two_branches_wins(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    gate = server.gate()
    server.on("slow", [Text("slow"), Hold(gate, after=1)])
    chat = Conversation(socket, model="m", store=False)
    talk(chat, "a")
    slow, fast = chat.fork(), chat.fork()
    race = slow.send("slow").pipe(rops.collect_text(), ops.amb(fast.send("fast").pipe(rops.collect_text())))
    assert "fast" in Recorder(race).wait().values[0]
    gate.open()
    assert (len(slow.history), len(fast.history)) == (2, 4)
    assert talk(slow, "b").values[-1].type == "response.completed"


def test_a_branch_shares_nothing_else(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    chat = Conversation(socket, model="m")
    branch = chat.fork(temperature=0.5)
    branch.configure(instructions="be brief")
    assert dict(chat.settings) == {"model": "m"}
    assert dict(branch.settings) == {"model": "m", "temperature": 0.5, "instructions": "be brief"}


class TestLanes:
    def test_names_of_branches_are_used_again(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        chat = Conversation(socket, model="m")
        talk(chat, "a")
        for _ in range(3):
            talk(chat.fork(), "b")
            gc.collect()
        assert lanes(server) == [None, "conversation-1", "conversation-1", "conversation-1"]

    def test_a_branch_that_runs_keeps_its_lane(self) -> None:
        sender = HandSender()
        chat = Conversation(sender, model="m")
        Recorder(chat.send("a"))
        turns = []
        for _ in range(2):
            turns.append(Recorder(chat.fork().send("a")))
            gc.collect()
        assert [request.get("stream_id") for request in sender.requests] == [None, "conversation-1", "conversation-2"]

    @pytest.mark.parametrize("way", ["lane", "setting"])
    def test_the_program_may_choose(self, server: ResponsesServer, socket: ResponsesWebSocket, way: str) -> None:
        chat = (
            Conversation(socket.lane("mine"), model="m")
            if way == "lane"
            else Conversation(socket, model="m", stream_id="mine")
        )
        talk(chat, "a")
        talk(chat.fork(), "b")
        talk(chat.fork(stream_id="yours"), "c")
        assert lanes(server) == ["mine", None, "yours"]

    def test_scenario_17_a_setting_that_contradicts_the_lane(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        lane = socket.lane("mine")
        with pytest.raises(ConfigurationError, match=r"'mine'.*'yours'"):
            Conversation(lane, model="m", stream_id="yours")
        talk(Conversation(lane, model="m", stream_id="mine"), "a")
        saved = Conversation(socket, model="m", stream_id="yours").to_json()
        talk(Conversation.from_json(saved, lane), "b")
        talk(Conversation.from_json(saved, socket), "c")
        assert lanes(server) == ["mine", "mine", "yours"]

    def test_the_sender_before_the_text(self, socket: ResponsesWebSocket) -> None:
        saved: Any = Conversation(socket, model="m").to_json()
        with pytest.raises(TypeError, match=r"write `Conversation\.from_json\(text, sender\)`"):
            Conversation.from_json(socket, saved)  # type: ignore[arg-type]

    def test_more_branches_than_names(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        chat = Conversation(socket, model="m", store=False)
        talk(chat, "a")
        branches = [chat.fork() for _ in range(MAX_NAMED_LANES + 4)]
        turns = [branch.send("b").pipe(ops.ignore_elements()) for branch in branches]
        assert Recorder(reactivex.merge(*turns)).wait().completions == 1
        assert all(len(branch.history) == 4 for branch in branches)
        assert len(set(lanes(server))) == MAX_NAMED_LANES + 1

    def test_scenario_17_names_that_the_program_has_used_itself(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        for number in range(MAX_NAMED_LANES):
            Recorder(socket.send_request(ask("x"), stream_id=f"mine-{number}"))
        chats = [Conversation(socket, model="m", store=False) for _ in range(3)]
        for chat in chats:
            turn = talk(chat, "a")
            assert turn.types[:2] == ["rxresponses.turn_started", "response.created"]
        assert lanes(server)[MAX_NAMED_LANES:] == [None] * 3

    def test_a_lane_that_the_program_chose_is_not_changed(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        for number in range(MAX_NAMED_LANES):
            Recorder(socket.send_request(ask("x"), stream_id=f"mine-{number}"))
        turn = talk(Conversation(socket, model="m", stream_id="more"), "a")
        assert isinstance(turn.error, LaneLimitError)

    def test_the_lanes_of_a_client_are_its_own(self, server: ResponsesServer, client: ResponsesClient) -> None:
        chat = Conversation(client, model="m", stream_id="mine")
        talk(chat, "a")
        talk(chat.fork(), "b")
        assert "conversation-1" not in lanes(server)

    def test_an_own_sender_gets_the_name_in_the_request(self) -> None:
        sender = ScriptedSender(*[[created(f"r{n}"), completed(id=f"r{n}")] for n in range(2)])
        chat = Conversation(sender, model="m")
        talk(chat, "a")
        talk(chat.fork(), "b")
        assert [request.get("stream_id") for request in sender.requests] == [None, "conversation-1"]
