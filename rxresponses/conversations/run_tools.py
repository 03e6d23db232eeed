"""`run_tools`: requests and calls of tools in turn, until the model is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import UNSET
from reactivex import Observable

from ..net.sender import Sender, check_sender
from ..redaction import discreet
from ..wire.events import ServerEvent
from ..wire.plans import plan_of
from ..wire.requests import ResponseCreate, create_from, user_message
from .approvals import Approve
from .chain import Chain
from .ledger import ToolLedger, check_ledger
from .loop_settings import LoopSettings
from .tool_turns import tool_turns
from .toolset import AnyTool, Toolset


@discreet
def run_tools(
    sender: Sender,
    request: ResponseCreate | Mapping[str, Any],
    tools: Iterable[AnyTool],
    *,
    max_turns: int = 20,
    max_concurrent: int = 8,
    timeout: float | None = 600.0,
    max_tokens: int | None = None,
    approve: Approve | None = None,
    on_error: Literal["output", "raise"] = "output",
    eager: bool = True,
    ledger: ToolLedger | None = None,
) -> Observable[ServerEvent]:
    """Return all events of a run, in which the model calls tools until it is done, as a cold Observable.

    Marble::

        first response:  --created--call 1-----call 2-----completed|
        second response:                                                       --created--"Done"--completed|
        run_tools():     T-created--call 1--S--call 2--S--completed--O--O----T---created--"Done"--completed|

    T is a `TurnStartedEvent`, S a `ToolCallStartedEvent`, O a `ToolCallOutputEvent`.  These and all other events that
    the library makes itself are `ConversationEvent`s; operators ignore them, except for `BudgetReachedEvent`.
    Operators that reduce events emit a value for each response, so the last value of `collect_text()` or
    `final_response()` is the answer; `.run()` returns it.

    `tools` holds functions, plain or async, with or without `tool`; `ClientTool`s for custom tools, shells, patches and
    computers; and tools that the server runs, such as `WebSearchTool()`, which only go into the request.  If the
    request defines a tool of `tools` itself, its definition is sent.

    **Turns.** All requests go to the lane of the first.  Each further request carries the outputs and
    `previous_response_id`, or everything if the server has lost that response (`HistorySentEvent`).  A `tool_choice`
    that forces a call is for the first response only; later responses need not call a tool.  The run completes when a
    response has no calls, is refused, failed, or was steered: its terminal event is the last event.  After `max_turns`
    responses the run ends with `MaxTurnsError`; the calls of the last response are not made.  When the responses have
    used `max_tokens` tokens together, the run completes with a `BudgetReachedEvent`.  Operators that make values of the
    answer, such as `parse_output`, then end with `ResponseIncompleteError`.

    **Calls.** A call starts as soon as its arguments are whole, while the response still streams; with `eager=False`
    when the response has completed, so that no call is made for a response that fails later.  At most `max_concurrent`
    calls run at once, those of an exclusive tool alone.  A call may take `timeout` seconds, or those of its tool.
    A call that the response cuts short is never made.  An async function runs on the loop that delivers the events, any
    other on a daemon thread of its own, both with the context variables of the subscriber.  If a sender of your own
    delivers events where no loop runs, plain functions run at once, on the thread of the events.

    **Results.** A text goes to the model as it is, content parts too, and any other value as its JSON.  An error that a
    tool raises, exits included, goes to the log, and its text to the model (`ToolCallFailedEvent`).  With
    `on_error="raise"` the error ends the run, and so does a call that takes too long or that no tool can answer.  The
    model is told of arguments that do not fit in the same way.

    **Approval.** `approve` is called before calls of tools that need approval, and before the server calls an MCP tool.
    It gets a `ToolApprovalEvent`, which the observer gets too, and returns True or False, an awaitable, or an
    Observable whose first value counts.  A plain function may block: it has a thread.  The model is told of a call that
    was denied.

    **Errors.** Before any call they are those of `send_request`.  Afterwards a `ToolRunError` lists the calls, and has
    the original error as its `__cause__`.  Calls that run are awaited first, so that their outputs are known.  A
    response that fails or is refused is no error of the run, also after calls: its terminal event is the last event.
    Operators behind the run, such as `collect_text`, make it the error that they make of any response, for example
    `ResponseFailedError`.  That error knows no calls; a `ledger` of your own does, and lets the run go on.

    **Going on.** A run whose connection was lost in the middle of a response ends with an error.  Give the `ledger` of
    the error back with the same request to go on; no call is made twice.  The lost response is asked for again, and the
    request carries its calls that were made, so that the model does not ask for them under new ids.  With a `ledger` of
    your own, such as `open_ledger(path)`, that works after a crash as well, and so does `ops.retry(n)`: each
    subscription goes on where the one before has stopped.  Without one, each subscription is a new run.
    `retry_with_backoff` tries again only until the first response of a subscription has begun.  A `ResponsesClient` as
    the sender sends a request of any turn again by itself, as far as nothing is done twice, and waits between its
    tries; so it goes well with `ops.retry(n)`.

    Disposing ends the request as `send_request` describes, and cancels async functions and approvals.  A function on a
    thread runs to its end; only the ledger gets its output.

    Raises `InvalidRequestError` for a wrong request, and `ConfigurationError` for wrong tools or options and for what
    is no sender, at once.
    """
    check_sender(sender)
    create = create_from(request)
    options = LoopSettings(
        max_turns=max_turns,
        max_concurrent=max_concurrent,
        timeout=timeout,
        max_tokens=max_tokens,
        approve=approve,
        on_error=on_error,
        eager=eager,
    )
    check_ledger(ledger)
    if isinstance(create.input, str):
        items: list[Any] = [user_message(create.input)]
    else:
        items = list(create.input) if isinstance(create.input, (list, tuple)) else []
    settings = {
        name: value
        for name in plan_of(ResponseCreate).fields
        if (value := getattr(create, name)) is not UNSET and name not in ("input", "previous_response_id", "type")
    }
    # What came before a response that the request continues, only the server knows.
    root = create.previous_response_id
    chain = Chain(root_id=root if isinstance(root, str) else None)
    return tool_turns(sender, chain, settings, items, Toolset(tools), options, _ignore, ledger=ledger)


def _ignore(chain: Chain) -> None:
    """Do nothing: the chain of a run is in its ledger."""
