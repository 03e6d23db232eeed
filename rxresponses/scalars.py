"""Numbers and texts of other libraries, such as NumPy's `float64`, and numbers that are not finite, as JSON values."""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any

# What numbers may be: integers that every JSON parser reads exactly (RFC 7493), and floats that are finite.  Others
# would make the arithmetic, the metrics and the JSON writers of a program fail.
MAX_INTEGER = 2**53 - 1
_PLAIN = (bool, int, float, str)


def is_in_bounds(number: float) -> bool:
    """Whether a number is none that makes arithmetic, metrics or JSON writers fail."""
    return abs(number) <= MAX_INTEGER if isinstance(number, int) else math.isfinite(number)


def plain_scalar(value: Any) -> Any:
    """Return a scalar of an array library as a Python value, and any other value as it is.

    NumPy's scalars, and arrays without a dimension of NumPy and its kin, have an empty `shape` and `item()`.  NumPy
    itself is not imported, because most programs have none.
    """
    if type(value) in _PLAIN or getattr(value, "shape", None) != ():
        return value
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    return plain if type(plain) in _PLAIN else value


def take_plain_scalars(options: Any) -> None:
    """Replace the scalars of array libraries in the fields of a new frozen dataclass by Python values."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        plain = plain_scalar(value)
        if plain is not value:
            object.__setattr__(options, field.name, plain)


def with_finite_numbers(data: Any) -> Any:
    """Return JSON data with `"NaN"`, `"Infinity"` and `"-Infinity"` in place of the numbers that JSON does not have.

    The same object if there are none in it.  A server may send them, or a number as large as `1e400`.  msgspec would
    write them as `null`, and the value would be lost without a word.  The texts are those of the JSON form of Protocol
    Buffers.
    """
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, (list, tuple)):
        items = [value if type(value) in _FINITE else with_finite_numbers(value) for value in data]
        return items if any(map(operator.is_not, items, data)) else data
    if isinstance(data, dict):
        changes = {
            name: new
            for name, value in data.items()
            if type(value) not in _FINITE and (new := with_finite_numbers(value)) is not value
        }
        return {**data, **changes} if changes else data
    return data


_FINITE = frozenset({str, int, bool, type(None)})  # the types whose values all are JSON
