"""The calls of one turn: they are approved, started and answered here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Any

from ..errors import ConfigurationError, DecodeError
from ..net.loops import Raised, running_loop
from ..raised import as_exception, named_text, text_of
from ..wire.models import McpApprovalRequest
from ..wire.requests import InputItem
from .approvals import ask, ask_at_once
from .client_calls import ClientCall, failure_item, output_item
from .errors import Reason, ToolCallError, ToolCallsInterruptedError
from .events import (
    ConversationEvent,
    ToolApprovalEvent,
    ToolCallFailedEvent,
    ToolCallOutputEvent,
    ToolCallStartedEvent,
)
from .ledger import ToolLedger
from .loop_settings import LoopSettings
from .tool_calls import CallQueue
from .tool_execution import Interrupted, NoLoopError, TimedOut, call_at_once, no_loop_error, start_call
from .toolset import Runnable, Toolset, bound_arguments, subject_of, wants_approval

_LOGGER = logging.getLogger("rxresponses")
_UNKNOWN = (
    "the program was interrupted during this call, and it is unknown whether the call took effect: find out before you "
    "make it again"
)


class TurnCalls:
    """The calls of one turn.  All methods are called on the thread that delivers the events.

    `emit` takes the events, `on_progress` is called when a call has ended, and `on_error` gets what ends the run.
    """

    def __init__(
        self,
        turn: int,
        tools: Toolset,
        options: LoopSettings,
        ledger: ToolLedger,
        context: Context,
        *,
        stream_id: str | None,
        emit: Callable[[ConversationEvent], None],
        on_progress: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._turn = turn
        self._tools = tools
        self._options = options
        self._ledger = ledger
        self._context = context
        self._stream_id = stream_id
        self._emit = emit
        self._on_progress = on_progress
        self._on_error = on_error
        self._queue = CallQueue(options.max_concurrent)
        self._waiting: dict[str, Callable[[], None]] = {}  # call id → start of a call in the queue
        self._running: dict[str, Callable[[], None]] = {}  # call id → cancellation of a call that runs
        self._asking: dict[str, Callable[[], None]] = {}  # call id → end of waiting for an approval
        self._outputs: dict[str, InputItem] = {}
        self._stopped = False
        self._abandoned = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop on which calls run and approvals are awaited, once there are any."""

    @property
    def running(self) -> int:
        """How many calls run."""
        return self._queue.running

    def outputs_for(self, calls: Sequence[ClientCall]) -> list[InputItem]:
        """Return the items that answer these calls, in their order; a call may have no answer yet."""
        return [self._outputs[call.call_id] for call in calls if call.call_id in self._outputs]

    def stop(self) -> None:
        """Start no more calls, and wait for no more approvals; calls that run go on."""
        self._stopped = True
        for cancel in list(self._asking.values()):
            cancel()

    def abandon(self) -> None:
        """Stop, and cancel what can be cancelled.  A function on a thread runs to its end, for the ledger only."""
        self._abandoned = True
        self.stop()
        for cancel in list(self._running.values()):
            cancel()

    # Before a call is made.

    def take(self, call: ClientCall) -> None:
        """Take a whole call: answer it from the ledger, or ask for its approval, and start it."""
        if self._stopped:
            return
        saved = self._ledger.output_of(self._turn, call)
        if saved is not None:
            self._settle(call, saved, ToolCallOutputEvent(**self._about(call), output=saved, seconds=0.0))
            return
        if call.is_cut:
            self._give_up(call, "cut", "the response ended inside this call, so it was not made")
            return
        if isinstance(call.item, McpApprovalRequest):
            self._ask(call, partial(self._answer_server, call))
            return
        tool = self._tools.find(call)
        if tool is None:
            self._miss(call)
        elif self._ledger.standing(self._turn, call) == "unknown" and not tool.idempotent:
            self._give_up(call, "unknown", _UNKNOWN)
        else:
            self._prepare(call, tool)

    def _prepare(self, call: ClientCall, tool: Runnable) -> None:
        if tool.is_async and running_loop() is None:
            self._on_error(no_loop_error(tool.name))
            return
        try:
            positions, keywords = bound_arguments(tool, call)
            asks = wants_approval(tool, call)
        except BaseException as error:
            self._fail(call, error, 0.0)
            return
        function = partial(tool.function, *positions, **keywords)

        def go_on(approved: bool) -> None:
            if approved:
                self._waiting[call.call_id] = partial(self._start, call, tool, function)
                self._queue.add(call.call_id, exclusive=tool.exclusive)
                self._start_next()
            else:
                self._give_up(call, "denied", "the user did not approve this call, so it was not made", record=True)

        if asks:
            self._ask(call, go_on)
        else:
            go_on(approved=True)

    def _miss(self, call: ClientCall) -> None:
        if call.type in ("function_call", "custom_tool_call"):
            self._give_up(call, "no_tool", f"there is no tool named {call.name!r}")
            return
        self._on_error(
            ConfigurationError(
                f"the model called the tool {call.name!r}, and no function answers it: pass a `ClientTool` for it"
            )
        )

    def _ask(self, call: ClientCall, go_on: Callable[[bool], None]) -> None:
        approve = self._options.approve
        if approve is None:
            self._on_error(
                ConfigurationError(f"the server asks whether {call.name!r} may be called: pass `approve` to the run")
            )
            return
        event = ToolApprovalEvent(**self._about(call))
        self._emit(event)
        if self._stopped:  # by the observer
            return
        loop = running_loop()
        if loop is None:
            self._answered(call, go_on, ask_at_once(approve, event, self._context))
            return
        self.loop = loop
        on_answer = self._guarded(partial(self._answered, call, go_on))
        self._asking[call.call_id] = ask(loop, approve, event, self._context, on_answer)

    def _answered(self, call: ClientCall, go_on: Callable[[bool], None], answer: object) -> None:
        self._asking.pop(call.call_id, None)
        if self._stopped:
            return
        if isinstance(answer, Interrupted):
            self._on_error(_interruption())
        elif isinstance(answer, Raised):
            self._on_error(as_exception(answer.error, "`approve`"))
        else:
            go_on(answer is True)
            self._on_progress()

    def _answer_server(self, call: ClientCall, approved: bool) -> None:
        item = output_item(call, approved)
        event = ToolCallOutputEvent(**self._about(call), output=item, seconds=0.0)
        self._settle(call, item, event, record=True)

    # The call.

    def _start_next(self) -> None:
        while not self._stopped and (call_id := self._queue.start()) is not None:
            self._waiting.pop(call_id)()

    def _start(self, call: ClientCall, tool: Runnable, function: Callable[[], Any]) -> None:
        try:
            self._emit(ToolCallStartedEvent(**self._about(call)))
        except BaseException:
            self._queue.finish(call.call_id)  # the observer has raised, so the call does not start
            raise
        if self._stopped or not self._recorded(partial(self._ledger.attempt, self._turn, call)):
            self._queue.finish(call.call_id)
            self._on_progress()
            return
        on_outcome = partial(self._ended, call, monotonic())
        loop = running_loop()
        if loop is None:
            on_outcome(call_at_once(tool, function, self._context))
            return
        self.loop = loop
        timeout = self._options.timeout if tool.timeout is None else tool.timeout
        self._running[call.call_id] = start_call(
            loop, tool, function, self._context, self._guarded(on_outcome), timeout=timeout
        )

    def _ended(self, call: ClientCall, began: float, outcome: object) -> None:
        self._running.pop(call.call_id, None)
        self._queue.finish(call.call_id)
        seconds = monotonic() - began
        if isinstance(outcome, Interrupted):
            if not self._abandoned:
                self._on_error(_interruption())
        elif isinstance(outcome, TimedOut):
            text = f"the call {outcome}"
            self._give_up(call, "timeout", text, seconds=seconds, record=True)
        elif isinstance(outcome, Raised):
            self._fail(call, outcome.error, seconds, record=True)
        else:
            self._return(call, outcome, seconds)
        if not self._abandoned:
            self._start_next()
            self._on_progress()

    # After the call.

    def _return(self, call: ClientCall, value: object, seconds: float) -> None:
        try:
            item = output_item(call, value)
        except Exception as error:  # a mistake of the tool, not of the model
            self._fail(call, error, seconds, record=True)
            return
        event = ToolCallOutputEvent(**self._about(call), output=item, seconds=seconds)
        self._settle(call, item, event, record=True)

    def _give_up(
        self, call: ClientCall, reason: Reason, text: str, *, seconds: float = 0.0, record: bool = False
    ) -> None:
        """Answer a call without a result, though no tool raised."""
        error = ToolCallError(f"{call.name}: {text}", reason=reason, call_id=call.call_id)
        item = failure_item(call, text, timed_out=reason == "timeout")
        self._settle_failure(call, error, item, seconds, record=record)
        if item is None or (self._options.on_error == "raise" and reason in ("timeout", "no_tool")):
            self._on_error(error)

    def _fail(self, call: ClientCall, error: BaseException, seconds: float, *, record: bool = False) -> None:
        """Answer a call whose tool has raised, or whose arguments do not fit."""
        if isinstance(error, NoLoopError):
            self._on_error(error)
            return
        if isinstance(error, DecodeError) and not record:  # the mistake is the model's
            text = text_of(error)
            _LOGGER.info("the tool %r was not called: %s", call.name, text)
        else:
            text = named_text(error)
            _LOGGER.warning("the tool %r raised", call.name, exc_info=error)
        item = failure_item(call, text)
        self._settle_failure(call, error, item, seconds, record=record)
        if item is None or self._options.on_error == "raise":
            self._on_error(as_exception(error, "a tool"))

    def _settle_failure(
        self, call: ClientCall, error: BaseException, item: InputItem | None, seconds: float, *, record: bool
    ) -> None:
        event = ToolCallFailedEvent(**self._about(call), error=error, output=item, seconds=seconds)
        if item is None:
            self._emit(event)
        else:
            self._settle(call, item, event, record=record)

    def _settle(self, call: ClientCall, item: InputItem, event: ConversationEvent, *, record: bool = False) -> None:
        if record and not self._recorded(partial(self._ledger.finish, self._turn, call, item)):
            return
        self._outputs[call.call_id] = item
        self._emit(event)

    def _recorded(self, change: Callable[[], None]) -> bool:
        """Change the ledger; if that cannot be saved, end the run, so that no call is made which is not recorded."""
        try:
            change()
        except BaseException as error:
            self._on_error(as_exception(error, "`save` of the ledger"))
            return False
        return True

    def _about(self, call: ClientCall) -> dict[str, Any]:
        return {
            "call": call.item,
            "call_id": call.call_id,
            "name": call.name,
            "arguments": subject_of(call),
            "stream_id": self._stream_id,
        }

    def _guarded(self, act: Callable[[object], None]) -> Callable[[object], None]:
        """Return what a task calls at its end: an observer that raises there ends the run, and the loop reports it."""

        def call(outcome: object) -> None:
            try:
                act(outcome)
            except BaseException as error:
                self._on_error(as_exception(error))
                raise

        return call


def _interruption() -> ToolCallsInterruptedError:
    return ToolCallsInterruptedError("the event loop of the run has ended, or other code has cancelled its tasks")
