"""The JSON schema that the answers of a batch must fit: what of an answer is checked, and where it does not fit."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from ..errors import ConfigurationError, RequestError
from .lines import Format, content_digest
from .outcomes import text_of

_MOST_PROBLEMS = 3  # of one answer, in its error
_LONGEST_PROBLEM = 300  # characters
_DEEPEST = 1000  # levels of a schema; more cannot be read from JSON


class AnswerMisfitError(RequestError):
    """The answer is whole, but it does not fit the schema of the batch.

    `problems` says where and why, such as `$.days[0]: 'x' is not of type 'integer'`.
    """

    def __init__(self, problems: str, *, tries: int = 1, response_id: str | None = None) -> None:
        times = "" if tries == 1 else f", in {tries} tries; the latest"
        super().__init__(
            f"the answer does not fit the schema{times}: {problems}", delivery="started", response_id=response_id
        )
        self.problems = problems


class AnswerSchema:
    """A JSON schema, and the `format` with which a model is asked for it.

    Raises `ConfigurationError` if the schema is no JSON schema, if it refers to what it does not define, or if
    jsonschema is not installed.
    """

    def __init__(self, format: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
        try:
            jsonschema: Any = importlib.import_module("jsonschema")
            referencing: Any = importlib.import_module("referencing")
        except ImportError:
            raise ConfigurationError(
                'answers are checked with jsonschema, which is not installed: pip install "rxresponses[cli]"'
            ) from None
        self.format = Format(format, content_digest(format).hex())
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ConfigurationError(f"{error.json_path}: {_shortened(error.message)}") from error
        # With a registry of its own, the validator loads no schema from the network.
        registry = referencing.Registry()
        specification = referencing.jsonschema.specification_with(kind.META_SCHEMA["$schema"])
        resolver = registry.resolver_with_root(specification.create_resource(schema))
        for reference in _references(schema, _DEEPEST):
            try:
                resolver.lookup(reference)
            except Exception as error:  # the kinds of errors differ, as a bad pointer and a schema of the network do
                raise ConfigurationError(f"the reference {reference!r} leads to nothing in the schema") from error
        self._validator = kind(schema, registry=registry)

    def problems_of(self, response: Mapping[str, Any], hide: Callable[[str], str] = str) -> str | None:
        """Return where the answer of a response does not fit, `None` if it does; `hide` takes secrets out of texts."""
        text = text_of(response)
        if text is None:
            return "the response has no text"
        try:
            data = json.loads(text, parse_constant=_refuse)
            found = sorted(self._validator.iter_errors(data), key=lambda error: len(error.absolute_path))
        except ValueError as error:  # `json.JSONDecodeError` is one
            return f"the text is no JSON: {error}"
        except RecursionError:
            return "the JSON, or what the schema says of it, is nested too deeply"
        # Hidden first: else half of a secret would stay at the cut.
        shown = [f"{hide(error.json_path)}: {_shortened(hide(error.message))}" for error in found[:_MOST_PROBLEMS]]
        if len(found) > _MOST_PROBLEMS:
            shown.append(f"and {len(found) - _MOST_PROBLEMS} more")
        return "; ".join(shown) or None


def _references(schema: Any, depth: int) -> Iterator[str]:
    if isinstance(schema, Mapping) and depth:
        for keyword, value in schema.items():
            if keyword == "$ref" and isinstance(value, str):
                yield value
            elif keyword not in ("const", "enum", "default", "examples"):  # values, which are no schemas
                yield from _references(value, depth - 1)
    elif isinstance(schema, list) and depth:
        for value in schema:
            yield from _references(value, depth - 1)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_PROBLEM else f"{text[: _LONGEST_PROBLEM - 1]}…"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")
