"""Python functions among the tools of a request: which are taken, and that no name is there twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ...errors import InvalidRequestError
from ...structured.function import CallableTool, tool

Function: TypeAlias = CallableTool[..., Any] | Callable[..., Any]
"""A tool that `tool` has made, or a function that it can make one from."""


def take_functions(request: Any) -> None:
    """Put the definitions in place of the functions among the `tools` of a new object.

    Raises `ConfigurationError` for a function that cannot be a tool.
    """
    if isinstance(request.tools, (list, tuple)):
        tools = [_definition(item) for item in request.tools]
        # Objects of requests are frozen for their users; this new one has no user yet.
        object.__setattr__(request, "tools", tuple(tools) if isinstance(request.tools, tuple) else tools)


def check_names(tools: object) -> None:
    """Raise `InvalidRequestError` if two of the tools that the model calls by a name have the same name."""
    names: dict[str, int] = {}
    for index, item in enumerate(tools if isinstance(tools, (list, tuple)) else ()):
        name = _name(item)
        if name is not None and names.setdefault(name, index) != index:
            raise InvalidRequestError(
                f"`tools[{index}]` has the name {name!r}, and so has `tools[{names[name]}]`: the model could not tell "
                "them apart",
                field=f"tools[{index}]",
            )


def _definition(item: Any) -> Any:
    if isinstance(item, CallableTool):
        return item.definition()
    return tool(item).definition() if callable(item) and not isinstance(item, Mapping) else item


def _name(item: Any) -> str | None:
    """Return the name by which the model calls a tool, `None` for a tool without one."""
    kind, name = (
        item.get(field) if isinstance(item, Mapping) else getattr(item, field, None) for field in ("type", "name")
    )
    return name if kind in ("function", "custom") and isinstance(name, str) else None
