"""The parameters of a function, with their types, defaults and descriptions."""

from __future__ import annotations

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any

from ..errors import ConfigurationError
from .docstrings import Docstring, read_docstring

EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One parameter that the model fills in."""

    name: str
    kind: Any
    type: Any
    """The annotation, `EMPTY` if there is none."""
    default: Any
    """The value if the model leaves the argument out; `EMPTY` if the model must give the argument."""
    description: str
    is_described: bool
    """Whether the annotation has a description of its own, such as that of `msgspec.Meta`."""
    is_passed: bool
    """Whether the default is passed to the function, because its own default is a pydantic `Field`."""


@dataclass(frozen=True)
class Signature:
    """The name, the description and the parameters of a function, for the model."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    is_method: bool
    """Whether the first parameter is `self`, which the model does not fill in."""
    is_async: bool


def signature_of(function: Callable[..., Any], local_names: Mapping[str, Any]) -> Signature:
    """Read a function; its annotations may use `local_names` besides the names of its module."""
    hidden: set[str] = set()
    inner: Any = function
    while isinstance(inner, functools.partial):
        hidden |= inner.keywords.keys()  # these arguments are chosen by the program
        inner = inner.func
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{_shown(function)} cannot be a tool: it has no signature: {error}") from error
    called = inner if inspect.isroutine(inner) else type(inner).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ConfigurationError(
            f"{_shown(function)} is a generator function and cannot be a tool: return the whole output at once"
        )
    doc = read_docstring(called.__doc__ or (None if called is inner else type(inner).__doc__))
    is_method = bool(parameters) and _is_self(inner, parameters[0])
    hints = _hints(called, local_names)
    return Signature(
        name=str(getattr(inner, "__name__", "")),
        description=doc.description,
        parameters=tuple(
            _parameter(parameter, hints.get(parameter.name, EMPTY), doc)
            for parameter in parameters[1 if is_method else 0 :]
            if parameter.name not in hidden
        ),
        is_method=is_method,
        is_async=inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(called),
    )


def _shown(function: Any) -> str:
    return f"the function {getattr(function, '__qualname__', repr(function))!r}"


def _is_self(function: Any, first: inspect.Parameter) -> bool:
    """Whether this is a function in the body of a class, which is not bound yet."""
    outer = str(getattr(function, "__qualname__", "")).rpartition(".")[0]
    in_class = bool(outer) and not outer.endswith("<locals>")
    return (
        inspect.isfunction(function)
        and in_class
        and first.name in ("self", "cls")
        and first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
    )


def _hints(function: Any, local_names: Mapping[str, Any]) -> dict[str, Any]:
    plain = inspect.unwrap(function)
    try:
        annotations = dict(getattr(function, "__annotations__", {}))
        annotations.pop("return", None)  # the names in it may be those of type checkers only
        return typing.get_type_hints(
            SimpleNamespace(__annotations__=annotations),
            getattr(plain, "__globals__", {}),
            {**local_names, **_closure(plain)},
            include_extras=True,
        )
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigurationError(
            f"the annotations of {_shown(function)} cannot be read: {error}; names in annotations must be known where "
            "the function is made into a tool, and not only to type checkers"
        ) from error


def _closure(function: Any) -> dict[str, Any]:
    """Return the names of outer functions that a function uses."""
    names = {}
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(function.__code__.co_freevars if cells else (), cells, strict=True):
        with contextlib.suppress(ValueError):  # the name has no value yet
            names[name] = cell.cell_contents
    return names


def _parameter(parameter: inspect.Parameter, hint: Any, doc: Docstring) -> Parameter:
    default, is_passed = parameter.default, False
    if _is_pydantic_field(default):
        hint = Annotated[hint, default]
        default = EMPTY if default.is_required() else default.get_default(call_default_factory=True)
        is_passed = True
    metadata = getattr(hint, "__metadata__", ())
    texts = [item if isinstance(item, str) else getattr(item, "documentation", "") for item in metadata]
    described = next((text for text in texts if isinstance(text, str) and text), "")
    return Parameter(
        name=parameter.name,
        kind=parameter.kind,
        type=hint,
        default=default,
        description=described or doc.parameters.get(parameter.name, ""),
        is_described=not described and any(getattr(item, "description", None) for item in metadata),
        is_passed=is_passed,
    )


def _is_pydantic_field(default: Any) -> bool:
    return type(default).__module__.partition(".")[0] == "pydantic" and hasattr(default, "is_required")
