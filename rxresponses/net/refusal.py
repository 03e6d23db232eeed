"""What a server has answered that websockets cannot read as the answer to a handshake: read from the bytes.  No I/O."""

from __future__ import annotations

import io
import re
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, cast

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.http11 import Response

ANSWER_LIMIT = 65_536  # bytes of an answer that are kept; headers are a few thousand
_STATUS_LINE = re.compile(rb"HTTP/1\.\d [2-5]\d\d\b[^\n]*\n")
_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d")
_INTERIM_LIMIT = 16_384  # bytes of an interim answer
_STATUS_SIZE = len(b"HTTP/1.1 100")
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_LINE_BREAKS = re.compile(r"\s*[\r\n]+\s*")
_CONTROLS = re.compile(r"[^\t -~\xa0-\xff]")  # websockets refuses them in a header
_HTTP = b"HTTP/"
_TLS_ALERT = b"\x15\x03"  # the first bytes of a TLS record that reports an error


class SpeaksTlsError(InvalidHandshake):
    """The server speaks TLS, and the URL says that it does not."""


class SpeaksPlainHttpError(InvalidHandshake):
    """The server speaks no TLS, and the URL says that it does."""


class _Bytes:
    """As much of a socket as `HTTPResponse` needs."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def is_foreign(answer: bytes | bytearray) -> bool:
    """Whether the first bytes of an answer are no HTTP."""
    return bool(answer) and answer[: len(_HTTP)] != _HTTP[: len(answer)]


def is_tls(answer: bytes) -> bool:
    """Whether the first bytes of an answer are TLS: the server has taken the handshake for TLS with an error in it."""
    return answer.startswith(_TLS_ALERT)


def is_decided(answer: bytes | bytearray) -> bool:
    """Whether the first bytes of an answer are no acceptance, whatever follows: no HTTP, or the head of a refusal."""
    return is_foreign(answer) or (_STATUS_LINE.match(answer) is not None and _END_OF_HEADERS.search(answer) is not None)


def drop_interim(answer: bytearray) -> bool:
    """Remove the interim answers at the start of an answer; return whether the rest begins with the final one.

    RFC 9110, section 15.2: a client takes any number of 1xx answers, such as "103 Early Hints", before the final one.
    websockets takes the first of them for a refusal.  101 accepts the handshake, so it is final.
    """
    while _INTERIM.match(answer):
        end = _END_OF_HEADERS.search(answer)
        if end is None:
            return len(answer) > _INTERIM_LIMIT
        del answer[: end.end()]
    return len(answer) >= _STATUS_SIZE or is_foreign(answer)


def refusal_in(answer: bytes) -> Response | None:
    """Return the refusal that an answer begins with, `None` if there is none.

    That is any final HTTP/1 response, also where websockets demands more: HTTP/1.0, a body whose
    length is not told or not kept, headers beyond the limits.  Headers and body are those that have come.
    """
    if _STATUS_LINE.match(answer) is None:
        return None
    response = HTTPResponse(cast("Any", _Bytes(answer)))
    body = b""
    try:
        response.begin()
        body = response.read(ANSWER_LIMIT)  # without a limit, Python cannot read a length of many digits
    except IncompleteRead as cut:
        body = cut.partial
    except HTTPException:
        pass  # in the headers, or in the lengths of the parts of the body
    headers = Headers()
    for name, value in (response.headers or {}).items():
        headers[name] = _CONTROLS.sub("?", _LINE_BREAKS.sub(" ", value))
    return Response(response.status, response.reason, headers, body)
