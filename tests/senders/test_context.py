"""Context variables that are set before subscribing, in observers, tools and the history function."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import Backoff, ResponsesClient, ResponsesWebSocket, SocketClosedError, answer_calls
from rxresponses import operators as rops
from rxresponses.testing import FunctionCall, Hold, ResponsesServer

from ..support.clients import WITH_LANES, ask, run
from ..support.fleets import OneServerFleet
from ..support.recorder import AsyncRecorder, Recorder

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
KINDS = pytest.mark.parametrize(
    "kind", [ResponsesWebSocket, ResponsesClient, OneServerFleet], ids=["socket", "client", "fleet"]
)


def named(name: str | None, act: Callable[[], Any]) -> Any:
    """Call a function in a context with a variable, or in one without any."""
    context = contextvars.Context()
    if name is not None:
        context.run(NAME.set, name)
    return context.run(act)


class Seen(Recorder[Any]):
    """Notes the variable at each notification."""

    def __init__(self, source: Any, on_next: Callable[[Any], Any] | None = None) -> None:
        self.names: list[str] = []
        noted = source.pipe(ops.do_action(self._note, self._note, lambda: self._note(None)))
        super().__init__(noted, on_next)

    def _note(self, _: object) -> None:
        self.names.append(NAME.get())


@pytest.fixture(params=[ResponsesWebSocket, ResponsesClient, OneServerFleet], ids=["socket", "client", "fleet"])
def sender(request: pytest.FixtureRequest, server: ResponsesServer) -> Iterator[Any]:
    with request.param(server.url, options=WITH_LANES) as sender:
        yield sender


def test_scenario_66_each_observer_sees_the_variables_of_its_subscription(sender: Any) -> None:
    names = ["a", "b", None, "c"]
    streams = [named(name, partial(Seen, sender.send_request(ask(), stream_id=f"lane-{name}"))) for name in names]
    for name, stream in zip(names, streams, strict=True):
        assert set(stream.wait().names) == {name or "none"}


def test_scenario_66_errors_are_delivered_in_the_context_too(server: ResponsesServer, sender: Any) -> None:
    """An observer closes the sender inside its own context; the others get their errors in theirs."""
    server.on("hold", ["text", Hold()])
    names = ["a", "b", None]
    held = [sender.send_request(ask("hold"), stream_id=f"lane-{name}") for name in names]
    streams = [named(name, partial(Seen, source)).wait_for(2) for name, source in zip(names, held, strict=True)]
    closing = named("closing", lambda: Seen(sender.send_request(ask(), stream_id="x"), lambda _: sender.close()))
    for name, stream in zip([*names, "closing"], [*streams, closing], strict=True):
        assert isinstance(stream.wait().error, SocketClosedError)
        assert set(stream.names) == {name or "none"}
    late = named("late", lambda: Seen(sender.send_request(ask())))
    assert set(late.wait().names) == {"late"}


def test_scenario_66_hot_sources(sender: Any) -> None:
    states = [named(name, lambda: Seen(sender.state)) for name in ("a", None)]
    events = [named(name, lambda: Seen(sender.events)) for name in ("b", None)]
    named("c", lambda: Recorder(sender.send_request(ask())).wait())
    sender.close()
    for stream in (*states, *events):
        stream.wait()
    assert [set(stream.names) for stream in states] == [{"a"}, {"none"}]
    assert [set(stream.names) for stream in events] == [{"b"}, {"none"}]


@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
def test_scenario_66_tools(server: ResponsesServer, sender: Any, is_async: bool) -> None:
    async def where_later() -> str:
        return NAME.get()

    where: Any = where_later if is_async else NAME.get
    server.on("call", [FunctionCall("where", {})])
    for name in ("a", "b"):
        answered = sender.send_request(ask("call")).pipe(rops.function_calls(), answer_calls({"where": where}))
        assert [output.output for output in named(name, partial(Seen, answered)).wait().values] == [name]


def test_scenario_66_the_history_function(server: ResponsesServer, client: ResponsesClient) -> None:
    seen: list[str] = []

    def history() -> list[Any]:
        seen.append(NAME.get())
        return []

    source = client.send_request(ask(previous_response_id="gone", store=False), history=history)
    assert named("a", lambda: Recorder(source).wait()).completions == 1
    assert seen == ["a"]


@KINDS
def test_scenario_66_on_a_loop_of_the_program(server: ResponsesServer, kind: type) -> None:
    """Each task has a context of its own."""

    async def main() -> None:
        async with kind(server.url, options=WITH_LANES) as sender:

            async def use(name: str) -> None:
                NAME.set(name)
                got: list[str] = []
                await sender.send_request(ask(), stream_id=name).pipe(ops.do_action(lambda _: got.append(NAME.get())))
                assert set(got) == {name}
                texts = sender.send_request(ask(), stream_id=name).pipe(rops.text_deltas(), rops.to_async_iterable())
                assert [text async for text in texts]

            await asyncio.gather(*map(use, "abc"))

    run(main())


def test_scenario_66_an_observer_on_another_loop(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    Recorder(socket.send_request(ask())).wait()  # from here on the socket lives on the background loop

    async def main() -> None:
        NAME.set("a")
        names: list[str] = []
        source = socket.send_request(ask()).pipe(ops.do_action(lambda _: names.append(NAME.get())))
        await AsyncRecorder(source).until_end()
        assert set(names) == {"a"}

    run(main())


@KINDS
@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize(
    ("operator", "after"),
    [
        (rops.timeout_on_terminal(0.02), 2),
        (rops.idle_timeout(0.02), 2),
        (rops.first_event_timeout(0.02), 0),
        (
            lambda source: source.pipe(
                rops.timeout_on_terminal(0.02),
                rops.retry_with_backoff(Backoff(initial=0.001, max_retries=1), when=lambda _: decided(NAME.get())),
            ),
            2,
        ),
    ],
    ids=["timeout_on_terminal", "idle_timeout", "first_event_timeout", "retry"],
)
def test_scenario_66_timers_of_operators(
    server: ResponsesServer, kind: type, on_loop: bool, operator: Any, after: int
) -> None:
    server.on("hold", ["text", Hold(after=after)])

    async def main() -> None:
        async with kind(server.url) as sender:
            seen = named("a", lambda: Seen(sender.send_request(ask("hold")).pipe(operator)))
            await asyncio.to_thread(seen.wait)
            assert set(seen.names) == {"a"}

    if on_loop:
        run(main())
        return
    with kind(server.url) as sender:
        seen = named("a", lambda: Seen(sender.send_request(ask("hold")).pipe(operator)))
        seen.wait()
        assert set(seen.names) == {"a"}


def decided(name: str) -> bool:
    assert name == "a"
    return True
