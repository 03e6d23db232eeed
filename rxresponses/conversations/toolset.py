"""The tools of a run: which function answers which call, and how the function is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from ..errors import ConfigurationError, DecodeError
from ..structured.function import CallableTool, checked_approval, checked_timeout
from ..wire.base import Model
from ..wire.models import ResponseComputerToolCall, ResponseCustomToolCall, ResponseFunctionToolCall
from ..wire.requests import Tool
from ..wire.requests.sent import plain_json
from .client_calls import ClientCall

_CALLS = {
    "function": "function_call",
    "custom": "custom_tool_call",
    "shell": "shell_call",
    "local_shell": "local_shell_call",
    "apply_patch": "apply_patch_call",
    "computer": "computer_call",
    "computer_use_preview": "computer_call",
    "tool_search": "tool_search_call",
}
"""The type of a tool that a client may have to answer → the type of its calls."""


class ClientTool:
    """A tool whose calls the client answers, with the function that answers them.

    `definition` is the tool as it stands in a request.  By its type, `function` gets:

    - `FunctionTool`, with a schema of your own: the arguments as keywords.
    - `CustomTool`: the input text.
    - `FunctionShellTool`, `LocalShell`, `ApplyPatchTool`, `ComputerTool`, `ToolSearchTool`: the output item, such as a
      `ResponseFunctionShellToolCall` with its `action`.

    The function returns the output for the model: text, or anything with a JSON form; content parts for a function or a
    custom tool; the `ShellCommandOutput` of each command; whether a patch was applied, or a text about it; the URL of a
    screenshot; the tools that were found; or a whole input item such as `ShellCallOutput`.

    `timeout`, `exclusive`, `needs_approval` and `idempotent` are those of `tool`.  A computer call with safety checks
    is always approved by the user first.

    Raises `ConfigurationError` for a tool whose calls the server answers, and for wrong options.
    """

    def __init__(
        self,
        definition: Tool,
        function: Callable[..., Any],
        *,
        timeout: float | None = None,
        exclusive: bool = False,
        needs_approval: bool | Callable[[Any], bool] = False,
        idempotent: bool = False,
    ) -> None:
        kind = _field(definition, "type")
        if kind not in _CALLS:
            raise ConfigurationError(
                f"calls of a tool of the type {kind!r} are answered by the server: pass the tool without `ClientTool`"
            )
        if not callable(function):
            raise ConfigurationError(f"a function must answer the calls of {kind!r}, not {type(function).__name__}")
        self.name = str(_field(definition, "name") or kind)
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  (a callable object may have an async `__call__`)
        )
        self.timeout = checked_timeout(timeout)
        self.exclusive = exclusive
        self.needs_approval = checked_approval(needs_approval)
        self.idempotent = idempotent
        self._definition = definition

    def __repr__(self) -> str:
        return f"<ClientTool {self.name!r}>"

    def definition(self) -> Tool:
        """Return the tool as it stands in a request."""
        return self._definition


AnyTool: TypeAlias = "CallableTool[..., Any] | Callable[..., Any] | ClientTool | Tool"
"""What `run_tools` takes: a function, what `tool` made of one, a `ClientTool`, or a tool that the server runs."""

Runnable: TypeAlias = "CallableTool[..., Any] | ClientTool"


class Toolset:
    """The tools of a run, by the type of their calls and their names.

    Raises `ConfigurationError` for mistakes of the program: a name twice, a function that cannot be a tool, the
    definition of a function without the function.
    """

    def __init__(self, tools: Iterable[AnyTool]) -> None:
        if isinstance(tools, (str, bytes, Mapping, Model)) or not isinstance(tools, Iterable):
            raise ConfigurationError(f"`tools` must be a list of tools, not {type(tools).__name__}")
        self.definitions: list[Tool] = []
        self._by_call: dict[tuple[str, str], Runnable] = {}
        for given in tools:
            if isinstance(given, (Model, Mapping)):
                _check_has_function(given)
                self.definitions.append(given)
                continue
            tool = given if isinstance(given, (CallableTool, ClientTool)) else _from_function(given)
            definition = tool.definition()
            key = _key(definition)
            if key in self._by_call:
                raise ConfigurationError(f"two of the `tools` have the name {tool.name!r}: the model could not choose")
            self._by_call[key] = tool
            self.definitions.append(definition)

    @property
    def needs_approval(self) -> list[str]:
        """The names of the tools whose calls the user may have to approve."""
        return [tool.name for tool in self._by_call.values() if tool.needs_approval is not False]

    @property
    def has_shell(self) -> bool:
        """Whether shell calls are answered here."""
        return ("shell_call", "") in self._by_call

    def merged(self, others: object) -> list[Tool]:
        """Return the tools for a request that has tools already; a tool that the request defines is left as it is."""
        own = list(others) if isinstance(others, Sequence) else []
        keys = {_key(one) for one in own}
        for one in own:
            if _field(one, "type") in ("function", "custom") and _key(one) not in self._by_call:
                _check_has_function(one)
        return [*own, *(one for one in self.definitions if _field(one, "type") not in _CALLS or _key(one) not in keys)]

    def find(self, call: ClientCall) -> Runnable | None:
        """Return the tool that a call is for."""
        is_named = isinstance(call.item, (ResponseFunctionToolCall, ResponseCustomToolCall))
        return self._by_call.get((call.type, call.name if is_named else ""))


def _key(definition: object) -> tuple[str, str]:
    kind = str(_field(definition, "type"))
    return _CALLS.get(kind, kind), str(_field(definition, "name")) if kind in ("function", "custom") else ""


def _check_has_function(definition: object) -> None:
    if _field(definition, "type") in ("function", "custom"):
        name = _field(definition, "name")
        raise ConfigurationError(
            f"nothing answers the calls of the tool {name!r}: pass the function itself, or a `ClientTool` with the "
            "definition and the function"
        )


def _from_function(given: object) -> CallableTool[..., Any]:
    if not callable(given):
        raise ConfigurationError(
            f"a tool must be a function, a `ClientTool` or a tool of a request, not {type(given).__name__}"
        )
    return CallableTool(given)


def _field(definition: object, name: str) -> object:
    return definition.get(name) if isinstance(definition, Mapping) else getattr(definition, name, None)


def without_forced_choice(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for the turns after the first one, in which the model need not call a tool.

    A `tool_choice` that forces a call would otherwise force one in each turn, and the run could never end.
    """
    choice = settings.get("tool_choice")
    if isinstance(choice, (Mapping, Model)):
        if _field(choice, "type") != "allowed_tools":
            return {**settings, "tool_choice": "auto"}
        return {**settings, "tool_choice": {**plain_json(choice), "mode": "auto"}}
    return {**settings, "tool_choice": "auto"} if choice == "required" else dict(settings)


# How a tool is called.


def subject_of(call: ClientCall) -> Any:
    """Return what a call asks for, as `approve` gets it: the JSON of the arguments, the input, or the item."""
    item = call.item
    if isinstance(item, ResponseCustomToolCall):
        return item.input
    if not isinstance(getattr(item, "arguments", None), str):
        return item
    try:
        return msgspec.json.decode(call.text or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return call.text


def bound_arguments(tool: Runnable, call: ClientCall) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positions and the keywords with which to call the function of a tool.

    Raises `DecodeError`, with a text for the model, for arguments that do not fit.
    """
    if isinstance(tool, CallableTool):
        return (), tool.parse(call.text)
    arguments = subject_of(call)
    if not isinstance(call.item, ResponseFunctionToolCall):
        return (arguments,), {}
    if not isinstance(arguments, dict):
        raise DecodeError(f"the arguments of {tool.name!r} must be a JSON object")
    return (), arguments


def wants_approval(tool: Runnable, call: ClientCall) -> bool:
    """Whether the user is asked before this call."""
    if isinstance(call.item, ResponseComputerToolCall) and call.item.pending_safety_checks:
        return True
    wanted = tool.needs_approval
    return bool(cast("Callable[[Any], bool]", wanted)(subject_of(call))) if callable(wanted) else wanted
