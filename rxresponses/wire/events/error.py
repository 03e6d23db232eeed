"""The error event, in both of its shapes on the wire."""

from __future__ import annotations

from typing import Literal

from ..base import Model, model
from ..models.response import Misalignment
from .base import REGISTRY, ServerEvent


@model
class ResponseErrorDetail(Model):
    """The error, in the frames that nest it in a field of its own."""

    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None
    headers: dict[str, str] | None = None
    misalignment: Misalignment | None = None


@model
class ResponseErrorEvent(ServerEvent):
    """A request or the connection failed.  Terminal.

    A frame of another server or of a gateway that can only be an error is such an event too, whatever its type.  The
    type `response.error` stays as it is.

    The fields are at the top level, also if the frame had them nested in `error`.  `status` is an HTTP status;
    `headers` may hold `retry-after`.
    """

    type: Literal["error", "response.error"] = "error"
    code: str | None = None
    message: str | None = None
    param: str | None = None
    status: int | None = None
    headers: dict[str, str] | None = None
    error: ResponseErrorDetail | None = None

    def __post_init__(self) -> None:
        if self.error is not None:
            for name in ("code", "message", "param", "headers"):
                if getattr(self, name) is None:
                    object.__setattr__(self, name, getattr(self.error, name))

    @property
    def error_type(self) -> str | None:
        """The type of the error, such as `invalid_request_error`; `None` if the frame has none."""
        return None if self.error is None else self.error.type


REGISTRY["response.error"] = ResponseErrorEvent
