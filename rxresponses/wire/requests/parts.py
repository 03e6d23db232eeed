"""Parts of messages and of tools' outputs: texts, images and files."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Sequence
from typing import Any

from ...errors import InvalidRequestError
from ..base import Model
from ..models import ResponseInputFile, ResponseInputImage, ResponseInputText, ResponseOutputText

_URL = re.compile(r"(https?://|data:)", re.IGNORECASE)
_OTHER_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def is_url(source: str) -> bool:
    """Whether a text is a URL that the service reads; raises `InvalidRequestError` for a URL of another scheme."""
    if _URL.match(source):
        return True
    if _OTHER_URL.match(source):
        raise InvalidRequestError(
            f"the service reads no URL like {source[:40]!r}: pass one with https, a path, or the bytes", field="content"
        )
    return False


def data_url(data: bytes, media_type: str) -> str:
    """Return a URL that holds the data themselves."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def image_of(
    data: bytes, name: str = "", media_type: str | None = None, detail: str | None = None
) -> ResponseInputImage:
    """Return an image from its bytes; the media type is that of the bytes, else that of the file's name."""
    kind = media_type or _signature(data) or _type_of(name)
    if kind is None or not kind.startswith("image/"):
        raise InvalidRequestError(
            f"{repr(name) if name else 'the data'} cannot be told as an image by the first bytes or the name: pass "
            "`media_type=`, such as 'image/png'",
            field="content",
        )
    return ResponseInputImage(image_url=data_url(data, kind), detail=detail)


def file_of(
    data: bytes | str, filename: str | None, media_type: str | None = None, detail: str | None = None
) -> ResponseInputFile:
    """Return a file from its bytes, or a `data` URL of them, and its name, which says the media type."""
    if not filename:
        raise InvalidRequestError("a file without a path needs `filename=`, which tells what it is", field="content")
    if isinstance(data, bytes):
        data = data_url(data, media_type or _type_of(filename) or "application/octet-stream")
    return ResponseInputFile(file_data=data, filename=filename, detail=detail)


def _signature(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES if data.startswith(start)), None)


def _type_of(name: str) -> str | None:
    return mimetypes.guess_type(name, strict=False)[0]


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
    return [_text(part, is_answer) if isinstance(part, str) else part for part in parts]


def _text(text: str, is_answer: bool) -> Model:
    return ResponseOutputText(text=text) if is_answer else ResponseInputText(text=text)


def output_content(output: object) -> list[Any] | None:
    """Return the parts that a tool's output consists of, `None` if it is a value: a part is an object of its class."""
    kinds = (ResponseInputText, ResponseInputImage, ResponseInputFile)
    parts = output if isinstance(output, (list, tuple)) else [output]
    if not any(isinstance(part, kinds) for part in parts):
        return None
    return [_text(part, False) if isinstance(part, str) else part for part in parts]
