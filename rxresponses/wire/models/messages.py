"""Output items of the model itself: messages, reasoning, compaction."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from ..base import Model, model
from .content import OutputContent, ReasoningPart, SummaryPart


@model
class ResponseOutputMessage(Model):
    """A message of the model; `phase` is `commentary` on the way, `final_answer` at the end."""

    type: Literal["message"] = "message"
    id: str | None = None
    content: list[OutputContent] = field(default_factory=list)
    role: str | None = None
    status: str | None = None
    phase: str | None = None


@model
class ResponseReasoningItem(Model):
    """The model's reasoning; a client that keeps the conversation itself sends it back as input."""

    type: Literal["reasoning"] = "reasoning"
    id: str | None = None
    summary: list[SummaryPart] = field(default_factory=list)
    content: list[ReasoningPart] | None = None
    encrypted_content: str | None = None
    status: str | None = None


@model
class ResponseCompactionItem(Model):
    """Earlier turns of the conversation, compacted into a form that only the server can read."""

    type: Literal["compaction"] = "compaction"
    id: str | None = None
    encrypted_content: str | None = None
    created_by: str | None = None


@model
class AdditionalTools(Model):
    """Definitions of tools that were added during the conversation."""

    type: Literal["additional_tools"] = "additional_tools"
    id: str | None = None
    role: str | None = None
    tools: list[Any] = field(default_factory=list)
