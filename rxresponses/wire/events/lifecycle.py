"""Events of the beginning and the end of a response."""

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
    """The response exists; this event is the first with its id."""

    type: Literal["response.created"] = "response.created"


@model
class ResponseQueuedEvent(LifecycleEvent):
    """The response waits at the server."""

    type: Literal["response.queued"] = "response.queued"


@model
class ResponseInProgressEvent(LifecycleEvent):
    """The model works on the response."""

    type: Literal["response.in_progress"] = "response.in_progress"


@model
class ResponseCompletedEvent(LifecycleEvent):
    """The response is complete.  Terminal."""

    type: Literal["response.completed"] = "response.completed"


@model
class ResponseFailedEvent(LifecycleEvent):
    """The response failed; `response.error` says why.  Terminal."""

    type: Literal["response.failed"] = "response.failed"


@model
class ResponseIncompleteEvent(LifecycleEvent):
    """The response ended early; `response.incomplete_details` says why.  Terminal."""

    type: Literal["response.incomplete"] = "response.incomplete"
