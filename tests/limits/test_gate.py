"""When a request may begin: by limits a minute, in any window of 10 seconds, in the order of arrival."""

from __future__ import annotations

import itertools
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rxresponses.errors import ConfigurationError
from rxresponses.limits.admission import Estimate, ServerLimits
from rxresponses.limits.gate import Gate, Passage
from rxresponses.limits.limits import Limits
from rxresponses.limits.pace import WINDOW
from tests.effort import examples

UNITS = ("requests", "tokens", "input_tokens", "output_tokens")
PER_MINUTE = st.one_of(st.none(), st.integers(1, 5_000).map(float))
TOKENS = st.integers(0, 3_000)


def admit(gate: Gate, now: float, estimate: Estimate) -> tuple[float, Passage]:
    """Begin a request as soon as the gate lets it, and return when that was."""
    while (ready_at := gate.ready_at(now)) > now:
        now = ready_at
    return now, gate.begin(estimate, now)


def test_without_a_limit_everything_may_begin_at_once() -> None:
    gate = Gate()
    for _ in range(1000):
        assert gate.ready_at(5.0) <= 5.0
        gate.begin(Estimate(10**6, 10**6), 5.0)


def test_requests_are_spread_over_the_minute() -> None:
    gate = Gate(Limits(requests_per_minute=60))
    now, times = 0.0, []
    for _ in range(60):
        now, _ = admit(gate, now, Estimate(1, 1))
        times.append(now)
    assert times[0] == 0.0
    assert all(0.9 < later - earlier < 1.1 for earlier, later in itertools.pairwise(times))
    assert 58 < times[-1] < 60


def test_a_request_that_comes_late_does_not_slow_the_ones_after_it() -> None:
    gate = Gate(Limits(requests_per_minute=6000))
    begun = 0
    for tick in range(1000):  # a timer that is called every 20 ms
        now = tick * 0.02
        while gate.ready_at(now) <= now:
            gate.begin(Estimate(1, 1), now)
            begun += 1
    assert 0.97 < begun / 2000 < 1.01


def test_tokens_are_paid_off_at_the_rate_of_their_limit() -> None:
    gate = Gate(Limits(tokens_per_minute=6000))
    gate.begin(Estimate(400, 100), 0.0)
    assert 4.9 < gate.ready_at(0.0) < 5.1  # 500 tokens at 100 a second


def test_each_direction_has_its_own_limit() -> None:
    gate = Gate(Limits(input_tokens_per_minute=6000, output_tokens_per_minute=600))
    gate.begin(Estimate(400, 100), 0.0)
    assert 9.9 < gate.ready_at(0.0) < 10.1  # 100 tokens of output at 10 a second


def test_a_request_larger_than_the_limit_begins_and_the_next_one_waits_for_it() -> None:
    gate = Gate(Limits(tokens_per_minute=600))
    assert gate.ready_at(0.0) <= 0.0
    gate.begin(Estimate(6000, 0), 0.0)
    assert 600 < gate.ready_at(0.0) < 610


def test_a_request_that_used_less_lets_the_next_one_begin_earlier() -> None:
    gate = Gate(Limits(tokens_per_minute=6000))
    passage = gate.begin(Estimate(400, 400), 0.0)
    before = gate.ready_at(1.0)
    gate.settle(passage, (50, 150))
    assert before - gate.ready_at(1.0) == pytest.approx(6 / 0.99)


def test_a_request_that_used_more_lets_the_next_one_begin_later() -> None:
    gate = Gate(Limits(tokens_per_minute=6000))
    passage = gate.begin(Estimate(100, 0), 0.0)
    gate.settle(passage, (100, 900))
    assert 9.9 < gate.ready_at(0.0) < 10.1


def test_a_request_that_was_not_sent_counts_nothing() -> None:
    gate = Gate(Limits(requests_per_minute=1, tokens_per_minute=1))
    gate.settle(gate.begin(Estimate(100, 100), 0.0), None)
    assert gate.ready_at(0.0) <= 0.0


def test_a_refused_request_counts_as_a_request() -> None:
    gate = Gate(Limits(requests_per_minute=6, tokens_per_minute=6))
    gate.settle(gate.begin(Estimate(100, 100), 0.0), (0, 0))
    assert 9.9 < gate.ready_at(0.0) < 10.2


def test_late_corrections_do_not_let_a_window_hold_more() -> None:
    gate = Gate(Limits(tokens_per_minute=600))  # 100 in 10 seconds
    passage = gate.begin(Estimate(1000, 0), 0.0)
    now, _ = admit(gate, 50.0, Estimate(60, 0))
    now, _ = admit(gate, now, Estimate(60, 0))
    gate.settle(passage, (0, 0))  # 100 seconds of debt are gone, but 120 tokens began just now
    assert gate.ready_at(now) > now
    assert gate.ready_at(now) <= now + WINDOW + 0.1


def test_a_rate_limit_of_the_server_stops_everything_for_as_long_as_it_asks() -> None:
    gate = Gate()
    gate.limited(0.0, None)
    assert gate.ready_at(0.0) <= 0.0
    gate.limited(0.0, 7.0)
    gate.limited(1.0, 2.0)
    assert gate.ready_at(1.0) == 7.0


def test_the_server_lowers_a_limit_but_does_not_raise_it() -> None:
    gate = Gate(Limits(requests_per_minute=100))
    gate.told(ServerLimits(requests=50), 0.0)
    assert gate.limit("requests") == 50
    gate.told(ServerLimits(requests=500), 0.0)
    assert gate.limit("requests") == 100


def test_a_limit_that_the_program_does_not_give_is_that_of_the_server() -> None:
    gate = Gate(Limits())
    assert gate.limit("tokens") is None
    gate.told(ServerLimits(tokens=600, requests=0, input_tokens=-1), 0.0)
    assert gate.limit("tokens") == 600
    assert gate.limit("requests") is None
    gate.begin(Estimate(100, 0), 0.0)
    gate.told(ServerLimits(tokens=6000), 0.0)
    assert gate.limit("tokens") == 6000
    assert 0.9 < gate.ready_at(0.0) < 1.1  # the debt of 100 tokens is paid at the new rate


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "60"])
@pytest.mark.parametrize("name", [f"{unit}_per_minute" for unit in UNITS])
def test_a_wrong_limit_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` must be a positive number"):
        Limits(**{name: value})  # type: ignore[arg-type]


@settings(max_examples=examples(300))
@given(
    limits=st.tuples(PER_MINUTE, PER_MINUTE, PER_MINUTE, PER_MINUTE),
    requests=st.lists(
        st.tuples(
            TOKENS, TOKENS, st.floats(0, 1), st.floats(0, 3), st.integers(0, 4), st.sampled_from(["", "unsent", "used"])
        ),
        max_size=60,
    ),
)
def test_in_any_window_no_more_begins_than_a_sixth_of_the_limit_and_one_request(
    limits: tuple[float | None, ...], requests: list[tuple[int, int, float, float, int, str]]
) -> None:
    """Requests come after any pauses, use any part of their estimates, and are settled after any number of others."""
    gate = Gate(Limits(**{f"{unit}_per_minute": limit for unit, limit in zip(UNITS, limits, strict=True)}))
    now = 0.0
    begun: list[tuple[float, list[int]]] = []  # when each request began, and what it used of each unit
    open_requests: list[tuple[int, Passage, tuple[int, int] | None]] = []
    for number, (input_tokens, output_tokens, share, pause, delay, ending) in enumerate(requests):
        for entry in [entry for entry in open_requests if entry[0] <= number]:
            open_requests.remove(entry)
            gate.settle(entry[1], entry[2])
        now, passage = admit(gate, now + pause, Estimate(input_tokens, output_tokens))
        counts = [1, input_tokens + output_tokens, input_tokens, output_tokens]
        begun.append((now, counts))
        used = (round(input_tokens * share), round(output_tokens * share))
        if ending == "unsent":
            open_requests.append((number + delay, passage, None))
            counts[:] = [0, 0, 0, 0]
        elif ending == "used":
            open_requests.append((number + delay, passage, used))
            counts[1:] = [sum(used), *used]
    for index, limit in enumerate(limits):
        if limit is None:
            continue
        for end, (at, _) in enumerate(begun):
            before = sum(counts[index] for other, counts in begun[:end] if other > at - WINDOW)
            assert before <= limit / 6 + 1e-6


@settings(max_examples=examples(100))
@given(per_minute=st.integers(1, 5_000), tokens=st.lists(st.integers(0, 20_000), min_size=1, max_size=30))
def test_no_request_waits_for_longer_than_those_before_it_take(per_minute: int, tokens: list[int]) -> None:
    """A request waits for what has begun before it, whatever its own size; a large one is not passed for ever."""
    gate = Gate(Limits(tokens_per_minute=per_minute))
    now = 0.0
    for index, amount in enumerate(tokens):
        now, _ = admit(gate, now, Estimate(amount, 0))
        # A window that is full takes no more until it has moved on, in steps of 20 ms.
        assert now <= sum(tokens[:index]) * 60 / (per_minute * 0.99) + 0.02 * index + (WINDOW + 0.02)


@settings(max_examples=examples(100))
@given(pairs=st.lists(st.tuples(TOKENS, TOKENS, TOKENS, TOKENS), min_size=1, max_size=20))
def test_a_gate_settles_to_what_was_really_used(pairs: list[tuple[int, int, int, int]]) -> None:
    """After all are settled, the gate is where it would be if the estimates had been right."""
    estimated, right = Gate(Limits(tokens_per_minute=100)), Gate(Limits(tokens_per_minute=100))
    passages = [estimated.begin(Estimate(pair[0], pair[1]), 0.0) for pair in pairs]
    for passage, (_, _, *used) in zip(reversed(passages), reversed(pairs), strict=True):
        estimated.settle(passage, (used[0], used[1]))
        right.begin(Estimate(used[0], used[1]), 0.0)
    assert estimated.ready_at(0.0) == pytest.approx(right.ready_at(0.0))


@pytest.mark.parametrize(("per_minute", "used"), [(1e-20, 5), (100.0, 2**53 - 1), (1e9, 10**30)])
def test_a_tiny_limit_or_an_enormous_count_only_lets_the_next_request_wait_long(per_minute: float, used: int) -> None:
    gate = Gate(Limits(tokens_per_minute=per_minute))
    passage = gate.begin(Estimate(1, 1), 0.0)
    gate.settle(passage, (0, used))
    assert gate.ready_at(1.0) > 10.0
