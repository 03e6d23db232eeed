"""`run_tools`: what is wrong with the program is an error at once, and never an output for the model."""

from __future__ import annotations

from typing import Any

import pytest
from reactivex import Observable

from rxresponses import (
    ConfigurationError,
    Conversation,
    FunctionTool,
    InvalidRequestError,
    ServerEvent,
    run_tools,
    tool,
)

from .hand_sender import HandSender, add_call
from .test_run_tools import ASK, add, run


class TestMistakesOfTheProgram:
    @pytest.mark.parametrize(
        ("tools", "match"),
        [
            ([add, add], "two of the `tools` have the name 'add'"),
            ([add, tool(add, name="add")], "two of the `tools`"),
            ([5], "a tool must be a function"),
            (add, "must be a list of tools"),
            ("add", "must be a list of tools"),
            ([FunctionTool(name="f", parameters={})], "nothing answers the calls of the tool 'f'"),
            ([{"type": "custom", "name": "c"}], "nothing answers the calls of the tool 'c'"),
            ([lambda a: a], "annotation|name"),
            ([tool(add, needs_approval=True)], "'add' needs approval"),
        ],
    )
    def test_wrong_tools(self, tools: Any, match: str) -> None:
        with pytest.raises(ConfigurationError, match=match):
            run_tools(HandSender(), ASK, tools)

    @pytest.mark.parametrize(
        "options",
        [
            {"max_turns": 0},
            {"max_turns": True},
            {"max_concurrent": 1.5},
            {"max_tokens": 0},
            {"timeout": 0},
            {"timeout": "1"},
            {"timeout": float("inf")},
            {"on_error": "ignore"},
            {"eager": 1},
            {"approve": True},
            {"ledger": "run.json"},
        ],
    )
    def test_wrong_options(self, options: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"`{next(iter(options))}`"):
            run_tools(HandSender(), ASK, [add], **options)

    def test_wrong_requests(self) -> None:
        with pytest.raises(InvalidRequestError):
            run_tools(HandSender(), {"input": "hi"}, [add])
        with pytest.raises(InvalidRequestError, match="`conversation`"):
            run_tools(HandSender(), {**ASK, "conversation": "conv_1"}, [add])
        with pytest.raises(ConfigurationError, match="nothing answers the calls of the tool 'f'"):
            run_tools(HandSender(), {**ASK, "tools": [FunctionTool(name="f", parameters={})]}, [add])

    @pytest.mark.parametrize(
        ("sender", "told"),
        [(None, "NoneType"), ("wss://example.com", "str"), (HandSender, "the class HandSender")],
        ids=["None", "a URL", "a class"],
    )
    def test_what_is_no_sender(self, sender: Any, told: str) -> None:
        with pytest.raises(ConfigurationError, match=f"a sender is .*, not {told}$"):
            run_tools(sender, ASK, [add])
        with pytest.raises(ConfigurationError, match=f"a sender is .*, not {told}$"):
            Conversation(sender, model="m")

    def test_an_async_function_where_no_loop_runs(self) -> None:
        async def later(a: int, b: int) -> int:
            """Add."""
            return a + b

        def returns_it(a: int, b: int) -> Any:
            """Add."""
            return later(a, b)

        class Waiting:
            def __await__(self) -> Any:
                return later(1, 2).__await__()

        def returns_another(a: int, b: int) -> Any:
            """Add."""
            return Waiting()

        for function in (later, returns_it, returns_another):
            sender = HandSender()
            got = run(sender, [function])
            sender.call(add_call(name=function.__name__))
            assert isinstance(got.error.__cause__ or got.error, ConfigurationError)
            assert "no event loop runs" in str(got.error)
            assert len(sender.requests) == 1  # the model is not told
            assert isinstance(got.error, ConfigurationError) == (function is later)  # that was not even attempted

    def test_a_sender_that_raises(self) -> None:
        class Broken:
            def send_request(self, request: Any, /) -> Observable[ServerEvent]:
                raise LookupError("no such lane")

        assert isinstance(run(Broken()).error, LookupError)
