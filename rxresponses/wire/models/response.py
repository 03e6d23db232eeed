"""The response itself: its output, what it cost, why it ended as it did."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ..base import Model, model
from .content import ResponseOutputText
from .items import ResponseOutputItem
from .messages import ResponseOutputMessage


@model
class InputTokensDetailsCacheWriteTokensDetails(Model):
    """Tokens written to the cache, by how long they stay there."""

    ttl_12h_tokens: int | None = None
    ttl_30m_tokens: int | None = None


@model
class InputTokensDetails(Model):
    """How many input tokens came from the cache, and how many went there."""

    cache_write_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens_details: InputTokensDetailsCacheWriteTokensDetails | None = None


@model
class OutputTokensDetails(Model):
    """How many output tokens were reasoning."""

    reasoning_tokens: int | None = None


@model
class ResponseUsage(Model):
    """The tokens that a response took."""

    input_tokens: int | None = None
    input_tokens_details: InputTokensDetails | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputTokensDetails | None = None
    total_tokens: int | None = None


@model
class MisalignmentSteer(Model):
    """A message that would bring a stopped response back on its way."""

    message: str | None = None


@model
class Misalignment(Model):
    """What the model was about to do when it was stopped."""

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
    """A response, as far as it has come.

    What it only repeats of the request (`tools`, `text`, `reasoning`, …) is plain JSON.  Times are
    seconds since 1970.
    """

    id: str
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
        """The text of all messages, put together."""
        return "".join(
            part.text
            for item in self.output
            if isinstance(item, ResponseOutputMessage)
            for part in item.content
            if isinstance(part, ResponseOutputText)
        )
