from __future__ import annotations

import copy
import inspect
import pickle
import typing
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import errors
from rxresponses.errors import (
    BudgetExceededError,
    BufferOverflowError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectTimeoutError,
    DecodeError,
    Delivery,
    FirstEventTimeoutError,
    FrameError,
    IdleTimeoutError,
    InvalidRequestError,
    LaneLimitError,
    MessageTooBigError,
    ObserverExitError,
    PongTimeoutError,
    PreviousResponseLostError,
    QueueFullError,
    QueueTimeoutError,
    RequestError,
    ResponseFailedError,
    ResponsesError,
    ResponseTimeoutError,
    SocketClosedError,
    SteerPendingError,
    SteerTimeoutError,
    TerminalTimeoutError,
    UnreadableResponseError,
)
from rxresponses.pool import fleet_errors
from rxresponses.pool.fleet_errors import FleetUnavailableError
from rxresponses.wire import endings
from rxresponses.wire.endings import OutputParseError, ResponseIncompleteError, ResponseRefusedError
from rxresponses.wire.events import ResponseErrorEvent, SteerRequiredInput

EVENT = ResponseErrorEvent(code="server_error", message="broken")
STUBS = (
    SteerRequiredInput(type="function_call_output", call_id="call_1"),
    SteerRequiredInput(type="mcp_approval_response", approval_request_id="mcpr_1"),
    SteerRequiredInput(type="something_new"),
)
WHERE: dict[str, Any] = {"response_id": "resp_1", "stream_id": "main"}

# Each class with all its arguments, and the attributes that come of them.
ALL: list[tuple[Callable[..., ResponsesError], tuple[Any, ...], dict[str, Any]]] = [
    (ResponsesError, ("broken",), {}),
    (DecodeError, ("broken",), {}),
    (FrameError, ("broken", b"[]"), {}),
    (InvalidRequestError, ("broken",), {"field": "model"}),
    (ConfigurationError, ("broken",), {}),
    (RequestError, ("broken",), {"delivery": "unknown", **WHERE}),
    (LaneLimitError, ("broken",), {"delivery": "not_sent", **WHERE}),
    (QueueFullError, ("broken",), {"delivery": "not_sent", **WHERE}),
    (
        FleetUnavailableError,
        ("broken",),
        {"members": (("ws://a", "open", None),), "delivery": "rejected", "stream_id": "main"},
    ),
    (PreviousResponseLostError, ("broken",), {"previous_response_id": "resp_0", "stream_id": "main"}),
    (SocketClosedError, ("broken",), {"delivery": "not_sent", **WHERE}),
    (
        ConnectionLostError,
        ("broken",),
        {"delivery": "started", "close_code": 1006, "close_reason": "gone", "code": "x", **WHERE},
    ),
    (
        MessageTooBigError,
        ("broken",),
        {"delivery": "unknown", "close_code": 1009, "close_reason": "big", "code": None, **WHERE},
    ),
    (
        PongTimeoutError,
        ("broken",),
        {"delivery": "unknown", "close_code": 1006, "close_reason": "", "code": None, **WHERE},
    ),
    (
        ConnectFailedError,
        ("broken",),
        {"status": 429, "headers": {"Retry-After": "5"}, "code": "x", "type": "y", "stream_id": "main"},
    ),
    (
        ConnectTimeoutError,
        ("broken",),
        {"status": None, "headers": {}, "code": None, "type": None, "stream_id": "main"},
    ),
    (
        ResponseFailedError,
        ("broken",),
        {
            "delivery": "rejected",
            "event": EVENT,
            "code": "server_error",
            "type": "x",
            "status": 500,
            "param": "p",
            "headers": {"a": "b"},
            **WHERE,
        },
    ),
    (UnreadableResponseError, ("broken",), {"event": EVENT, **WHERE}),
    (ResponseRefusedError, ("I will not.",), {"event": EVENT, **WHERE}),
    (ResponseIncompleteError, ("max_output_tokens",), {"event": EVENT, **WHERE}),
    (OutputParseError, ("broken",), {"text": "{", "path": "$.a", **WHERE}),
    (SteerPendingError, (), {"required_input": STUBS, "event": EVENT, **WHERE}),
    (ResponseTimeoutError, (), {"seconds": 1.5, "delivery": "started", **WHERE}),
    (TerminalTimeoutError, (), {"seconds": 1.5, "delivery": "started", **WHERE}),
    (FirstEventTimeoutError, (), {"seconds": 1.5, "delivery": "unknown", **WHERE}),
    (IdleTimeoutError, (), {"seconds": 1.5, "delivery": "started", **WHERE}),
    (QueueTimeoutError, (), {"seconds": 1.5, "stream_id": "main", "why": "nobody answers"}),
    (SteerTimeoutError, (), {"seconds": 1.5, "delivery": "unknown", **WHERE}),
    (ObserverExitError, ("broken",), {}),
    (BudgetExceededError, ("broken",), {"unit": "usd", "limit": 1.0, "spent": 0.5}),
    (BufferOverflowError, (), {"max_buffered": 5, "unit": "bytes", "delivery": "started", **WHERE}),
]
IDS = [getattr(make, "__name__", "") for make, _, _ in ALL]
each = pytest.mark.parametrize(("make", "args", "attributes"), ALL, ids=IDS)
CLASSES: list[type[BaseException]] = [
    cls
    for module in (errors, endings, fleet_errors)
    for cls in vars(module).values()
    if inspect.isclass(cls) and issubclass(cls, BaseException)
]


def test_every_error_is_tested_here() -> None:
    assert {make for make, _, _ in ALL} == set(CLASSES)


def test_there_is_one_tree() -> None:
    assert all(issubclass(cls, ResponsesError) for cls in CLASSES)
    assert ResponsesError.__mro__[1] is Exception
    for cls in (DecodeError, InvalidRequestError, ConfigurationError):
        assert issubclass(cls, ValueError)
        assert not issubclass(cls, RequestError)
    assert issubclass(MessageTooBigError, ConnectionLostError)
    assert issubclass(PongTimeoutError, ConnectionLostError)
    for one in CLASSES:
        assert issubclass(one, TimeoutError) == ("Timeout" in one.__name__ and one.__name__ != "PongTimeoutError")
        assert issubclass(one, ResponseTimeoutError) == ("seconds" in inspect.signature(one.__init__).parameters)


@each
def test_the_facts_are_attributes(make: Any, args: tuple[Any, ...], attributes: dict[str, Any]) -> None:
    error = make(*args, **attributes)
    for name, value in attributes.items():
        assert getattr(error, name) == value
    assert str(error)
    assert "None" not in str(error)


@each
def test_errors_of_requests_have_a_delivery(
    make: type[ResponsesError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> None:
    if not issubclass(make, (RequestError, InvalidRequestError, ConfigurationError)):
        assert not hasattr(make(*args, **attributes), "delivery")  # of frames, not of requests
        return
    delivery = make(*args, **attributes).delivery
    assert delivery in typing.get_args(Delivery)
    started = make in (
        OutputParseError,
        ResponseIncompleteError,
        ResponseRefusedError,
        SteerPendingError,
        UnreadableResponseError,
    )
    assert delivery == attributes.get("delivery", "started" if started else "not_sent")


@each
@pytest.mark.parametrize(
    "clone",
    [copy.copy, copy.deepcopy, *(lambda error, n=n: pickle.loads(pickle.dumps(error, n)) for n in range(6))],
    ids=["copy", "deepcopy", *(f"pickle{n}" for n in range(6))],
)
def test_copies_keep_everything(
    make: Any, args: tuple[Any, ...], attributes: dict[str, Any], clone: Callable[[Any], Any]
) -> None:
    error = make(*args, **attributes)
    other = clone(error)
    assert type(other) is make
    assert other is not error
    assert str(other) == str(error)
    assert other.args == error.args
    assert vars(other) == vars(error)


@each
def test_optional_facts_are_none_or_empty(make: Any, args: tuple[Any, ...], attributes: dict[str, Any]) -> None:
    compulsory = {
        name
        for name, parameter in inspect.signature(make.__init__).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    error = make(*args, **{name: value for name, value in attributes.items() if name in compulsory})
    for name in attributes.keys() - compulsory - {"delivery"}:
        assert getattr(error, name) == {"headers": {}, "close_reason": "", "unit": "values"}.get(name)
    assert "None" not in str(error)


def test_decode_error_texts() -> None:
    error = FrameError("it holds a list", "[]")
    assert str(error) == "the frame is no JSON object: it holds a list"
    assert error.frame == "[]"


@pytest.mark.parametrize("make", [cls for cls in CLASSES if issubclass(cls, ResponseTimeoutError)])
def test_each_timeout_has_a_text_of_its_own_with_its_seconds(make: Any) -> None:
    where = {} if make is QueueTimeoutError else {"delivery": "unknown"}
    assert " 30 s" in str(make(30.0, **where))
    assert " 0.25 s" in str(make(0.25, **where))
    for other in CLASSES:
        assert vars(other).get("_text") != make._text or other is make


@pytest.mark.parametrize("make", [TerminalTimeoutError, IdleTimeoutError])
def test_the_text_says_that_a_request_without_events_may_not_have_been_sent(make: Any) -> None:
    assert "still have waited" in str(make(5.0, delivery="unknown"))
    assert "have waited" not in str(make(5.0, delivery="started"))
    assert " 5 s" in str(make(5.0, delivery="started"))


def test_a_timeout_before_any_event_may_be_one_of_three_waits() -> None:
    text = str(TerminalTimeoutError(5.0, delivery="unknown"))
    for wanted in ("its lane", "another try after a rate limit", "`queue_timeout`", "`paused_for`"):
        assert wanted in text


def test_a_queue_timeout_says_why() -> None:
    assert "its lane" in str(QueueTimeoutError(5.0))
    text = str(QueueTimeoutError(5.0, why="nobody answers"))
    assert text.startswith("the request waited 5 s in the client: nobody answers; it was not sent")
    assert "lane" not in text


def test_a_steer_timeout_says_what_did_not_come() -> None:
    assert "did not answer" in str(SteerTimeoutError(5.0, delivery="unknown"))
    assert "accepted the steer" in str(SteerTimeoutError(5.0, delivery="started"))
    assert " 5 s" in str(SteerTimeoutError(5.0, delivery="started"))


def test_a_pending_steer_lists_the_stubs_in_its_text() -> None:
    stubs = "(function_call_output call_1, mcp_approval_response mcpr_1, something_new)"
    assert stubs in str(SteerPendingError(STUBS, event=EVENT))
    assert SteerPendingError(list(STUBS), event=EVENT).required_input == STUBS
    for wanted in ("one ResponseCreate", "`required_input`"):
        assert wanted in str(SteerPendingError((), event=EVENT))
    assert "()" not in str(SteerPendingError((), event=EVENT))


def test_an_overflow_says_its_limit_and_unit() -> None:
    assert "more than 100 values" in str(BufferOverflowError(100))
    assert "more than 100 bytes" in str(BufferOverflowError(100, unit="bytes"))
    assert BufferOverflowError(100).unit == "values"
    assert BufferOverflowError(100).delivery == "started"


@pytest.mark.parametrize("make", [ConnectFailedError, ResponseFailedError])
def test_headers_are_found_in_any_case(make: Any) -> None:
    where = {} if make is ConnectFailedError else {"delivery": "rejected", "event": EVENT}
    error = make("refused", headers={"Retry-After": "5", "Set-Cookie": "secret"}, **where)
    for one in (error, copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert one.headers["retry-after"] == one.headers["RETRY-AFTER"] == "5"
        assert list(one.headers) == ["Retry-After", "Set-Cookie"]
        assert "secret" not in f"{one!r} {vars(one)}"


def test_a_failed_connect_sent_nothing() -> None:
    assert ConnectFailedError("refused").delivery == "not_sent"


@pytest.mark.parametrize("make", [RequestError, ConnectionLostError, ResponseFailedError, TerminalTimeoutError])
def test_delivery_is_compulsory(make: Any) -> None:
    with pytest.raises(TypeError, match="delivery"):
        make("broken")
