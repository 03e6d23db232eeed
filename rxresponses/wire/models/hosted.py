"""Output items of tools that the server runs: images, and code in its interpreter."""

from __future__ import annotations

from dataclasses import field
from typing import Literal, TypeAlias

from ..base import Model, UnknownItem, model


@model
class ImageGenerationCallErrorModerationDetails(Model):
    """Which rules an image would have broken, and at what stage that was found."""

    categories: list[str] = field(default_factory=list)
    moderation_stage: str | None = None


@model
class ImageGenerationCallError(Model):
    """Why there is no image."""

    code: str | None = None
    message: str | None = None
    param: str | None = None
    type: str | None = None
    moderation_details: ImageGenerationCallErrorModerationDetails | None = None


@model
class ImageGenerationCallSvgUsage(Model):
    """The tokens spent on drawing an SVG."""

    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None


@model
class ImageGenerationCall(Model):
    """An image; `result` is base64."""

    type: Literal["image_generation_call"] = "image_generation_call"
    id: str | None = None
    result: str | None = None
    action: str | None = None
    background: str | None = None
    error: ImageGenerationCallError | None = None
    output_format: str | None = None
    quality: str | None = None
    revised_prompt: str | None = None
    size: str | None = None
    svg_usage: ImageGenerationCallSvgUsage | None = None
    status: str | None = None


@model
class OutputLogs(Model):
    """The printed output of the code."""

    type: Literal["logs"] = "logs"
    logs: str | None = None


@model
class OutputImage(Model):
    """An image that the code made."""

    type: Literal["image"] = "image"
    url: str | None = None


CodeInterpreterOutput: TypeAlias = OutputLogs | OutputImage | UnknownItem
"""An output of the code interpreter."""


@model
class ResponseCodeInterpreterToolCall(Model):
    """Code that the model wrote and the server ran; `outputs` only if the request included them."""

    type: Literal["code_interpreter_call"] = "code_interpreter_call"
    id: str | None = None
    code: str | None = None
    container_id: str | None = None
    outputs: list[CodeInterpreterOutput] | None = None
    status: str | None = None
