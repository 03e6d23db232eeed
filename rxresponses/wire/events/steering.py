"""What became of a message that steers a running response."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from ..base import Model, model
from .base import ServerEvent


@model
class Steer(Model):
    """A steering message that the server took, and the response it was for."""

    id: str | None = None
    previous_response_id: str | None = None


@model
class FailedSteer(Steer):
    """A steering message that the server did not take; `input` is plain JSON, to be sent again."""

    input: str | list[Any] | None = None


@model
class SteerError(Model):
    """Why a steering message failed."""

    code: str | None = None
    message: str | None = None
    type: str | None = None


@model
class SteerRequiredInput(Model):
    """A stub of an input item to be filled and sent; `type` says of which kind."""

    type: str
    call_id: str | None = None
    name: str | None = None
    execution: str | None = None
    approval_request_id: str | None = None


@model
class ResponseSteerAcceptedEvent(ServerEvent):
    """The server has the message and will act on it."""

    type: Literal["response.steer.accepted"] = "response.steer.accepted"
    steer: Steer


@model
class ResponseSteerPendingEvent(ServerEvent):
    """The message waits until a request brings `required_input`."""

    type: Literal["response.steer.pending"] = "response.steer.pending"
    steer: Steer
    reason: str | None = None
    required_input: list[SteerRequiredInput] = field(default_factory=list)


@model
class ResponseSteerFailedEvent(ServerEvent):
    """The message was not taken, and comes back in `steer.input`."""

    type: Literal["response.steer.failed"] = "response.steer.failed"
    steer: FailedSteer
    error: SteerError | None = None
