"""What the error of a request says that has waited too long in a pool: each reason, and which of two goes first."""

from __future__ import annotations

from rxresponses.errors import ConnectFailedError, QueueTimeoutError, ResponseFailedError
from rxresponses.limits.gate import Gate
from rxresponses.limits.limits import Limits
from rxresponses.limits.local import LocalAdmission
from rxresponses.pool.lanes import PoolRequest
from rxresponses.wire.events import ResponseErrorEvent

from .driver import REFUSED, Driver

LIMITED = ResponseFailedError(
    "at the limit",
    delivery="rejected",
    event=ResponseErrorEvent(code="rate_limit_exceeded", message="at the limit"),
    code="rate_limit_exceeded",
    retry_after=3.0,
)


def told(driver: Driver, request: PoolRequest) -> tuple[str, BaseException | None]:
    """Return what the error of an overdue request says of the reason, and its cause."""
    error = driver.error(request, QueueTimeoutError)
    assert error.delivery == "not_sent"
    if error.why is None:
        return str(error), error.__cause__
    assert f" {error.seconds:g} s in the client: {error.why}; it was not sent" in str(error)
    return error.why, error.__cause__


def limit(driver: Driver, request: PoolRequest) -> None:
    """Have the server refuse a request at a rate limit, without another try."""
    driver.pool.rate_limited(LIMITED, driver.now, hits_when_sent=request.hits_when_sent)
    driver.fail(request)


def test_the_server_is_down() -> None:
    driver = Driver(connects=False, queue_timeout=1.5, max_queued=10)
    request = driver.submit()
    driver.end(driver.connection, REFUSED)
    driver.wait(1.5)
    assert told(driver, request) == (
        "no connection could be made (ConnectFailedError: refused), and the client tries again",
        REFUSED,
    )


def test_the_failure_of_another_route_is_not_told() -> None:
    driver = Driver(connects=False, queue_timeout=1.5)
    driver.submit(route="a")
    driver.end(driver.connection, REFUSED)
    other = driver.submit(route="b")
    driver.wait(1.5)
    assert told(driver, other) == ("its connection is not open yet", None)


def test_a_failure_is_not_told_while_another_connection_is_open() -> None:
    driver = Driver(max_active=1, queue_timeout=1.5)
    driver.submit()
    driver.connects = False
    waiting = driver.submit()
    driver.end(driver.pool.connections[-1], REFUSED)
    driver.wait(1.5)
    why, cause = told(driver, waiting)
    assert "for its lane or for fewer responses on the connection" in why
    assert "use another lane" in why
    assert cause is None


def test_a_request_that_waits_for_the_response_of_its_lane_is_told_of_no_connection() -> None:
    driver = Driver(queue_timeout=1.5, max_connections=2)
    parent = driver.submit(stores=False)
    response_id = driver.begin(parent)
    child = driver.submit(parent_id=response_id, stores=False)
    driver.wait(1.5)
    assert "for its lane" in told(driver, child)[0]


def test_a_rate_limit_pauses_all_requests() -> None:
    driver = Driver(queue_timeout=1.0)
    limit(driver, driver.submit())
    waiting = driver.submit()
    driver.wait(1.0)
    assert told(driver, waiting) == (
        "the client sends nothing for 2 s more because of a rate limit of the server "
        "(ResponseFailedError: at the limit)",
        LIMITED,
    )


def test_a_refusal_of_the_handshake_at_a_rate_limit_is_the_cause_during_the_pause() -> None:
    refused = ConnectFailedError("too many", status=429, retry_after=3.0)
    driver = Driver(connects=False, queue_timeout=1.0)
    request = driver.submit()
    driver.end(driver.connection, refused)
    driver.wait(1.0)
    why, cause = told(driver, request)
    assert why.endswith("because of a rate limit of the server (ConnectFailedError: too many)")
    assert cause is refused


def test_a_limit_that_is_used_up_according_to_the_handshake_has_no_cause() -> None:
    driver = Driver(connects=False, queue_timeout=1.0)
    request = driver.submit()
    driver.pool.connection_opened(driver.connection, driver.now, requested_wait=5.0)
    driver.wait(1.0)
    assert told(driver, request) == (
        "the client sends nothing for 4 s more because of a rate limit of the server",
        None,
    )


def test_fewer_requests_may_run_after_a_rate_limit() -> None:
    driver = Driver(queue_timeout=1.0)
    first, *_ = driver.burst(4)
    limit(driver, first)
    driver.wait(3.0)  # the pause
    waiting = driver.submit()
    driver.wait(1.0)
    assert told(driver, waiting) == (
        "3 requests run at once, and a rate limit of the server allows no more for now "
        "(ResponseFailedError: at the limit)",
        LIMITED,
    )


def test_one_request_may_run_after_a_rate_limit() -> None:
    driver = Driver(queue_timeout=1.0)
    first, _ = driver.burst(2)
    limit(driver, first)
    driver.wait(3.0)  # the pause
    waiting = driver.submit()
    driver.wait(1.0)
    assert told(driver, waiting)[0].startswith("1 request runs at once, and a rate limit")


def test_an_answer_after_the_rate_limit_clears_the_refusal() -> None:
    driver = Driver()
    limit(driver, driver.submit())
    assert driver.pool.rate_limit.error is LIMITED
    driver.wait(3.0)
    driver.finish(driver.submit())
    assert driver.pool.rate_limit.error is None


def test_the_limits_of_the_client() -> None:
    driver = Driver(admission=LocalAdmission(Gate(Limits(requests_per_minute=1))), queue_timeout=5.0)
    _, waiting = driver.burst(2)
    driver.wait(5.0)
    assert told(driver, waiting) == ("the limits or the budget of the client let no other request begin before", None)


def test_limits_do_not_hide_free_lanes_that_are_missing() -> None:
    """Without a wait of the admission, the request waits for a lane, whatever the limits are."""
    driver = Driver(
        admission=LocalAdmission(Gate(Limits(requests_per_minute=10_000))),
        max_active=1,
        max_connections=1,
        queue_timeout=5.0,
    )
    _, waiting = driver.burst(2)
    driver.wait(5.0)
    assert "for its lane" in told(driver, waiting)[0]


def test_the_limits_of_the_client_also_hold_back_a_new_connection() -> None:
    driver = Driver(admission=LocalAdmission(Gate(Limits(requests_per_minute=1))), max_active=1, queue_timeout=5.0)
    driver.burst(2, route="a")
    other = driver.submit(route="b")
    driver.wait(5.0)
    assert told(driver, other)[0].startswith("the limits or the budget of the client")


def test_the_time_was_over_before_a_connection_was_begun() -> None:
    driver = Driver(queue_timeout=5.0)
    request = driver.queue()
    driver.now = 5.0
    driver.act()
    assert told(driver, request) == ("its connection is not open yet", None)
