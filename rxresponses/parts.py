"""`image_part` and `file_part`: parts of messages from files, bytes, URLs and ids."""

from __future__ import annotations

import base64
import mimetypes
import os
import re
from pathlib import Path
from typing import TypeAlias

from .errors import InvalidRequestError
from .wire.models import ResponseInputFile, ResponseInputImage

Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview
"""A path, a URL (`https` or `data`), or the bytes themselves."""

_URL = re.compile(r"(https?://|data:)", re.IGNORECASE)
_OTHER_URL = re.compile(r"[a-z][a-z0-9+.-]+(?=://)", re.IGNORECASE)
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def image_part(
    source: Source | None = None,
    *,
    file_id: str | None = None,
    detail: str | None = None,
    media_type: str | None = None,
) -> ResponseInputImage:
    """Return an image for a message: `user_message("What is this?", image_part("cat.png"))`.

    `source` is a path, a URL (`https` or `data`), or the bytes.  A file is read now, and sent within the request; its
    media type is `media_type`, or found by its first bytes, or else by its name.  `file_id` is for an image that
    the service already has.  `detail` is `low`, `high`, `original` or `auto`.

    Raises `OSError` if the file cannot be read, and `InvalidRequestError` if the source is no image.  Reading blocks.
    """
    url = _url_of(source, file_id, "an image")
    if source is not None and url is None:
        name, data = _read(source)
        kind = media_type or _signature(data) or _type_of(name)
        if kind is None or not kind.startswith("image/"):
            raise InvalidRequestError(
                f"{repr(name) if name else 'the data'} is not known as an image by the first bytes or the name: pass "
                "`media_type=`, such as 'image/png'",
                field="content",
            )
        url = _data_url(data, kind)
    return ResponseInputImage(image_url=url, file_id=file_id, detail=detail)


def file_part(
    source: Source | None = None,
    *,
    file_id: str | None = None,
    filename: str | None = None,
    detail: str | None = None,
    media_type: str | None = None,
) -> ResponseInputFile:
    """Return a file for a message: `user_message("Sum this up.", file_part("report.pdf"))`.

    `source` is a path, a URL (`https` or `data`), or the bytes.  A file is read now, and sent within the request; its
    media type is `media_type`, or found by its name.  Bytes and a `data` URL need a `filename`.  `file_id` is
    for a file that the service already has.

    Raises `OSError` if the file cannot be read, and `InvalidRequestError` for wrong arguments.  Reading blocks.
    """
    url = _url_of(source, file_id, "a file")
    if source is None or (url is not None and url[:5].lower() != "data:"):
        return ResponseInputFile(file_url=url, file_id=file_id, filename=filename, detail=detail)
    name, data = ("", b"") if url is not None else _read(source)
    name = filename or name
    if not name:
        raise InvalidRequestError(
            "a file without a path needs `filename=`, from which the service knows its type", field="content"
        )
    if url is None:
        url = _data_url(data, media_type or _type_of(name) or "application/octet-stream")
    return ResponseInputFile(file_data=url, filename=name, detail=detail)


def _url_of(source: object, file_id: object, what: str) -> str | None:
    """Check the arguments, and return the source if it is a URL that the service reads."""
    if (source is None) == (file_id is None):
        raise InvalidRequestError(f"{what} needs exactly one of a source and `file_id`", field="content")
    if source is not None and not isinstance(source, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise InvalidRequestError(
            f"{what} must be given as a path, a URL or bytes, not as {type(source).__name__}", field="content"
        )
    if not isinstance(source, str):
        return None
    if _URL.match(source):
        return source
    if other := _OTHER_URL.match(source):
        raise InvalidRequestError(
            f"the service does not read {other[0]} URLs: pass {what} as an https URL, a path or bytes", field="content"
        )
    return None


def _read(source: Source) -> tuple[str, bytes]:
    """Return the name of a file and what is in it; bytes have no name."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "", bytes(source)
    path = Path(source)
    return path.name, path.read_bytes()


def _data_url(data: bytes, media_type: str) -> str:
    """Return a URL that holds the data themselves."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _signature(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)


def _type_of(name: str) -> str | None:
    return mimetypes.guess_type(name, strict=False)[0]
