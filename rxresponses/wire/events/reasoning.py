"""Events of the model's reasoning and of its summary."""

from __future__ import annotations

from typing import Literal

from ..base import model
from ..models.content import SummaryPart
from .base import ContentEvent, ItemEvent


@model
class ResponseReasoningTextDeltaEvent(ContentEvent):
    """The next characters of the reasoning."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    delta: str


@model
class ResponseReasoningTextDoneEvent(ContentEvent):
    """A part of the reasoning is complete."""

    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    text: str


@model
class SummaryEvent(ItemEvent):
    """Base of the events about one part of a reasoning summary."""

    summary_index: int | None = None


@model
class ResponseReasoningSummaryPartAddedEvent(SummaryEvent):
    """A part of the summary begins."""

    type: Literal["response.reasoning_summary_part.added"] = "response.reasoning_summary_part.added"
    part: SummaryPart


@model
class ResponseReasoningSummaryPartDoneEvent(SummaryEvent):
    """A part of the summary ends; `status` is `incomplete` if it ended early."""

    type: Literal["response.reasoning_summary_part.done"] = "response.reasoning_summary_part.done"
    part: SummaryPart
    status: str | None = None


@model
class ResponseReasoningSummaryTextDeltaEvent(SummaryEvent):
    """The next characters of a part of the summary."""

    type: Literal["response.reasoning_summary_text.delta"] = "response.reasoning_summary_text.delta"
    delta: str


@model
class ResponseReasoningSummaryTextDoneEvent(SummaryEvent):
    """The text of a part of the summary is complete."""

    type: Literal["response.reasoning_summary_text.done"] = "response.reasoning_summary_text.done"
    text: str
