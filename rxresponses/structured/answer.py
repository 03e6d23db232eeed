"""The type of a model's answer: the schema for the request, and the value of the text of the answer."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from ..errors import DecodeError
from .growing_texts import Growing
from .libraries import Misfit, reader_of
from .partial_json import NOTHING
from .schema import closed_schema, json_schema, misfit_text, schema_name
from .values import Shape

_WRAPPER = "value"
_FENCE = re.compile(r"```[^\n{\[]*")  # as `PartialJson` reads it


class AnswerType:
    """The type of an answer, with its schema and its reader.

    The service takes schemas of objects only.  A type that is no object, such as `list[int]` or a union, is asked for
    as an object with the only property `value`.

    Raises `ConfigurationError` if the type has no schema.
    """

    def __init__(self, type_: Any) -> None:
        self._type = type_
        self._reader = reader_of(type_)
        self._plain = json_schema(type_, strict=False)
        self._is_wrapped = self._plain.get("type") != "object"

    def growing(self) -> Growing:
        """Return the rules of which texts are shown while they grow, from the schema."""
        schema = self._reader.schema
        outer = {"type": "object", "properties": {_WRAPPER: schema}}
        return Growing([outer, schema] if self._is_wrapped else [schema], schema.get("$defs", {}))

    @property
    def name(self) -> str:
        """The name of the schema."""
        return schema_name(self._type)

    def schema(self) -> dict[str, Any]:
        """Return the strict schema; raise `ConfigurationError` if the type has none."""
        if not self._is_wrapped:
            return json_schema(self._type)
        return closed_schema({_WRAPPER: self._plain}, [_WRAPPER], False, strict=True)

    def unwrap(self, data: Any) -> Any:
        """Return the JSON data of the value, without the wrapping object; `NOTHING` if there are none yet."""
        if not self._is_wrapped or not isinstance(data, dict):
            return data
        if data.keys() == {_WRAPPER}:
            return data[_WRAPPER]
        return data if data else NOTHING  # a server that ignores the schema does not wrap the value

    def read(self, text: str) -> Any:
        """Return the value of the text of a whole answer; raise `DecodeError` if the text does not fit the type."""
        return self.convert(self.unwrap(read_answer(text)))

    def convert(self, data: Any, *, has_null: bool = True) -> Any:
        """Return JSON data as a value of the type; raise `DecodeError`, with the path of each mistake.

        `has_null` is `False` if there is no `null` in the data.
        """
        if data is NOTHING:
            raise DecodeError(f"the object has no key {_WRAPPER!r} - at `$`")
        try:
            if has_null:  # a null may stand for a default; to look for it takes longer than all else
                # The server may not know the schema, so the type itself decides whether unknown keys are mistakes.
                data = Shape(self._reader.schema, is_closed=False).fitted(data)
            return self._reader.read(data)
        except Misfit as misfit:
            raise DecodeError(misfit_text(misfit, "$")) from misfit


def read_answer(text: str) -> Any:
    """Return the JSON data of a whole answer; raise `DecodeError` if there are none.

    A server without strict schemas may put the JSON into a Markdown fence, with text before and after it.
    """
    body = text.lstrip("\ufeff \t\n\r")
    fence = None if body[:1] in ("{", "[", '"') else _FENCE.search(body)
    try:
        if fence is None:
            return json.loads(body, parse_constant=_no_number)
        return json.JSONDecoder(parse_constant=_no_number).raw_decode(body[fence.end() :].lstrip(" \t\n\r"))[0]
    except RecursionError as error:
        raise DecodeError("the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise DecodeError(f"the text is not valid JSON: {error}") from error
    except DecodeError:
        raise
    except ValueError as error:
        raise DecodeError("an integer in the JSON has too many digits") from error


def list_in(data: Any, path: tuple[str, ...] | None) -> list[Any]:
    """Return the list at a path in JSON data, as `PartialJson.watched` finds it in text; an empty list for `null`.

    Raises `DecodeError` if there is no list.
    """
    members = list(data.values()) if isinstance(data, dict) else []
    if path is None:
        found = next((value for value in [data, *members] if isinstance(value, list)), None)
        if found is None and None not in members:
            raise DecodeError("a list, or an object with a list as a member, was expected - at `$`")
        return found or []
    place = "$"
    for name in path:
        if not isinstance(data, dict) or name not in data:
            raise DecodeError(f"an object with the key {name!r} was expected - at `{place}`")
        data, place = data[name], f"{place}.{name}"
    if data is not None and not isinstance(data, list):
        raise DecodeError(f"a list was expected - at `{place}`")
    return data or []


def _no_number(name: str) -> NoReturn:
    raise DecodeError(f"the text is not valid JSON: {name} is no JSON number")
