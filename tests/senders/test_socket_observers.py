"""Observers of a socket that raise, that send again, and that exit the program."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    ObserverExitError,
    Response,
    ResponseCompletedEvent,
    ResponsesError,
    ResponsesWebSocket,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, FunctionCall, Hold, ResponsesServer, Text

from ..support.clients import ask
from ..support.recorder import WAIT, Recorder


class TestObserversThatRaise:
    def fail(self, event: ServerEvent) -> None:
        raise RuntimeError("observer failed")

    def test_scenario_38_the_error_is_reported_with_its_traceback(
        self, server: ResponsesServer, socket: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        other = Recorder(socket.send_request(ask("hold"), stream_id="a")).wait_for(2)
        watcher = Recorder(socket.events)
        socket.events.subscribe(self.fail)
        bad = Recorder(socket.send_request(ask(), stream_id="b"), self.fail).wait()
        assert str(bad.error) == "observer failed"
        gate.open()
        assert other.wait().text == "held"
        watcher.wait(lambda: watcher.types.count("response.completed") == 2)
        reports = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(reports) == 2
        for record in reports:
            assert record.exc_info is not None
            assert "an observer of a rxresponses Observable raised" in record.getMessage()
            traceback = record.exc_info[2]
            names = []
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            assert names[-1] == "fail"

    def test_scenario_38_the_exception_handler_of_the_loop_gets_the_error(self, server: ResponsesServer) -> None:
        async def main() -> None:
            reports: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            async with ResponsesWebSocket(server.url) as socket:
                with pytest.raises(RuntimeError, match="observer failed"):
                    await socket.send_request(ask()).pipe(ops.do_action(self.fail))
                socket.send_request(ask()).subscribe(self.fail)
                assert isinstance(await socket.send_request(ask()), ResponseCompletedEvent)
            (report,) = reports
            assert str(report["exception"]) == "observer failed"
            assert report["socket"] is socket

        asyncio.run(asyncio.wait_for(main(), WAIT))

    def test_scenario_38_SystemExit_ends_the_loop_of_the_program(self, server: ResponsesServer) -> None:
        ended: list[Recorder[ServerEvent]] = []

        def leave(event: ServerEvent) -> None:
            raise SystemExit(3)

        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket:
                ended.append(Recorder(socket.send_request(ask()), leave))
                await asyncio.Event().wait()

        with pytest.raises(SystemExit) as end:
            asyncio.run(main())
        assert end.value.code == 3
        assert isinstance(ended[0].error, ObserverExitError)
        assert ended[0].error.__cause__ is end.value

    def test_scenario_38_an_observer_on_another_loop(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        Recorder(socket.send_request(ask())).wait()  # from here on the sender lives on the background loop

        async def main() -> None:
            reports: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            failed = Recorder(socket.send_request(ask(), stream_id="a"), self.fail)
            assert isinstance(await socket.send_request(ask(), stream_id="b"), ResponseCompletedEvent)
            assert [str(report["exception"]) for report in reports] == ["observer failed"]
            assert len(failed.values) == 1

        asyncio.run(asyncio.wait_for(main(), WAIT))


class TestObservers:
    def test_an_observer_that_raises_disturbs_no_other(
        self, server: ResponsesServer, socket: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(event: ServerEvent) -> None:
            raise RuntimeError("observer failed")

        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        other = Recorder(socket.send_request(ask("hold"), stream_id="a")).wait_for(2)
        bad = Recorder(socket.send_request(ask(), stream_id="b"), fail).wait()
        assert str(bad.error) == "observer failed"
        assert len(bad.values) == 1
        gate.open()
        assert other.wait().completions == 1
        assert Recorder(socket.send_request(ask(), stream_id="b")).wait().completions == 1
        assert "observer failed" in caplog.text

    def test_observers_that_raise_at_the_end_or_twice(
        self, server: ResponsesServer, socket: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("failed at the end")

        def fail_again(*_: object) -> None:
            raise ValueError("failed again")

        socket.send_request(ask()).subscribe(on_completed=fail)
        Recorder(socket.send_request(ask())).wait()
        assert "failed at the end" in caplog.text
        socket.send_request(ask()).subscribe(fail, fail_again)
        Recorder(socket.send_request(ask())).wait()
        assert "failed again" in caplog.text
        server.reply(Close(1011))
        socket.send_request(ask()).subscribe(on_error=fail_again)
        socket.events.subscribe(fail)
        Recorder(socket.send_request(ask()).pipe(ops.retry(2))).wait()
        assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_a_request_sent_by_an_observer(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        def go_on(response: Response) -> Observable[ServerEvent]:
            return socket.send_request(ask("more", previous_response_id=response.id))

        got = Recorder(
            socket.send_request(ask()).pipe(
                rops.final_response(),
                ops.flat_map(go_on),
            )
        )
        assert got.wait().types[-1] == "response.completed"

    def test_function_calls_are_typed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply([FunctionCall("f", {"x": 1}), Text("and text")])
        (call,) = Recorder(socket.send_request(ask()).pipe(rops.function_calls())).wait().values
        assert (call.name, json.loads(call.arguments)) == ("f", {"x": 1})

    def test_an_operator_that_raises_ends_run(self, socket: ResponsesWebSocket) -> None:
        def broken(source: Observable[ServerEvent]) -> Observable[ServerEvent]:
            def subscribe(observer: Any, scheduler: Any = None) -> Any:
                def on_next(event: ServerEvent) -> None:
                    raise KeyError("bug")

                return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

            return Observable(subscribe)

        with pytest.raises(KeyError, match="bug"):
            socket.send_request(ask()).pipe(broken).run()

    def test_every_error_is_a_ResponsesError(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(Close(1011))
        assert isinstance(Recorder(socket.send_request(ask())).wait().error, ResponsesError)
