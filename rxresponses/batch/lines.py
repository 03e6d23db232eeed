"""The input: one request on each line, read when it is needed."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import msgspec

from ..errors import ConfigurationError, InvalidRequestError
from .first_lines import FirstLines

_ENDPOINT = "/v1/responses"
OWN = "own"  # the schema of a line that has a format of its own

# Encodings by the byte order mark with which a text begins.  UTF-16 begins as UTF-32 does, so it comes later.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Task:
    """A line of the input: the body of a `response.create`, or the error that says why the line is no request.

    `model` is the model that the command chose, if the line names none.  `schema` is the digest of the schema that the
    answer must fit, `OWN` for a line that has a format of its own, and `None` in a run without a schema.
    """

    line: int
    digest: str
    request: Mapping[str, Any] | InvalidRequestError = field(repr=False)  # a tool may have a token
    custom_id: object = None
    model: str | None = None
    schema: str | None = None

    def head(self) -> dict[str, Any]:
        """Return what the result says of its line."""
        facts = {"custom_id": self.custom_id, "model": self.model, "schema": self.schema}
        return {
            "line": self.line,
            "digest": self.digest,
            **{name: fact for name, fact in facts.items() if fact is not None},
        }


class Format(NamedTuple):
    """The `text.format` of lines that have none, and the digest that stands for it in the results."""

    format: Mapping[str, Any]
    digest: str


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
    with contextlib.suppress(OSError):  # there is no such file yet, or opening it tells why it cannot be used
        if os.path.samestat(os.fstat(requests.fileno()), os.stat(output)):
            raise ConfigurationError("the output is the input: give another file for the results")


class JsonLines:
    """A file with a request on each line; raises `ConfigurationError` if it cannot be read."""

    def __init__(self, path: str) -> None:
        self.file = open_input(path)

    @property
    def last_line(self) -> int:
        """The highest possible line number: each line has one byte at least, its end."""
        return os.fstat(self.file.fileno()).st_size

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number of each line that is not blank, from 1, and the line."""
        return read_lines(self.file)


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each line, from 1, and the line as UTF-8; leave out blank lines.

    The input may be UTF-8 or UTF-16, which is what some shells of Windows write, with or without a byte order mark, or
    UTF-32 with that mark.  Raises `ConfigurationError` for UTF-16 and UTF-32 that cannot be read.
    """
    file.seek(0)
    encoding = _encoding(file.read(4))
    file.seek(0)
    lines: Iterable[bytes] = file if encoding is None else _recoded(file, encoding)
    for number, line in enumerate(lines, 1):
        if line := line.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else line.strip():
            yield number, line


def marked_encoding(begin: bytes) -> str | None:
    """Return the encoding that the byte order mark at the beginning of a text tells, `None` without a mark."""
    return next((encoding for mark, encoding in _MARKS.items() if begin.startswith(mark)), None)


def _encoding(begin: bytes) -> str | None:
    """Return the encoding of an input that begins so, `None` for UTF-8.  The first character of a line is ASCII."""
    marked = marked_encoding(begin)
    if marked is not None:
        return None if marked == "utf-8-sig" else marked
    if len(begin) >= 2 and 0 in begin[:2] and any(begin[:2]):
        return "utf-16-be" if begin[0] == 0 else "utf-16-le"
    return None


def _recoded(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    # `codecs` would split lines at further characters, and a wrapper of `io` would close the file.
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    rest = ""
    try:
        while block := file.read(2**16):
            *lines, rest = (rest + decoder.decode(block)).split("\n")
            yield from (_utf8(line) for line in lines)
        yield _utf8(rest + decoder.decode(b"", final=True))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the requests are no valid {encoding.upper()}: {error.reason}") from error


def _utf8(line: str) -> bytes:
    return line.encode("utf-8", "surrogatepass")


def checked_ids(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines; raise `ConfigurationError` for the second line with a `custom_id`: their results look alike."""
    first_lines = FirstLines()  # by hash, since an input may have millions of ids
    for number, line in lines:
        try:
            custom_id = _read_id(line).custom_id
        except (ValueError, RecursionError):
            custom_id = None  # no request, or for Python's parser; it becomes a failed line
        if isinstance(custom_id, (str, int, float)):
            first = first_lines.of(hash((type(custom_id), custom_id)), number)
            if first != number:
                raise ConfigurationError(
                    f"lines {first} and {number} of the input have the same `custom_id`, {custom_id!r}"
                )
        yield number, line


class _Id(msgspec.Struct):
    custom_id: Any = None


_read_id = msgspec.json.Decoder(_Id).decode


def digest(line: bytes) -> str:
    """Return a digest of a line.  Each result has it, so that a changed line is noticed."""
    return hashlib.blake2b(line, digest_size=8).hexdigest()


def content_digest(data: Any) -> bytes:
    """Return eight bytes that depend on JSON data, but not on the order of the keys."""
    try:
        encoded = msgspec.json.encode(data, order="sorted")
    except (UnicodeEncodeError, TypeError, OverflowError):  # lone surrogates, or an integer of any length
        encoded = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(encoded, digest_size=8).digest()


def task_of(number: int, line: bytes, model: str, format: Format | None = None) -> Task:
    """Read a line: a JSON string is a prompt, an object is a request, alone or in the envelope of the batch files.

    `model` is the model of lines that name none, and `format` the format of the text of those that have none.
    """
    custom_id = None
    try:
        data = _json(line)
        if isinstance(data, dict):
            custom_id = _custom_id(data)
        body = _request(data)
    except InvalidRequestError as error:
        return Task(number, digest(line), error, custom_id)
    schema = None if format is None else _ask_for(format, body)
    if body.get("model") or body.get("prompt"):
        return Task(number, digest(line), body, custom_id, schema=schema)
    return Task(number, digest(line), {"model": model, **body}, custom_id, model, schema)


def _ask_for(format: Format, body: dict[str, Any]) -> str:
    """Add the format to a request that has none of its own; return the digest of the schema, or else `OWN`."""
    text = body.get("text")
    if text is None:
        text = {}
    if not isinstance(text, dict) or text.get("format") is not None:  # the client refuses what is no object
        return OWN
    body["text"] = {**text, "format": format.format}
    return format.digest


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


def _request(data: Any) -> dict[str, Any]:
    if isinstance(data, str):
        if not data.strip():
            raise InvalidRequestError("the prompt is empty", field="input")
        return {"input": data}
    if not isinstance(data, dict):
        raise InvalidRequestError(f"a line holds an object or a string, not {_kind(data)}")
    body = _unwrap(data) if "body" in data else data
    body.pop("stream", None)  # batch files for HTTP may have it; the result is the whole response either way
    return body


def _kind(data: object) -> str:
    return "null" if data is None else type(data).__name__


def _unwrap(envelope: Mapping[str, Any]) -> dict[str, Any]:
    method, url, body = envelope.get("method", "POST"), envelope.get("url", _ENDPOINT), envelope["body"]
    if method != "POST":
        raise InvalidRequestError(f"`method` must be 'POST', not {method!r}", field="method")
    if url != _ENDPOINT:
        raise InvalidRequestError(
            f"`url` must be {_ENDPOINT!r}, not {url!r}: only responses are made here", field="url"
        )
    if not isinstance(body, dict):
        raise InvalidRequestError(f"`body` must be an object, not {_kind(body)}", field="body")
    return body
