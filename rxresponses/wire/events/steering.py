"""Events that answer a steer: new input for a running response."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from ..base import Model, model
from .base import ServerEvent


@model
class Steer(Model):
    """A steer that the server accepted, and the response that it steers."""

    id: str | None = None
    previous_response_id: str | None = None


@model
class FailedSteer(Steer):
    """A steer that the server refused; `input` is its input as plain JSON, to send again."""

    input: str | list[Any] | None = None


@model
class SteerError(Model):
    """Why a steer failed."""

    code: str | None = None
    message: str | None = None
    type: str | None = None


@model
class SteerRequiredInput(Model):
    """A stub of an input item, to fill in and send; `type` is the type of the item."""

    type: str
    call_id: str | None = None
    name: str | None = None
    execution: str | None = None
    approval_request_id: str | None = None


@model
class ResponseSteerAcceptedEvent(ServerEvent):
    """The server accepted the steer and will act on it."""

    type: Literal["response.steer.accepted"] = "response.steer.accepted"
    steer: Steer


@model
class ResponseSteerPendingEvent(ServerEvent):
    """The steer waits for a request that brings the items of `required_input`."""

    type: Literal["response.steer.pending"] = "response.steer.pending"
    steer: Steer
    reason: str | None = None
    required_input: list[SteerRequiredInput] = field(default_factory=list)


@model
class ResponseSteerFailedEvent(ServerEvent):
    """The server refused the steer, and returns its input in `steer.input`."""

    type: Literal["response.steer.failed"] = "response.steer.failed"
    steer: FailedSteer
    error: SteerError | None = None
