"""Events of the model's text, its annotations, and refusals."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from ..base import model
from ..models.annotations import Annotation
from ..models.content import Logprob
from .base import ContentEvent


@model
class ResponseTextDeltaEvent(ContentEvent):
    """The next characters of a text; `logprobs` has an entry for each token if the request included them."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str
    logprobs: list[Logprob] = field(default_factory=list)


@model
class ResponseTextDoneEvent(ContentEvent):
    """A text is complete."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    text: str
    logprobs: list[Logprob] = field(default_factory=list)


@model
class ResponseOutputTextAnnotationAddedEvent(ContentEvent):
    """A text got an annotation."""

    type: Literal["response.output_text.annotation.added"] = "response.output_text.annotation.added"
    annotation: Annotation | None = None
    annotation_index: int | None = None


@model
class ResponseRefusalDeltaEvent(ContentEvent):
    """The next characters of a refusal."""

    type: Literal["response.refusal.delta"] = "response.refusal.delta"
    delta: str


@model
class ResponseRefusalDoneEvent(ContentEvent):
    """A refusal is complete."""

    type: Literal["response.refusal.done"] = "response.refusal.done"
    refusal: str
