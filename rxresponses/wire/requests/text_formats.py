"""`text_format` of a request: a Python type as the format of the model's text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from ...errors import InvalidRequestError
from ...structured.answer import AnswerType
from .settings import ResponseFormatTextJSONSchemaConfig, ResponseTextConfig


def take_text_format(request: Any) -> None:
    """Put the strict schema of the type in `text_format` into the `text` of a new object, and take `text_format` out.

    A copy of the object then has nothing to set again.  Raises `ConfigurationError` if the type has no strict schema,
    and `InvalidRequestError` if it is JSON data in place of a type, or if `text` has a format already.
    """
    type_, text = request.text_format, request.text
    if type_ is UNSET:
        return
    # Objects of requests are frozen for their users; this new one has no user yet.
    object.__setattr__(request, "text_format", UNSET)
    if type_ is None:
        return
    if isinstance(type_, (str, int, float, list, Mapping)):  # as in a file of requests, which must not end a batch
        raise InvalidRequestError(
            f"`text_format` must be a Python type, not a {type(type_).__name__}: put a JSON schema into `text.format`",
            field="text_format",
        )
    given = text.get("format") if isinstance(text, Mapping) else None
    given = text.format if isinstance(text, ResponseTextConfig) else given
    if given is not None and given is not UNSET:
        raise InvalidRequestError(
            "`text_format` sets `text.format`, which the request has already: leave one of the two out",
            field="text_format",
        )
    answer = AnswerType(type_)
    format = ResponseFormatTextJSONSchemaConfig(name=answer.name, schema=answer.schema(), strict=True)
    if isinstance(text, ResponseTextConfig):
        text = dataclasses.replace(text, format=format)
    elif isinstance(text, Mapping):
        text = {**text, "format": format.to_dict()}
    elif text is UNSET or text is None:
        text = ResponseTextConfig(format=format)
    object.__setattr__(request, "text", text)  # anything else is refused with the other fields
