"""`charge`: what a stream costs a budget, and what becomes of a subscription for which there is no room."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import reactivex
from reactivex import Observable, Subject
from reactivex import operators as ops
from typing_extensions import assert_type

from rxresponses import (
    Budget,
    BudgetExceededError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    Estimate,
    Prices,
    ServerEvent,
)
from rxresponses.limits.admission import Reservation
from rxresponses.limits.budget import Amount
from rxresponses.operators import charge
from rxresponses.wire.models import ResponseUsage

from ..support.events import completed, created, delta, error_event, failed, incomplete, wire_event
from ..support.marbles import marbles, run
from ..support.recorder import AsyncRecorder, Recorder

USAGE = ResponseUsage(input_tokens=10, output_tokens=20, total_tokens=30)
PRICES = Prices({"m": {"input": 1, "output": 1}, "large": {"input": 9, "output": 9}})


def reserve(budget: Budget, tokens: int) -> Reservation:
    reservation = budget.reserve(Estimate(tokens, 0))
    assert reservation is not None
    return reservation


def test_marble_of_the_docstring() -> None:
    budget = Budget(tokens=30)
    steps = [(210, created()), (220, delta("He")), (230, completed(usage=USAGE)), (240, None)]
    seen = marbles(charge(budget), *steps)
    assert [time for time, _ in seen.timed] == [210, 220, 230]
    assert seen.completions == [240]
    assert budget.spent == Amount(0.0, 30, 1)
    seen = marbles(charge(budget, output_tokens=1), *steps)
    assert isinstance(seen.error, BudgetExceededError)
    assert seen.subscriptions == [], "nothing is sent"


def test_the_reservation_is_held_while_the_response_runs() -> None:
    budget = Budget()
    source: Subject[ServerEvent] = Subject()
    Recorder(source.pipe(charge(budget, input_tokens=5, output_tokens=7)))
    assert budget.reserved == Amount(0.0, 12, 1)
    source.on_next(created())
    source.on_next(completed(usage=USAGE))
    assert budget.reserved == Amount(0.0, 0, 0)
    assert budget.spent == Amount(0.0, 30, 1)
    source.on_completed()
    assert budget.spent == Amount(0.0, 30, 1)


def test_each_response_of_a_stream_is_charged() -> None:
    budget = Budget()
    whole = [created(), delta("a"), completed(usage=USAGE)]
    run(charge(budget, output_tokens=500), *whole, *whole)
    assert budget.spent == Amount(0.0, 60, 2)


def test_the_price_is_that_of_the_model_that_answered_if_it_has_one() -> None:
    for model, cost in (("large-2026-01-01", 270e-6), ("unknown", 30e-6), (None, 30e-6)):
        budget = Budget(usd=1, prices=PRICES)
        run(charge(budget, model="m", input_tokens=1), created(), completed(usage=USAGE, model=model))
        assert budget.spent.usd == cost
    budget = Budget(usd=1, prices=PRICES)
    end = completed(usage=USAGE)
    run(charge(budget, model="m"), created(), end, created(), end)
    assert budget.spent.usd == 60e-6


@pytest.mark.parametrize(
    ("events", "spent"),
    [
        ([created(), delta("a"), incomplete()], Amount(0.0, 7, 1)),
        ([created(), delta("a"), failed()], Amount(0.0, 50, 1)),
        ([created(), failed()], Amount(0.0, 0, 1)),
        ([error_event()], Amount(0.0, 0, 1)),
        ([created(), error_event()], Amount(0.0, 0, 1)),
        ([created(), delta("a"), error_event()], Amount(0.0, 50, 1)),
        ([wire_event("keepalive"), error_event()], Amount(0.0, 0, 1)),
        ([created(), wire_event("response.completed", response=7)], Amount(0.0, 50, 1)),
        ([created(), delta("a")], Amount(0.0, 50, 1)),
        ([], Amount(0.0, 0, 0)),
    ],
    ids=[
        *("incomplete", "failed after output", "failed without output", "refused", "error before output"),
        *("error after output", "refused behind a heartbeat", "unreadable", "no end", "nothing"),
    ],
)
def test_each_end_is_charged(events: list[ServerEvent], spent: Amount) -> None:
    budget = Budget()
    run(charge(budget, output_tokens=50), *events)
    assert budget.spent == spent
    assert budget.reserved == Amount(0.0, 0, 0)


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (ConnectFailedError("no"), Amount(0.0, 0, 0)),
        (ConnectionLostError("lost", delivery="rejected"), Amount(0.0, 0, 1)),
        (ConnectionLostError("lost", delivery="unknown"), Amount(0.0, 50, 1)),
        (OSError("of an operator before it"), Amount(0.0, 50, 1)),
    ],
)
def test_each_error_is_charged(error: Exception, spent: Amount) -> None:
    budget = Budget()
    seen = marbles(charge(budget, output_tokens=50), (210, error))
    assert seen.error is error
    assert budget.spent == spent
    assert budget.reserved == Amount(0.0, 0, 0)


def test_an_error_behind_the_response_is_not_charged_again() -> None:
    budget = Budget()
    marbles(charge(budget), (210, created()), (220, completed(usage=USAGE)), (230, OSError("late")))
    assert budget.spent == Amount(0.0, 30, 1)


def test_a_disposed_stream_counts_as_reserved() -> None:
    budget = Budget()
    source: Subject[ServerEvent] = Subject()
    got = Recorder(source.pipe(charge(budget, output_tokens=50)))
    source.on_next(created())
    got.subscription.dispose()
    assert budget.spent == Amount(0.0, 50, 1)
    assert budget.reserved == Amount(0.0, 0, 0)


def test_what_ends_while_it_is_disposed_is_not_charged_twice() -> None:
    budget = Budget()
    source: Subject[ServerEvent] = Subject()
    got = Recorder(source.pipe(charge(budget, output_tokens=50)), lambda event: got.subscription.dispose())
    source.on_next(created())
    source.on_next(completed(usage=USAGE))
    assert budget.spent == Amount(0.0, 50, 1)


def test_a_subscription_waits_while_others_may_use_less() -> None:
    budget = Budget(tokens=100)
    running = reserve(budget, 80)
    source: Subject[ServerEvent] = Subject()
    got = Recorder(source.pipe(charge(budget, output_tokens=50)))
    assert budget.reserved.tokens == 80
    other = reserve(budget, 10)
    budget.settle(other, ResponseUsage(total_tokens=10))
    assert budget.reserved.tokens == 80, "there is no room yet"
    budget.settle(running, ResponseUsage(total_tokens=10))
    assert budget.reserved.tokens == 50
    source.on_next(created())
    assert got.types == ["response.created"]
    assert budget._callbacks == {}


def test_a_subscription_that_waits_may_be_refused() -> None:
    budget = Budget(tokens=100)
    running = reserve(budget, 80)
    got = Recorder(reactivex.never().pipe(charge(budget, output_tokens=50)))
    budget.settle(running, ResponseUsage(total_tokens=80))
    assert isinstance(got.error, BudgetExceededError)


def test_a_subscription_that_waits_may_be_disposed() -> None:
    budget = Budget(tokens=100)
    running = reserve(budget, 80)
    got = Recorder(reactivex.never().pipe(charge(budget, output_tokens=50)))
    (callback,) = budget._callbacks.values()
    got.subscription.dispose()
    assert budget._callbacks == {}
    budget.settle(running, None)
    callback()  # it was on its way
    assert budget.reserved == Amount(0.0, 0, 0)
    assert not got.ended


def test_room_that_is_made_before_the_budget_is_watched_is_seen() -> None:
    class Race(Budget):
        def on_change(self, callback: Any) -> Any:
            end = super().on_change(callback)
            self.settle(running, None)
            return end

    budget = Race(tokens=100)
    running = reserve(budget, 80)
    Recorder(reactivex.never().pipe(charge(budget, output_tokens=50)))
    assert budget.reserved.tokens == 50


def test_on_a_loop_the_wait_ends_on_the_loop() -> None:
    async def main() -> None:
        budget = Budget(tokens=100)
        running = reserve(budget, 80)
        source: Subject[ServerEvent] = Subject()
        threads: list[int] = []
        note = ops.do_action(lambda event: threads.append(threading.get_ident()))
        subscribed: list[int] = []

        def noting(observer: Any, scheduler: Any = None) -> Any:
            subscribed.append(threading.get_ident())
            return source.subscribe(observer)

        got = AsyncRecorder(Observable(noting).pipe(charge(budget, output_tokens=50), note))
        await asyncio.to_thread(budget.settle, running, None)
        await asyncio.sleep(0)
        assert subscribed == [threading.get_ident()]
        source.on_next(created())
        source.on_completed()
        await got.until_end()
        assert threads == [threading.get_ident()]

    asyncio.run(main())


def test_a_loop_that_has_ended_is_not_told() -> None:
    budget = Budget(tokens=100)
    running = reserve(budget, 80)

    async def main() -> None:
        Recorder(reactivex.never().pipe(charge(budget, output_tokens=50)))

    asyncio.run(main())
    budget.settle(running, None)
    assert budget.reserved == Amount(0.0, 0, 0)


def test_wrong_arguments_are_refused_at_the_call() -> None:
    with pytest.raises(TypeError, match="budget must be a Budget"):
        charge({"usd": 1})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"charge\(budget, model=…\)"):
        charge(Budget(usd=1))
    with pytest.raises(ConfigurationError, match="none for the model 'x'"):
        charge(Budget(usd=1, prices=PRICES), model="x")


def test_the_types_stay() -> None:
    source: Observable[ServerEvent] = reactivex.never()
    assert_type(source.pipe(charge(Budget())), Observable[ServerEvent])


@pytest.mark.parametrize("tokens", [-1, 1.5, "5", None, True, 10**400])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_tokens_that_are_no_count(name: str, tokens: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` must be a whole number from 0"):
        charge(Budget(usd=1, prices=PRICES), model="m", **{name: tokens})
    with pytest.raises(ConfigurationError, match="`model` must be the name of a model, not 5"):
        charge(Budget(), model=5)  # type: ignore[arg-type]
