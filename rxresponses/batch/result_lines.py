"""A line of the results file: how it is written, and what a later run reads of it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec

from ..scalars import with_finite_numbers

_BEGIN = b'{"line":'


class Told(msgspec.Struct):
    """What the server tells in a response of its cost."""

    model: Any = None
    usage: Any = None


class Head(msgspec.Struct):
    """The fields of a result that a later run needs; the rest of the response is skipped."""

    line: Annotated[int, msgspec.Meta(ge=1)]
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    model: str | None = None
    server: str | None = None
    outcome: str | None = None
    schema: str | None = None
    copy_of: int | None = None
    earlier_usage: list[Any] = []
    response: Told | None = None
    error: dict[str, Any] | None = None

    @property
    def usages(self) -> list[Any]:
        """What the answers to this line used, as the server told it; nothing for a copy."""
        told = self._told
        return [] if self.copy_of is not None else [*self.earlier_usage, *([] if told.usage is None else [told.usage])]

    @property
    def models(self) -> tuple[str, ...]:
        """The model that answered, and the one that the command chose, as far as they are known."""
        return tuple(model for model in (self._told.model, self.model) if isinstance(model, str))

    @property
    def _told(self) -> Told:
        if self.response is not None:
            return self.response
        response = (self.error or {}).get("response")
        return Told(response.get("model"), response.get("usage")) if isinstance(response, dict) else Told()


def json_line_of(data: Any) -> bytes:
    """Return JSON that every parser reads: `-Infinity` as text, and U+FFFD in place of a lone surrogate."""
    data = with_finite_numbers(data)
    try:
        return msgspec.json.encode(data)
    except (UnicodeEncodeError, TypeError):
        return msgspec.json.encode(_readable(json.loads(json.dumps(data))))


def copied_line(line: bytes, head: dict[str, Any]) -> bytes:
    """Return a copy of a line for another line of the input, with that line's `head`.

    What the answer cost stays with the line that was sent.
    """
    fields = _decode_fields(line)
    fields = {"copy_of": fields["line"], **{name: raw for name, raw in fields.items() if name not in _OF_ITS_LINE}}
    rest = [msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items()]
    return b",".join([json_line_of(head)[:-1], *rest]) + b"}"


_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_OF_ITS_LINE = ("line", "digest", "custom_id", "model", "schema", "earlier_usage")


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {_readable(name): _readable(item) for name, item in value.items()}
    return value


def read_head(line: bytes) -> Head | None:
    """Read a line of the output; return `None` if it is no result."""
    try:
        return _decode(line)
    except (ValueError, RecursionError):
        pass
    try:
        return msgspec.convert(json.loads(line), Head)  # lone surrogates, which msgspec refuses
    except (ValueError, RecursionError):
        return None


_decode = msgspec.json.Decoder(Head).decode


def is_torn(line: bytes) -> bool:
    """Whether this is the beginning of a result whose end was not written; other text must not be cut off."""
    return not line.endswith(b"\n") and (line.startswith(_BEGIN) or _BEGIN.startswith(line))
