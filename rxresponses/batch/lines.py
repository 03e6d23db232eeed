"""The input: a request a line, read when it is wanted, and what each line asks for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..errors import ConfigurationError, InvalidRequestError

_ENDPOINT = "/v1/responses"


@dataclass(frozen=True)
class Task:
    """What one line asks for: the body of a `response.create`, or why it is none.

    `model` is the one that the line left to the command.
    """

    line: int
    digest: str
    request: Mapping[str, Any] | InvalidRequestError
    custom_id: object = None
    model: str | None = None


def open_input(path: str) -> BinaryIO:
    """Open the input, `-` for standard input; raise `ConfigurationError` unless it can be read again.

    It is read once to see that results which are there belong to it, and once to send it; and so
    it is by the run that resumes this one.
    """
    try:
        file: BinaryIO = open(0, "rb", closefd=False) if path == "-" else open(path, "rb")  # noqa: SIM115 - the caller's
    except OSError as error:
        raise ConfigurationError(f"cannot read the requests: {error}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        what = "standard input" if path == "-" else path
        raise ConfigurationError(
            f"{what} is no regular file, so what is read of it is gone, and no run could be resumed: "
            "write the requests to a file first"
        )
    return file


def refuse_as_output(requests: BinaryIO, output: str) -> None:
    """Raise `ConfigurationError` when the path of the output leads to the input."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(requests.fileno()), os.stat(output)):
            raise ConfigurationError("the output is the input: give another file for the results")


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each line, from 1, and the line; blank ones ask for nothing."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        if line := line.strip():
            yield number, line


def digest(line: bytes) -> str:
    """Return what tells a line from others; results carry it."""
    return hashlib.blake2b(line, digest_size=8).hexdigest()


def task_of(number: int, line: bytes, model: str) -> Task:
    """Read a line: a JSON string is a prompt, an object a request, alone or in the batch files' envelope.

    `model` is for those that name none.
    """
    custom_id = None
    try:
        data = _json(line)
        if isinstance(data, dict):
            custom_id = _custom_id(data)
        body = _request(data)
        if body.get("model") or body.get("prompt"):
            return Task(number, digest(line), body, custom_id)
        return Task(number, digest(line), {"model": model, **body}, custom_id, model)
    except InvalidRequestError as error:
        return Task(number, digest(line), error, custom_id)


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:  # its own text counts lines, of which there is one
        reason = f"{error.msg}, at character {error.colno}"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8, at byte {error.start + 1}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise InvalidRequestError(f"the line is no JSON: {reason}")


def _custom_id(data: dict[str, Any]) -> object:
    custom_id = data.pop("custom_id", None)
    if isinstance(custom_id, (dict, list)):
        raise InvalidRequestError("`custom_id` must be a string", field="custom_id")
    return custom_id


def _request(data: Any) -> Mapping[str, Any]:
    if isinstance(data, str):
        if not data.strip():
            raise InvalidRequestError("the prompt is empty", field="input")
        return {"input": data}
    if not isinstance(data, dict):
        raise InvalidRequestError(
            f"a line holds an object or a string, not {'null' if data is None else type(data).__name__}"
        )
    body = _unwrap(data) if "body" in data else data
    body.pop("stream", None)  # files for HTTP say false, which means the same here: one result
    return body


def _unwrap(envelope: Mapping[str, Any]) -> dict[str, Any]:
    method, url, body = envelope.get("method", "POST"), envelope.get("url", _ENDPOINT), envelope["body"]
    if method != "POST":
        raise InvalidRequestError(f"`method` must be 'POST', not {method!r}", field="method")
    if url != _ENDPOINT:
        raise InvalidRequestError(
            f"`url` must be {_ENDPOINT!r}, not {url!r}: only responses are made here", field="url"
        )
    if not isinstance(body, dict):
        raise InvalidRequestError(f"`body` must be an object, not {type(body).__name__}", field="body")
    return body
