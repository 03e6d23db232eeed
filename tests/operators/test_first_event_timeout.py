from __future__ import annotations

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses import ResponsesWebSocket
from rxresponses.errors import FirstEventTimeoutError, ResponseTimeoutError
from rxresponses.operators import collect_text, filter_by_type, first_event_timeout
from rxresponses.testing import Hold, ResponsesServer
from rxresponses.wire.events import ResponseTextDeltaEvent, ServerEvent
from rxresponses.wire.requests import ResponseCreate

from ..support.events import HEARTBEAT_TYPES, completed, created, delta, error_event, wire_event
from ..support.marbles import ManualScheduler, ManualSource, marbles
from ..support.recorder import Recorder


def test_marble_of_the_docstring() -> None:
    seen = marbles(first_event_timeout(50), (340, created()), (350, delta("He")))

    assert seen.values == []
    assert seen.errors[0][0] == 250
    assert isinstance(seen.error, FirstEventTimeoutError)
    assert seen.subscriptions == [(200, 250)]


@pytest.mark.parametrize("first", [created(), delta("x"), completed(), error_event()])
def test_the_first_event_of_any_type_stops_the_timer(first: ServerEvent) -> None:
    seen = marbles(first_event_timeout(50), (249, first), (900, delta("late")), (950, None))

    assert seen.timed == [(249, first), (900, delta("late"))]
    assert seen.completions == [950]


def test_the_first_event_disposes_the_timer() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    source.observable.pipe(first_event_timeout(5, scheduler=clock)).subscribe()
    source.emit(*[delta("x")] * 50)

    assert (clock.delays, clock.disposals) == ([5], 1)


def test_a_timer_that_fires_while_the_observer_handles_the_first_event_is_too_late() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    seen: list[object] = []

    def on_next(event: ServerEvent) -> None:
        clock.fire()
        seen.append(event)

    source.observable.pipe(first_event_timeout(5, scheduler=clock)).subscribe(on_next, seen.append)
    source.emit(created(), delta("x"))

    assert seen == [created(), delta("x")]


def test_an_observer_that_raises_has_had_its_first_event() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    errors: list[Exception] = []

    def on_next(event: ServerEvent) -> None:
        raise ZeroDivisionError

    source.observable.pipe(first_event_timeout(5, scheduler=clock)).subscribe(on_next, errors.append)
    with pytest.raises(ZeroDivisionError):
        source.emit(created())
    clock.fire()

    assert not errors


def test_type_is_kept() -> None:
    source = ManualSource[ServerEvent]().observable
    deltas = source.pipe(filter_by_type(ResponseTextDeltaEvent))

    assert_type(source.pipe(first_event_timeout(5)), Observable[ServerEvent])
    assert_type(source.pipe(first_event_timeout(5, source)), Observable[ServerEvent])
    assert_type(deltas.pipe(first_event_timeout(5)), Observable[ResponseTextDeltaEvent])


def test_scenario_27_connected_but_no_first_event(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    gate = server.gate()
    server.reply([Hold(gate, after=0), "dropped"], "second")
    clock = ManualScheduler()
    ask = ResponseCreate(model="m", input="hi")
    got = Recorder(socket.send_request(ask, stream_id="a").pipe(first_event_timeout(5, scheduler=clock)))
    server.wait_until(lambda: len(server.requests) == 1)
    clock.fire()

    assert isinstance(got.wait().error, FirstEventTimeoutError)
    assert (got.values, got.error.delivery, got.error.seconds) == ([], "unknown", 5)

    second = Recorder(socket.send_request(ask, stream_id="a").pipe(collect_text()))
    gate.open()  # the disposed response ends, and its lane is free again
    assert second.wait().values == ["second"]
    assert server.accepted == 1


def test_scenario_27_on_the_real_clock(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply([Hold(server.gate(), after=0), "dropped"])
    source = socket.send_request(ResponseCreate(model="m", input="hi")).pipe(first_event_timeout(0.05))

    with pytest.raises(ResponseTimeoutError) as caught:
        source.run()
    assert type(caught.value) is FirstEventTimeoutError


@pytest.mark.parametrize("kind", HEARTBEAT_TYPES)
def test_scenario_63_heartbeats_do_not_stop_the_timer(kind: str) -> None:
    beat = wire_event(kind)
    seen = marbles(first_event_timeout(50), (210, beat), (249, beat), (340, created()))

    assert seen.timed == [(210, beat), (249, beat)]
    assert seen.errors[0][0] == 250
    assert isinstance(seen.error, FirstEventTimeoutError)
    assert seen.error.delivery == "unknown"


def test_scenario_63_the_first_event_after_a_heartbeat_stops_the_timer() -> None:
    beat = wire_event("codex.keepalive")
    seen = marbles(first_event_timeout(50), (210, beat), (220, created()), (400, beat), (950, None))

    assert seen.values == [beat, created(), beat]
    assert seen.completions == [950]


def test_scenario_63_a_timer_that_fires_while_the_observer_handles_a_heartbeat_waits_for_it() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    seen: list[object] = []

    def on_next(event: ServerEvent) -> None:
        clock.fire()
        seen.append(event)

    source.observable.pipe(first_event_timeout(5, scheduler=clock)).subscribe(on_next, seen.append)
    source.emit(wire_event("codex.keepalive"), created())

    assert seen[0] == wire_event("codex.keepalive")
    assert isinstance(seen[1], FirstEventTimeoutError)
    assert len(seen) == 2
