"""How many Python calls an event takes from the WebSocket to the observer: the speed, in a unit that never varies.

What a call costs depends on the machine; that there is one more does not.  The calls inside `decode` are not counted.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from websockets.asyncio.server import ServerConnection

from rxresponses import ConnectionOptions, ResponsesClient, ResponsesWebSocket, ResponseTextDeltaEvent
from rxresponses import operators as rops
from rxresponses.net.dispatch import EventDispatcher
from rxresponses.wire.codec import decode

from ..support.clients import WITH_LANES, ask, run
from ..support.recorder import WAIT
from ..support.websocket_server import websocket_server

DELTA = "response.output_text.delta"
ITEM = {"type": "message", "id": "m1", "role": "assistant", "content": []}
PART = {"output_index": 0, "content_index": 0, "item_id": "m1"}
EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r1"}},
    {"type": "response.output_item.added", "output_index": 0, "item": ITEM},
    {"type": "response.content_part.added", **PART, "part": {"type": "output_text", "text": ""}},
    *({"type": DELTA, **PART, "delta": "So", "sequence_number": number} for number in range(8)),
    {"type": "response.completed", "response": {"id": "r1"}},
]

Operator = Callable[[Observable[Any]], Observable[Any]]


async def answer(connection: ServerConnection) -> None:
    """Answer each request with the events, on its lane."""
    async for message in connection:
        lane = json.loads(message).get("stream_id")
        for event in EVENTS:
            await connection.send(json.dumps(event if lane is None else {**event, "stream_id": lane}))


class Calls:
    """The Python calls of the latest delta, from `start` to `stop` on the thread that delivers the events."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._names: list[str] | None = None  # of the event that is being delivered
        self._decoding = False

    def start(self, *_: object) -> None:
        sys.setprofile(self._note)

    def stop(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code is EventDispatcher.frame_received.__code__:
            self._names = [] if DELTA.encode() in frame.f_locals["frame"] else None
        if self._names is None:
            return
        if event == "call" and not self._decoding:
            self._names.append(code.co_name)
        if code is decode.__code__:
            self._decoding = event == "call"
        if event == "return" and code is EventDispatcher.frame_received.__code__:
            self.names, self._names = self._names, None


def observe(value: object) -> None:
    """The function of the user."""


def len_of_delta(event: ResponseTextDeltaEvent) -> int:
    """The mapper of the user."""
    return len(event.delta)


def calls_of_a_delta(
    *operators: Operator,
    sender: type[ResponsesWebSocket | ResponsesClient] = ResponsesWebSocket,
    lane: str | None = None,
    options: ConnectionOptions | None = None,
    before: Callable[[ResponsesWebSocket | ResponsesClient], object] = lambda sender: None,
    context: contextvars.Context | None = None,
    consume: bool = False,
    on_background_loop: bool = False,
) -> list[str]:
    """Return the names of the functions that are called for a delta behind others."""
    calls = Calls()
    context = context or contextvars.Context()  # not that of the test run, where variables may be set

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        done = asyncio.Event()

        def end(*_: object) -> None:
            calls.stop()
            loop.call_soon_threadsafe(done.set)

        async with websocket_server(answer) as url:
            socket = sender(url, api_key="k", options=options)

            def subscribe() -> None:
                socket.state.subscribe(calls.start)
                before(socket)
                events = socket.send_request(ask(), stream_id=lane).pipe(*operators)
                if consume:
                    tasks.append(loop.create_task(iterate(events)))
                else:
                    events.subscribe(observe, end, end)

            async def iterate(events: Observable[Any]) -> None:
                async with events.pipe(rops.to_async_iterable()) as stream:
                    async for event in stream:
                        observe(event)
                end()

            if on_background_loop:
                await loop.run_in_executor(None, subscribe)
            else:
                context.run(subscribe)
            await asyncio.wait_for(done.wait(), WAIT)
            socket.close()
            await socket.wait_closed()

    try:
        run(main())
    finally:
        sys.setprofile(None)
    return calls.names


RECEIVED = ["frame_received", "decode", "receive"]


@pytest.mark.parametrize("on_background_loop", [True, False])
@pytest.mark.parametrize("lane", [None, "a"])
def test_from_the_websocket_to_the_observer(lane: str | None, on_background_loop: bool) -> None:
    names = calls_of_a_delta(lane=lane, options=WITH_LANES, on_background_loop=on_background_loop)
    assert names == [*RECEIVED, "observe"]


def test_through_a_client() -> None:
    assert calls_of_a_delta(sender=ResponsesClient) == [*RECEIVED, "on_next", "observe"]


def test_with_a_limit_for_the_silence() -> None:
    names = calls_of_a_delta(options=ConnectionOptions(idle_timeout=WAIT))
    assert names == [*RECEIVED, "observe"]


def test_in_the_context_of_the_subscriber() -> None:
    context = contextvars.Context()
    context.run(contextvars.ContextVar[int]("variable").set, 1)
    names = calls_of_a_delta(context=context)
    assert names == [*RECEIVED, "on_next", "observe"]


def test_with_an_observer_of_all_events() -> None:
    """The observer is on its own loop, as is each that subscribes in a coroutine."""
    names = calls_of_a_delta(before=lambda sender: sender.events.subscribe(observe))
    assert names == [
        "frame_received",
        "decode",
        "on_next",
        "_emit",
        "on_next",
        "running_loop",
        "observe",
        "receive",
        "observe",
    ]


ONE_CALL: dict[str, Operator] = {
    "accumulate_text": rops.accumulate_text(),
    "filter_by_type(class)": rops.filter_by_type(ResponseTextDeltaEvent),
    "filter_by_type(name)": rops.filter_by_type(DELTA),
    "first_event_timeout": rops.first_event_timeout(WAIT),
    "idle_timeout": rops.idle_timeout(WAIT),
    "metrics(into)": rops.metrics(observe),
    "raise_on_failure": rops.raise_on_failure(),
    "raise_on_incomplete": rops.raise_on_incomplete(),
    "raise_on_refusal": rops.raise_on_refusal(),
    "retry_with_backoff": rops.retry_with_backoff(),
    "text_deltas": rops.text_deltas(),
    "timeout_on_terminal": rops.timeout_on_terminal(WAIT),
}


@pytest.mark.parametrize("operator", ONE_CALL.values(), ids=ONE_CALL.keys())
def test_an_operator_takes_one_call(operator: Operator) -> None:
    names = calls_of_a_delta(operator)
    assert names[:3] == RECEIVED
    assert len(names) == 5
    assert names[4] == "observe"


SILENT: dict[str, Operator] = {
    "collect_text": rops.collect_text(),
    "filter_by_type(other)": rops.filter_by_type("response.completed"),
    "function_calls": rops.function_calls(),
    "metrics": rops.metrics(),
    "parse_output": rops.parse_output(str),
    "refusals": rops.refusals(),
    "usage": rops.usage(),
}


@pytest.mark.parametrize("operator", SILENT.values(), ids=SILENT.keys())
def test_an_operator_that_emits_nothing_for_an_event_takes_one_call(operator: Operator) -> None:
    names = calls_of_a_delta(operator)
    assert names[:3] == RECEIVED
    assert len(names) == 4


def test_for_an_async_for() -> None:
    """The calls of the source alone; an event also wakes the task if that waits."""
    names = calls_of_a_delta(consume=True)
    assert names[:7] == [*RECEIVED, "_on_next", "size_of", "raw", "add"]
    assert names[7:] in ([], ["_resume", "_resolve"])


def test_operators_of_rxpy_take_two_calls_each() -> None:
    """Their auto-detach observer is between them and what follows; their own functions are not counted here."""
    names = calls_of_a_delta(ops.do_action(observe), rops.filter_by_type(DELTA), ops.map(len_of_delta))
    assert names == [
        *RECEIVED,
        *("_on_next", "observe", "on_next"),
        "by_name",
        *("on_next", "len_of_delta", "on_next"),
        "observe",
    ]
