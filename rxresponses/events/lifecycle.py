"""How a response comes and goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..models.response import Response
from .base import ServerEvent


@dataclass(frozen=True, kw_only=True)
class LifecycleEvent(ServerEvent):
    """Base of the events that carry the whole response."""

    response: Response


@dataclass(frozen=True, kw_only=True)
class ResponseCreatedEvent(LifecycleEvent):
    """The response exists; its id is known from here on."""

    type: Literal["response.created"] = "response.created"


@dataclass(frozen=True, kw_only=True)
class ResponseQueuedEvent(LifecycleEvent):
    """The response waits for its turn."""

    type: Literal["response.queued"] = "response.queued"


@dataclass(frozen=True, kw_only=True)
class ResponseInProgressEvent(LifecycleEvent):
    """The model is at work."""

    type: Literal["response.in_progress"] = "response.in_progress"


@dataclass(frozen=True, kw_only=True)
class ResponseCompletedEvent(LifecycleEvent):
    """The response is whole.  Terminal."""

    type: Literal["response.completed"] = "response.completed"


@dataclass(frozen=True, kw_only=True)
class ResponseFailedEvent(LifecycleEvent):
    """The response failed; `response.error` says why.  Terminal."""

    type: Literal["response.failed"] = "response.failed"


@dataclass(frozen=True, kw_only=True)
class ResponseIncompleteEvent(LifecycleEvent):
    """The response was cut short; `response.incomplete_details` says why.  Terminal."""

    type: Literal["response.incomplete"] = "response.incomplete"
