"""The errors that requests get when their connection ends."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from websockets.datastructures import Headers
from websockets.http11 import Response

from ..errors import ConnectionLostError, MessageTooBigError, PongTimeoutError, SocketClosedError
from ..known_secrets import Secrets
from ..protocol.request import ProtocolSteer
from ..redaction import clear_locals, error_text, linked_errors
from ..wire.events.base import ServerEvent
from ..wire.fields import error_field
from ..wire.redacted import without_secrets
from .request import RequestSubscription
from .transport import TOO_MANY_FRAGMENTS, ConnectionEnd

E = TypeVar("E", bound=BaseException)

_MESSAGE_TOO_BIG = 1009

# What the end of the connection means for a request, and what the caller can do, by the request's `delivery`.
_CONSEQUENCES = {
    "not_sent": "the request was never sent, so it can be sent again",
    "rejected": "the server refused the request",
    "unknown": (
        "the request was sent and nothing came back: the server may or may not have acted on it, so send it again "
        "only if doing it twice does no harm"
    ),
    "started": (
        "the response had begun: the rest of it is lost, and it may be billed; sending the request again starts a new "
        "response"
    ),
}
_STEER_ACCEPTED = (
    "the server had accepted the steer and may or may not have acted on it, so send the input again only if doing it "
    "twice does no harm"
)


def _consequence(request: RequestSubscription) -> str:
    if isinstance(request, ProtocolSteer) and request.delivery == "started" and request.response_id is None:
        return _STEER_ACCEPTED
    return _CONSEQUENCES[request.delivery]


def without_secrets_in_end(end: ConnectionEnd, secrets: Secrets) -> ConnectionEnd:
    """Return the end of a connection with the secrets hidden that the peer has sent back in it."""
    cause = None if end.cause is None else hide_in_error(end.cause, secrets)
    return dataclasses.replace(end, reason=secrets.hide(end.reason), cause=cause)


def lost_error(request: RequestSubscription, end: ConnectionEnd) -> ConnectionLostError:
    """Return the error of a request whose connection was closed, by either side, or broke off."""
    kind = ConnectionLostError
    advice = _consequence(request)
    # Close code 1009.  From the server, it refuses a message of this side: a request without an answer yet.
    # From this side, it refuses a message of the server: for any request that was sent.
    concerned = request.delivery == "unknown" if end.by_peer else request.delivery != "not_sent"
    if end.code == _MESSAGE_TOO_BIG and concerned:
        kind = MessageTooBigError
        advice = (
            "the request is larger than the server takes: make it smaller, for example by sending files by their id or "
            "URL"
            if end.by_peer
            else advice
            if end.reason == TOO_MANY_FRAGMENTS
            else "a message of the server exceeded `max_message_size`: raise this option if you expect messages that "
            "large"
        )
    error = kind(
        f"{end} before the terminal event; {advice}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
        close_code=end.code,
        close_reason=end.reason,
    )
    error.__cause__ = end.cause
    return error


def pong_timeout_error(request: RequestSubscription, timeout: float) -> PongTimeoutError:
    """Return the error of a request whose connection was given up because a ping was not answered."""
    return PongTimeoutError(
        f"the server did not answer a ping within {timeout:g} s, so the connection is dead; {_consequence(request)}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
        close_code=1006,
    )


def closed_by_disposal_error(request: RequestSubscription) -> ConnectionLostError:
    """Return the error of a request whose connection was closed to stop another request on it."""
    return ConnectionLostError(
        "another request on this connection was cancelled, which closes the connection because of on_dispose='close' "
        "(that request was disposed, timed out, or its consumer lagged or raised an exception); "
        f"{_consequence(request)}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
    )


def closed_by_server_error(request: RequestSubscription, event: ServerEvent) -> ConnectionLostError:
    """Return the error of a request whose connection the server ends by an `error` event."""
    event = without_secrets(event)
    code, message = (error_text(error_field(event, name) or "") for name in ("code", "message"))
    why = ": ".join(filter(None, (code, message)))
    return ConnectionLostError(
        f"the server ends this connection ({why}); {_consequence(request)}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
        code=code or None,
    )


def closed_error(request: RequestSubscription) -> SocketClosedError:
    """Return the error of a request that `close()` or `drain()` ended, or kept from being sent."""
    return SocketClosedError(
        f"closed here, by `close()` or `drain()`, before the terminal event; {_consequence(request)}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
    )


def hide_in_error(error: E, secrets: Secrets) -> E:
    """Hide secrets in all texts that an exception of the transport holds, its causes included; return the exception.

    The peer's answer is among them: reasons, headers, and the body of a refusal, which some servers fill with the key
    that they refuse.
    """
    for linked in linked_errors(clear_locals(error)):
        linked.args = tuple(_hidden(value, secrets) for value in linked.args)
        for name, value in vars(linked).items():
            setattr(linked, name, _hidden(value, secrets))
    return error


def _hidden(value: Any, secrets: Secrets) -> Any:
    if isinstance(value, str):
        return secrets.hide(value)
    if isinstance(value, (bytes, bytearray)):
        return secrets.hide_bytes(bytes(value))
    if isinstance(value, Response):
        value.reason_phrase = secrets.hide(value.reason_phrase)
        value.headers = Headers([(secrets.hide(name), secrets.hide(text)) for name, text in value.headers.raw_items()])
        value.body = _hidden(value.body, secrets)
    return value
