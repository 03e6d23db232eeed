from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from rxresponses.errors import (
    FirstEventTimeoutError,
    IdleTimeoutError,
    QueueTimeoutError,
    RequestError,
    ResponseTimeoutError,
    SteerTimeoutError,
)
from rxresponses.options import ConnectionOptions
from rxresponses.protocol.request import ENDED, QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer, RequestState
from rxresponses.protocol.timeouts import Timeouts

ALL = Timeouts(queue=1.0, first_event=2.0, idle=4.0, steer=8.0)
NONE = Timeouts()
START = 100.0


def request(state: RequestState, *, cancelled: bool = False) -> ProtocolRequest:
    exchange = ProtocolRequest(b"{}", "lane")
    return put(exchange, state, cancelled)


def steer(state: RequestState, *, due: bool = False, committed: bool = False, cancelled: bool = False) -> ProtocolSteer:
    exchange = ProtocolSteer(b"{}", "target")
    exchange.stream_id = "lane"
    exchange.successor_due = due
    exchange.owns_successor = committed
    put(exchange, state, cancelled)
    if not committed:
        exchange.response_ids.clear()
    return exchange


def put(exchange: ProtocolRequest, state: RequestState, cancelled: bool) -> ProtocolRequest:
    exchange.state = state
    exchange.since = START
    exchange.cancelled = cancelled
    if state is STARTED:
        exchange.response_ids.append("resp_1")
    return exchange


# What is timed, for how long, and as what it fails.
TIMED = [
    pytest.param(request(QUEUED), 1.0, QueueTimeoutError, id="waiting here"),
    pytest.param(request(SENT), 2.0, FirstEventTimeoutError, id="sent"),
    pytest.param(request(STARTED), 4.0, IdleTimeoutError, id="answered"),
    pytest.param(steer(SENT), 8.0, SteerTimeoutError, id="steer without an answer"),
    # Nobody waits for it, but the lane of its target does.
    pytest.param(steer(SENT, cancelled=True), 8.0, SteerTimeoutError, id="given-up steer without an answer"),
    pytest.param(steer(STARTED, due=True), 8.0, SteerTimeoutError, id="steer without a response"),
    pytest.param(steer(STARTED, due=True, cancelled=True), 8.0, SteerTimeoutError, id="given-up one without"),
    pytest.param(steer(STARTED, committed=True), 4.0, IdleTimeoutError, id="steer with its response"),
]
UNTIMED = [
    pytest.param(request(ENDED), id="ended"),
    pytest.param(request(QUEUED, cancelled=True), id="given up waiting"),
    pytest.param(request(SENT, cancelled=True), id="given up sent"),
    pytest.param(request(STARTED, cancelled=True), id="given up answered"),
    pytest.param(steer(QUEUED), id="steer not sent yet"),
    pytest.param(steer(STARTED), id="accepted steer, which takes as long as its target"),
    pytest.param(steer(STARTED, committed=True, cancelled=True), id="given-up steer with its response"),
    pytest.param(steer(ENDED), id="steer without a successor"),
    pytest.param(steer(ENDED, due=True), id="steer that was refused after all"),
]


@pytest.mark.parametrize(("exchange", "limit", "kind"), TIMED)
def test_each_state_has_its_clock(exchange: ProtocolRequest, limit: float, kind: type[ResponseTimeoutError]) -> None:
    assert ALL.deadline(exchange) == START + limit
    assert ALL.error(exchange, START) is None
    assert ALL.error(exchange, START + limit - 0.001) is None
    for late in (0.0, 1000.0):
        error = ALL.error(exchange, START + limit + late)
        assert type(error) is kind
        assert error.seconds == limit


@pytest.mark.parametrize("exchange", UNTIMED)
def test_what_nobody_waits_for_is_not_timed(exchange: ProtocolRequest) -> None:
    assert ALL.deadline(exchange) is None
    assert ALL.error(exchange, START + 1000.0) is None


@pytest.mark.parametrize(("exchange", "limit", "kind"), TIMED)
def test_without_limits_nothing_is_overdue(exchange: ProtocolRequest, limit: float, kind: type[Exception]) -> None:
    assert NONE.deadline(exchange) is None
    assert NONE.error(exchange, START + 1e9) is None


@pytest.mark.parametrize("name", ["queue", "first_event", "idle", "steer"])
@pytest.mark.parametrize(("exchange", "limit", "kind"), TIMED)
def test_each_clock_can_be_off_by_itself(
    name: str, exchange: ProtocolRequest, limit: float, kind: type[ResponseTimeoutError]
) -> None:
    off = replace(ALL, **{name: None})
    mine = getattr(ALL, name) == limit
    assert off.deadline(exchange) == (None if mine else START + limit)
    assert (off.error(exchange, START + limit) is None) is mine


def test_the_errors_say_what_is_known() -> None:
    facts = {}
    for param in TIMED:
        exchange = param.values[0]
        assert isinstance(exchange, ProtocolRequest)
        error = ALL.error(exchange, START + 9)
        assert isinstance(error, RequestError)
        assert isinstance(error, TimeoutError)
        assert error.stream_id == "lane"
        facts[param.id] = (error.delivery, error.response_id)
    assert facts == {
        "waiting here": ("not_sent", None),
        "sent": ("unknown", None),
        "answered": ("started", "resp_1"),
        "steer without an answer": ("unknown", None),
        "given-up steer without an answer": ("unknown", None),
        "steer without a response": ("started", None),
        "given-up one without": ("started", None),
        "steer with its response": ("started", "resp_1"),
    }


@pytest.mark.parametrize(("exchange", "limit", "kind"), TIMED)
def test_the_errors_tell_the_limit_and_can_be_copied(
    exchange: ProtocolRequest, limit: float, kind: type[Exception]
) -> None:
    error = ALL.error(exchange, START + 9)
    assert error is not None
    assert f"{limit:g} s" in str(error)
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert (str(again), again.__dict__) == (str(error), error.__dict__)


def test_a_steer_is_told_what_did_not_come() -> None:
    unanswered, unfollowed = (str(ALL.error(one, START + 9)) for one in (steer(SENT), steer(STARTED, due=True)))
    assert "did not answer the steer" in unanswered
    for known in ("accepted the steer", "the steered response has ended", "none followed"):
        assert known in unfollowed
        assert known not in unanswered


def test_the_next_deadline_is_the_earliest() -> None:
    early, late = request(STARTED), request(STARTED)
    late.since = START + 7
    assert ALL.next_deadline([late, request(STARTED, cancelled=True), early]) == START + 4
    assert ALL.next_deadline([late]) == START + 11
    assert ALL.next_deadline(iter([request(ENDED)])) is None
    assert ALL.next_deadline([]) is None


def test_the_options_set_the_clocks() -> None:
    options = ConnectionOptions(queue_timeout=1.0, first_event_timeout=2.0, idle_timeout=4.0, steer_timeout=8.0)
    assert Timeouts.of(options) == ALL
    assert Timeouts.of(ConnectionOptions()) == Timeouts(steer=10.0)
    assert Timeouts.of(ConnectionOptions(steer_timeout=None)) == NONE


def test_clocks_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        ALL.idle = 5.0  # type: ignore[misc]
