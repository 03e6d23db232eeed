"""Events of the beginning and the end of a response."""

from __future__ import annotations

from typing import Literal

from ..base import model
from ..models.response import Response
from .base import REGISTRY, ServerEvent


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


@model
class ResponseDoneEvent(LifecycleEvent):
    """The response has ended; `response.status` says how.  Terminal.

    Some servers end every response with it, others send it behind another terminal event.  An event of a type that is
    not known is such an event too if the status of its response says that the response has ended.
    """

    type: Literal["response.done"] = "response.done"


@model
class ResponseCancelledEvent(LifecycleEvent):
    """The response was cancelled at the server.  Terminal."""

    type: Literal["response.cancelled", "response.canceled"] = "response.cancelled"


REGISTRY["response.canceled"] = ResponseCancelledEvent
