"""What the end of a connection means for a request, by the request's state and by how the connection ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rxresponses import ConnectionLostError, MessageTooBigError, PongTimeoutError, SocketClosedError
from rxresponses.errors import RequestError
from rxresponses.net.connection_errors import (
    closed_by_disposal_error,
    closed_by_server_error,
    closed_error,
    lost_error,
    pong_timeout_error,
)
from rxresponses.net.request import NO_OBSERVER, ConnectionRequest, ConnectionSteer, RequestSubscription
from rxresponses.net.transport import ConnectionEnd
from rxresponses.protocol.request import QUEUED, SENT, STARTED, RequestState
from rxresponses.wire.codec import decode

LIMIT = decode(b'{"type": "error", "code": "websocket_connection_limit_reached", "message": "60 minutes"}')
BROKE_OFF = ConnectionEnd(1006, "", True, OSError("reset"))


def request(state: RequestState, response_id: str | None = None) -> ConnectionRequest:
    made = ConnectionRequest(b"{}", "lane-1", None, NO_OBSERVER)
    made.state = state
    made.response_ids += [response_id] if response_id is not None else []
    return made


def accepted_steer() -> ConnectionSteer:
    made = ConnectionSteer(b"{}", "r1", NO_OBSERVER)
    made.state = STARTED
    return made


ENDS: list[tuple[Callable[[RequestSubscription], RequestError], type[RequestError], str]] = [
    (lambda request: lost_error(request, BROKE_OFF), ConnectionLostError, "broke off without a close frame"),
    (lambda request: pong_timeout_error(request, 2.5), PongTimeoutError, "did not answer a ping within 2.5 s"),
    (closed_by_disposal_error, ConnectionLostError, "another request on this connection was cancelled"),
    (
        lambda request: closed_by_server_error(request, LIMIT),
        ConnectionLostError,
        "ends this connection (websocket_connection_limit_reached: 60 minutes)",
    ),
    (closed_error, SocketClosedError, "closed here, by `close()` or `drain()`"),
]
REQUESTS: list[tuple[RequestSubscription, str, str]] = [
    (request(QUEUED), "not_sent", "never sent, so it can be sent again"),
    (request(SENT), "unknown", "send it again only if doing it twice does no harm"),
    (request(STARTED, "r2"), "started", "the rest of it is lost, and it may be billed"),
    (accepted_steer(), "started", "had accepted the steer"),
]


@pytest.mark.parametrize(("of_request", "delivery", "consequence"), REQUESTS)
@pytest.mark.parametrize(("error_for", "kind", "cause"), ENDS)
def test_the_error_shows_what_happened_and_what_it_means(
    error_for: Callable[[RequestSubscription], RequestError],
    kind: type[RequestError],
    cause: str,
    of_request: RequestSubscription,
    delivery: str,
    consequence: str,
) -> None:
    error = error_for(of_request)
    assert type(error) is kind
    assert cause in str(error)
    assert consequence in str(error)
    assert (error.delivery, error.response_id, error.stream_id) == (
        delivery,
        of_request.response_id,
        of_request.stream_id,
    )


def test_the_code_and_the_exception_behind_the_end_are_attributes() -> None:
    lost = lost_error(request(SENT), ConnectionEnd(1011, "oops", False, cause := ValueError()))
    assert (lost.close_code, lost.close_reason, lost.__cause__) == (1011, "oops", cause)
    assert pong_timeout_error(request(SENT), 1.0).close_code == 1006
    assert closed_by_server_error(request(SENT), LIMIT).code == "websocket_connection_limit_reached"
    assert closed_by_disposal_error(request(SENT)).close_code is None


@pytest.mark.parametrize(
    ("state", "by_peer", "advice"),
    [
        (QUEUED, True, None),
        (QUEUED, False, None),
        (SENT, True, "the request is larger than the server takes"),
        (SENT, False, "exceeded `max_message_size`"),
        (STARTED, True, None),
        (STARTED, False, "exceeded `max_message_size`"),
    ],
)
def test_a_message_too_big_concerns_the_requests_that_it_can_be_about(
    state: RequestState, by_peer: bool, advice: str | None
) -> None:
    error = lost_error(request(state), ConnectionEnd(1009, "", by_peer))
    assert type(error) is (ConnectionLostError if advice is None else MessageTooBigError)
    assert advice is None or advice in str(error)
    assert error.close_code == 1009
