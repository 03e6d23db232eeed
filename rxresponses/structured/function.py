"""`tool`: a typed Python function as a function tool of the model."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from ..errors import ConfigurationError, DecodeError
from .libraries import Misfit, Reader, reader_of, resolve_local_names
from .msgspec_schema import json_default
from .schema import closed_schema, is_name, misfit_text
from .signature import EMPTY, Parameter, Signature, signature_of
from .strictness import accepts_null
from .values import Shape, read_json

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
JSON = dict[str, Any]
Approval = bool | Callable[[Mapping[str, Any]], bool]

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class CallableTool(Generic[P, R]):
    """A function that the model may call, made by `tool`.  Calling it calls the function.

    `parameters` is the JSON schema of the arguments.  `function` takes the arguments that `parse` returns, as keywords.
    `timeout` is in seconds, `None` for no limit.  An `exclusive` call runs alone.  `needs_approval` says whether the
    user is asked before a call, or is a function of the arguments that says so.  An `idempotent` tool may run again if
    it is unknown whether an earlier run has finished.
    """

    __name__: str
    name: str
    description: str
    parameters: JSON
    strict: bool
    function: Callable[..., Any]
    is_async: bool
    timeout: float | None
    exclusive: bool
    needs_approval: Approval
    idempotent: bool

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        strict: bool = True,
        timeout: float | None = None,
        exclusive: bool = False,
        needs_approval: Approval = False,
        idempotent: bool = False,
        local_names: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(function) or inspect.isclass(function):
            what = f"the class {function.__name__}" if inspect.isclass(function) else type(function).__name__
            hint = "; put `@tool` below `@classmethod`" if isinstance(function, classmethod) else ""
            raise ConfigurationError(f"a tool must be made from a function, not from {what}{hint}")
        for option, value in (("strict", strict), ("exclusive", exclusive), ("idempotent", idempotent)):
            if not isinstance(value, bool):
                raise ConfigurationError(f"`{option}` of a tool must be True or False, not {value!r}")
        names = local_names or {}
        signature = signature_of(function, names)
        self.name = _checked_name(signature.name if name is None else name)
        self.description = signature.description if description is None else description
        if not isinstance(self.description, str):
            raise ConfigurationError(
                f"the description of the tool {self.name!r} must be a text, not {type(description).__name__}"
            )
        self.strict = strict
        self.timeout = checked_timeout(timeout, f"the timeout of the tool {self.name!r}")
        self.exclusive = exclusive
        self.needs_approval = checked_approval(needs_approval)
        self.idempotent = idempotent
        self.is_async = signature.is_async
        self._called = function
        self._signature = signature
        self._readers = {parameter.name: self._reader(parameter, names) for parameter in signature.parameters}
        self._shapes = {name: Shape(reader.schema, is_closed=strict) for name, reader in self._readers.items()}
        self.parameters = self._schema()
        self.function = _by_keywords(function, signature)
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._called(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind the tool of a method to its object, as Python binds methods."""
        if instance is None or not self._signature.is_method:
            return self
        bound = copy.copy(self)
        bound._called = self._called.__get__(instance, owner)
        bound._signature = dataclasses.replace(self._signature, is_method=False)
        bound.function = _by_keywords(bound._called, bound._signature)
        return bound

    def __repr__(self) -> str:
        return f"<CallableTool {self.name!r}>"

    def definition(self) -> JSON:
        """Return the JSON of the tool, as it stands in the `tools` of a request."""
        if self._signature.is_method:
            raise ConfigurationError(f"the tool {self.name!r} is a method: take it from an object of its class")
        about = {"description": self.description} if self.description else {}
        return {
            "type": "function",
            "name": self.name,
            **about,
            "parameters": copy.deepcopy(self.parameters),
            "strict": self.strict,
        }

    def parse(self, arguments: str) -> dict[str, Any]:
        """Return the keywords for `function` from the arguments of a call.

        Raises `DecodeError`, with a text for the model that names each argument that does not fit.
        """
        try:
            return self._parsed(read_json(arguments) if arguments.strip() else {})
        except RecursionError as error:
            raise DecodeError(f"the arguments of {self.name!r} are nested too deeply") from error
        except Misfit as misfit:
            problems = Misfit([(path.removeprefix("."), problem) for path, problem in misfit.problems])
            raise DecodeError(f"the arguments of {self.name!r} do not fit: {misfit_text(problems, '')}") from misfit

    def _parsed(self, data: Any) -> dict[str, Any]:
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise Misfit([("", f"the arguments must be a JSON object, not {_kind(data)}")])
        problems: list[tuple[str, str]] = []
        parsed: dict[str, Any] = {}
        rest = dict(data)
        for parameter in self._signature.parameters:
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                continue
            value = rest.pop(parameter.name, EMPTY)
            optional = parameter.default is not EMPTY or parameter.kind in _VARIADIC
            if value is None and optional and not self._takes_null(parameter.name):
                value = EMPTY
            if value is not EMPTY:
                self._read(parameter.name, parameter.name, value, parsed, problems)
            elif not optional:
                problems.append((f".{parameter.name}", "the argument is missing"))
            elif parameter.is_passed:
                parsed[parameter.name] = parameter.default
        keywords = next((p for p in self._signature.parameters if p.kind is inspect.Parameter.VAR_KEYWORD), None)
        for name, value in rest.items():
            if keywords is None:
                names = ", ".join(self._readers) or "none"
                problems.append((f".{name}", f"there is no such argument; the arguments are: {names}"))
            else:
                self._read(keywords.name, name, value, parsed, problems)
        if problems:
            raise Misfit(problems)
        return parsed

    def _read(
        self, parameter: str, name: str, value: Any, parsed: dict[str, Any], problems: list[tuple[str, str]]
    ) -> None:
        try:
            parsed[name] = self._readers[parameter].read(self._shapes[parameter].fitted(value))
        except Misfit as misfit:
            problems.extend((f".{name}{path}", problem) for path, problem in misfit.problems)

    def _takes_null(self, name: str) -> bool:
        schema = self._readers[name].schema
        return accepts_null(schema, schema.get("$defs", {}))

    def _reader(self, parameter: Parameter, names: Mapping[str, Any]) -> Reader:
        what = f"the parameter {parameter.name!r} of the tool {self.name!r}"
        if parameter.type is EMPTY and self.strict:
            raise ConfigurationError(f"{what} has no annotation: write its type, or use `strict=False` for any value")
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD and not is_name(parameter.name):
            raise ConfigurationError(
                f"the service does not take the name of {what}: use ASCII letters, digits and `_`, at most 64"
            )
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and self.strict:
            raise ConfigurationError(
                f"{what} takes any keywords, which a strict schema cannot express: use `strict=False`"
            )
        type_: Any = Any if parameter.type is EMPTY else parameter.type
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            type_ = list.__class_getitem__(type_)
        resolve_local_names(type_, names)
        try:
            return reader_of(type_)
        except ConfigurationError as error:
            raise ConfigurationError(f"{what}: {error}") from error

    def _schema(self) -> JSON:
        properties: dict[str, JSON] = {}
        required: list[str] = []
        rest: Any = False
        for parameter in self._signature.parameters:
            schema = dict(self._readers[parameter.name].schema)
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                rest = schema or True
                continue
            if parameter.description and not (parameter.is_described and "description" in schema):
                schema["description"] = parameter.description
            schema |= json_default(parameter.default)
            if parameter.default is EMPTY and (self.strict or parameter.kind is not inspect.Parameter.VAR_POSITIONAL):
                required.append(parameter.name)
            properties[parameter.name] = schema
        try:
            return closed_schema(properties, required, rest, strict=self.strict)
        except ConfigurationError as error:
            raise ConfigurationError(f"the tool {self.name!r}: {error}") from error


def _by_keywords(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """Return a function that takes all arguments as keywords, also those that `function` takes by position only."""
    positional = [
        parameter.name
        for parameter in signature.parameters
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    variadic = next((p.name for p in signature.parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), None)
    only = any(parameter.kind is inspect.Parameter.POSITIONAL_ONLY for parameter in signature.parameters)
    if variadic is None and not only:
        return function
    defaults = {parameter.name: parameter.default for parameter in signature.parameters}

    def call(**keywords: Any) -> Any:
        after = list(keywords.pop(variadic, ())) if variadic else []
        given = [name for name in positional if name in keywords]
        count = len(positional) if after else positional.index(given[-1]) + 1 if given else 0
        before = [keywords.pop(name, defaults[name]) for name in positional[:count]]
        return function(*before, *after, **keywords)

    return functools.wraps(function)(call)


def _checked_name(name: str) -> str:
    if not is_name(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a tool: a name has 1 to 64 letters, digits, '_' or '-'; pass `name=`"
        )
    return name


def checked_approval(approval: T) -> T:
    """Return `needs_approval` of a tool; raise `ConfigurationError` for other values and for async functions."""
    if not isinstance(approval, bool) and not callable(approval):
        raise ConfigurationError(
            f"`needs_approval` of a tool must be True, False or a function of the arguments, not {approval!r}"
        )
    if inspect.iscoroutinefunction(approval):
        raise ConfigurationError("`needs_approval` of a tool must be a plain function; `approve` may be async")
    return approval


def checked_timeout(timeout: float | None, what: str = "`timeout`") -> float | None:
    """Return a limit in seconds, `None` for no limit; raise `ConfigurationError` for any other value."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise ConfigurationError(f"{what} must be a number of seconds above 0, or None, not {timeout!r}")
    return timeout


def _kind(data: Any) -> str:
    return {str: "a text", list: "an array", bool: "a boolean"}.get(type(data), "a number")


@overload
def tool(
    function: Callable[P, R],
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool = True,
    timeout: float | None = None,
    exclusive: bool = False,
    needs_approval: Approval = False,
    idempotent: bool = False,
) -> CallableTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool = True,
    timeout: float | None = None,
    exclusive: bool = False,
    needs_approval: Approval = False,
    idempotent: bool = False,
) -> Callable[[Callable[P, R]], CallableTool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Turn a typed function, plain or async, into a tool of the model.

    The name, the description and the JSON schema of the arguments come from the function: its name, its docstring
    (in the style of Google, NumPy or Sphinx) and its annotations.  These may be plain types, lists, tuples, sets,
    unions, `Literal`, enums, dates, dataclasses, `TypedDict`, `NamedTuple`, `msgspec.Struct`, models of pydantic, and
    `Annotated` with `msgspec.Meta`, with pydantic's constraints or with a text that describes the parameter.  A
    parameter with a default may be `null`, and then gets its default.

    The result is still called as the function is.  The arguments that a model sends are validated, strictly: the model
    is told, with the path, of each argument that is missing, unknown or of another type, such as a text in place of a
    number.  Models of pydantic are validated as strictly as their own configuration says.

    Use it as `@tool`, as `@tool(timeout=10)`, or as `tool(function, name="lookup")`:

    - `strict=False` is for types that a strict schema cannot express, such as `dict[str, int]` and `**options`.
    - `timeout`: seconds that a call may take.
    - `exclusive`: no other call runs at the same time.
    - `needs_approval`: whether the user is asked first, or a function of the arguments that says so.
    - `idempotent`: the tool may run again if it is unknown whether an earlier run has finished.

    Raises `ConfigurationError`, at once, for mistakes of the program: an annotation that is missing or has no schema,
    or a name that the service does not take.
    """
    names = dict(sys._getframe(1).f_locals)
    if function is None:
        return lambda decorated: _made(decorated, options, names)
    return _made(function, options, names)


def _made(function: Any, options: dict[str, Any], names: Mapping[str, Any]) -> CallableTool[..., Any]:
    if isinstance(inner := getattr(function, "__func__", None), CallableTool):  # `@classmethod` above `@tool`
        function = inner.__get__(function.__self__)
    if isinstance(function, CallableTool):
        if not options:
            return cast("CallableTool[..., Any]", function)
        function = function._called
    return CallableTool(function, local_names=names, **options)
