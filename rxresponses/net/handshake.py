"""The opening handshake on the side of the connection: what the server answers in place of an acceptance."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidMessage, InvalidStatus, SecurityError

from ..options import split_host
from .refusal import ANSWER_LIMIT, SpeaksTlsError, drop_interim, is_decided, is_foreign, is_tls, refusal_in

MAX_HANDSHAKE_SIZE = 2**18
"""How many bytes the answer to the opening handshake may have: 256 KiB, the body of a refusal included."""

_END_OF_HEAD = b"\r\n\r\n"  # websockets accepts no other line ends

REFUSAL_TIME = 1.0  # seconds for the rest of an answer that is known to be no acceptance


class HandshakeConnection(ClientConnection):
    """A client connection that knows a refusal also where websockets cannot read it.

    `host` is the value of its `Host` header, by default that of the URL.

    A subclass calls `read_answer` with the bytes that it receives, as long as `response` is `None`.
    """

    def __init__(self, *args: Any, host: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = None if host is None else split_host(host)
        if own is not None:
            # websockets would send a `Host` header beside its own, and makes its own of this URL.
            uri = self.protocol.uri
            self.protocol.uri = dataclasses.replace(uri, host=own[0], port=own[1] or (443 if uri.secure else 80))
        self.is_connected = False  # TCP, and TLS where the URL says so
        self._early: bytearray | None = bytearray()  # until the final answer begins
        self._answer = bytearray()  # the first bytes of the answer to the handshake
        self._answer_size = 0  # bytes
        self._last_bytes = b""  # of the answer, where the end of its head may be cut
        self._answer_timer: asyncio.TimerHandle | None = None

    @property
    def lost_by(self) -> BaseException | None:
        """The exception that ended the connection."""
        return getattr(self, "connection_exc", None) or getattr(self, "recv_exc", None)  # its name before 16

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that the server can be talked to."""
        super().connection_made(transport)
        self.is_connected = True

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """Perform the opening handshake.

        Raises what websockets raises, `SpeaksTlsError`, or the TLS error that ended the connection.
        """
        try:
            await super().handshake(*args, **kwargs)
        except InvalidMessage:
            if isinstance(self.lost_by, ssl.SSLError):  # TLS 1.3 servers refuse a client after its handshake
                raise self.lost_by from None
            found = _failure_in(bytes(self._answer))
            if found is not None:
                raise found from None
            raise
        finally:
            if self._answer_timer is not None:
                self._answer_timer.cancel()
        self._answer.clear()

    def read_answer(self, data: bytes) -> bytes:
        """Read the answer to the handshake; return the bytes behind its end, the first of which begins a frame."""
        data = self._final_part(data)
        if not data:
            return b""
        searched = self._last_bytes + data
        end = searched.find(_END_OF_HEAD)
        end = len(data) if end < 0 else end + len(_END_OF_HEAD) - len(self._last_bytes)
        self._last_bytes = searched[1 - len(_END_OF_HEAD) :]
        super().data_received(data[:end])
        if self.response is None and end < len(data):  # with the body of a refusal
            super().data_received(data[end:])
            end = len(data)
        if self.response is None:
            self._note_answer(data)
        return data[end:]

    def _final_part(self, data: bytes) -> bytes:
        """Return what of the received bytes belongs to the final answer to the handshake.

        Bytes that are not certain to belong to it are returned with those that follow.
        """
        if self._early is None:
            return data
        self._early += data
        if not drop_interim(self._early):
            return b""
        data, self._early = bytes(self._early), None
        return data

    def check_answer(self) -> None:
        """Raise what the answer so far shows, for when the time for the handshake is over."""
        answer = bytes(self._answer)
        found = _failure_in(answer) if is_decided(answer) else None
        if found is not None:
            raise found

    def _note_answer(self, data: bytes) -> None:
        """Keep the first bytes of the answer, and do not read on for long when it cannot be an acceptance.

        websockets would read on until the handshake times out, for as long as the server sends.  A server that tells
        no length ends a refusal by closing the connection, and some servers never do.
        """
        self._answer += data[: ANSWER_LIMIT - len(self._answer)]
        self._answer_size += len(data)
        if self._answer_size > MAX_HANDSHAKE_SIZE:
            if self.protocol.handshake_exc is None:
                self.protocol.parser.throw(SecurityError(f"the answer is larger than {MAX_HANDSHAKE_SIZE} bytes"))
            self.transport.abort()
        elif self._answer_timer is None and (self.protocol.handshake_exc or is_decided(self._answer)):
            self._answer_timer = self.loop.call_later(REFUSAL_TIME, self.transport.abort)


def _failure_in(answer: bytes) -> Exception | None:
    """Return what an answer means that websockets cannot read, `None` if it only broke off."""
    if is_tls(answer):
        return SpeaksTlsError("the server answered with a TLS alert")
    if is_foreign(answer):
        return InvalidMessage("it was no HTTP")
    refusal = refusal_in(answer)
    return None if refusal is None else InvalidStatus(refusal)
