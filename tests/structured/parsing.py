"""From JSON text to a value of a type, as tools and structured answers do it."""

from __future__ import annotations

from typing import Any

from rxresponses.errors import DecodeError
from rxresponses.structured.libraries import Misfit, reader_of
from rxresponses.structured.schema import misfit_text
from rxresponses.structured.values import Shape, read_json


def parse_value(text: str | bytes, type_: Any, *, strict: bool = True) -> Any:
    """Return the value of a type that a JSON text means.  With `strict`, unknown keys are mistakes."""
    reader = reader_of(type_)
    try:
        return reader.read(Shape(reader.schema, is_closed=strict).fitted(read_json(text)))
    except Misfit as misfit:
        raise DecodeError(misfit_text(misfit, "$")) from misfit
    except RecursionError as error:
        raise DecodeError("the value is nested too deeply") from error
