"""Every error of the package: one tree, with the facts in attributes and a text made from them.

An error of a request also says what the server can have seen of the request: see `Delivery`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

from .error_event import ErrorEvent
from .headers import Headers
from .required_input import RequiredInput

Delivery: TypeAlias = Literal["not_sent", "rejected", "unknown", "started"]
"""What the client knows of a request that has failed.

`not_sent`: its frame was never written.  `rejected`: the server refused it before any output.  `unknown`: its frame
was written, or may have been, and nothing came back.  `started`: the server had begun to answer.
"""


class ResponsesError(Exception):
    """Base of every error that this package raises or passes to `on_error`.

    `tries` is the number of tries of the request, if `retry_with_backoff` passed the error on; else `None`.
    `attempts` are the choices that `fallback` has tried, each with its error, if it passed the error on.
    """

    tries: int | None = None
    attempts: tuple[tuple[str, Exception], ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # `copy` and `pickle` would call `__init__` with `args`, which has only the text and none of the keywords.
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[ResponsesError], args: tuple[Any, ...]) -> ResponsesError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class DecodeError(ResponsesError, ValueError):
    """JSON data do not fit the class they are read into; the text names the class and the field."""


class FrameError(DecodeError):
    """A frame is not one JSON object; `frame` holds it as received."""

    def __init__(self, reason: str, frame: bytes | str) -> None:
        super().__init__(f"the frame is no JSON object: {reason}")
        self.frame = frame


class InvalidRequestError(ResponsesError, ValueError):
    """A request is invalid, so nothing was sent; `field` names the part to correct."""

    delivery: Delivery = "not_sent"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ConfigurationError(ResponsesError, ValueError):
    """URL, credentials or options cannot be used as given, so nothing was connected or sent."""

    delivery: Delivery = "not_sent"


class RequestError(ResponsesError):
    """A valid request did not reach its terminal event; `delivery` says what the server can have seen of it.

    `response_id` and `stream_id` are those of its response and its lane, `None` where they are not known.
    """

    def __init__(
        self, message: str, *, delivery: Delivery, response_id: str | None = None, stream_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.delivery: Delivery = delivery
        self.response_id = response_id
        self.stream_id = stream_id


class LaneLimitError(RequestError):
    """A connection takes 32 distinct lane names in its life, and the request names one more."""


class QueueFullError(RequestError):
    """`max_queued` requests wait in the client already, so it refuses this one."""


class BudgetExceededError(RequestError):
    """A `Budget` has no room for the request, so nothing was sent; never retried.

    `unit` is "usd", "tokens" or "requests", `None` after `Budget.stop`; `limit` and `spent` are in this unit.
    """

    def __init__(self, message: str, *, unit: str | None, limit: float, spent: float) -> None:
        super().__init__(message, delivery="not_sent")
        self.unit, self.limit, self.spent = unit, limit, spent


class PreviousResponseLostError(RequestError):
    """The response that a request continues or steers is not stored, and no open connection holds it.

    `previous_response_id` is its id.  Nothing was sent, since the server would not find the response either.
    """

    def __init__(self, message: str, *, previous_response_id: str, stream_id: str | None = None) -> None:
        super().__init__(message, delivery="not_sent", stream_id=stream_id)
        self.previous_response_id = previous_response_id


class SocketClosedError(RequestError):
    """The program called `close()` or `drain()`, before the request or while it ran."""


class ConnectionLostError(RequestError):
    """The connection was lost before the terminal event.

    `close_code` and `close_reason` are those of the close frame; without one the code is 1006.  `code` is the code of
    the `error` event that announced the end, if one did.  The transport's own exception is `__cause__`.
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
        self.close_code, self.close_reason, self.code = close_code, close_reason, code


class MessageTooBigError(ConnectionLostError):
    """A message was too long: for the server, or for `max_message_size`.  Never retried: it would fail again."""


class PongTimeoutError(ConnectionLostError):
    """The peer answered no ping for `ping_timeout` seconds, so the client ended the connection."""


class ConnectFailedError(RequestError):
    """No connection could be made, so nothing was sent.

    If the server or a proxy refused, `status` and `headers` are those of its answer, `code` and `type` those of the
    error in the body; else they are `None`.  Names of headers are found in any case.  `__cause__` is the transport's.
    `retry_after` and `resets_at` are those of `ResponseFailedError`.
    `lasting` says that another try would fail in the same way, until something is changed: the text says what.  As
    with a status that does not pass, such as 401, no retry of this package is made then.
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
        retry_after: float | None = None,
        resets_at: float | None = None,
        lasting: bool = False,
    ) -> None:
        super().__init__(message, delivery="not_sent", stream_id=stream_id)
        self.lasting = lasting
        self.status = status
        self.code = code
        self.type = type
        self.headers: Mapping[str, str] = Headers(headers or {})
        self.retry_after = retry_after
        self.resets_at = resets_at


class ConnectTimeoutError(ConnectFailedError, TimeoutError):
    """The handshake took longer than `connect_timeout` seconds."""


class ResponseFailedError(RequestError):
    """The server ended the response with `response.failed` or `error`, or refused a steer.

    Emitted by the operators that reduce events to other values.  `event` is the server's event, without secrets that
    the server sent back; that of a refused steer has the steer's input: `event.steer.input`.  `code`, `type`, `status`,
    `param` and `headers` are the server's, `None` or empty where it gave none.  Names of headers are found in any case.

    `without_output` says that the response in the event has no output and no usage, and that no output came before: if
    the server was at a limit, the request may be repeated.  `retry_after` is the wait in seconds that the error itself
    asks for, in a field or in its message.  `resets_at` is the time in seconds since 1970 at which a limit is renewed.
    """

    def __init__(
        self,
        message: str,
        *,
        delivery: Delivery,
        event: ErrorEvent,
        code: str | None = None,
        type: str | None = None,
        status: int | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        response_id: str | None = None,
        stream_id: str | None = None,
        without_output: bool = False,
        retry_after: float | None = None,
        resets_at: float | None = None,
    ) -> None:
        super().__init__(message, delivery=delivery, response_id=response_id, stream_id=stream_id)
        self.event = event
        self.code, self.type, self.status, self.param = code, type, status, param
        self.headers: Mapping[str, str] = Headers(headers or {})
        self.without_output = without_output
        self.retry_after, self.resets_at = retry_after, resets_at


class UnreadableResponseError(RequestError, DecodeError):
    """The terminal event came, but the response in it cannot be read.

    Emitted by the operators that need this response.  `event` is the event; its `raw` is the frame as received.
    """

    def __init__(
        self, message: str, *, event: ErrorEvent, response_id: str | None = None, stream_id: str | None = None
    ) -> None:
        super().__init__(message, delivery="started", response_id=response_id, stream_id=stream_id)
        self.event = event


class SteerPendingError(RequestError):
    """The server accepted a steer, but needs the outputs of function calls before it answers.

    Emitted by the operators that reduce events to other values, for the event `response.steer.pending` (`event`).
    To get the answer, send one `ResponseCreate` that continues `response_id` on its lane, with the stubs of
    `required_input` filled in; there are none if they could not be read.  The server keeps the input of the steer.
    """

    def __init__(
        self,
        required_input: Sequence[RequiredInput],
        *,
        event: ErrorEvent,
        response_id: str | None = None,
        stream_id: str | None = None,
    ) -> None:
        stubs = ", ".join(
            " ".join(filter(None, (stub.type, stub.call_id or stub.approval_request_id))) for stub in required_input
        )
        super().__init__(
            f"the server needs the outputs of function calls{f' ({stubs})' if stubs else ''} before it answers the "
            "steer: send one ResponseCreate that continues the response on its lane, with `required_input` filled in; "
            "the server keeps the input of the steer",
            delivery="started",
            response_id=response_id,
            stream_id=stream_id,
        )
        self.required_input = tuple(required_input)
        self.event = event


class ResponseTimeoutError(RequestError, TimeoutError):
    """A request took longer than a timeout of `seconds`: base of the errors of all timeouts.

    The timeouts of `ConnectionOptions` know whether the request was sent (`QueueTimeoutError`: it was not).  The
    operators with a timeout do not, so with `delivery` `unknown` their request may never have been sent.
    """

    _text: ClassVar[str] = "no answer within {seconds:g} s; allow more time"
    _text_for: ClassVar[Mapping[Delivery, str]] = {}  # texts for single values of `delivery`, in place of `_text`

    def __init__(
        self, seconds: float, *, delivery: Delivery, response_id: str | None = None, stream_id: str | None = None
    ) -> None:
        text = self._text_for.get(delivery, self._text)
        super().__init__(text.format(seconds=seconds), delivery=delivery, response_id=response_id, stream_id=stream_id)
        self.seconds = seconds


class TerminalTimeoutError(ResponseTimeoutError):
    """No terminal event came within `seconds`."""

    _text = (
        "no terminal event within {seconds:g} s; the client gave the request up, and the server may still be working "
        "on it: allow more time, or ask for a shorter answer"
    )
    _text_for: ClassVar[Mapping[Delivery, str]] = {
        "unknown": (
            "no terminal event within {seconds:g} s, and no other event either; the client gave the request up: it "
            "may still have waited in the client for a connection or its lane, or for another try after a rate limit "
            "or a lost connection, or the server may be working on it; allow more time, set `queue_timeout`, whose "
            "error says why a request was not sent, or watch `paused_for` in the `state` of the client"
        )
    }


class FirstEventTimeoutError(ResponseTimeoutError):
    """No event at all came within `seconds`."""

    _text = (
        "no event at all within {seconds:g} s; the client gave the request up, and the server may still answer it: "
        "allow more time, or, if the request may run twice, send it again on another lane or connection, since its "
        "own lane may be busy until that answer has ended"
    )


class IdleTimeoutError(ResponseTimeoutError):
    """No event came for `seconds`, before the terminal event."""

    _text = (
        "no event for {seconds:g} s before the terminal event; the client gave the request up, and the server may "
        "still be working on it: allow longer pauses, or, if the request may run twice, send it again on another lane "
        "or connection, since its own lane may be busy until that response has ended"
    )
    _text_for: ClassVar[Mapping[Delivery, str]] = {
        "unknown": (
            "no event at all for {seconds:g} s; the client gave the request up: it may still have waited in the client "
            "for a connection or its lane, or the server may be working on it; allow more time, or use the option "
            "`idle_timeout` of the connection, which counts the pauses within a response only"
        )
    }


class QueueTimeoutError(ResponseTimeoutError):
    """A request waited in this client's queue for `seconds`, and was never sent.

    The text says why.  If no connection could be made, or the server reported a rate limit, that is `__cause__`.
    """

    _text = (
        "the request waited {seconds:g} s in the client, for its lane or for fewer responses on the connection; it was "
        "not sent, so it may be sent again: use another lane or connection, or allow more time"
    )

    def __init__(self, seconds: float, *, stream_id: str | None = None, why: str | None = None) -> None:
        super().__init__(seconds, delivery="not_sent", stream_id=stream_id)
        self.why = why
        if why is not None:
            told = "it was not sent, so it may be sent again: wait until that is over, or allow more time"
            self.args = (f"the request waited {seconds:g} s in the client: {why}; {told}",)


class SteerTimeoutError(ResponseTimeoutError):
    """The server did not answer a steer within `seconds` (`delivery` `unknown`): some servers ignore steers.

    Or it accepted the steer and ended the steered response, and none followed within `seconds` (`started`).
    """

    _text = (
        "the server did not answer the steer within {seconds:g} s, and may not support steering: the response goes on, "
        "with or without the new input; send the input as a request of its own if the model must get it"
    )
    _text_for: ClassVar[Mapping[Delivery, str]] = {
        "started": (
            "the server accepted the steer and the steered response has ended, but no response followed within "
            "{seconds:g} s; the client gave the steer up, and ignores a response that follows later: allow more time, "
            "or, if the input may be answered twice, send it as a request of its own, best on another lane"
        )
    }


class ObserverExitError(ResponsesError):
    """An observer, a tool or an `api_key` function raised an exception that is no `Exception`, such as `SystemExit`.

    The stream ends with this error.  The exception is its `__cause__`, except that of an `api_key` function, which may
    quote the key.  On an event loop of the program, `SystemExit` and `KeyboardInterrupt` leave the loop as well.
    """


class BufferOverflowError(RequestError):
    """The consumer fell behind by more than `max_buffered`, so its stream was ended.

    `unit` is the unit of `max_buffered`: "values", or "bytes" where the consumer is on another event loop.
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
            f"more than {max_buffered} {unit} waited for the consumer, so its stream was ended: consume faster, raise "
            "`max_buffered`, or give the stream a connection of its own, which is paused instead",
            delivery=delivery,
            response_id=response_id,
            stream_id=stream_id,
        )
        self.max_buffered = max_buffered
        self.unit = unit
