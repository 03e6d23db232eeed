"""Settings of a request that are objects of their own: the text's format, reasoning, prompt, cache, moderation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from ..base import model
from .sent import Sent


@model
class ResponseFormatText(Sent):
    """The answer is plain text."""

    type: Literal["text"] = "text"


@model
class ResponseFormatTextJSONSchemaConfig(Sent):
    """The answer is JSON that fits a JSON schema."""

    name: str
    schema: Mapping[str, Any]
    description: str | UnsetType | None = UNSET
    strict: bool | UnsetType | None = UNSET
    type: Literal["json_schema"] = "json_schema"


@model
class ResponseFormatJSONObject(Sent):
    """The answer is some JSON object, the earlier way to ask for JSON."""

    type: Literal["json_object"] = "json_object"


@model
class ResponseTextConfig(Sent):
    """The format of the model's text, and how much of it there is: `verbosity` is `low`, `medium` or `high`."""

    format: (
        ResponseFormatText
        | ResponseFormatTextJSONSchemaConfig
        | ResponseFormatJSONObject
        | Mapping[str, Any]
        | UnsetType
        | None
    ) = UNSET
    verbosity: str | UnsetType | None = UNSET


@model
class Reasoning(Sent):
    """How much the model thinks, and what is shown of its thoughts."""

    effort: str | UnsetType | None = UNSET
    summary: str | UnsetType | None = UNSET
    generate_summary: str | UnsetType | None = UNSET
    context: str | UnsetType | None = UNSET
    mode: str | UnsetType | None = UNSET


@model
class ResponsePrompt(Sent):
    """A prompt that the server stores; `variables` are texts or input parts to put into it."""

    id: str
    variables: Mapping[str, Any] | UnsetType | None = UNSET
    version: str | UnsetType | None = UNSET


@model
class ResponseConversationParam(Sent):
    """A conversation that the server stores."""

    id: str


@model
class ResponseCreateAccessPrograms(Sent):
    """The access programs that the request makes use of."""

    cyber: str | UnsetType | None = UNSET


@model
class ResponseCreateContextManagement(Sent):
    """When the server compacts the conversation: above `compact_threshold` tokens."""

    type: str
    compact_threshold: int | UnsetType | None = UNSET


@model
class ResponseCreateImage(Sent):
    """How images in the context are treated."""

    context_compression: str | UnsetType | None = UNSET


@model
class ResponseCreateModerationPolicyMode(Sent):
    """What moderation does: `score` only reports, `block` refuses."""

    mode: str


@model
class ResponseCreateModerationPolicy(Sent):
    """What moderation does with the input and with the output."""

    input: ResponseCreateModerationPolicyMode | Mapping[str, Any] | UnsetType | None = UNSET
    output: ResponseCreateModerationPolicyMode | Mapping[str, Any] | UnsetType | None = UNSET


@model
class ResponseCreateModeration(Sent):
    """Moderation of the input and the output by a model for it."""

    model: str
    policy: ResponseCreateModerationPolicy | Mapping[str, Any] | UnsetType | None = UNSET


@model
class ResponseCreatePromptCacheOptions(Sent):
    """How the input is cached; `ttl`, the least time it stays, is `30m` or `12h`."""

    mode: str | UnsetType | None = UNSET
    ttl: str | UnsetType | None = UNSET
    prewarm: bool | UnsetType | None = UNSET
    comparison_response_id: str | UnsetType | None = UNSET


@model
class ResponseCreateStreamOptions(Sent):
    """Whether deltas carry random text that hides their length."""

    include_obfuscation: bool | UnsetType | None = UNSET
