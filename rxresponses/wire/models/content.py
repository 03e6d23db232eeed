"""Parts of messages: text with its annotations and log probabilities, refusals, reasoning, input."""

from __future__ import annotations

from dataclasses import field
from typing import Literal, TypeAlias

from ..base import Model, UnknownItem, model
from .annotations import Annotation


@model
class LogprobTopLogprob(Model):
    """One of the most likely alternatives to a token."""

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None


@model
class Logprob(Model):
    """The natural logarithm of a token's probability, and the most likely alternatives."""

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None
    top_logprobs: list[LogprobTopLogprob] = field(default_factory=list)


@model
class ResponseOutputText(Model):
    """A part of the model's text."""

    type: Literal["output_text"] = "output_text"
    text: str = ""
    annotations: list[Annotation] = field(default_factory=list)
    logprobs: list[Logprob] | None = None


@model
class ResponseOutputRefusal(Model):
    """The model's words when it declines to answer."""

    type: Literal["refusal"] = "refusal"
    refusal: str = ""


@model
class ReasoningText(Model):
    """A part of the model's reasoning itself."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: str = ""


@model
class SummaryText(Model):
    """A paragraph of the summary of the model's reasoning."""

    type: Literal["summary_text"] = "summary_text"
    text: str = ""


@model
class PromptCacheBreakpoint(Model):
    """Marks the end of the input to cache."""

    mode: str | None = None
    ttl: str | None = None


@model
class ResponseInputText(Model):
    """Text for the model."""

    type: Literal["input_text"] = "input_text"
    text: str = ""
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None


@model
class ResponseInputImage(Model):
    """An image for the model, by URL (`data:` included) or by file id."""

    type: Literal["input_image"] = "input_image"
    detail: str | None = None
    file_id: str | None = None
    image_url: str | None = None
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None


@model
class ResponseInputFile(Model):
    """A file for the model: its base64 data, its id or its URL."""

    type: Literal["input_file"] = "input_file"
    detail: str | None = None
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None


OutputContent: TypeAlias = ResponseOutputText | ResponseOutputRefusal | UnknownItem
"""A part of an output message."""

ContentPart: TypeAlias = ResponseOutputText | ResponseOutputRefusal | ReasoningText | UnknownItem
"""A part that `response.content_part` events carry."""

SummaryPart: TypeAlias = SummaryText | UnknownItem
"""A part of a reasoning summary."""

ReasoningPart: TypeAlias = ReasoningText | UnknownItem
"""A part of a reasoning item's content."""

InputContent: TypeAlias = ResponseInputText | ResponseInputImage | ResponseInputFile | UnknownItem
"""A part of a tool's output for the model."""
