"""A conversation on a socket: what it sends, and what it keeps."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import reactivex
from msgspec import UNSET
from reactivex import operators as ops

from rxresponses import (
    ConfigurationError,
    Conversation,
    InvalidRequestError,
    MaxTurnsError,
    ResponsesWebSocket,
    ServerEvent,
    ToolLedger,
    TurnStartedEvent,
    function_result,
    tool,
    user_message,
)
from rxresponses import operators as rops
from rxresponses.models import ResponseReasoningItem
from rxresponses.testing import Close, Failure, Fault, FunctionCall, Hold, Raw, Reasoning, ResponsesServer, Text

from ..support.frames import created
from ..support.recorder import Recorder
from .chains import user
from .scripted_sender import ScriptedSender
from .talk import drop, parents, reasons, said, talk, text_of

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}


@pytest.fixture
def chat(server: ResponsesServer, socket: ResponsesWebSocket) -> Conversation:
    """A conversation that has not begun, whose model repeats what it is asked in capitals."""
    server.on(lambda request: True, lambda request: str(text_of(request.input[-1])).upper())
    return Conversation(socket, model="m", instructions="be brief")


def texts(conversation: Conversation) -> list[str]:
    return [text_of(item) for item in conversation.history]


class TestTurns:
    def test_each_sends_what_is_new(self, server: ResponsesServer, chat: Conversation) -> None:
        answers = [Recorder(chat.send(text).pipe(rops.collect_text())).wait().values for text in ("a", "b", "c")]
        assert answers == [["A"], ["B"], ["C"]]
        assert said(server) == ["a", "b", "c"]
        assert parents(server) == [None, 1, 2]
        assert texts(chat) == ["a", "A", "b", "B", "c", "C"]

    def test_a_turn_tells_its_request(self, chat: Conversation) -> None:
        first = talk(chat, "a").values[0]
        assert isinstance(first, TurnStartedEvent)
        assert (first.turn, first.request.input, first.request.instructions) == (1, "a", "be brief")

    @pytest.mark.parametrize(
        ("input", "sent"),
        [
            (user_message("a"), "a"),
            (user("a"), ["a"]),
            ([user("a"), user_message("b")], ["a", "b"]),
            ((user("a"),), ["a"]),
        ],
        ids=["object", "json", "list", "tuple"],
    )
    def test_input(self, server: ResponsesServer, chat: Conversation, input: Any, sent: Any) -> None:
        talk(chat, input)
        assert said(server) == [sent]

    def test_a_prompt_needs_no_input(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        talk(Conversation(socket, prompt={"id": "pmpt_1"}), generate=False)
        assert "input" not in server.requests[0]

    def test_a_warm_up_saves_the_beginning(self, server: ResponsesServer, chat: Conversation) -> None:
        talk(chat, [user("long")], generate=False)
        assert reasons(talk(chat, "a")) == []
        assert said(server) == [["long"], "a"]

    @pytest.mark.parametrize("input", [3, None, [3], {"role"}], ids=repr)
    def test_other_input_is_refused_at_once(self, chat: Conversation, input: Any) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            chat.send(input)
        assert str(caught.value.field).startswith("input")

    def test_what_was_sent_does_not_change_later(self, chat: Conversation) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}
        turn = chat.send(item)
        item["content"] = "changed"
        Recorder(turn).wait()
        shown: Any = chat.history[0]
        shown["content"][0]["text"] = "changed"
        assert texts(chat) == ["a", "A"]


class TestSettings:
    def test_one_that_has_changed_sends_everything(self, server: ResponsesServer, chat: Conversation) -> None:
        talk(chat, "a")
        assert reasons(talk(chat, "b", temperature=0.5)) == ["settings have changed: temperature"]
        assert reasons(talk(chat, "c")) == ["settings have changed: temperature"]
        assert reasons(talk(chat, "d")) == []
        assert said(server) == ["a", ["a", "A", "b"], ["a", "A", "b", "B", "c"], "d"]
        assert parents(server) == [None, None, None, 3]

    def test_they_can_be_changed_for_good(self, chat: Conversation) -> None:
        chat.configure(instructions="be long", temperature=0.5)
        chat.configure(temperature=UNSET)
        assert dict(chat.settings) == {"model": "m", "instructions": "be long"}
        talk(chat, "a")
        assert reasons(talk(chat, "b")) == []

    def test_a_list_that_the_program_changes_later_is_not_theirs(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        tools: list[Any] = [{"type": "web_search", "filters": {"allowed_domains": ["a"]}}]
        chat = Conversation(socket, model="m", tools=tools)
        talk(chat, "a")
        tools[0]["filters"]["allowed_domains"].append("b")
        tools.append({"type": "web_search_preview"})
        assert reasons(talk(chat, "b")) == []
        assert server.requests[1]["tools"] == server.requests[0]["tools"]
        assert len(server.requests[1]["tools"]) == 1

    def test_a_turn_has_those_of_its_making(self, server: ResponsesServer, chat: Conversation) -> None:
        turn = chat.send("a")
        chat.configure(instructions="be long")
        Recorder(turn).wait()
        assert server.requests[0]["instructions"] == "be brief"

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"modle": "m"}, TypeError),
            ({"temperature": "hot"}, InvalidRequestError),
            ({"previous_response_id": "resp_1"}, InvalidRequestError),
            ({"conversation": "conv_1"}, InvalidRequestError),
            ({"max_turns": 0}, ConfigurationError),
        ],
        ids=lambda wrong: next(iter(wrong)) if isinstance(wrong, dict) else None,
    )
    def test_wrong_ones_are_refused_at_once(self, chat: Conversation, wrong: Any, error: type[Exception]) -> None:
        for make in (lambda: Conversation(ScriptedSender(), **wrong), lambda: chat.send("a", **wrong)):
            with pytest.raises(error):
                make()
        with pytest.raises(error):
            chat.configure(**wrong)
        with pytest.raises(error):
            chat.fork(**wrong)

    def test_a_sender_is_needed(self) -> None:
        with pytest.raises(ConfigurationError, match="not str"):
            Conversation("wss://api.openai.com", model="m")  # type: ignore[arg-type]

    def test_the_model_may_come_later(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        chat = Conversation(socket)
        with pytest.raises(InvalidRequestError, match="model"):
            chat.send("a")
        talk(chat, "a", model="n")
        assert server.requests[0]["model"] == "n"

    def test_a_conversation_stays_on_its_lane(self, chat: Conversation) -> None:
        with pytest.raises(ConfigurationError, match="stays on its lane"):
            chat.send("a", stream_id="other")
        with pytest.raises(ConfigurationError, match="stays on its lane"):
            chat.configure(stream_id="other")


class TestMemory:
    @pytest.mark.parametrize(
        "answer",
        [Failure("server_error"), Failure("invalid_prompt", after=0), [Text("half"), Close(1006, after=5)]],
        ids=["failed", "refused", "lost"],
    )
    def test_a_turn_that_fails_leaves_it_as_it_was(
        self, server: ResponsesServer, socket: ResponsesWebSocket, answer: Any
    ) -> None:
        server.reply("A", answer, "C")
        chat = Conversation(socket, model="m")
        talk(chat, "a")
        before = chat.history
        talk(chat, "b")
        assert chat.history == before
        assert reasons(talk(chat, "c")) == []
        assert parents(server) == [None, 1, 1]
        assert texts(chat) == ["a", "A", "c", "C"]

    def test_so_does_one_that_is_disposed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.reply("A", [Text(deltas=["h", "a", "lf"]), Hold(gate, after=5)], "C")
        chat = Conversation(socket, model="m")
        talk(chat, "a")
        running = Recorder(chat.send("b")).wait_for(6)
        running.subscription.dispose()
        gate.open()
        talk(chat, "c")
        assert texts(chat) == ["a", "A", "c", "C"]
        assert parents(server) == [None, 1, 1]

    def test_it_is_not_remembered_before_its_end(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.reply([Text("A"), Hold(gate, after=3)])
        chat = Conversation(socket, model="m")
        running = Recorder(chat.send("a")).wait_for(3)
        assert not chat.history
        assert chat.last_response is None
        gate.open()
        running.wait()
        assert texts(chat) == ["a", "A"]

    def test_it_is_remembered_when_the_terminal_event_comes(self, chat: Conversation) -> None:
        seen: list[int] = []
        Recorder(chat.send("a"), lambda event: seen.append(len(chat.history))).wait()
        assert seen[-2:] == [0, 2]

    def test_what_the_program_gets_first_is_enough(self, chat: Conversation) -> None:
        answer = chat.send("a").pipe(rops.final_response(), ops.take(1))
        assert Recorder(answer).wait().values[0].output_text == "A"
        assert texts(chat) == ["a", "A"]

    def test_an_incomplete_response_counts(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply("one " * 40, "more")
        chat = Conversation(socket, model="m")
        cut = talk(chat, "count", max_output_tokens=16).values[-1]
        assert cut.type == "response.incomplete"
        assert len(chat.history) == 2
        talk(chat, "go on", max_output_tokens=16)
        assert parents(server) == [None, 1]

    def test_unknown_items_are_kept(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        odd = {"type": "new_kind", "id": "x_1", "payload": {"deep": [1, None]}}
        done = {"type": "response.completed", "response": {"id": "resp_odd", "output": [odd]}}
        server.reply(Raw([created("resp_odd"), done]), "B")
        chat = Conversation(socket, model="m")
        talk(chat, "a")
        talk(chat, "b", temperature=1)
        assert server.requests[1]["input"][1] == odd

    def test_the_latest_response(self, chat: Conversation) -> None:
        talk(chat, "a")
        latest = chat.last_response
        assert latest is not None
        assert latest.output_text == "A"

    def test_tokens_are_counted(self, server: ResponsesServer, chat: Conversation) -> None:
        assert (chat.usage.total_tokens, chat.usage.input_tokens) == (0, 0)
        turns = [talk(chat, "a"), talk(chat, "b")]
        usages: list[Any] = [turn.values[-1].response.usage for turn in turns]  # type: ignore[attr-defined]
        assert chat.usage.total_tokens == sum(usage.total_tokens for usage in usages) > 0
        details: Any = chat.usage.input_tokens_details
        assert details.cached_tokens == usages[1].input_tokens_details.cached_tokens > 0
        fork = chat.fork()
        talk(fork, "c")
        assert chat.usage.total_tokens == sum(usage.total_tokens for usage in usages)
        assert (fork.usage.total_tokens or 0) > 0

    def test_a_failed_response_costs_tokens_too(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        failed = {"type": "response.failed", "response": {"id": "r", "status": "failed", "usage": usage}}
        server.reply(Raw([{"type": "response.created", "response": {"id": "r"}}, failed]))
        chat = Conversation(socket, model="m")
        talk(chat, "a")
        assert chat.usage.total_tokens == 7

    def test_a_forgotten_one_is_freed(self, chat: Conversation, socket: ResponsesWebSocket) -> None:
        fork = chat.fork()
        talk(fork, "a")
        gone = weakref.ref(fork)
        del fork
        gc.collect()
        assert gone() is None

    def test_the_repr_shows_no_content(self, chat: Conversation) -> None:
        talk(chat, "a")
        assert repr(chat) == "<Conversation of 2 items>"


class TestHistory:
    def test_another_history_is_sent(self, server: ResponsesServer, chat: Conversation) -> None:
        talk(chat, "a")
        talk(chat, "b")
        chat.replace_history(chat.history[2:])
        assert reasons(talk(chat, "c")) == ["the history was edited"]
        assert said(server)[2] == ["b", "B", "c"]
        assert texts(chat) == ["b", "B", "c", "C"]

    def test_a_longer_history_is_continued(self, server: ResponsesServer, chat: Conversation) -> None:
        talk(chat, "a")
        chat.replace_history([*chat.history, user("by the way")])
        assert reasons(talk(chat, [user("b")])) == []
        assert said(server)[1] == ["by the way", "b"]

    def test_a_history_at_the_beginning(self, server: ResponsesServer, chat: Conversation) -> None:
        chat.replace_history([user("before"), {"type": "message", "role": "assistant", "content": "said before"}])
        assert reasons(talk(chat, [user("a")])) == []
        assert said(server) == [["before", "said before", "a"]]

    def test_not_while_a_turn_runs(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.reply([Text("A"), Hold(gate, after=3)])
        chat = Conversation(socket, model="m")
        running = Recorder(chat.send("a")).wait_for(3)
        with pytest.raises(ConfigurationError, match="a turn of this conversation runs"):
            chat.replace_history([])
        gate.open()
        running.wait()
        chat.replace_history([])
        assert chat.history == ()

    @pytest.mark.parametrize("end", ["completed", "error", "terminal event"])
    def test_as_soon_as_the_observer_knows_the_end(self, server: ResponsesServer, chat: Conversation, end: str) -> None:
        talk(chat, [user("a")])
        if end == "error":
            server.reply(Close(after=0))
        edited: list[str] = []

        def edit(at: str) -> None:
            if at == end:
                chat.replace_history([user("before")])
                edited.append(at)

        def see(event: ServerEvent) -> None:
            if event.type == "response.completed":
                edit("terminal event")

        chat.send("b").pipe(
            ops.do_action(see, lambda error: edit("error"), lambda: edit("completed")),
            ops.catch(lambda error, _: reactivex.empty()),
            ops.ignore_elements(),
            ops.default_if_empty(),
        ).run()
        assert edited == [end]
        assert chat.history == (user("before"),)
        assert reasons(talk(chat, [user("c")])) == ["the history was edited"]

    def test_not_between_the_responses_of_a_turn_with_tools(self, server: ResponsesServer, chat: Conversation) -> None:
        def now() -> str:
            return "noon"

        server.reply(FunctionCall("now", {}), Text("It is noon"))
        refused: list[str] = []

        def edit(event: ServerEvent) -> None:
            if event.type == "response.completed":
                with pytest.raises(ConfigurationError):
                    chat.replace_history([])
                refused.append(event.type)

        chat.configure(tools=[now])
        chat.send("When?").pipe(ops.do_action(edit)).run()
        chat.replace_history([])
        assert len(refused) == 2

    def test_what_is_no_item_is_refused(self, chat: Conversation) -> None:
        with pytest.raises(InvalidRequestError):
            chat.replace_history([3])  # type: ignore[list-item]


class TestCalls:
    def test_scenario_35_they_must_be_answered(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(FunctionCall("look", call_id="call_1"), "seen")
        chat = Conversation(socket, model="m", tools=[LOOK])
        talk(chat, "a")
        error = talk(chat, "never mind").error
        assert isinstance(error, InvalidRequestError)
        assert "call_1" in str(error)
        talk(chat, function_result("call_1", "blue"))
        assert parents(server) == [None, 1]
        assert [text_of(item) for item in chat.history][1:3] == ["function_call", "function_call_output"]

    def test_a_ledger_is_for_turns_with_tools(self, chat: Conversation) -> None:
        with pytest.raises(ConfigurationError, match="for turns that call functions"):
            chat.send("a", ledger=ToolLedger())
        with pytest.raises(ConfigurationError, match="must be a ToolLedger"):
            chat.send("a", ledger={})  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="pass it to `send`"):
            chat.fork(ledger=ToolLedger())


class TestTools:
    """Turns in which functions answer the calls."""

    def chat(self, socket: ResponsesWebSocket, **options: Any) -> Conversation:
        @tool
        def look(name: str) -> str:
            """Look something up."""
            return f"seen {name}"

        return Conversation(socket, model="m", tools=[look], **options)

    def test_a_turn_is_a_run(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(FunctionCall("look", {"name": "x"}), "done", "more")
        chat = self.chat(socket)
        turn = talk(chat, "a")
        assert [event for event in turn.types if event.startswith("rxresponses.")] == [
            *("rxresponses.turn_started", "rxresponses.tool_call_started"),
            *("rxresponses.tool_call_output", "rxresponses.turn_started"),
        ]
        assert texts(chat) == ["a", "function_call", "function_call_output", "done"]
        assert reasons(talk(chat, "b")) == []
        assert parents(server) == [None, 1, 2]
        assert chat.last_response is not None

    def test_it_is_remembered_as_a_whole(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply("A", FunctionCall("look", {"name": "x"}), Failure("invalid_prompt", after=0), "C")
        chat = self.chat(socket, store=False)
        talk(chat, "a")
        talk(chat, "b")
        assert texts(chat) == ["a", "A"]
        talk(chat, "c")
        assert texts(chat) == ["a", "A", "c", "C"]

    def test_a_limit_of_turns_is_an_error(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(FunctionCall("look", {"name": "x"}), "A")
        chat = self.chat(socket, max_turns=1)
        assert isinstance(talk(chat, "a").error, MaxTurnsError)
        assert chat.history == ()
        assert talk(chat, "a").completions == 1

    @pytest.mark.parametrize("eager", [True, False])
    def test_what_a_budget_cut_off_is_answered(
        self, server: ResponsesServer, socket: ResponsesWebSocket, *, eager: bool
    ) -> None:
        """A call that was made by its output, any other by what became of it."""
        server.reply(FunctionCall("look", {"name": "x"}), "done")
        chat = self.chat(socket, max_tokens=1, eager=eager)
        assert "rxresponses.budget_reached" in talk(chat, "a").types
        assert texts(chat) == ["a", "function_call", "function_call_output"]
        assert talk(chat, "b").values[-1].type == "response.completed"
        assert ("seen x" if eager else "limit of tokens") in server.requests[1]["input"][0]["output"]

    def test_a_ledger_of_a_turn_that_has_ended(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        """As after a crash between the end of the turn and the saving of the conversation."""
        server.reply("A", FunctionCall("look", {"name": "x"}), "done")
        chat, ledger = self.chat(socket), ToolLedger()
        talk(chat, "a")
        saved = chat.to_json()
        talk(chat, "b", ledger=ledger)
        again = Conversation.from_json(saved, socket, tools=chat.settings["tools"])
        talk(again, "b", ledger=ToolLedger.from_json(ledger.to_json()))
        assert texts(again) == texts(chat)
        assert len(server.requests) == 3

    def test_mcp_approvals_need_no_function(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        asked = {
            "type": "mcp_approval_request",
            "id": "mcpr_1",
            "name": "write",
            "server_label": "s",
            "arguments": "{}",
        }
        done = {"type": "response.completed", "response": {"id": "resp_1", "output": [asked]}}
        server.on("a", Raw([created("resp_1"), done]))
        chat = Conversation(socket, model="m", approve=lambda event: True)
        turn = talk(chat, "a")
        assert "rxresponses.tool_approval" in turn.types
        assert server.requests[1]["input"][0]["approve"] is True


class TestReasoning:
    def test_it_is_asked_for_and_sent_back(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply([Reasoning("hm"), Text("A")], "B")
        chat = Conversation(socket, model="m", store=False)
        talk(chat, "a")
        assert server.requests[0]["include"] == ["reasoning.encrypted_content"]
        reasoned: Any = chat.history[1]
        assert isinstance(reasoned, ResponseReasoningItem)
        assert reasoned.encrypted_content
        drop(server, socket)
        talk(chat, "b")
        assert server.requests[1]["input"][1]["encrypted_content"] == reasoned.encrypted_content

    def test_a_model_that_does_not_reason(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        refused = Failure(
            "unsupported_value",
            "Encrypted content is not supported with this model.",
            after=0,
            status=400,
            param="include",
        )
        server.fault(Fault(refused, match=lambda request: bool(request.body.get("include"))))
        chat = Conversation(socket, model="m", store=False)
        for text in "abc":
            assert talk(chat, text).values[-1].type == "response.completed"
        assert [request.get("include") for request in server.requests] == [["reasoning.encrypted_content"], *[None] * 3]
        assert said(server) == ["a", "a", "b", "c"]
