from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from itertools import count, islice
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from rxresponses import (
    ConnectionLostError,
    InvalidRequestError,
    ResponseCompletedEvent,
    ResponseFailedError,
    ResponsesWebSocket,
    ServerEvent,
    TerminalTimeoutError,
    UnreadableResponseError,
)
from rxresponses.batch.lines import Task, task_of
from rxresponses.batch.run import Result, Run
from rxresponses.net.timing import Timings, current_timings
from rxresponses.testing import Close, Failure, Hold, Raw, ResponsesServer, Text
from rxresponses.wire import codec
from rxresponses.wire.models import Response

from ..support.events import wire_event
from .conftest import Clock


def tasks(numbers: int = 1) -> list[Task]:
    return [task_of(number, b'"%d"' % number, "m") for number in range(1, numbers + 1)]


def event(kind: str = "response.completed", **response: Any) -> ServerEvent:
    return codec.decode(codec.encode({"type": kind, "response": {"id": "r", **response}}))


class ManualSender:
    """A sender that answers when the test says so, but the prompts `at_once` at once, and does not send `waiting`."""

    def __init__(self, *at_once: str, waiting: Collection[str] = ()) -> None:
        self.open: dict[str, ObserverBase[ServerEvent]] = {}
        self.disposed: list[str] = []
        self.timings: dict[str, Timings | None] = {}
        self._at_once = at_once
        self._waiting = waiting

    def send_request(self, request: Mapping[str, Any]) -> Observable[ServerEvent]:
        prompt = request["input"]

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            self.open[prompt] = observer
            self.timings[prompt] = current_timings()
            if prompt not in self._waiting:
                self.send(prompt)
            if prompt in self._at_once:
                self.answer(prompt)
            return Disposable(lambda: self.disposed.append(prompt) if prompt in self.open else None)

        return Observable(subscribe)

    def answer(self, prompt: str) -> None:
        observer = self.open.pop(prompt)
        observer.on_next(event())
        observer.on_completed()

    def send(self, prompt: str) -> None:
        if (timings := self.timings[prompt]) is not None:
            timings.mark_sent()

    def refuse(self, prompt: str) -> None:
        """Refuse a request, which then waits for another try."""
        if (timings := self.timings[prompt]) is not None:
            timings.mark_unsent()


class InstantSender:
    """A sender that answers each request at once, with the same events."""

    def __init__(self, *events: ServerEvent) -> None:
        self._events = events or (event(),)

    def send_request(self, request: Mapping[str, Any]) -> Observable[ServerEvent]:
        return reactivex.of(*self._events)


def only(sender: Any, task: Task | None = None, **more: Any) -> Result:
    """Return the result of one task."""
    (result,) = Run(sender, concurrency=1, **more).results([task] if task else tasks())
    assert result is not None
    return result


class TestTasks:
    def test_a_task_is_taken_when_there_is_room_and_the_caller_asks_for_a_result(self) -> None:
        drawn: list[int] = []

        def source() -> Iterator[Task]:
            for task in tasks(5):
                drawn.append(task.line)
                yield task

        sender = ManualSender("2", "5")
        run = Run(sender, concurrency=2)
        results = run.results(source())
        assert drawn == []
        assert next(results).task.line == 2  # type: ignore[union-attr]
        assert drawn == [1, 2]
        assert run.in_flight == 1
        sender.answer("1")
        assert drawn == [1, 2]
        assert next(results).task.line == 1  # type: ignore[union-attr]
        assert drawn == [1, 2, 3]
        sender.answer("3")
        assert next(results).task.line == 3  # type: ignore[union-attr]
        assert drawn == [1, 2, 3, 4]
        assert next(results).task.line == 5  # type: ignore[union-attr]
        assert drawn == [1, 2, 3, 4, 5]
        sender.answer("4")
        assert [one.task.line for one in results if one] == [4]
        assert run.in_flight == 0

    def test_each_task_has_its_result(self) -> None:
        results = Run(InstantSender(), concurrency=7).results(tasks(100))
        assert sorted(one.task.line for one in results if one) == list(range(1, 101))

    def test_another_thread_may_ask_how_many_are_in_flight(self) -> None:
        """As on a cluster, where the driver's call comes on a thread of its own."""
        run, problems, is_over = Run(InstantSender(), concurrency=200), list[BaseException](), threading.Event()

        def ask() -> None:
            try:
                while not is_over.is_set():
                    run.in_flight  # noqa: B018
            except BaseException as error:
                problems.append(error)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert sum(1 for _ in run.results(tasks(500))) == 500
        finally:
            is_over.set()
            thread.join()
            sys.setswitchinterval(interval)
        assert problems == []

    def test_an_endless_input(self) -> None:
        endless = (task_of(number, b'"x"', "m") for number in count(1))
        assert len(list(islice(Run(InstantSender(), concurrency=3).results(endless), 1000))) == 1000

    def test_no_tasks(self) -> None:
        assert list(Run(ManualSender(), concurrency=3).results([])) == []

    def test_closing_the_iterator_disposes_the_tasks_in_flight(self) -> None:
        sender = ManualSender("3")
        results = Run(sender, concurrency=3).results(tasks(9))
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert sender.disposed == ["1", "2"]

    def test_an_input_that_fails_disposes_the_tasks_in_flight(self) -> None:
        def source() -> Iterator[Task]:
            yield from tasks(2)
            raise OSError("the disk is gone")

        sender = ManualSender()
        with pytest.raises(OSError, match="the disk is gone"):
            list(Run(sender, concurrency=3).results(source()))
        assert sender.disposed == ["1", "2"]


class TestStop:
    def test_tasks_in_flight_go_on(self) -> None:
        sender = ManualSender("1", "3")
        run = Run(sender, concurrency=2)
        results = run.results(tasks(9))
        assert next(results).task.line == 1  # type: ignore[union-attr]
        assert next(results).task.line == 3  # type: ignore[union-attr]
        run.stop()
        assert next(results) is None
        assert run.in_flight == 1
        sender.answer("2")
        assert [one.task.line for one in results if one] == [2]
        assert not sender.open

    def test_unsent_tasks_are_disposed(self) -> None:
        sender = ManualSender("1", waiting={"3", "4"})
        run = Run(sender, concurrency=4)
        results = run.results(tasks(4))
        assert next(results).task.line == 1  # type: ignore[union-attr]
        run.stop()
        assert run.in_flight == 1
        assert next(results) is None
        sender.answer("2")
        assert [one and one.task.line for one in results] == [2]
        assert sender.disposed == ["3", "4"]

    def test_tasks_that_wait_for_another_try_are_disposed(self) -> None:
        sender = ManualSender("1")
        run = Run(sender, concurrency=2)
        results = run.results(tasks(2))
        assert next(results).task.line == 1  # type: ignore[union-attr]
        run.stop()
        assert next(results) is None
        sender.refuse("2")
        assert list(results) == []
        assert sender.disposed == ["2"]

    def test_results_that_came_before_are_not_lost(self) -> None:
        run = Run(InstantSender(), concurrency=4)
        results = run.results(tasks(9))
        assert next(results).task.line == 1  # type: ignore[union-attr]
        run.stop()
        assert [one and one.task.line for one in results] == [2, 3, 4, None]

    def test_before_the_start(self) -> None:
        run = Run(ManualSender(), concurrency=4)
        run.stop()
        assert list(run.results(tasks(9))) == [None]


class TestTimeout:
    @staticmethod
    def first_of(sender: ManualSender, number: int, clock: Clock) -> Iterator[Result | None]:
        """Return the results after the first; each task has five seconds."""
        results = Run(sender, concurrency=number, timeout=5, clock=clock).results(tasks(number))
        assert next(results).task.line == 1  # type: ignore[union-attr]
        return results

    def test_waiting_does_not_count(self, clock: Clock) -> None:
        sender = ManualSender("1", waiting={"2"})
        results = self.first_of(sender, 3, clock)
        clock.now += 6
        result = next(results)
        assert result is not None
        assert result.task.line == 3
        assert isinstance(result.error, TerminalTimeoutError)
        assert (result.error.delivery, result.error.response_id) == ("unknown", None)
        assert sender.disposed == ["3"]
        sender.answer("2")
        assert [one and one.error for one in results] == [None]

    def test_another_try_has_the_whole_time(self, clock: Clock) -> None:
        sender = ManualSender("1")
        results = self.first_of(sender, 3, clock)
        sender.refuse("2")
        clock.now += 6
        assert next(results).task.line == 3  # type: ignore[union-attr]
        sender.send("2")
        clock.now += 4
        sender.answer("2")
        assert [one and one.error for one in results] == [None]
        assert sender.disposed == ["3"]

    def test_an_answer_in_time_counts(self, clock: Clock) -> None:
        """It counts too if the caller takes it after the timeout."""
        sender = ManualSender("1")
        results = self.first_of(sender, 2, clock)
        sender.answer("2")
        clock.now += 6
        assert [one and one.error for one in results] == [None]


class TestResponses:
    """Against the embedded server."""

    def test_as_it_was_received(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        response = {"id": "r", "status": "completed", "new": {"field": [1.5, None]}, "output": [{"type": "odd"}]}
        server.reply(Raw([{"type": "response.completed", "response": response}]))
        result = only(socket)
        assert (result.response, result.error) == (response, None)
        assert server.requests[0]["input"] == "1"

    def test_an_incomplete_response_is_a_result(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        cut = {"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
        server.reply(Raw([{"type": "response.incomplete", "response": cut}]))
        assert only(socket).response == cut

    def test_output_that_only_the_earlier_events_have(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        item = {"type": "message", "id": "msg_1", "role": "assistant", "content": [], "new": 1}
        done = {"type": "response.output_item.done", "output_index": 0, "item": item}
        server.reply(Raw([done, {"type": "response.completed", "response": {"id": "r", "output": []}}]))
        assert only(socket).response == {"id": "r", "output": [item]}

    def test_scenario_62_elements_of_the_output_that_are_no_items(self) -> None:
        call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
        text = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi"}]}
        done = wire_event("response.output_item.done", output_index=1, item=text)
        end = event(output=[None, call], created_at="today")
        got = only(InstantSender(done, end)).response or {}
        assert [item["id"] for item in got["output"]] == ["fc_1", "msg_1"]
        assert got["created_at"] == "today"

    def test_scenario_62_an_output_that_is_no_list(self) -> None:
        part = {"item_id": "m", "output_index": 0, "content_index": 0, "delta": "Hi"}
        got = only(InstantSender(wire_event("response.output_text.delta", **part), event(output=7))).response or {}
        assert [part["text"] for item in got["output"] for part in item["content"]] == ["Hi"]

    def test_scenario_60_a_terminal_event_without_a_response(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}
        server.reply(Raw([{"type": "response.created", "response": {"id": "r"}}, delta, {"type": "response.done"}]))
        result = only(socket)
        assert result.response is not None
        assert (result.error, result.response["id"], result.response["status"]) == (None, "r", "completed")
        assert result.response["output"][0]["content"][0]["text"] == "Hi"

    @pytest.mark.parametrize("output", [{"output": None}, {}, {"output": []}, {"output": [7]}])
    def test_scenario_60_output_that_only_deltas_have(
        self, server: ResponsesServer, socket: ResponsesWebSocket, output: dict[str, Any]
    ) -> None:
        delta = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0}
        server.reply(
            Raw(
                [
                    {**delta, "delta": "He"},
                    {**delta, "delta": "llo"},
                    {"type": "response.completed", "response": {"id": "r", **output}},
                ]
            )
        )
        [item] = (only(socket).response or {})["output"]
        assert (item["type"], item["id"]) == ("message", "m")
        assert [part["text"] for part in item["content"]] == ["Hello"]

    def test_scenario_60_a_hollow_item_in_the_output(self) -> None:
        delta = {"type": "response.output_text.delta", "delta": "Hello", "output_index": 0, "content_index": 0}
        hollow = {"type": "message", "id": "msg_1", "content": []}
        other = {"type": "odd", "id": None}
        sender = InstantSender(codec.decode(codec.encode(delta)), event(output=[hollow, other]))
        first, second = (only(sender).response or {})["output"]
        assert first["content"][0]["text"] == "Hello"
        assert second == other

    def test_a_response_that_fits_no_class_is_kept_all_the_same(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        odd = {"id": "r", "created_at": "yesterday", "output": []}
        server.reply(Raw([{"type": "response.completed", "response": odd}]))
        assert only(socket).response == odd

    def test_halves_of_characters(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(Raw(['{"type": "response.completed", "response": {"id": "r", "text": "\\ud83c"}}']))
        result = only(socket)
        assert result.response == {"id": "r", "text": "\ud83c"}
        assert b"\\ud83c" in codec.encode(result.to_dict())

    def test_a_number_that_python_cannot_read(self) -> None:
        frame = b'{"type": "response.completed", "response": {"id": "r", "new": [%s, 1]}}' % (b"9" * 5000)
        assert only(InstantSender(codec.decode(frame))).response == {"id": "r", "new": ["9" * 5000, 1]}

    def test_events_that_a_program_built(self) -> None:
        made = ResponseCompletedEvent(response=Response(id="r"))
        assert only(InstantSender(made)).response == made.to_dict()["response"]

    @pytest.mark.parametrize(
        "usage", [None, {}, 7, *({"output_tokens": count} for count in (None, 10**400, -5, 1e400))]
    )
    def test_scenario_76_tokens(self, usage: Any) -> None:
        assert only(InstantSender(event(usage={"output_tokens": 3}))).output_tokens == 3
        assert only(InstantSender(event(usage=usage))).output_tokens == 0


class TestFailures:
    def test_a_bad_line_is_not_sent(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        result = only(socket, task_of(1, b"{broken", "m"))
        assert isinstance(result.error, InvalidRequestError)
        assert result.to_dict()["error"]["delivery"] == "not_sent"
        assert server.journal == []

    def test_a_wrong_request_is_not_sent(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        result = only(socket, task_of(1, b'{"custom_id": "a", "input": "Hi", "temperature": "hot"}', "m"))
        line = result.to_dict()
        assert line["custom_id"] == "a"
        assert (line["error"]["type"], line["error"]["delivery"]) == ("InvalidRequestError", "not_sent")
        assert "`temperature`" in line["error"]["message"]
        assert server.journal == []

    def test_a_refused_request(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(Failure("context_length_exceeded", "Too long.", after=0))
        result = only(socket)
        assert isinstance(result.error, ResponseFailedError)
        facts = result.to_dict()["error"]
        assert (facts["type"], facts["delivery"]) == ("ResponseFailedError", "rejected")
        assert (facts["code"], facts["status"]) == ("context_length_exceeded", 400)
        assert "Too long." in facts["message"]

    def test_a_response_that_failed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(["Hello", Failure("server_error", after=4)])
        facts = only(socket).to_dict()["error"]
        assert (facts["delivery"], facts["code"]) == ("started", "server_error")
        assert facts["response_id"] == server.exchanges[0].response_id

    def test_a_lost_connection(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(["Hello", Close(1006, after=3)])
        result = only(socket)
        assert isinstance(result.error, ConnectionLostError)
        assert result.to_dict()["error"]["delivery"] == "started"

    def test_an_answer_that_takes_too_long(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply([Text(deltas=["Hello"]), Hold(server.gate(), after=3)])
        result = only(socket, timeout=0.2)
        assert isinstance(result.error, TerminalTimeoutError)
        facts = result.to_dict()["error"]
        assert (facts["delivery"], facts["response_id"]) == ("started", server.exchanges[0].response_id)

    def test_a_terminal_event_without_a_readable_response(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply(Raw([{"type": "response.completed", "response": 7}]))
        result = only(socket)
        assert isinstance(result.error, UnreadableResponseError)
        assert result.to_dict()["error"]["delivery"] == "started"

    def test_the_others_go_on(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.on("^2$", Failure(after=0))
        results = Run(socket, concurrency=3).results(tasks(3))
        assert {one.task.line: one.error is None for one in results if one} == {1: True, 2: False, 3: True}


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be kept from a thread here")
def test_a_signal_that_interrupts_no_wait_is_noticed() -> None:
    """Such a signal comes just before the wait.  Here another thread gets it, with the same effect."""
    sender = ManualSender()
    run = Run(sender, concurrency=1)
    given_up: list[str] = []

    def send() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def give_up() -> None:
        given_up.append("nobody noticed")
        run.stop()

    before = signal.signal(signal.SIGINT, lambda number, frame: run.stop())
    watchdog = threading.Timer(10, give_up)
    taker = threading.Timer(0.01, send)  # started before the mask: it takes signals
    taker.start()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    watchdog.start()
    try:
        results = run.results(tasks())
        assert next(results) is None
        assert not given_up
    finally:
        watchdog.cancel()
        taker.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)


class TextSender:
    """Answers with one text after another, and with the last one from then on."""

    def __init__(self, *texts: str | None) -> None:
        self.texts = list(texts)
        self.requests: list[Mapping[str, Any]] = []

    def send_request(self, request: Mapping[str, Any]) -> Observable[ServerEvent]:
        self.requests.append(request)
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if text is None:
            return reactivex.throw(ConnectionLostError("gone", delivery="unknown"))
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        usage = {"input_tokens": 5, "output_tokens": 7}
        return reactivex.of(event(output=[message], usage=usage))


class TestSchema:
    """Answers that do not fit are asked for again."""

    @pytest.fixture
    def schema(self) -> Any:
        pytest.importorskip("jsonschema", reason="comes with the extra `cli`")
        from rxresponses.batch.answer_schema import AnswerSchema

        return AnswerSchema({"type": "json_schema"}, {"type": "integer"})

    def task(self, schema: Any, line: bytes = b'"Hi"') -> Task:
        return task_of(1, line, "m", schema.format)

    @pytest.mark.parametrize("misfits", [0, 1, 2])
    def test_until_one_fits(self, schema: Any, misfits: int) -> None:
        sender = TextSender(*['"x"'] * misfits, "7")
        result = only(sender, self.task(schema), schema=schema, schema_retries=2)
        assert result.error is None
        assert len(sender.requests) == 1 + misfits
        assert [request["text"] for request in sender.requests] == [{"format": schema.format.format}] * (1 + misfits)
        assert result.output_tokens == 7 * (1 + misfits)
        line = result.to_dict()
        assert len(line.get("earlier_usage", [])) == misfits
        assert line["schema"] == schema.format.digest

    def test_fails_after_the_last_retry(self, schema: Any) -> None:
        sender = TextSender('"x"', '"y"', '"z"')
        result = only(sender, self.task(schema), schema=schema, schema_retries=2)
        assert str(result.error) == (
            "the answer does not fit the schema, in 3 tries; the latest: $: 'z' is not of type 'integer'"
        )
        line = result.to_dict()
        assert line["error"]["type"] == "AnswerMisfitError"
        assert line["error"]["delivery"] == "started"
        assert line["error"]["response"]["id"] == line["error"]["response_id"] == "r"
        assert len(sender.requests) == 3

    def test_without_retries(self, schema: Any) -> None:
        result = only(TextSender('"x"'), self.task(schema), schema=schema)
        assert str(result.error) == "the answer does not fit the schema: $: 'x' is not of type 'integer'"

    def test_another_error_ends_the_retries_and_keeps_what_was_used(self, schema: Any) -> None:
        result = only(TextSender('"x"', None), self.task(schema), schema=schema, schema_retries=2)
        assert isinstance(result.error, ConnectionLostError)
        assert result.output_tokens == 7

    def test_a_line_with_a_format_of_its_own_is_not_checked(self, schema: Any) -> None:
        task = self.task(schema, b'{"input": "Hi", "text": {"format": {"type": "text"}}}')
        assert only(TextSender("x"), task, schema=schema, schema_retries=2).error is None

    def test_after_a_stop_nothing_is_asked_for_again(self, schema: Any) -> None:
        class Stopping(TextSender):
            def send_request(self, request: Mapping[str, Any]) -> Observable[ServerEvent]:
                run.stop()
                return super().send_request(request)

        sender = Stopping('"x"')
        run = Run(sender, concurrency=1, schema=schema, schema_retries=2)
        assert [result for result in run.results([self.task(schema)]) if result] == []
        assert len(sender.requests) == 1
