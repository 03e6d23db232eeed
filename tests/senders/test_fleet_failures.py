"""A fleet whose servers fail: what moves to another member, what fails, and when a member is tried again."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from rxresponses import (
    Backoff,
    BreakerOptions,
    ConnectionLostError,
    ConnectionOptions,
    FirstEventTimeoutError,
    FleetMember,
    FleetUnavailableError,
    PoolOptions,
    QueueTimeoutError,
    ResponsesFleet,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, DelayUpgrade, Failure, Fault, Hold, RefuseUpgrade, ResponsesServer, Stall

from ..support.clients import ask, fast_retries, late_retries, run
from ..support.fleets import WITH_LANES, counts, fleet_of, member_of, received, servers, until_fleet
from ..support.recorder import WAIT, Recorder


def started() -> ResponsesServer:
    """Return a server that the test stops itself, and may start again on its port."""
    return ResponsesServer().__enter__()


def stop(server: ResponsesServer) -> None:
    """Stop a server as a crash does."""
    server.drop()
    server.__exit__(None, None, None)


def test_a_server_that_is_killed_and_started_again() -> None:
    """Each request is answered exactly once, or fails because its server was killed."""

    async def main() -> None:
        victim = started()
        port = victim.port
        urls = [*(server.url for server in several), victim.url]
        async with ResponsesFleet(urls, options=WITH_LANES, pool=fast_retries(max_connections=1)) as fleet:

            async def one(number: int) -> Any:
                try:
                    return await fleet.send_request(ask(str(number))).pipe(rops.collect_text())
                except Exception as error:
                    return error

            states = Recorder(fleet.state)
            tasks = [asyncio.create_task(one(number)) for number in range(150)]
            await victim.until(lambda: len(victim.requests) >= 10)
            await asyncio.to_thread(stop, victim)
            before = [str(request["input"]) for request in victim.requests]
            await several[0].until(lambda: len(several[0].requests) >= 30)
            restarted = await asyncio.to_thread(ResponsesServer(port=port).__enter__)
            answers = await asyncio.gather(*tasks)
            later = [await one(number) for number in range(1000, 1010)]
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            assert all(isinstance(error, ConnectionLostError) for error in errors), errors
            assert all(error.delivery in ("unknown", "started") for error in errors)  # type: ignore[attr-defined]
            assert len(errors) <= 16
            assert not any(isinstance(answer, Exception) for answer in later)
            arrived = counts([*several, restarted]) + Counter(before)
            assert set(arrived.values()) <= {1}
            assert len(arrived) >= 160 - len(errors)
            assert restarted.requests  # its breaker has closed
            assert {row.breaker for state in states.values for row in state.members[:2]} == {"closed"}
        await asyncio.to_thread(restarted.__exit__, None, None, None)

    with servers(2) as several:
        for server in several:
            server.on("", "text")
        run(main())


def test_requests_to_a_server_that_is_not_there_go_to_the_others() -> None:
    gone = started()
    stop(gone)
    with ResponsesServer() as works:
        several = [works]
        with ResponsesFleet([gone.url, works.url], options=WITH_LANES, pool=late_retries()) as fleet:
            states = Recorder(fleet.state)
            got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(20)]
            assert all(one.wait().completions for one in got)
            assert received(several) == [20]
            row = member_of(until_fleet(states, lambda state: state.members[0].breaker == "open"), gone.url)
            assert row.error is not None
            assert row.trial_in is not None
            assert row.trial_in > 10


@pytest.mark.parametrize("status", [401, 503])
def test_a_refused_upgrade_opens_the_breaker(status: int) -> None:
    with servers(2) as several, fleet_of(several, pool=late_retries()) as fleet:
        several[0].fault(Fault(RefuseUpgrade(status)))
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(10)]
        assert all(one.wait().completions for one in got)
        assert received(several) == [0, 10]


def test_a_refused_request_goes_to_another_member_at_once() -> None:
    with servers(2) as several, fleet_of(several, pool=late_retries()) as fleet:
        several[0].fault(Fault(Failure("server_error", after=0)))
        events = Recorder(fleet.events)
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(10)]
        assert all(one.wait().types[-1] == "response.completed" for one in got)
        assert all(one.types.count("response.created") == 1 for one in got)
        assert received(several)[1] == 10
        assert "error" in events.types


def test_failures_in_a_row_open_the_breaker_and_a_trial_closes_it() -> None:
    with servers(2) as several:
        pool = PoolOptions(backoff=Backoff(initial=0.05, max_delay=0.05, jitter=0.0, max_retries=20))
        with fleet_of(several, pool=pool, breaker=BreakerOptions(failures=3)) as fleet:
            several[0].fault(Fault(Failure("server_error", after=0)))
            states = Recorder(fleet.state)
            for number in range(10):
                assert Recorder(fleet.send_request(ask(str(number)))).wait().types[-1] == "response.completed"
            state = until_fleet(states, lambda state: state.members[0].breaker == "open")
            assert state.members[0].failures >= 3
            several[0].clear_faults()
            while states.values[-1].members[0].breaker != "closed":
                Recorder(fleet.send_request(ask("again"))).wait()
            assert "half_open" in {state.members[0].breaker for state in states.values}
            assert states.values[-1].members[0].error is None


def test_a_response_that_fails_after_output_is_not_repeated() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        for server in several:
            server.fault(Fault(Failure("server_error", after=4)))
        got = Recorder(fleet.send_request(ask())).wait()
        assert got.types[-1] in ("error", "response.failed")
        assert sum(received(several)) == 1


def test_invalid_requests_and_refusals_do_not_open_the_breaker() -> None:
    with servers(1) as several, fleet_of(several, breaker=BreakerOptions(failures=2)) as fleet:
        several[0].fault(Fault(Failure("invalid_prompt", after=0), times=5))
        for _ in range(5):
            assert Recorder(fleet.send_request(ask())).wait().types == ["error"]
        assert Recorder(fleet.send_request(ask())).wait().types[-1] == "response.completed"
        assert Recorder(fleet.state).wait_for(1).values[0].members[0].breaker == "closed"


def test_a_member_at_a_rate_limit_is_busy_and_gets_nothing() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        states = Recorder(fleet.state)
        headers = {"retry-after": "300"}
        several[0].fault(Fault(Failure("rate_limit_exceeded", after=0, headers=headers)))
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(10)]
        assert all(one.wait().types[-1] == "response.completed" for one in got)
        assert received(several)[1] == 10
        row = until_fleet(states, lambda state: state.members[0].paused_for is not None).members[0]
        assert row.breaker == "closed"


def test_timeouts_count_as_failures() -> None:
    with servers(1) as several:
        several[0].on("", [Stall()])
        options = ConnectionOptions(lanes=True, first_event_timeout=0.03)
        with fleet_of(several, options=options, pool=late_retries(), breaker=BreakerOptions(failures=2)) as fleet:
            several[0].fault(Fault(Stall(after=0)))
            states = Recorder(fleet.state)
            for _ in range(2):
                assert isinstance(Recorder(fleet.send_request(ask())).wait().error, FirstEventTimeoutError)
            until_fleet(states, lambda state: state.members[0].breaker == "open")


def test_all_requests_of_a_lost_connection_are_one_failure() -> None:
    with servers(1) as several, fleet_of(several, breaker=BreakerOptions(failures=3)) as fleet:
        several[0].on("hold", ["text", Hold()])
        got = [Recorder(fleet.send_request(ask("hold"))).wait_for(1) for _ in range(10)]
        several[0].drop()
        assert all(isinstance(one.wait().error, ConnectionLostError) for one in got)
        assert Recorder(fleet.send_request(ask())).wait().completions
        assert Recorder(fleet.state).wait_for(1).values[0].members[0].breaker == "closed"


def test_no_member_works_and_the_error_lists_them() -> None:
    urls = []
    for _ in range(2):
        server = started()
        urls.append(server.url)
        stop(server)
    with ResponsesFleet(urls, pool=fast_retries()) as fleet:
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(5)]
        for one in got:
            error = one.wait().error
            assert isinstance(error, FleetUnavailableError)
            assert error.delivery == "not_sent"
            assert [row[1] for row in error.members] == ["open", "open"]
            assert all(url.split(":")[2].split("/")[0] in str(error) for url in urls)


def test_no_member_works_within_the_queue_timeout() -> None:
    server = started()
    stop(server)
    options = ConnectionOptions(queue_timeout=0.1)
    with ResponsesFleet([server.url], options=options, pool=late_retries()) as fleet:
        error = Recorder(fleet.send_request(ask())).wait().error
        assert isinstance(error, FleetUnavailableError)
        assert "within 0.1 s" in str(error)


def test_keys_that_are_refused_everywhere_fail_at_once() -> None:
    several = servers(2, api_key="sk-right")
    with several as those, fleet_of(those, api_key="sk-wrong", pool=late_retries()) as fleet:
        error = Recorder(fleet.send_request(ask())).wait().error
        assert isinstance(error, FleetUnavailableError)
        assert "401" in str(error)
        assert "sk-wrong" not in str(error)


def test_requests_wait_for_a_member_that_comes_back() -> None:
    server = started()
    port, url = server.port, server.url
    stop(server)
    pool = PoolOptions(backoff=Backoff(initial=0.02, max_delay=0.02, max_retries=1000))
    with ResponsesFleet([url], pool=pool) as fleet:
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(5)]
        until_fleet(Recorder(fleet.state), lambda state: state.members[0].failures > 1)
        with ResponsesServer(port=port) as again:
            assert all(one.wait().completions for one in got)
            assert received([again]) == [5]


def test_what_was_sent_on_a_closed_connection_is_not_sent_again() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        several[0].fault(Fault(Close(after=0), times=1))
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(8)]
        errors = [one.error for one in got if one.wait().errors]
        assert 0 < len(errors) <= 4
        assert {error.delivery for error in errors} <= {"unknown", "started"}
        assert set(counts(several).values()) == {1}


# Members come and go.


def test_a_member_is_added_and_another_one_removed_while_requests_run() -> None:
    with servers(3) as several, fleet_of(several[:2], pool=fast_retries(max_connections=1)) as fleet:
        gate = several[0].gate()
        several[0].on("hold", ["text", Hold(gate)])
        held = Recorder(fleet.send_request(ask("hold"))).wait_for(1)
        states = Recorder(fleet.state)
        fleet.remove(several[0].url)
        fleet.add(FleetMember(url=several[2].url))
        state = until_fleet(states, lambda state: len(state.members) == 3)
        assert [row.leaving for row in state.members] == [True, False, False]
        for number in range(10):
            assert Recorder(fleet.send_request(ask(str(number)))).wait().completions
        assert received(several) == [1, 5, 5]
        gate.open()
        assert held.wait().completions
        until_fleet(states, lambda state: len(state.members) == 2)
        assert len(fleet.urls) == 2
        several[0].wait_until(lambda: several[0].connections == 0)


def test_the_members_of_a_fleet_that_has_sent_nothing_yet() -> None:
    with servers(2) as several, fleet_of(several[:1]) as fleet:
        states = Recorder(fleet.state)
        fleet.add(several[1].url)
        fleet.remove(several[0].url)
        assert [len(state.members) for state in states.values] == [1, 2, 1]
        assert Recorder(fleet.send_request(ask())).wait().completions
        assert received(several) == [0, 1]


def test_a_closed_fleet_takes_no_members() -> None:
    with servers(2) as several:
        fleet = fleet_of(several[:1])
        fleet.close()
        fleet.add(several[1].url)
        assert len(fleet.urls) == 1


def test_what_waits_for_the_connection_of_a_removed_member_goes_elsewhere() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        several[0].fault(Fault(DelayUpgrade(10 * WAIT)))
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(6)]
        states = Recorder(fleet.state)
        until_fleet(states, lambda state: state.members[0].queued == 3)
        fleet.remove(several[0].url)
        assert all(one.wait().completions for one in got)
        assert received(several) == [0, 6]
        until_fleet(states, lambda state: len(state.members) == 1)


def test_the_queue_timeout_counts_the_wait_for_a_connection() -> None:
    with servers(1) as several:
        several[0].fault(Fault(DelayUpgrade(10 * WAIT)))
        options = ConnectionOptions(lanes=True, queue_timeout=0.05)
        with fleet_of(several, options=options) as fleet:
            error = Recorder(fleet.send_request(ask())).wait().error
            assert type(error) is QueueTimeoutError
            assert error.delivery == "not_sent"
