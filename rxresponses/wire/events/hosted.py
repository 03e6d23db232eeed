"""Events of tools that the server runs: searches, the code interpreter, image generation."""

from __future__ import annotations

from typing import Literal

from ..base import model
from .base import ItemEvent


@model
class ResponseFileSearchCallInProgressEvent(ItemEvent):
    """A file search begins."""

    type: Literal["response.file_search_call.in_progress"] = "response.file_search_call.in_progress"


@model
class ResponseFileSearchCallSearchingEvent(ItemEvent):
    """A file search runs."""

    type: Literal["response.file_search_call.searching"] = "response.file_search_call.searching"


@model
class ResponseFileSearchCallCompletedEvent(ItemEvent):
    """A file search is done."""

    type: Literal["response.file_search_call.completed"] = "response.file_search_call.completed"


@model
class ResponseWebSearchCallInProgressEvent(ItemEvent):
    """A web search begins."""

    type: Literal["response.web_search_call.in_progress"] = "response.web_search_call.in_progress"


@model
class ResponseWebSearchCallSearchingEvent(ItemEvent):
    """A web search runs."""

    type: Literal["response.web_search_call.searching"] = "response.web_search_call.searching"


@model
class ResponseWebSearchCallCompletedEvent(ItemEvent):
    """A web search is done."""

    type: Literal["response.web_search_call.completed"] = "response.web_search_call.completed"


@model
class ResponseCodeInterpreterCallInProgressEvent(ItemEvent):
    """The model begins to write code."""

    type: Literal["response.code_interpreter_call.in_progress"] = "response.code_interpreter_call.in_progress"


@model
class ResponseCodeInterpreterCallCodeDeltaEvent(ItemEvent):
    """The next characters of the code."""

    type: Literal["response.code_interpreter_call_code.delta"] = "response.code_interpreter_call_code.delta"
    delta: str


@model
class ResponseCodeInterpreterCallCodeDoneEvent(ItemEvent):
    """The code is complete."""

    type: Literal["response.code_interpreter_call_code.done"] = "response.code_interpreter_call_code.done"
    code: str


@model
class ResponseCodeInterpreterCallInterpretingEvent(ItemEvent):
    """The code runs."""

    type: Literal["response.code_interpreter_call.interpreting"] = "response.code_interpreter_call.interpreting"


@model
class ResponseCodeInterpreterCallCompletedEvent(ItemEvent):
    """The code has run."""

    type: Literal["response.code_interpreter_call.completed"] = "response.code_interpreter_call.completed"


@model
class ResponseImageGenCallInProgressEvent(ItemEvent):
    """A call of the image generation begins."""

    type: Literal["response.image_generation_call.in_progress"] = "response.image_generation_call.in_progress"


@model
class ResponseImageGenCallGeneratingEvent(ItemEvent):
    """An image is being made."""

    type: Literal["response.image_generation_call.generating"] = "response.image_generation_call.generating"


@model
class ResponseImageGenCallPartialImageEvent(ItemEvent):
    """An unfinished image, as base64."""

    type: Literal["response.image_generation_call.partial_image"] = "response.image_generation_call.partial_image"
    partial_image_b64: str
    partial_image_index: int | None = None
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None


@model
class ResponseImageGenCallCompletedEvent(ItemEvent):
    """An image is done; it is in the output item of the call."""

    type: Literal["response.image_generation_call.completed"] = "response.image_generation_call.completed"
