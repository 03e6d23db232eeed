"""`image_part` and `file_part`: parts of messages from files, bytes, URLs and ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from .errors import InvalidRequestError
from .wire.models import ResponseInputFile, ResponseInputImage
from .wire.requests.parts import file_of, image_of, is_url

Source: TypeAlias = str | os.PathLike[str] | bytes
"""A path, a URL (`https` or `data`), or the bytes themselves."""


def image_part(
    source: Source | None = None,
    *,
    file_id: str | None = None,
    detail: str | None = None,
    media_type: str | None = None,
) -> ResponseInputImage:
    """Return an image for a message: `user_message("What is this?", image_part("cat.png"))`.

    `source` is a path, a URL (`https` or `data`), or the bytes.  A file is read now, and sent within the request; its
    media type is told by its first bytes, else by its name, or given as `media_type`.  `file_id` is for an image that
    the service already has.  `detail` is `low`, `high`, `original` or `auto`.

    Raises `OSError` if the file cannot be read, and `InvalidRequestError` for what is no image.  Reading blocks.
    """
    _check_one(source, file_id, "an image")
    if isinstance(source, str) and is_url(source):
        return ResponseInputImage(image_url=source, detail=detail)
    if isinstance(source, bytes):
        return image_of(source, media_type=media_type, detail=detail)
    if source is not None:
        path = Path(source)
        return image_of(path.read_bytes(), path.name, media_type=media_type, detail=detail)
    return ResponseInputImage(file_id=file_id, detail=detail)


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
    media type is told by its name, or given as `media_type`.  Bytes and a `data` URL need a `filename`.  `file_id` is
    for a file that the service already has.

    Raises `OSError` if the file cannot be read, and `InvalidRequestError` for other mistakes.  Reading blocks.
    """
    _check_one(source, file_id, "a file")
    if isinstance(source, str) and is_url(source):
        if source[:5].lower() != "data:":
            return ResponseInputFile(file_url=source, filename=filename, detail=detail)
        return file_of(source, filename, detail=detail)
    if isinstance(source, bytes):
        return file_of(source, filename, media_type=media_type, detail=detail)
    if source is not None:
        path = Path(source)
        return file_of(path.read_bytes(), filename or path.name, media_type=media_type, detail=detail)
    return ResponseInputFile(file_id=file_id, detail=detail)


def _check_one(source: object, file_id: object, what: str) -> None:
    if (source is None) == (file_id is None):
        raise InvalidRequestError(f"{what} needs exactly one of a source and `file_id`", field="content")
    if source is not None and not isinstance(source, (str, bytes, os.PathLike)):
        raise InvalidRequestError(
            f"{what} comes from a path, a URL or bytes, not from {type(source).__name__}", field="content"
        )
