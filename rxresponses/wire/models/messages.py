"""Output items that the model says or thinks: messages, reasoning, compaction."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from ..base import Model, model
from .content import OutputContent, ReasoningPart, SummaryPart


@model
class ResponseOutputMessage(Model):
    """What the model says; `phase` tells commentary on the way from the final answer."""

    type: Literal["message"] = "message"
    id: str | None = None
    content: list[OutputContent] = field(default_factory=list)
    role: str | None = None
    status: str | None = None
    phase: str | None = None


@model
class ResponseReasoningItem(Model):
    """How the model got there; to be sent back when the conversation is kept by the client."""

    type: Literal["reasoning"] = "reasoning"
    id: str | None = None
    summary: list[SummaryPart] = field(default_factory=list)
    content: list[ReasoningPart] | None = None
    encrypted_content: str | None = None
    status: str | None = None


@model
class ResponseCompactionItem(Model):
    """Earlier turns, compacted into a form that only the server reads."""

    type: Literal["compaction"] = "compaction"
    id: str | None = None
    encrypted_content: str | None = None
    created_by: str | None = None


@model
class AdditionalTools(Model):
    """Tools that came into play during the response, as they were defined."""

    type: Literal["additional_tools"] = "additional_tools"
    id: str | None = None
    role: str | None = None
    tools: list[Any] = field(default_factory=list)
