"""The settings of a turn: the fields of its request, the functions that answer calls, and the limits of their run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET
from reactivex import Observable
from reactivex import operators as ops

from ..errors import ConfigurationError
from ..net.sender import Sender
from ..structured.function import CallableTool
from ..wire.base import Model
from ..wire.events import ServerEvent
from ..wire.models import Response
from ..wire.requests import InputItem
from .chain import Chain
from .client_calls import client_call, failure_item
from .events import BudgetReachedEvent
from .items import calls_open_after
from .ledger import ToolLedger, check_ledger
from .loop_settings import LoopSettings
from .settings import Fields, check_settings, copied, saved_settings
from .tool_turns import tool_turns
from .toolset import ClientTool, Toolset
from .turn import send_turn

_OPTIONS = frozenset(field.name for field in dataclasses.fields(LoopSettings))
_NOT_MADE = "the call was not made: the run of tools had reached its limit of tokens"


class TurnSettings:
    """The settings of a turn, divided into fields, tools and options.

    `given` may hold fields of `ResponseCreate` and options of `run_tools`.  Calls are answered if the `tools` hold a
    function, or if there is an `approve`.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        if "ledger" in given:
            raise ConfigurationError(
                "a `ledger` belongs to one turn: pass it to `send`, not to the settings of all turns"
            )
        self.given = given = {name: value for name, value in given.items() if value is not UNSET}
        self._fields = Fields({name: copied(value) for name, value in given.items() if name not in _OPTIONS})
        self._options = LoopSettings(**{name: value for name, value in given.items() if name in _OPTIONS})
        self._tools: Toolset | None = None
        tools = self._fields.get("tools")
        listed = tools if isinstance(tools, (list, tuple)) else ()
        if self._options.approve is not None or any(map(_is_runnable, listed)):
            self._tools = Toolset(listed)
            self._options.check(self._tools)
            self._fields.pop("tools", None)
        check_settings(self._all_fields())

    def check(self, items: Sequence[InputItem], ledger: ToolLedger | None) -> None:
        """Raise `InvalidRequestError` or `ConfigurationError` for what no turn can be made of."""
        Chain().request(self._all_fields(), items)
        check_ledger(ledger)
        if ledger is not None and self._tools is None:
            raise ConfigurationError(
                "a `ledger` is for turns that call functions: pass `tools` with functions, or leave `ledger` out"
            )

    def _all_fields(self) -> Mapping[str, Any]:
        definitions = [] if self._tools is None else self._tools.definitions
        return {**self._fields, "tools": definitions} if definitions else self._fields

    def source(
        self,
        sender: Sender,
        lane: str | None,
        chain: Chain,
        items: Sequence[InputItem],
        on_chain: Callable[[Chain], None],
        remember: Callable[[Chain], None],
        ledger: ToolLedger | None,
    ) -> Observable[ServerEvent]:
        """Return the events of a turn.

        `remember` gets the chain after the response.  A run of tools is remembered as a whole, or not at all, so
        `remember` gets the chain that leaves no call of a tool unanswered, and `on_chain` each chain before it.
        """
        fields = self._fields.on_lane(lane)
        if self._tools is None:
            return send_turn(sender, chain, fields, items, remember)
        latest = None if ledger is None or ledger.turn == 0 else ledger.chain
        made: list[InputItem] | None = None  # the outputs of calls that were made, if the run ends at its budget

        def keep_whole(chain: Chain) -> None:
            nonlocal latest
            latest = chain
            on_chain(chain)
            if not chain.open_calls:
                remember(chain)

        def on_next(event: ServerEvent) -> None:
            nonlocal made
            if isinstance(event, BudgetReachedEvent):
                made = event.outputs

        def on_completed() -> None:
            # Calls are open, too, if a request with their outputs was refused: then the turn has failed.
            if latest is not None and (made is not None or not latest.open_calls):
                remember(_with_answers(latest, made or []))

        run = tool_turns(sender, chain, fields, items, self._tools, self._options, keep_whole, ledger=ledger)
        return run.pipe(ops.do_action(on_next, on_completed=on_completed))

    @property
    def runs_tools(self) -> bool:
        """Whether calls are answered."""
        return self._tools is not None

    def after(self, chain: Chain, items: Sequence[InputItem], response: Response) -> Chain:
        """Return the chain after a response to these items that followed from steers."""
        return chain.after(self._fields, items, response)

    def saved(self) -> tuple[dict[str, Any], list[str]]:
        """Return the JSON of the settings, and the names of those that hold credentials or functions, left out."""
        fields, withheld = saved_settings(self._fields)
        options = {name: value for name, value in self.given.items() if name in _OPTIONS and name != "approve"}
        withheld += ["tools"] if self._tools is not None and self._tools.definitions else []
        withheld += ["approve"] if self._options.approve is not None else []
        return {**fields, **options}, sorted(withheld)


def _is_runnable(tool: object) -> bool:
    return isinstance(tool, (CallableTool, ClientTool)) or (callable(tool) and not isinstance(tool, (Mapping, Model)))


def _with_answers(chain: Chain, made: Sequence[InputItem]) -> Chain:
    """Return the chain with an answer for each open call, made or not, so that any next turn can be sent."""
    open_ids = {call_id for _, call_id in calls_open_after(made, chain.open_calls)}
    calls = [call for item in chain.items if (call := client_call(item)) is not None and call.call_id in open_ids]
    answers = [*made, *(answer for call in calls if (answer := failure_item(call, _NOT_MADE)) is not None)]
    return chain.edited([*chain.items, *answers]) if answers else chain
