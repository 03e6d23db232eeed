"""The input: one request on each line, read when it is needed."""

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
    """A line of the input: the body of a `response.create`, or the error that says why the line is no request.

    `model` is the model that the command chose, if the line names none.
    """

    line: int
    digest: str
    request: Mapping[str, Any] | InvalidRequestError
    custom_id: object = None
    model: str | None = None


def open_input(path: str) -> BinaryIO:
    """Open the input, `-` for standard input.

    A run reads the input twice: first to see that the results belong to it, then to send it.  The run that resumes
    this one does the same.  So an input that cannot be read again raises `ConfigurationError`.
    """
    try:
        file: BinaryIO = open(0, "rb", closefd=False) if path == "-" else open(path, "rb", opener=_open)  # noqa: SIM115
    except OSError as error:
        raise ConfigurationError(f"cannot read the requests: {error}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        name = "standard input" if path == "-" else path
        raise ConfigurationError(
            f"{name} is no regular file and cannot be read again, so no run could be resumed: "
            "write the requests to a file first"
        )
    return file


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # else a FIFO without a writer would block


def refuse_as_output(requests: BinaryIO, output: str) -> None:
    """Raise `ConfigurationError` when the path of the output leads to the input."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(requests.fileno()), os.stat(output)):
            raise ConfigurationError("the output is the input: give another file for the results")


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each line, from 1, and the line; leave out blank lines."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        if line := line.strip():
            yield number, line


def digest(line: bytes) -> str:
    """Return a digest of a line.  Each result has it, so that a changed line is noticed."""
    return hashlib.blake2b(line, digest_size=8).hexdigest()


def task_of(number: int, line: bytes, model: str) -> Task:
    """Read a line: a JSON string is a prompt, an object is a request, alone or in the envelope of the batch files.

    `model` is the model of lines that name none.
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
    except json.JSONDecodeError as error:  # its text counts lines, and would say line 1
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
    body.pop("stream", None)  # batch files for HTTP may have it; the result is the whole response either way
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
