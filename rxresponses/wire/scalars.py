"""Numbers and texts of other libraries, such as NumPy's `float64`, as values that JSON has."""

from __future__ import annotations

_PLAIN = (bool, int, float, str)


def plain_scalar(value: object) -> object:
    """Return a scalar of an array library as a Python value, and any other value as it is.

    NumPy's scalars, and arrays without a dimension of NumPy and its kin, have an empty `shape` and `item()`.  NumPy
    itself is not imported, because most programs have none.
    """
    if type(value) in _PLAIN or getattr(value, "shape", None) != ():
        return value
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    return plain if type(plain) in _PLAIN else value
