"""Misuse that would hang or fail far from its cause: an error at once that names the right form."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import ConnectionOptions, PoolOptions, ResponsesClient, ResponsesWebSocket, answer_calls
from rxresponses import operators as rops
from rxresponses.testing import Hold, ResponsesServer

from ..support.clients import ask, no_thread_left, run
from ..support.fleets import OneServerFleet
from ..support.recorder import WAIT
from ..support.threads import loop_on_a_thread

Events = Observable[Any]
SENDERS = pytest.mark.parametrize(
    "kind", [ResponsesWebSocket, ResponsesClient, OneServerFleet], ids=["socket", "client", "fleet"]
)
HAS_TELEMETRY = importlib.util.find_spec("opentelemetry") is not None
ADVICE = r"wait for ever.*await.*ops\.flat_map"

# Pipelines whose `.run()` waits for the events of `source`.
PIPELINES: dict[str, Callable[[Events], Events]] = {
    "plain": lambda source: source,
    "rops": lambda source: source.pipe(rops.timeout_on_terminal(WAIT), rops.collect_text()),
    "retry_with_backoff": lambda source: source.pipe(rops.retry_with_backoff()),
    "map, filter, do": lambda source: source.pipe(
        ops.map(str), ops.filter(bool), ops.do_action(on_completed=lambda: None)
    ),
    "no scheduler passed": lambda source: source.pipe(ops.delay(0.0)),
    "share": lambda source: source.pipe(ops.share()),
    "own Observable": lambda source: rx.create(
        lambda observer, scheduler: source.subscribe(observer, scheduler=scheduler)
    ),
    "own observer": lambda source: rx.create(
        lambda observer, _: source.subscribe(
            lambda value: observer.on_next(value), lambda error: observer.on_error(error), observer.on_completed
        )
    ),
    # These subscribe on a thread of their own.
    "merge": lambda source: rx.merge(rx.of(1), source),
    "flat_map": lambda source: rx.of(1).pipe(ops.flat_map(lambda _: source)),
    "concat": lambda source: rx.concat(rx.of(1), source),
    "retry": lambda source: source.pipe(ops.retry(2)),
    "start_with": lambda source: source.pipe(ops.start_with(1)),
}
pipelines = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES.keys())


def result_of(act: Callable[[], Any]) -> Any:
    """Return what a function returns, or the error that it raises."""
    try:
        return act()
    except Exception as error:
        return error


def is_advice(error: Any) -> bool:
    return isinstance(error, RuntimeError) and "`.run()`" in str(error) and "ops.flat_map" in str(error)


@SENDERS
@pytest.mark.parametrize("in_observer", [True, False])
@pipelines
def test_scenario_58_run_in_a_callback_of_the_background_loop(
    server: ResponsesServer, kind: Any, in_observer: bool, pipeline: Callable[[Events], Events]
) -> None:
    with no_thread_left(), kind(server.url) as sender, kind(server.url) as other:
        results = []

        def again(_: object) -> None:
            results.append(result_of(pipeline(other.send_request(ask("inner"))).run))

        events = sender.send_request(ask("outer"))
        if in_observer:
            ended = threading.Event()
            events.pipe(ops.take(1)).subscribe(again, on_completed=ended.set)
            assert ended.wait(WAIT)
        else:
            events.pipe(ops.take(1), ops.do_action(again)).run()
        assert is_advice(results[0])
        assert sender.send_request(ask("after")).pipe(rops.collect_text()).run()  # the loop goes on
        assert other.send_request(ask("after")).pipe(rops.collect_text()).run()


@SENDERS
@pytest.mark.parametrize("pipeline", list(PIPELINES.values())[:-5], ids=list(PIPELINES)[:-5])
def test_scenario_58_run_in_a_coroutine(
    server: ResponsesServer, kind: Any, pipeline: Callable[[Events], Events]
) -> None:
    async def main() -> None:
        async with kind(server.url) as sender:
            with pytest.raises(RuntimeError, match=ADVICE):
                pipeline(sender.send_request(ask())).run()
            if HAS_TELEMETRY:
                with pytest.raises(RuntimeError, match=ADVICE):
                    pipeline(traced(sender).send_request(ask())).run()
            assert not server.requests
            assert await sender.send_request(ask()).pipe(rops.collect_text())

    run(main())


@pytest.mark.parametrize("name", list(PIPELINES)[-5:])
def test_scenario_58_run_in_a_coroutine_by_operators_that_subscribe_on_a_thread(
    server: ResponsesServer, name: str
) -> None:
    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            await socket.send_request(ask())  # the socket lives on this loop
            with pytest.raises(RuntimeError, match=ADVICE):
                PIPELINES[name](socket.send_request(ask())).run()

    run(main())


def test_scenario_58_run_in_a_coroutine_with_a_socket_of_another_loop(server: ResponsesServer) -> None:
    with ResponsesWebSocket(server.url) as socket:
        socket.send_request(ask()).run()  # the socket lives on the background loop

        async def main() -> None:
            with pytest.raises(RuntimeError, match=ADVICE):
                socket.send_request(ask()).run()

        run(main())


@SENDERS
def test_scenario_58_run_in_a_coroutine_after_close(server: ResponsesServer, kind: Any) -> None:
    async def main() -> None:
        sender = kind(server.url)
        sender.close()
        with pytest.raises(RuntimeError, match=ADVICE):
            sender.send_request(ask()).run()

    run(main())


@SENDERS
def test_scenario_58_run_of_a_hot_source_in_a_coroutine(server: ResponsesServer, kind: Any) -> None:
    async def main() -> None:
        async with kind(server.url) as sender:
            first = sender.state.pipe(ops.first()).run()  # the latest state is there at once
            assert first == await sender.state.pipe(ops.first())
            for source in (sender.events, sender.unrouted, sender.state):
                with pytest.raises(RuntimeError, match=ADVICE):
                    source.run()
            assert sender._events.observers == sender._state.observers == ()
            assert await sender.send_request(ask()).pipe(rops.collect_text())

    run(main())


def test_scenario_58_run_of_drain_in_a_coroutine(server: ResponsesServer) -> None:
    async def main() -> None:
        async with ResponsesClient(server.url) as client:
            await client.send_request(ask())
            with pytest.raises(RuntimeError, match=ADVICE):
                client.drain().run()

    run(main())


# Operators behind which the observers of a request share its subscription.
SHARED: dict[str, Callable[[], Any]] = {
    "share": ops.share,
    "replay": lambda: rx.compose(ops.replay(), ops.ref_count()),
    "RxPY behind": lambda: rx.compose(ops.share(), ops.map(str), ops.filter(bool)),
    "rops behind": lambda: rx.compose(ops.share(), rops.collect_text()),
    "rops before": lambda: rx.compose(rops.text_deltas(), ops.publish(), ops.ref_count()),
}
shared_pipelines = pytest.mark.parametrize("share", SHARED.values(), ids=SHARED.keys())


def join(shared: Events, results: list[Any], _: object) -> None:
    results.append(result_of(shared.run))


@SENDERS
@shared_pipelines
def test_scenario_58_run_in_a_callback_joins_a_shared_request(server: ResponsesServer, kind: Any, share: Any) -> None:
    server.on("^held", ["text", Hold()])
    with no_thread_left(), kind(server.url) as sender:
        for source in (sender.send_request(ask("held"), stream_id="a"), sender.events):
            shared = source.pipe(share())
            results: list[Any] = []
            shared.subscribe(lambda _: None, lambda _: None)
            other = sender.send_request(ask(), stream_id="b")
            other.pipe(ops.take(1), ops.do_action(partial(join, shared, results))).run()
            assert is_advice(results[0])
        assert sender.send_request(ask("after"), stream_id="b").pipe(rops.collect_text()).run()  # the loop goes on


@SENDERS
@shared_pipelines
def test_scenario_58_run_in_a_coroutine_joins_a_shared_request(server: ResponsesServer, kind: Any, share: Any) -> None:
    async def main(other: Any) -> None:
        async with kind(server.url) as sender:
            for source in (sender.send_request(ask()), other.send_request(ask()), sender.events):
                shared = source.pipe(share())
                shared.subscribe(lambda _: None, lambda _: None)
                with pytest.raises(RuntimeError, match=ADVICE):
                    shared.run()
                with pytest.raises(RuntimeError, match=ADVICE):
                    rx.merge(rx.never(), shared).run()

    with kind(server.url) as other:
        other.send_request(ask()).run()  # it lives on the background loop
        run(main(other))


def traced(sender: Any) -> Any:
    """Return the sender as telemetry wraps it; skips the test where the extra `otel` is not installed."""
    pytest.importorskip("opentelemetry", reason="the extra `otel` is not installed")
    from rxresponses.telemetry import traced

    return traced(sender)


class TestRunThatReturns:
    """Nothing is refused where `.run()` can return."""

    @pipelines
    def test_scenario_58_run_on_a_plain_thread(
        self, server: ResponsesServer, pipeline: Callable[[Events], Events]
    ) -> None:
        with ResponsesWebSocket(server.url) as socket:
            assert pipeline(socket.send_request(ask())).run()

    def test_scenario_58_requests_on_the_loop_in_a_pipeline_that_runs_elsewhere(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as socket:

            def follow(text: str) -> Observable[str]:
                return socket.send_request(ask(text)).pipe(rops.collect_text())

            assert follow("hi").pipe(ops.flat_map(follow), ops.flat_map(follow)).run()

    def test_scenario_58_run_of_another_source_on_the_loop(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as socket:
            inner: list[Any] = []
            held: list[Any] = []

            def send(_: object) -> None:
                socket.send_request(ask("inner")).subscribe(held.append)

            def look(_: object) -> None:
                inner.append(rx.of(1).pipe(ops.do_action(send)).run())

            socket.send_request(ask()).pipe(ops.take(1), ops.do_action(look)).run()
            assert inner == [1]
            server.wait_until(lambda: len(server.requests) == 2)

    def test_scenario_58_run_elsewhere_while_the_loop_is_in_a_run_that_returns(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as socket:
            busy, gate = threading.Event(), threading.Event()

            def wait(_: object) -> None:
                gate.wait(WAIT)

            def block(_: object) -> None:
                busy.set()
                rx.timer(0.0).pipe(ops.do_action(wait)).run()

            socket.send_request(ask()).subscribe(block)
            assert busy.wait(WAIT)
            results: list[Any] = []
            subscribed = threading.Event()
            source = rx.concat(rx.of(1), socket.send_request(ask()), rx.defer(lambda _: rx.of(2))).pipe(
                ops.do_action(lambda _: subscribed.set())
            )
            thread = threading.Thread(target=lambda: results.append(result_of(source.run)))
            thread.start()
            assert subscribed.wait(WAIT)
            gate.set()
            thread.join(WAIT)
            assert results == [2]

    @shared_pipelines
    def test_scenario_58_run_of_a_shared_request(self, server: ResponsesServer, share: Any) -> None:
        gate = server.gate()
        server.on("^held", ["text", Hold(gate), "text"])
        with ResponsesWebSocket(server.url) as socket:
            shared = socket.send_request(ask("held")).pipe(share())
            results: list[Any] = []
            threads = [threading.Thread(target=lambda: results.append(result_of(shared.run))) for _ in range(2)]
            for thread in threads:
                thread.start()
            server.wait_until(lambda: len(server.requests) == 1)
            # On the loop, other Observables that have their end may be run.
            ended = shared.pipe(ops.take(0), ops.default_if_empty(7))
            assert (
                socket.send_request(ask(), stream_id="b")
                .pipe(ops.take(1), ops.map(lambda _: result_of(ended.run)))
                .run()
                == 7
            )
            gate.open()
            for thread in threads:
                thread.join(WAIT)
            assert len(results) == 2
            assert not any(isinstance(result, Exception) for result in results)

    def test_scenario_58_run_on_a_thread_of_a_coroutine(self, server: ResponsesServer) -> None:
        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket:
                events = socket.send_request(ask()).pipe(rops.collect_text())
                assert await asyncio.to_thread(events.run)

        run(main())


@SENDERS
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.usefixtures("nothing_logged")
def test_scenario_58_a_plain_with_block_in_a_notebook_cell(server: ResponsesServer, kind: Any, held: bool) -> None:
    server.on("^hold", ["text", Hold()])
    errors: list[Exception] = []

    async def cell() -> str:
        with kind(server.url) as sender:
            if held:
                sender.send_request(ask("hold")).subscribe(lambda _: None, errors.append)
            text: str = await sender.send_request(ask("hi"), stream_id="b" if held else None).pipe(rops.collect_text())
        if held:
            await server.until(lambda: bool(errors))
        return text

    async def no_task_left() -> None:
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with loop_on_a_thread() as loop:  # it goes on between the cells, as that of a notebook
        for number in range(1, 4):
            assert asyncio.run_coroutine_threadsafe(cell(), loop).result(WAIT)
            assert len(errors) == (number if held else 0)
            server.wait_until(lambda: server.connections == 0)
        asyncio.run_coroutine_threadsafe(no_task_left(), loop).result(WAIT)


# Operators of RxPY, which return its own Observables.
PIPED: dict[str, Callable[[Events], Any]] = {
    "map": lambda source: source.pipe(ops.map(str)),
    "pipe of a pipe": lambda source: source.pipe(rops.text_deltas(), ops.filter(bool)).pipe(ops.take(3)),
    "share": lambda source: source.pipe(ops.share()),
    "publish": lambda source: source.pipe(ops.publish()),
    "auto_connect": lambda source: source.pipe(ops.publish()).auto_connect(),
    "sum": lambda source: source + source,
    "replay": lambda source: source.pipe(ops.replay()),
}


class TestTheRightForm:
    """Forms that look right: `TypeError` names the form to write."""

    @pytest.fixture
    def socket(self, server: ResponsesServer) -> ResponsesWebSocket:
        return ResponsesWebSocket(server.url)

    @pytest.fixture(params=["send_request", "lane", "steer", "traced", "events", "state", "client", "pipe", *PIPED])
    def source(self, server: ResponsesServer, request: pytest.FixtureRequest) -> Any:
        socket = ResponsesWebSocket(server.url)
        sources: dict[str, Callable[[], Events]] = {
            "send_request": lambda: socket.send_request(ask()),
            "lane": lambda: socket.lane("a").send_request(ask()),
            "steer": lambda: socket.steer("resp_1", "hi"),
            "traced": lambda: traced(socket).send_request(ask()),
            "events": lambda: socket.events,
            "state": lambda: socket.state,
            "client": lambda: ResponsesClient(server.url).send_request(ask()),
            "pipe": lambda: socket.send_request(ask()).pipe(ops.map(str), rops.idle_timeout(1)),
            **{name: lambda pipe=pipe: pipe(socket.send_request(ask())) for name, pipe in PIPED.items()},  # type: ignore[misc]
        }
        return sources[request.param]()

    def test_scenario_58_for(self, source: Any) -> None:
        with pytest.raises(TypeError, match=r"\.subscribe\(.*\.run\(\)"):
            for _ in source:
                pass
        with pytest.raises(TypeError, match=r"\.subscribe\("):
            list(source)

    def test_scenario_58_async_for(self, source: Any) -> None:
        async def main() -> None:
            with pytest.raises(TypeError, match=r"async with events\.pipe\(rops\.to_async_iterable\(\)\) as"):
                async for _ in source:
                    pass

        run(main())

    @pytest.mark.parametrize("name", [*rops.__all__, "answer_calls"])
    def test_scenario_58_an_operator_without_its_parentheses(self, socket: ResponsesWebSocket, name: str) -> None:
        operator: Any = answer_calls if name == "answer_calls" else getattr(rops, name)
        with pytest.raises(TypeError, match=rf"`events\.pipe\({name}\([\w, ]*\)\)`"):
            socket.send_request(ask()).pipe(ops.map(str), operator, ops.map(str))

    @pytest.mark.parametrize("operator", [ops.map, ops.to_list, ops.share, ops.take, ops.first])
    def test_scenario_58_an_operator_of_rxpy_without_its_parentheses(
        self, socket: ResponsesWebSocket, operator: Any
    ) -> None:
        with pytest.raises(TypeError, match=r"needs its parentheses: write `events\.pipe\(ops\."):
            socket.send_request(ask()).pipe(rops.text_deltas(), operator, ops.map(str))

    @SENDERS
    @pytest.mark.parametrize("options", [{"idle_timeout": 3, "headers": {"a": "sk-secret"}}, {}, PoolOptions(), 3])
    def test_scenario_58_options_that_are_none(self, kind: Any, options: Any) -> None:
        with pytest.raises(TypeError, match=r"write `options=ConnectionOptions\(") as caught:
            kind("ws://127.0.0.1:1", options=options)
        assert "sk-secret" not in str(caught.value)

    def test_scenario_58_options_are_named(self) -> None:
        wrong: Any = {"idle_timeout": 3}
        with pytest.raises(TypeError, match=r"not dict: write `options=ConnectionOptions\(idle_timeout=…\)`"):
            ResponsesWebSocket(options=wrong)
        wrong = {"max_connections": 3}
        with pytest.raises(TypeError, match=r"not dict: write `pool=PoolOptions\(max_connections=…\)`"):
            ResponsesClient("ws://127.0.0.1:1", pool=wrong)
        wrong = ConnectionOptions
        with pytest.raises(TypeError, match=r"not the class ConnectionOptions: write"):
            ResponsesWebSocket(options=wrong)
