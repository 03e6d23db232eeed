"""What the fields of a model tell dataclasses-json: the same as its own `config`, without importing it.

dataclasses-json imports marshmallow, which takes about 20 ms.  So it is imported when an object is made from JSON or
JSON is made from an object, and not when the classes are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def json_config(
    *,
    name: str | None = None,
    encoder: Callable[[Any], Any] | None = None,
    exclude: Callable[[Any], bool] | None = None,
) -> dict[str, Any]:
    """Return the metadata of a field that has another name in JSON, another form there, or is left out if `exclude`."""
    settings = {"letter_case": None if name is None else lambda _: name, "encoder": encoder, "exclude": exclude}
    return {"dataclasses_json": {key: value for key, value in settings.items() if value is not None}}
