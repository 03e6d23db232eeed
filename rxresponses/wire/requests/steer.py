"""The `response.steer` message: new input for a running response."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ...errors import InvalidRequestError
from ..base import model
from .input_items import InputItem
from .sent import Sent

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11


@model
class ResponseSteer(Sent):
    """New input for a running response: a string, or messages of the user.

    There is no `stream_id`: the steer belongs to the lane of the steered response.

    Raises `InvalidRequestError`, which names the field, for invalid values.
    """

    previous_response_id: str
    input: str | Sequence[InputItem]
    type: Literal["response.steer"] = "response.steer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.previous_response_id:
            raise InvalidRequestError("a steer needs the id of the response to steer", field="previous_response_id")
        if not self.input:
            raise InvalidRequestError("a steer needs input", field="input")
        for index, item in enumerate(() if isinstance(self.input, str) else self.input):
            _check_user_message(f"input[{index}]", item)

    @classmethod
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from the JSON of a `response.steer`."""
        if not isinstance(kvs, Mapping):
            raise InvalidRequestError(f"a steer is a JSON object, not {type(kvs).__name__}")
        for name in kvs.keys() - {field.name for field in dataclasses.fields(cls)}:
            raise InvalidRequestError(f"a steer has no field {name!r}", field=name)
        return cls(**{"previous_response_id": None, "input": None, **kvs})


def _check_user_message(name: str, item: InputItem) -> None:
    role, kind, content = (
        item.get(part) if isinstance(item, Mapping) else getattr(item, part, None)
        for part in ("role", "type", "content")
    )
    if role != "user" or kind not in (None, "message"):
        raise InvalidRequestError(
            f"a steer takes messages of the user only, and `{name}` is no such message", field=name
        )
    if not isinstance(content, (str, list, tuple)) or not content:
        raise InvalidRequestError(f"`{name}` needs `content`: a string or a list of parts", field=name)
