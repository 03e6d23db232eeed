"""How a response comes and goes."""

from __future__ import annotations

from typing import Literal

from ..base import model
from ..models.response import Response
from .base import ServerEvent


@model
class LifecycleEvent(ServerEvent):
    """Base of the events that carry the whole response."""

    response: Response


@model
class ResponseCreatedEvent(LifecycleEvent):
    """The response exists; its id is known from here on."""

    type: Literal["response.created"] = "response.created"


@model
class ResponseQueuedEvent(LifecycleEvent):
    """The response waits for its turn."""

    type: Literal["response.queued"] = "response.queued"


@model
class ResponseInProgressEvent(LifecycleEvent):
    """The model is at work."""

    type: Literal["response.in_progress"] = "response.in_progress"


@model
class ResponseCompletedEvent(LifecycleEvent):
    """The response is whole.  Terminal."""

    type: Literal["response.completed"] = "response.completed"


@model
class ResponseFailedEvent(LifecycleEvent):
    """The response failed; `response.error` says why.  Terminal."""

    type: Literal["response.failed"] = "response.failed"


@model
class ResponseIncompleteEvent(LifecycleEvent):
    """The response was cut short; `response.incomplete_details` says why.  Terminal."""

    type: Literal["response.incomplete"] = "response.incomplete"
