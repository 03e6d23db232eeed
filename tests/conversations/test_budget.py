"""Conversations, runs of tools and fallbacks with a client whose budget is used up: what they say, and what goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rxresponses import (
    Budget,
    BudgetExceededError,
    Conversation,
    ResponsesClient,
    ToolRunError,
    fallback,
    run_tools,
    tool,
)
from rxresponses import operators as rops
from rxresponses.testing import FunctionCall, ResponsesServer, Usage, When

from ..support.clients import WITH_LANES, ask, fast_retries, inputs
from ..support.recorder import Recorder

USED = Usage(input_tokens=60, output_tokens=40)


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sun in {city}"


@pytest.fixture
def budget() -> Budget:
    return Budget(tokens=1000)


@pytest.fixture
def client(server: ResponsesServer, budget: Budget) -> Iterator[ResponsesClient]:
    with ResponsesClient(server.url, options=WITH_LANES, pool=fast_retries(), budget=budget) as made:
        yield made


def test_a_run_of_tools_ends_with_the_calls_that_it_has_made_and_can_go_on(
    server: ResponsesServer, client: ResponsesClient, budget: Budget
) -> None:
    @tool
    def spend(city: str) -> str:
        """Tell the weather, and stop the spending."""
        budget.stop()
        return "sun"

    server.reply([FunctionCall("spend", {"city": "Rome"}), USED])
    error = Recorder(run_tools(client, ask("now", max_output_tokens=50), tools=[spend])).wait().error
    assert isinstance(error, ToolRunError)
    assert isinstance(error.__cause__, BudgetExceededError)
    assert "the budget was stopped" in str(error)
    assert "1 call was attempted, 0 of them not finished" in str(error)
    assert [call.name for call in error.calls] == ["spend"]
    assert len(server.requests) == 1, "the second turn was not sent"
    assert budget.spent.tokens == 100

    server.on("now", "done")
    with ResponsesClient(server.url, budget=Budget(tokens=1000)) as other:
        again = Recorder(run_tools(other, ask("now", max_output_tokens=50), tools=[spend], ledger=error.ledger)).wait()
        assert again.types[-1] == "response.completed"


def test_a_run_whose_first_turn_is_refused_says_just_that(client: ResponsesClient, budget: Budget) -> None:
    budget.stop()
    got = Recorder(run_tools(client, ask("weather"), tools=[get_weather])).wait()
    assert isinstance(got.error, BudgetExceededError)


def test_each_turn_of_a_run_is_charged(server: ResponsesServer, client: ResponsesClient, budget: Budget) -> None:
    server.on(When(tool="get_weather"), ["It is sunny", USED])
    server.on("weather", [FunctionCall("get_weather", {"city": "Rome"}), USED])
    got = Recorder(run_tools(client, ask("weather", max_output_tokens=50), tools=[get_weather])).wait()
    assert got.completions == 1
    assert (budget.spent.tokens, budget.spent.requests) == (200, 2)
    assert budget.reserved.requests == 0


def test_a_conversation_keeps_what_was_said_before_the_budget_was_used_up(
    server: ResponsesServer, client: ResponsesClient, budget: Budget
) -> None:
    server.on("first", ["one", USED])
    conversation = Conversation(client, model="m", max_output_tokens=50)
    assert Recorder(conversation.send("first").pipe(rops.collect_text())).wait().values == ["one"]
    history = conversation.history
    budget.stop()
    assert isinstance(Recorder(conversation.send("second")).wait().error, BudgetExceededError)
    assert conversation.history == history
    assert inputs(server) == ["first"]


def test_a_fallback_tries_no_other_choice(server: ResponsesServer, client: ResponsesClient, budget: Budget) -> None:
    budget.stop()
    sender = fallback((client, "m"), (client, "other"))
    assert isinstance(Recorder(sender.send_request(ask())).wait().error, BudgetExceededError)
    assert server.requests == []


def test_no_retry_is_made(client: ResponsesClient, budget: Budget) -> None:
    budget.stop()
    error = Recorder(client.send_request(ask()).pipe(rops.retry_with_backoff())).wait().error
    assert isinstance(error, BudgetExceededError)
    assert error.tries == 1
