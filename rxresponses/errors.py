"""Every error of the package: one tree, the facts in attributes, the text made from them.

What went wrong with a request also says what the server can have seen of it: see `Delivery`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from .headers import Headers

Delivery: TypeAlias = Literal["not_sent", "rejected", "unknown", "started"]
"""What is known of a request when it fails.

`not_sent`: the frame was never written; `rejected`: the server refused it before any output;
`unknown`: it was written, or may have been, and nothing came back; `started`: the server had begun to answer.
"""


class ResponsesError(Exception):
    """Base of every error that this package raises or hands to `on_error`.

    `tries` is how often it was tried, where `retry_with_backoff` handed the error on, else `None`.
    """

    tries: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # For copies and for other processes: `args` is only the text, without the keywords of `__init__`.
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[ResponsesError], args: tuple[Any, ...]) -> ResponsesError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class DecodeError(ResponsesError, ValueError):
    """JSON does not fit the class it should become; `str()` names the class and the field."""


class FrameError(DecodeError):
    """A frame is not one JSON object; `frame` holds it as received."""

    def __init__(self, reason: str, frame: bytes | str) -> None:
        super().__init__(f"the frame is no JSON object: {reason}")
        self.frame = frame


class InvalidRequestError(ResponsesError, ValueError):
    """A request is wrong in itself, so nothing was sent; `field` names the part to correct."""

    delivery: Delivery = "not_sent"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ConfigurationError(ResponsesError, ValueError):
    """URL, credentials or options cannot be used as given; nothing was connected or sent."""

    delivery: Delivery = "not_sent"


class RequestError(ResponsesError):
    """A request that was accepted from the caller did not reach its terminal event.

    `delivery` is what is known of it; `response_id` and `stream_id` say which one it was.
    """

    def __init__(
        self,
        message: str,
        *,
        delivery: Delivery,
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.delivery: Delivery = delivery
        self.response_id = response_id
        self.stream_id = stream_id


class LaneLimitError(RequestError):
    """A connection takes 32 distinct lane names in its life, and this would be one more."""


class QueueFullError(RequestError):
    """As many requests as `max_queued` allows wait in the client, and this would be one more."""


class PreviousResponseLostError(RequestError):
    """The response that a request continues, or steers, is on no connection, and is not stored.

    `previous_response_id` names it.  Nothing was sent: the server could not have known it either.
    """

    def __init__(self, message: str, *, previous_response_id: str, stream_id: str | None = None) -> None:
        super().__init__(message, delivery="not_sent", stream_id=stream_id)
        self.previous_response_id = previous_response_id


class SocketClosedError(RequestError):
    """This side closed, by `close()` or `drain()`, now or before: what is closed sends nothing any more."""


class ConnectionLostError(RequestError):
    """The connection went away before the terminal event.

    `close_code` and `close_reason` are those of the close frame, 1006 when there was none;
    `code` is the server's error code when it announced the end with an `error` event.
    The transport's own exception is `__cause__`.
    """

    def __init__(
        self,
        message: str,
        *,
        delivery: Delivery,
        response_id: str | None = None,
        stream_id: str | None = None,
        close_code: int | None = None,
        close_reason: str = "",
        code: str | None = None,
    ) -> None:
        super().__init__(message, delivery=delivery, response_id=response_id, stream_id=stream_id)
        self.close_code = close_code
        self.close_reason = close_reason
        self.code = code


class MessageTooBigError(ConnectionLostError):
    """A message exceeded a limit: the server's own for a request, or `max_message_size` here.

    Sending the same again would end the same, so it is never retried.
    """


class PongTimeoutError(ConnectionLostError):
    """The peer answered no ping for `ping_timeout`, so the connection was given up as dead."""


class ConnectFailedError(RequestError):
    """No connection could be made, so nothing was sent.

    `status` and `headers` are those of a refused upgrade, else `None` and empty; headers are found in any
    case.  `code` and `type` are those of the error in its body, `None` where it gave none.  The transport's
    own exception is `__cause__`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
        type: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        super().__init__(message, delivery="not_sent", stream_id=stream_id)
        self.status = status
        self.code = code
        self.type = type
        self.headers: Mapping[str, str] = Headers(headers or {})


class ConnectTimeoutError(ConnectFailedError, TimeoutError):
    """The handshake was not done within `connect_timeout`."""


class ResponseFailedError(RequestError):
    """The server ended the response with `response.failed` or `error`, or refused a steer.

    Raised by the operators that reduce events to something else.  `code`, `type`, `status`,
    `param` and `headers` are the server's, `None` or empty where it gave none; headers are found in
    any case.  `event` is the event itself.  That of a refused steer, `response.steer.failed`, brings back
    the input: `event.steer.input`.
    """

    def __init__(
        self,
        message: str,
        *,
        delivery: Delivery,
        event: object,
        code: str | None = None,
        type: str | None = None,
        status: int | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        super().__init__(message, delivery=delivery, response_id=response_id, stream_id=stream_id)
        self.event = event
        self.code = code
        self.type = type
        self.status = status
        self.param = param
        self.headers: Mapping[str, str] = Headers(headers or {})


class UnreadableResponseError(RequestError, DecodeError):
    """The terminal event came, but the response in it, which was asked for, cannot be read.

    Raised by the operators that reduce events to something else.  `event` is the event, with all that came.
    """

    def __init__(
        self, message: str, *, event: object, response_id: str | None = None, stream_id: str | None = None
    ) -> None:
        super().__init__(message, delivery="started", response_id=response_id, stream_id=stream_id)
        self.event = event


class RequiredInput(Protocol):
    """A stub of an input item that the server waits for; `SteerRequiredInput` is the class of these stubs."""

    @property
    def type(self) -> str:
        """The type of the input item."""

    @property
    def call_id(self) -> str | None:
        """The id of the call that the item answers."""

    @property
    def name(self) -> str | None:
        """The name of the function that was called."""

    @property
    def execution(self) -> str | None:
        """Where the call is executed, for calls that know several places."""

    @property
    def approval_request_id(self) -> str | None:
        """The id of the approval request that the item answers."""


class SteerPendingError(RequestError):
    """A steer was taken, but its answer waits for a request of this side: `response.steer.pending`.

    Raised by the operators that reduce events to something else.  To have the answer, send one
    `ResponseCreate` that continues `response_id` on its lane, with `required_input` filled in: these are
    stubs of the outputs that the server waits for, empty where they could not be read.  The server keeps
    the input of the steer itself.  `event` is the event.
    """

    def __init__(
        self,
        required_input: Sequence[RequiredInput],
        *,
        event: object,
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        stubs = ", ".join(
            " ".join(filter(None, (one.type, one.call_id or one.approval_request_id))) for one in required_input
        )
        super().__init__(
            f"the response waits for the outputs of function calls{f' ({stubs})' if stubs else ''} before it answers "
            "the steer: send one ResponseCreate that continues it on its lane, with `required_input` filled in; "
            "the server has the input of the steer",
            delivery="started",
            response_id=response_id,
            stream_id=stream_id,
        )
        self.required_input = tuple(required_input)
        self.event = event


class ResponseTimeoutError(RequestError, TimeoutError):
    """A request took longer than the `seconds` it was given: base of the clocks' own errors.

    Those of the operators cannot see whether a request was sent: their `unknown` may be one that still
    waited here.  The clocks of `ConnectionOptions` know, and tell `QueueTimeoutError` of it.
    """

    _what: ClassVar[str] = "no answer within {seconds:g} s; allow more time"
    _what_when: ClassVar[Mapping[Delivery, str]] = {}  # for a `delivery` that means something else

    def __init__(
        self,
        seconds: float,
        *,
        delivery: Delivery,
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        text = self._what_when.get(delivery, self._what)
        super().__init__(text.format(seconds=seconds), delivery=delivery, response_id=response_id, stream_id=stream_id)
        self.seconds = seconds


class TerminalTimeoutError(ResponseTimeoutError):
    """No terminal event came within `seconds`."""

    _what = (
        "no terminal event within {seconds:g} s; the request was given up here, the server may still be "
        "working on it: allow more time, or ask for a shorter answer"
    )
    _what_when: ClassVar[Mapping[Delivery, str]] = {
        "unknown": (
            "no terminal event within {seconds:g} s, nor any other; the request was given up here, where it may still "
            "have waited for a connection or its lane, or the server may be working on it: allow more time, or set "
            "`queue_timeout` to tell the two apart"
        )
    }


class FirstEventTimeoutError(ResponseTimeoutError):
    """Not one event came within `seconds`."""

    _what = (
        "no event at all within {seconds:g} s; the request was given up here, the server may have it and still "
        "answer it: allow more time, or, if doing it twice does no harm, send it again on another lane or connection, "
        "since its own lane may be taken until that answer has ended"
    )


class IdleTimeoutError(ResponseTimeoutError):
    """No event came for `seconds`, and the terminal one had not come yet."""

    _what = (
        "nothing came for {seconds:g} s before the terminal event; the request was given up here, the server may "
        "still be working on it: allow longer pauses, or, if doing it twice does no harm, send it again on another "
        "lane or connection, since its own lane may be taken until that response has ended"
    )
    _what_when: ClassVar[Mapping[Delivery, str]] = {
        "unknown": (
            "nothing came at all for {seconds:g} s; the request was given up here, where it may still have waited for "
            "a connection or its lane, or the server may be working on it: allow more time, or use the option "
            "`idle_timeout` of the connection, which counts within a response"
        )
    }


class QueueTimeoutError(ResponseTimeoutError):
    """A request waited for `seconds` in this client's queue, and was never sent."""

    _what = (
        "waited {seconds:g} s here for its lane or a free slot; nothing was sent, so it may be sent again: "
        "use another lane or connection, or allow more time"
    )

    def __init__(self, seconds: float, *, stream_id: str | None = None) -> None:
        super().__init__(seconds, delivery="not_sent", stream_id=stream_id)


class SteerTimeoutError(ResponseTimeoutError):
    """A steer waited for `seconds` for its answer, or, accepted and its target ended, for its response to begin.

    `delivery` tells which: `unknown`, or `started`.  Some servers ignore what they do not know.
    """

    _what = (
        "the server did not answer the steer within {seconds:g} s, and may not know steering: the response goes on "
        "as it was, or with the new input; send the input as a request of its own if it must be heard"
    )
    _what_when: ClassVar[Mapping[Delivery, str]] = {
        "started": (
            "the server accepted the steer and the steered response has ended, but none followed within {seconds:g} s; "
            "the steer was given up here, and a response that follows later is swallowed: allow more time, or send the "
            "input as a request of its own, best on another lane, if doing it twice does no harm"
        )
    }


class ObserverExitError(ResponsesError):
    """An observer raised what is no `Exception`, such as `SystemExit`: its stream ends with this instead.

    What it raised is `__cause__`.  On an event loop of the program it goes on out of the loop as well.
    """


def as_exception(raised: BaseException) -> Exception:
    """Return what the stream of an observer that raised ends with."""
    if isinstance(raised, Exception):
        return raised
    error = ObserverExitError(
        f"an observer raised {raised!r}, so its stream was ended here; to end the program from a callback, end the "
        "stream, and exit where it is waited for"
    )
    error.__cause__ = raised
    return error


class BufferOverflowError(RequestError):
    """The consumer fell behind by more than `max_buffered`, so its stream was ended.

    `unit` says of what: "values", or "bytes" where the consumer is on another event loop.
    """

    def __init__(
        self,
        max_buffered: int,
        *,
        unit: str = "values",
        delivery: Delivery = "started",
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        super().__init__(
            f"more than {max_buffered} {unit} waited for their consumer, so its stream was ended here; "
            "consume faster, raise max_buffered, or give it a connection of its own, which is paused instead",
            delivery=delivery,
            response_id=response_id,
            stream_id=stream_id,
        )
        self.max_buffered = max_buffered
        self.unit = unit
