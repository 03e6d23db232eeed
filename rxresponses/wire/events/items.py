"""Events of output items and of the parts of their content."""

from __future__ import annotations

from typing import Literal

from ..base import model
from ..models.content import ContentPart
from ..models.items import ResponseOutputItem
from .base import ContentEvent, ItemEvent, ServerEvent


@model
class ResponseOutputItemAddedEvent(ServerEvent):
    """An output item begins; most of its content follows."""

    type: Literal["response.output_item.added"] = "response.output_item.added"
    item: ResponseOutputItem
    output_index: int | None = None


@model
class ResponseOutputItemDoneEvent(ServerEvent):
    """An output item is complete."""

    type: Literal["response.output_item.done"] = "response.output_item.done"
    item: ResponseOutputItem
    output_index: int | None = None


@model
class ResponseContentPartAddedEvent(ContentEvent):
    """A part of an item's content begins."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    part: ContentPart


@model
class ResponseContentPartDoneEvent(ContentEvent):
    """A part of an item's content is complete."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    part: ContentPart


@model
class ResponseCompactionCompactingEvent(ItemEvent):
    """The server compacts earlier turns of the conversation."""

    type: Literal["response.compaction.compacting"] = "response.compaction.compacting"
