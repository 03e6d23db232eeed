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


def a_request(state: RequestState, *, cancelled: bool = False) -> ProtocolRequest:
    request = ProtocolRequest(b"{}", "lane")
    return put_in_state(request, state, cancelled)


def a_steer(
    state: RequestState, *, successor_due: bool = False, owns_successor: bool = False, cancelled: bool = False
) -> ProtocolSteer:
    request = ProtocolSteer(b"{}", "target")
    request.stream_id = "lane"
    request.successor_due = successor_due
    request.owns_successor = owns_successor
    put_in_state(request, state, cancelled)
    if not owns_successor:
        request.response_ids.clear()
    return request


def put_in_state(request: ProtocolRequest, state: RequestState, cancelled: bool) -> ProtocolRequest:
    request.state = state
    request.since = START
    request.cancelled = cancelled
    if state is STARTED:
        request.response_ids.append("resp_1")
    return request


# The request, its limit in seconds, and the class of its error.
TIMED = [
    pytest.param(a_request(QUEUED), 1.0, QueueTimeoutError, id="queued"),
    pytest.param(a_request(SENT), 2.0, FirstEventTimeoutError, id="sent"),
    pytest.param(a_request(STARTED), 4.0, IdleTimeoutError, id="started"),
    pytest.param(a_steer(SENT), 8.0, SteerTimeoutError, id="steer without an answer"),
    # No subscriber waits for it, but the lane of its target is reserved for it.
    pytest.param(a_steer(SENT, cancelled=True), 8.0, SteerTimeoutError, id="cancelled steer without an answer"),
    pytest.param(a_steer(STARTED, successor_due=True), 8.0, SteerTimeoutError, id="steer without its successor"),
    pytest.param(
        a_steer(STARTED, successor_due=True, cancelled=True),
        8.0,
        SteerTimeoutError,
        id="cancelled steer without its successor",
    ),
    pytest.param(a_steer(STARTED, owns_successor=True), 4.0, IdleTimeoutError, id="steer with its successor"),
]
UNTIMED = [
    pytest.param(a_request(ENDED), id="ended"),
    pytest.param(a_request(QUEUED, cancelled=True), id="cancelled while queued"),
    pytest.param(a_request(SENT, cancelled=True), id="cancelled while sent"),
    pytest.param(a_request(STARTED, cancelled=True), id="cancelled while started"),
    pytest.param(a_steer(QUEUED), id="steer not sent yet"),
    pytest.param(a_steer(STARTED), id="accepted steer, whose target may still run"),
    pytest.param(a_steer(STARTED, owns_successor=True, cancelled=True), id="cancelled steer with its successor"),
    pytest.param(a_steer(ENDED), id="ended steer"),
    pytest.param(a_steer(ENDED, successor_due=True), id="steer that was refused when its successor was due"),
]


@pytest.mark.parametrize(("timed_request", "limit", "kind"), TIMED)
def test_each_state_has_its_limit(
    timed_request: ProtocolRequest, limit: float, kind: type[ResponseTimeoutError]
) -> None:
    assert ALL.deadline(timed_request) == START + limit
    assert ALL.error(timed_request, START) is None
    assert ALL.error(timed_request, START + limit - 0.001) is None
    for late in (0.0, 1000.0):
        error = ALL.error(timed_request, START + limit + late)
        assert type(error) is kind
        assert error.seconds == limit


@pytest.mark.parametrize("untimed_request", UNTIMED)
def test_a_request_without_a_limit_in_its_state(untimed_request: ProtocolRequest) -> None:
    assert ALL.deadline(untimed_request) is None
    assert ALL.error(untimed_request, START + 1000.0) is None


@pytest.mark.parametrize(("timed_request", "limit", "kind"), TIMED)
def test_without_limits_nothing_is_overdue(timed_request: ProtocolRequest, limit: float, kind: type[Exception]) -> None:
    assert NONE.deadline(timed_request) is None
    assert NONE.error(timed_request, START + 1e9) is None


@pytest.mark.parametrize("name", ["queue", "first_event", "idle", "steer"])
@pytest.mark.parametrize(("timed_request", "limit", "kind"), TIMED)
def test_each_limit_can_be_off_by_itself(
    name: str, timed_request: ProtocolRequest, limit: float, kind: type[ResponseTimeoutError]
) -> None:
    off = replace(ALL, **{name: None})
    is_its_limit = getattr(ALL, name) == limit
    assert off.deadline(timed_request) == (None if is_its_limit else START + limit)
    assert (off.error(timed_request, START + limit) is None) is is_its_limit


def test_delivery_response_id_and_lane_of_the_errors() -> None:
    facts = {}
    for param in TIMED:
        timed_request = param.values[0]
        assert isinstance(timed_request, ProtocolRequest)
        error = ALL.error(timed_request, START + 9)
        assert isinstance(error, RequestError)
        assert isinstance(error, TimeoutError)
        assert error.stream_id == "lane"
        facts[param.id] = (error.delivery, error.response_id)
    assert facts == {
        "queued": ("not_sent", None),
        "sent": ("unknown", None),
        "started": ("started", "resp_1"),
        "steer without an answer": ("unknown", None),
        "cancelled steer without an answer": ("unknown", None),
        "steer without its successor": ("started", None),
        "cancelled steer without its successor": ("started", None),
        "steer with its successor": ("started", "resp_1"),
    }


@pytest.mark.parametrize(("timed_request", "limit", "kind"), TIMED)
def test_the_errors_name_the_limit_and_can_be_copied(
    timed_request: ProtocolRequest, limit: float, kind: type[Exception]
) -> None:
    error = ALL.error(timed_request, START + 9)
    assert error is not None
    assert f"{limit:g} s" in str(error)
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert (str(again), again.__dict__) == (str(error), error.__dict__)


def test_the_error_of_a_steer_names_what_did_not_come() -> None:
    unanswered, unfollowed = (
        str(ALL.error(steer, START + 9)) for steer in (a_steer(SENT), a_steer(STARTED, successor_due=True))
    )
    assert "did not answer the steer" in unanswered
    for known in ("accepted the steer", "the steered response has ended", "no response followed"):
        assert known in unfollowed
        assert known not in unanswered


def test_the_options_set_the_limits() -> None:
    options = ConnectionOptions(queue_timeout=1.0, first_event_timeout=2.0, idle_timeout=4.0, steer_timeout=8.0)
    assert Timeouts.of(options) == ALL
    assert Timeouts.of(ConnectionOptions()) == Timeouts(steer=10.0)
    assert Timeouts.of(ConnectionOptions(steer_timeout=None)) == NONE


def test_limits_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        ALL.idle = 5.0  # type: ignore[misc]
