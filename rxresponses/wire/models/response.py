"""The response itself, its usage, and why it failed or ended early."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ..base import Model, model
from .content import ResponseOutputText
from .items import ResponseOutputItem
from .messages import ResponseOutputMessage


@model
class InputTokensDetailsCacheWriteTokensDetails(Model):
    """Tokens written to the cache, by the time they stay there."""

    ttl_12h_tokens: int | None = None
    ttl_30m_tokens: int | None = None


@model
class InputTokensDetails(Model):
    """How many input tokens were read from the cache, and how many were written to it."""

    cache_write_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens_details: InputTokensDetailsCacheWriteTokensDetails | None = None


@model
class OutputTokensDetails(Model):
    """How many output tokens were reasoning."""

    reasoning_tokens: int | None = None


@model
class ResponseUsage(Model):
    """The tokens that a response used."""

    input_tokens: int | None = None
    input_tokens_details: InputTokensDetails | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputTokensDetails | None = None
    total_tokens: int | None = None


@model
class MisalignmentSteer(Model):
    """A message to steer a response that was stopped."""

    message: str | None = None


@model
class Misalignment(Model):
    """Why a response was stopped as misaligned."""

    detailed_explanation: str | None = None
    error_type: str | None = None
    review_target: str | None = None
    steer: MisalignmentSteer | None = None


@model
class ResponseError(Model):
    """Why a response failed."""

    code: str | None = None
    message: str | None = None
    misalignment: Misalignment | None = None
    param: str | None = None
    type: str | None = None


@model
class IncompleteDetails(Model):
    """Why a response ended early: `max_output_tokens`, `content_filter`, `steered`, …"""

    reason: str | None = None


@model
class Response(Model):
    """A response, finished or not.

    Fields that only repeat the request (`tools`, `text`, `reasoning`, …) are plain JSON.  Times are in seconds since
    1970.  `id` is empty if the server sent none.
    """

    id: str = ""
    access_programs: Any = None
    background: bool | None = None
    completed_at: float | None = None
    conversation: Any = None
    created_at: float | None = None
    error: ResponseError | None = None
    image: Any = None
    incomplete_details: IncompleteDetails | None = None
    input_transformations: list[Any] | None = None
    instructions: str | list[Any] | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, Any] | None = None
    model: str | None = None
    moderation: Any = None
    object: str | None = None
    output: list[ResponseOutputItem] = field(default_factory=list)
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    prompt: Any = None
    prompt_cache_diagnostics: Any = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    reasoning: Any = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    status: str | None = None
    store: bool | None = None
    temperature: float | None = None
    text: Any = None
    tool_choice: Any = None
    tool_usage: Any = None
    tools: list[Any] = field(default_factory=list)
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: str | None = None
    usage: ResponseUsage | None = None
    user: str | None = None

    @property
    def output_text(self) -> str:
        """The text of all messages, joined."""
        return "".join(
            part.text
            for item in self.output
            if isinstance(item, ResponseOutputMessage)
            for part in item.content
            if isinstance(part, ResponseOutputText)
        )
