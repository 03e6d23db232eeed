"""A fleet of embedded servers: choosing members, options, state, and the surface that it shares with a client."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    BreakerOptions,
    ConfigurationError,
    ConnectionOptions,
    FleetMember,
    FleetState,
    InvalidRequestError,
    PreviousResponseLostError,
    QueueFullError,
    QueueTimeoutError,
    ResponsesFleet,
    SocketClosedError,
    load_recording,
)
from rxresponses import operators as rops
from rxresponses.net.request import NO_OBSERVER
from rxresponses.senders.client_request import PreparedRequest
from rxresponses.senders.fleet_request import FleetSubscription
from rxresponses.testing import Hold, ResponsesServer

from ..support.clients import (
    ONE_AT_A_TIME,
    ask,
    fast_retries,
    no_thread_left,
    response_id,
    resubscribe_on_every_error,
    run,
)
from ..support.fleets import WITH_LANES, counts, fleet_of, member_of, received, servers, until_fleet
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from ..support.steering import steers_received, successor_id

# Where requests go.


def test_requests_go_to_all_members_in_a_script() -> None:
    with no_thread_left(), servers() as several, fleet_of(several) as fleet:
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(60)]
        for one in got:
            one.wait()
        assert all(one.completions for one in got)
        assert set(counts(several).values()) == {1}
        assert min(received(several)) >= 10


def test_requests_go_to_all_members_on_a_loop() -> None:
    async def main() -> None:
        async with fleet_of(several) as fleet:
            asked = (fleet.send_request(ask(str(number))).pipe(rops.final_response()) for number in range(60))
            responses = await asyncio.gather(*asked)
            assert len({response.id for response in responses}) == 60
            assert await fleet.drain(timeout=WAIT)

    with servers() as several:
        run(main())
        assert sum(received(several)) == 60
        assert min(received(several)) >= 10


def test_nothing_is_sent_before_a_subscription_and_each_sends_once() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        source = fleet.send_request(ask())
        assert [server.accepted for server in several] == [0, 0]
        for _ in range(3):
            Recorder(source).wait()
        assert sum(received(several)) == 3


def test_a_slow_member_gets_less() -> None:
    with servers(3) as several:
        gate = several[0].gate()
        several[0].on("", ["text", Hold(gate)])
        with fleet_of(several, pool=fast_retries(max_connections=1)) as fleet:
            got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(70)]
            states = Recorder(fleet.state)
            until_fleet(
                states,
                lambda state: sum(received(several)) == 70 and [row.active for row in state.members] == [16, 0, 0],
            )
            assert received(several)[0] == 16
            gate.open()
            for one in got:
                assert one.wait().completions
        assert set(counts(several).values()) == {1}


def test_weights_and_rooms() -> None:
    with servers(2) as several:
        for server in several:
            server.on("", [Hold()])
        members = [FleetMember(url=several[0].url, weight=3), FleetMember(url=several[1].url)]
        with ResponsesFleet(members, options=WITH_LANES) as fleet:
            for number in range(40):
                Recorder(fleet.send_request(ask(str(number))))
            several[0].wait_until(lambda: len(several[0].requests) == 30)
            several[1].wait_until(lambda: len(several[1].requests) == 10)


def test_a_key_and_options_of_each_member() -> None:
    with ResponsesServer(api_key="sk-one") as one, ResponsesServer(api_key="sk-two") as two:
        members = [FleetMember(url=one.url, api_key="sk-one"), FleetMember(url=two.url)]
        with ResponsesFleet(members, api_key="sk-two") as fleet:
            for number in range(4):
                assert Recorder(fleet.send_request(ask(str(number)))).wait().completions
            assert received([one, two]) == [2, 2]
            assert "sk-" not in repr((members, fleet))


def test_requests_with_one_stream_id_run_in_order() -> None:
    with servers() as several, fleet_of(several) as fleet:
        lane = fleet.lane("main")
        assert lane.url == ""
        got = [Recorder(lane.send_request(ask(str(number)))) for number in range(12)]
        for one in got:
            one.wait()
        assert sorted(received(several)) == [0, 0, 12]
        server = next(server for server in several if server.requests)
        assert [request["input"] for request in server.requests] == [str(number) for number in range(12)]


# Options.


@pytest.mark.parametrize("members", [[], "http://a/v1", None, FleetMember(url="http://a/v1"), {"http://a/v1"}])
def test_a_fleet_needs_members(members: Any) -> None:
    with pytest.raises(ConfigurationError, match="list of base URLs"):
        ResponsesFleet(members)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"url": ""}, "must not be empty"),
        ({"url": None}, "URL of a member"),
        ({"url": "http://a/v1", "weight": 0}, "weight"),
        ({"url": "http://a/v1", "weight": True}, "weight"),
        ({"url": "http://a/v1", "weight": float("inf")}, "weight"),
        ({"url": "http://a/v1", "weight": "1"}, "weight"),
    ],
)
def test_a_wrong_member_is_refused(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        FleetMember(**settings)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="a URL or a FleetMember, not int"):
        ResponsesFleet([5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="BreakerOptions"):
        ResponsesFleet(["http://127.0.0.1/v1"], breaker=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="PoolOptions"):
        ResponsesFleet([FleetMember(url="http://127.0.0.1/v1", pool=5)])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        ResponsesFleet(["http://elsewhere.example/v1"], api_key="sk-a")  # a key would go over a line without TLS


def test_no_url_shows_credentials() -> None:
    member = FleetMember(url="https://a.example/v1?key=secret")
    fleet = ResponsesFleet([member], api_key="sk-secret")
    assert fleet.urls == ("wss://a.example/v1/responses",)
    assert "secret" not in repr(fleet) + repr(member)
    states = Recorder(fleet.state).wait_for(1)
    assert states.values[0].members[0].url == "wss://a.example/v1/responses"
    with pytest.raises(ConfigurationError, match=r"no member with the URL 'https://other\.example'"):
        fleet.remove("https://other.example?key=secret")
    fleet.close()


def test_a_wrong_request_is_refused_at_once() -> None:
    with servers(1) as several, fleet_of(several) as fleet, pytest.raises(InvalidRequestError):
        fleet.send_request({"input": "no model"})


# The queue.


def test_the_queue_has_a_limit() -> None:
    with servers(2) as several:
        for server in several:
            server.on("", [Hold()])
        pool = fast_retries(max_connections=1, max_queued=3)
        with fleet_of(several, options=ONE_AT_A_TIME, pool=pool) as fleet:
            running = [Recorder(fleet.send_request(ask(f"r{number}"))) for number in range(2)]
            for one in running:
                one.wait_for(1)
            waiting = [Recorder(fleet.send_request(ask(f"w{number}"))) for number in range(4)]
            assert isinstance(waiting[-1].wait().error, QueueFullError)
            assert not any(one.ended for one in waiting[:3])


def test_the_queue_has_a_timeout_and_a_disposed_request_frees_its_place() -> None:
    with servers(1) as several:
        gate = several[0].gate()
        several[0].on("hold", [Hold(gate)])
        options = ConnectionOptions(lanes=True, max_active=1, queue_timeout=0.1)
        with fleet_of(several, options=options, pool=fast_retries(max_connections=1)) as fleet:
            held = Recorder(fleet.send_request(ask("hold"))).wait_for(1)
            assert isinstance(Recorder(fleet.send_request(ask("late"))).wait().error, QueueTimeoutError)
            disposed = Recorder(fleet.send_request(ask("disposed")))
            disposed.subscription.dispose()
            gate.open()
            held.wait()
            assert Recorder(fleet.send_request(ask("last"))).wait().completions
            assert counts(several) == {"hold": 1, "last": 1}
            assert not disposed.ended


def test_disposing_a_running_request_lets_its_response_run_out() -> None:
    with servers(1) as several:
        gate = several[0].gate()
        several[0].on("hold", ["text", Hold(gate)])
        with fleet_of(several) as fleet:
            held = Recorder(fleet.send_request(ask("hold"))).wait_for(1)
            held.subscription.dispose()
            assert Recorder(fleet.send_request(ask("next"))).wait().completions
            gate.open()
            several[0].wait_until(lambda: several[0].exchanges[0].outcome == "completed")


# State, events, prewarming, recording.


def test_state_and_drain() -> None:
    with servers(2) as several:
        gates = [server.gate() for server in several]
        for server, gate in zip(several, gates, strict=True):
            server.on("", [Hold(gate)])
        fleet = fleet_of(several, options=ONE_AT_A_TIME, pool=fast_retries(max_connections=1))
        states = Recorder(fleet.state)
        assert [row.breaker for row in states.wait_for(1).values[0].members] == ["closed", "closed"]
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(3)]
        state = until_fleet(states, lambda state: state.queued == 1 and all(row.active == 1 for row in state.members))
        assert [row.open for row in state.members] == [1, 1]
        drained = Recorder(fleet.drain())
        late = Recorder(fleet.send_request(ask("late")))
        assert "the fleet takes no new requests" in str(late.wait().error)
        assert not drained.ended
        for gate in gates:
            gate.open()
        for one in got:
            assert one.wait().completions
        assert drained.wait().values == [True]
        assert states.wait().values[-1] == FleetState(closed=True)
        with pytest.raises(ConfigurationError):
            fleet.drain(-1)


def test_draining_has_a_limit() -> None:
    with servers(1) as several:
        several[0].on("", [Hold()])
        fleet = fleet_of(several)
        held = Recorder(fleet.send_request(ask())).wait_for(1)
        assert Recorder(fleet.drain(timeout=0.01)).wait().values == [False]
        assert isinstance(held.wait().error, SocketClosedError)


def test_draining_an_unused_fleet_closes_it() -> None:
    with servers(1) as several:
        fleet = fleet_of(several)
        assert Recorder(fleet.drain()).wait().values == [True]
        fleet.close()
        assert isinstance(Recorder(fleet.send_request(ask())).wait().error, SocketClosedError)


def test_events_of_all_members_and_their_end() -> None:
    with servers(2) as several:
        fleet = fleet_of(several)
        events, unrouted = Recorder(fleet.events), Recorder(fleet.unrouted)
        ids = {response_id(Recorder(fleet.send_request(ask(str(number)))).wait()) for number in range(4)}
        assert {event.response.id for event in events.values if event.type == "response.created"} == ids  # type: ignore[attr-defined]
        fleet.close()
        assert events.wait().completions
        assert unrouted.wait().completions


def test_prewarming_opens_connections_to_each_member() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        states = Recorder(fleet.state)
        fleet.prewarm(2, model="m")
        until_fleet(states, lambda state: all(row.open == 2 for row in state.members))
        assert received(several) == [0, 0]
        with pytest.raises(ConfigurationError, match="max_connections"):
            fleet.prewarm(99, model="m")
        fleet.close()
        fleet.prewarm(1, model="m")  # does nothing


def test_one_recording_of_all_members(tmp_path: Any) -> None:
    with servers(3) as several:
        with fleet_of(several[:2]) as fleet:
            recorder = fleet.record(tmp_path / "all.jsonl")
            fleet.add(several[2].url)
            for number in range(6):
                Recorder(fleet.send_request(ask(str(number)))).wait()
        assert not recorder.is_open
        recorded = load_recording(tmp_path / "all.jsonl")
        assert received(several) == [2, 2, 2]
        assert len(recorded.requests) == 6


# Steering.


def test_a_steer_goes_to_the_member_of_its_response() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        gates = [server.gate() for server in several]
        for server, gate in zip(several, gates, strict=True):
            server.on("hold", ["text", Hold(gate)])
        Recorder(fleet.send_request(ask("hold"))).wait_for(1)
        target = Recorder(fleet.send_request(ask("hold"))).wait_for(1)
        steer = Recorder(fleet.steer(response_id(target), "shorter")).wait_for(1)
        for gate in gates:
            gate.open()
        successor = successor_id(steer.wait())
        (server,) = [server for server in several if steers_received(server)]
        follows = Recorder(fleet.send_request(ask("go on", previous_response_id=successor))).wait()
        assert follows.completions
        assert server.requests[-1]["input"] == "go on"
        unknown = Recorder(fleet.steer("resp_unknown", "shorter")).wait()
        assert isinstance(unknown.error, PreviousResponseLostError)
        assert "runs on no member of this fleet" in str(unknown.error)


def test_a_steer_may_be_disposed_or_fail() -> None:
    with servers(1) as several, fleet_of(several) as fleet:
        several[0].on("hold", ["text", Hold()])
        target = Recorder(fleet.send_request(ask("hold"))).wait_for(1)
        steer = Recorder(fleet.steer(response_id(target), "shorter")).wait_for(1)
        steer.subscription.dispose()
        another = Recorder(fleet.send_request(ask("hold"))).wait_for(1)
        second = Recorder(fleet.steer(response_id(another), "shorter"))
        several[0].drop()
        assert second.wait().error is not None
        assert target.wait().ended


# Closing, loops, and forgetting.


def test_closing_ends_what_runs_and_what_waits() -> None:
    with no_thread_left(), servers(1) as several:
        several[0].on("", [Hold()])
        with fleet_of(several, options=ONE_AT_A_TIME, pool=fast_retries(max_connections=1)) as fleet:
            running = Recorder(fleet.send_request(ask())).wait_for(1)
            waiting = Recorder(fleet.send_request(ask()))
            until_fleet(Recorder(fleet.state), lambda state: state.queued == 1)
        assert isinstance(running.wait().error, SocketClosedError)
        assert (running.error.delivery, waiting.wait().error.delivery) == ("started", "not_sent")
        assert isinstance(Recorder(fleet.send_request(ask())).wait().error, SocketClosedError)


def test_a_second_loop() -> None:
    with servers(2) as several:
        fleet = fleet_of(several)

        async def main() -> None:
            assert await fleet.send_request(ask()).pipe(rops.collect_text())

        for _ in range(2):
            asyncio.run(main())
        assert Recorder(fleet.send_request(ask())).wait().completions
        fleet.close()
        assert sum(received(several)) == 3


def test_requests_in_the_queue_end_with_their_loop() -> None:
    with servers(1) as several:
        several[0].on("hold", [Hold()])
        fleet = fleet_of(several, options=ONE_AT_A_TIME, pool=fast_retries(max_connections=1))
        got: list[Recorder[Any]] = []

        async def main() -> None:
            held = AsyncRecorder(fleet.send_request(ask("hold")))
            await held.until_count(1)
            got.extend([held, Recorder(fleet.send_request(ask("waits")))])

        asyncio.run(main())
        assert Recorder(fleet.send_request(ask("next"))).wait_for(1) is not None
        assert all(isinstance(one.wait().error, SocketClosedError) for one in got)
        fleet.close()


def test_resubscribing_on_every_error_does_not_block_the_loop() -> None:
    async def main() -> None:
        fleet = fleet_of(several)
        fleet.close()
        await fleet.wait_closed()
        await resubscribe_on_every_error(fleet.send_request(ask()))

    with servers(1) as several:
        run(main())


def test_a_forgotten_fleet_is_closed_with_one_warning() -> None:
    with no_thread_left(), servers(2) as several:
        fleet = fleet_of(several)
        for number in range(2):
            Recorder(fleet.send_request(ask(str(number)))).wait()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            del fleet
            gc.collect()
            for server in several:
                server.wait_until(lambda server=server: server.connections == 0)  # type: ignore[misc]
        texts = [str(one.message) for one in warned if one.category is ResourceWarning]
        assert len(texts) == 1
        assert "<ResponsesFleet ws" in texts[0]


def test_an_observer_that_raises_ends_its_own_request(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ValueError("of the observer")

    with servers(1) as several, fleet_of(several, breaker=BreakerOptions(failures=1)) as fleet:
        failed = Recorder(fleet.send_request(ask()), fail)
        assert isinstance(failed.wait().error, ValueError)
        assert Recorder(fleet.send_request(ask())).wait().completions
        state = until_fleet(Recorder(fleet.state), lambda state: state.members[0].active == 0)
        assert member_of(state, several[0].url).breaker == "closed"


def test_a_shared_response_is_one_request() -> None:
    with servers(2) as several, fleet_of(several) as fleet:
        shared = fleet.send_request(ask()).pipe(ops.replay())
        both = [Recorder(shared.pipe(rops.collect_text())) for _ in range(2)]
        shared.connect()
        assert all(one.wait().completions for one in both)
        assert sum(received(several)) == 1


def test_an_observer_that_closes_the_fleet_on_its_error() -> None:
    with servers(1) as several:
        several[0].on("hold", [Hold()])
        fleet = fleet_of(several, options=ONE_AT_A_TIME, pool=fast_retries(max_connections=1, max_queued=1))
        held = Recorder(fleet.send_request(ask("hold"))).wait_for(1)
        errors: list[Exception] = []

        def close(error: Exception) -> None:
            errors.append(error)
            fleet.close()

        source = fleet.send_request(ask("more")).pipe(ops.do_action(on_error=close))
        got = [Recorder(source) for _ in range(4)]
        for one in (held, *got):
            assert isinstance(one.wait().error, (QueueFullError, SocketClosedError))
        assert len(errors) == 4


def test_a_request_that_another_thread_disposes_just_now_is_not_sent() -> None:
    with servers(1) as several, fleet_of(several) as fleet:
        assert Recorder(fleet.send_request(ask("first"))).wait().completions
        prepared = PreparedRequest(ask("disposed"), None, fleet._frame, None)
        request = FleetSubscription(prepared, NO_OBSERVER)

        def submit() -> None:
            fleet._submit(request)
            request.cancelled = True  # the other thread has come so far, and its call is still on its way to the loop

        fleet._run(submit)
        assert Recorder(fleet.send_request(ask("last"))).wait().completions
        assert counts(several) == {"first": 1, "last": 1}
        assert request.response_id is None


def test_requests_in_the_queue_end_when_the_program_ends_its_loop() -> None:
    async def main() -> None:
        held = AsyncRecorder(fleet.send_request(ask("hold")))
        await held.until_count(1)
        got.extend([held, Recorder(fleet.send_request(ask("waits")).pipe(ops.retry(5)))])
        await asyncio.sleep(0)

    got: list[Recorder[Any]] = []
    with servers(1) as several:
        several[0].on("hold", [Hold()])
        fleet = fleet_of(several, options=ONE_AT_A_TIME, pool=fast_retries(max_connections=1))
        asyncio.run(main())
        fleet.close()
        for one in got:
            assert isinstance(one.wait().error, SocketClosedError)
        assert received(several) == [1]
