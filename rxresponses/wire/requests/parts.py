"""Parts of messages and of tools' outputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ...errors import InvalidRequestError
from ...structured.json_text import json_text
from ..base import Model
from ..models import ResponseInputFile, ResponseInputImage, ResponseInputText, ResponseOutputText


def as_content(parts: Sequence[Any], *, is_answer: bool = False) -> Any:
    """Return the content of a message: a text that stands alone as it is, else a list of parts.

    `is_answer`: the texts are those of the model.
    """
    if len(parts) == 1 and isinstance(parts[0], (list, tuple)):
        parts = parts[0]
    elif len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    if not parts:
        raise InvalidRequestError("a message needs a text or another part", field="content")
    for index, part in enumerate(parts):
        if isinstance(part, (bytes, os.PathLike)):
            raise InvalidRequestError(
                f"part {index} of the message is {type(part).__name__}: pass it through `image_part` or `file_part`",
                field=f"content[{index}]",
            )
    return [_text(part, is_answer) if isinstance(part, str) else part for part in parts]


def _text(text: str, is_answer: bool) -> Model:
    return ResponseOutputText(text=text) if is_answer else ResponseInputText(text=text)


def _output_parts(output: object) -> list[Any] | None:
    """Return the parts that a tool's output consists of, `None` if it is a value: a part is an object of its class."""
    kinds = (ResponseInputText, ResponseInputImage, ResponseInputFile)
    parts = output if isinstance(output, (list, tuple)) else [output]
    if not any(isinstance(part, kinds) for part in parts):
        return None
    return [_text(part, False) if isinstance(part, str) else part for part in parts]


def output_of(value: object, what: str = "tool") -> str | list[Any]:
    """Return what a tool returned as the output for the model: text, or content parts."""
    parts = _output_parts(value)
    return text_of_value(value, what) if parts is None else parts


def text_of_value(value: object, what: str = "tool") -> str:
    """Return a text as it is, and any other value as its JSON; raises `InvalidRequestError` if it has none."""
    if isinstance(value, str):
        return value
    try:
        return json_text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the {what}'s result is not JSON: {error}", field="output") from error
