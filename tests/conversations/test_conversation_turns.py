"""Turns of one conversation run one after the other: on any thread, on any loop, and whatever ends them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from rxresponses import Conversation, InvalidRequestError, ResponsesWebSocket, ServerEvent, SocketClosedError
from rxresponses import operators as rops
from rxresponses.testing import Hold, ResponsesServer, Text

from ..support.clients import run
from ..support.events import completed, created
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from .hand_sender import HandSender, add_call
from .scripted_sender import ScriptedSender
from .talk import said, talk, text_of

variable = contextvars.ContextVar("variable", default="unset")


class Desk:
    """A conversation whose answers are sent by hand."""

    def __init__(self) -> None:
        self.sender = HandSender()
        self.chat = Conversation(self.sender, model="m")

    def send(self, text: str) -> Recorder[ServerEvent]:
        return Recorder(self.chat.send(text))

    @property
    def inputs(self) -> list[Any]:
        return [request["input"] for request in self.sender.requests]


class TestOrder:
    def test_a_turn_waits_for_those_before(self) -> None:
        desk = Desk()
        turns = [desk.send(text) for text in "abc"]
        assert desk.inputs == ["a"]
        desk.sender.say("A")
        assert desk.inputs == ["a", "b"]
        assert turns[0].completions == 1
        assert turns[1].types == ["rxresponses.turn_started"]
        desk.sender.say("B")
        desk.sender.say("C")
        assert [request.get("previous_response_id") for request in desk.sender.requests] == [None, "resp_1", "resp_2"]

    def test_merged_turns_keep_their_order(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        chat = Conversation(socket, model="m")
        turns = [chat.send(str(number)).pipe(ops.ignore_elements()) for number in range(5)]
        Recorder(reactivex.merge(*turns)).wait()
        assert said(server) == list("01234")

    def test_a_turn_in_the_end_of_another_goes_behind_those_that_wait(self) -> None:
        desk = Desk()
        late: list[Recorder[ServerEvent]] = []
        desk.chat.send("a").subscribe(on_completed=lambda: late.append(desk.send("c")))
        desk.send("b")
        desk.sender.say()
        assert desk.inputs == ["a", "b"]
        desk.sender.say()
        assert desk.inputs == ["a", "b", "c"]

    def test_a_turn_in_the_terminal_event_of_another(self) -> None:
        desk = Desk()
        Recorder(desk.chat.send("a"), lambda event: desk.send("b") if event.is_terminal else None)
        desk.sender.emit(created(), completed())
        assert desk.inputs == ["a"]
        desk.sender.observers[-1].on_completed()
        assert desk.inputs == ["a", "b"]

    def test_conversations_run_beside_each_other(self) -> None:
        desk = Desk()
        desk.send("a")
        Recorder(desk.chat.fork().send("b"))
        Recorder(Conversation(desk.sender, model="m").send("c"))
        assert desk.inputs == ["a", "b", "c"]
        names = [request.get("stream_id") for request in desk.sender.requests]
        assert names == [None, "conversation-1", "conversation-2"]

    def test_many_turns_that_fail_at_once_need_no_deep_stack(self) -> None:
        first: reactivex.Subject[Any] = reactivex.Subject()
        failing = ScriptedSender(first, *[SocketClosedError("closed", delivery="not_sent") for _ in range(200)])
        chat = Conversation(failing, model="m")
        turns = [Recorder(chat.send("a")) for _ in range(200)]
        first.on_completed()
        assert all(turn.ended for turn in turns)


class TestEnds:
    def test_an_error(self) -> None:
        desk = Desk()
        first, second = desk.send("a"), desk.send("b")
        desk.sender.fail(ValueError("broken"))
        assert isinstance(first.error, ValueError)
        desk.sender.say()
        assert second.completions == 1

    def test_disposing(self) -> None:
        desk = Desk()
        first = desk.send("a")
        desk.send("b")
        first.subscription.dispose()
        first.subscription.dispose()
        assert desk.sender.disposals == 1
        assert desk.inputs == ["a", "b"]

    def test_disposing_a_turn_that_waits(self) -> None:
        desk = Desk()
        desk.send("a")
        second = desk.send("b")
        desk.send("c")
        second.subscription.dispose()
        desk.sender.say()
        assert desk.inputs == ["a", "c"]
        assert not second.values

    def test_disposing_before_anything_is_sent(self) -> None:
        desk = Desk()
        assert Recorder(desk.chat.send("a").pipe(ops.take(1))).completions == 1
        desk.send("b")
        assert desk.inputs == ["b"]

    def test_an_observer_that_raises(self) -> None:
        desk = Desk()

        def raise_at_created(event: ServerEvent) -> None:
            if event.type == "response.created":
                raise ValueError("broken")

        desk.chat.send("a").subscribe(raise_at_created)
        desk.send("b")
        with pytest.raises(ValueError, match="broken"):
            desk.sender.emit(created())
        assert desk.inputs == ["a", "b"]

    @pytest.mark.parametrize("name", ["on_error", "on_completed"])
    def test_an_observer_that_raises_at_the_end(self, name: str) -> None:
        desk = Desk()

        def broken(*_: object) -> None:
            raise ValueError("broken")

        desk.chat.send("a").subscribe(**{"on_error": lambda error: None, name: broken})  # type: ignore[arg-type]
        desk.send("b")
        with pytest.raises(ValueError, match="broken"):
            desk.sender.fail(ValueError()) if name == "on_error" else desk.sender.say()
        assert desk.inputs == ["a", "b"]

    def test_a_turn_that_is_refused_at_its_start_where_nothing_takes_the_error(self) -> None:
        """The turns behind start all the same, also those that the raising turn has let go on."""
        desk = Desk()
        desk.send("a")
        chat, waiting = desk.chat, desk.chat.send("b")
        waiting.subscribe(lambda _: None)  # without `on_error`: RxPY raises the error
        third = desk.send("c")
        with pytest.raises(InvalidRequestError, match="waits for the output"):
            desk.sender.call(add_call())
        answered = Recorder(chat.send([{"type": "function_call_output", "call_id": "call_1", "output": "done"}]))
        assert isinstance(third.error, InvalidRequestError)
        desk.sender.say("A")
        assert answered.completions == 1

    def test_what_cannot_be_sent_after_all(self) -> None:
        desk = Desk()
        first, second, third = desk.send("a"), desk.send("b"), desk.send("c")
        desk.sender.call(add_call())
        assert first.completions == 1
        assert second.error.field == third.error.field == "input"
        assert desk.inputs == ["a"]


class TestThreadsAndLoops:
    def test_turns_from_many_threads(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        chat = Conversation(socket, model="m")
        done: list[str] = []

        def ask(number: int) -> None:
            done.append(chat.send(str(number)).pipe(rops.collect_text()).run())

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert len(done) == 8
        assert sorted(said(server)) == list("01234567")
        assert len(chat.history) == 16
        assert [text_of(item) for item in chat.history[::2]] == said(server)

    def test_each_turn_is_delivered_where_its_subscriber_lives(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        """The first one has no loop, the second one a loop of its own, and the third one has none again."""
        gate = server.gate()
        server.reply([Text("A"), Hold(gate, after=3)])
        chat = Conversation(socket, model="m")
        first = Recorder(chat.send("a")).wait_for(3)
        third: list[Recorder[ServerEvent]] = []

        async def main() -> None:
            second = AsyncRecorder(chat.send("b"))
            thread = threading.Thread(target=lambda: third.append(Recorder(chat.send("c"))))
            thread.start()
            thread.join()
            gate.open()
            await second.until_end()
            assert second.threads == {threading.get_ident()}
            await asyncio.to_thread(third[0].wait)

        run(main())
        assert said(server) == ["a", "b", "c"]
        assert threading.get_ident() not in third[0].threads
        assert third[0].threads & first.wait().threads  # the thread of the socket

    def test_in_the_context_of_the_subscriber(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.reply([Text("A"), Hold(gate, after=3)])
        chat = Conversation(socket, model="m")
        seen: list[set[str]] = [set(), set()]
        turns = []
        for number, value in enumerate(("one", "two")):
            token = variable.set(value)
            note = seen[number].add
            turns.append(Recorder(chat.send("a"), lambda event, note=note: note(variable.get())))  # type: ignore[misc]
            variable.reset(token)
        gate.open()
        for turn in turns:
            turn.wait()
        assert seen == [{"one"}, {"two"}]

    def test_awaited(self, server: ResponsesServer) -> None:
        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket:
                chat = Conversation(socket, model="m")
                answers = await asyncio.gather(*[chat.send(str(n)).pipe(rops.collect_text()) for n in range(3)])
                assert len(answers) == 3

        run(main())
        assert said(server) == list("012")

    def test_a_cancelled_task_leaves_the_queue(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply([Text("A"), Hold(gate, after=3)])

        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket:
                chat = Conversation(socket, model="m")
                first = AsyncRecorder(chat.send("a"))

                async def wait_for_the_second() -> None:
                    await chat.send("b")

                second = asyncio.create_task(wait_for_the_second())
                await asyncio.sleep(0)
                second.cancel()
                await asyncio.gather(second, return_exceptions=True)
                gate.open()
                await first.until_end()
                await chat.send("c")

        run(main())
        assert said(server) == ["a", "c"]

    def test_the_loop_of_a_turn_that_waits_may_be_gone(self) -> None:
        desk = Desk()
        desk.send("a")

        async def main() -> None:
            desk.chat.send("b").subscribe()

        asyncio.run(main())
        desk.send("c")
        desk.sender.say()
        assert desk.inputs == ["a", "c"]

    def test_the_loop_of_a_turn_that_runs_may_be_gone(self) -> None:
        desk = Desk()
        subscriptions = []

        async def main() -> None:
            subscriptions.append(desk.chat.send("a").subscribe())

        asyncio.run(main())
        desk.send("b")
        desk.send("c")
        assert desk.inputs == ["a", "b"]
        subscriptions[0].dispose()
        assert desk.inputs == ["a", "b"]

    def test_a_turn_that_is_disposed_before_its_loop_starts_it(self) -> None:
        desk = Desk()
        desk.send("a")

        async def main() -> None:
            second = AsyncRecorder(desk.chat.send("b"))
            thread = threading.Thread(target=desk.sender.say)  # its end lets the second turn start on this loop
            thread.start()
            thread.join()
            second.subscription.dispose()
            await asyncio.sleep(0)
            assert not second.values

        run(main())
        desk.send("c")
        assert desk.inputs == ["a", "c"]

    def test_a_run_that_would_block_its_own_loop_is_refused(self) -> None:
        desk = Desk()
        desk.send("a")

        async def main() -> None:
            with pytest.raises(RuntimeError, match=r"`\.run\(\)` was called"):
                desk.chat.send("b").run()

        run(main())

    def test_a_closed_socket(self, server: ResponsesServer) -> None:
        socket = ResponsesWebSocket(server.url)
        chat = Conversation(socket, model="m")
        socket.close()
        assert isinstance(talk(chat, "a").error, SocketClosedError)

    def test_a_sender_without_weak_references(self) -> None:
        class Slotted:
            __slots__ = ("inner",)

            def __init__(self, inner: ScriptedSender) -> None:
                self.inner = inner

            def send_request(self, request: Any, /) -> Any:
                return self.inner.send_request(request)

        chat = Conversation(Slotted(ScriptedSender([created(), completed()])), model="m")
        assert talk(chat, "a").completions == 1
