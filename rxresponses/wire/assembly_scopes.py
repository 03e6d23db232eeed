"""Which events an assembly looks at: all that carry output, those of text, those of calls, those of the response."""

from __future__ import annotations

from collections.abc import Mapping

from .assembly import Assembly, Fold, Scope
from .assembly_item import CODE, COMMAND, CUSTOM, DIFF, FUNCTION, MCP, REASONING, REFUSAL, SUMMARY, Place
from .base import Model
from .events import (
    ResponseApplyPatchCallOperationDiffDeltaEvent,
    ResponseApplyPatchCallOperationDiffDoneEvent,
    ResponseCodeInterpreterCallCodeDeltaEvent,
    ResponseCodeInterpreterCallCodeDoneEvent,
    ResponseCodeInterpreterCallCompletedEvent,
    ResponseCodeInterpreterCallInProgressEvent,
    ResponseCodeInterpreterCallInterpretingEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseCustomToolCallInputDeltaEvent,
    ResponseCustomToolCallInputDoneEvent,
    ResponseFileSearchCallCompletedEvent,
    ResponseFileSearchCallInProgressEvent,
    ResponseFileSearchCallSearchingEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseImageGenCallCompletedEvent,
    ResponseImageGenCallGeneratingEvent,
    ResponseImageGenCallInProgressEvent,
    ResponseInProgressEvent,
    ResponseMcpCallArgumentsDeltaEvent,
    ResponseMcpCallArgumentsDoneEvent,
    ResponseMcpCallCompletedEvent,
    ResponseMcpCallFailedEvent,
    ResponseMcpCallInProgressEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputTextAnnotationAddedEvent,
    ResponseQueuedEvent,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseShellCallCommandAddedEvent,
    ResponseShellCallCommandDeltaEvent,
    ResponseShellCallCommandDoneEvent,
    ResponseShellCallOutputContentDeltaEvent,
    ResponseShellCallOutputContentDoneEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseWebSearchCallCompletedEvent,
    ResponseWebSearchCallInProgressEvent,
    ResponseWebSearchCallSearchingEvent,
    ServerEvent,
)
from .models import (
    ImageGenerationCall,
    McpCall,
    ResponseCodeInterpreterToolCall,
    ResponseFileSearchToolCall,
    ResponseFunctionWebSearch,
)


def _delta(place: Place) -> Fold:
    return lambda assembly, event: assembly.write(event, place, event.delta, is_delta=True)


def _done(place: Place) -> Fold:
    return lambda assembly, event: assembly.write(event, place, getattr(event, place.field), is_delta=False)


def _status(cls: type[Model], status: str) -> Fold:
    return lambda assembly, event: assembly.set_status(event, cls, status)


_LIFECYCLE: Mapping[type[ServerEvent], Fold] = {
    ResponseCreatedEvent: Assembly.add_lifecycle,
    ResponseQueuedEvent: Assembly.add_lifecycle,
    ResponseInProgressEvent: Assembly.add_lifecycle,
}
_ITEMS: Mapping[type[ServerEvent], Fold] = {
    ResponseOutputItemAddedEvent: Assembly.add_item_added,
    ResponseOutputItemDoneEvent: Assembly.add_item_done,
}
_TEXT: Mapping[type[ServerEvent], Fold] = {
    ResponseTextDeltaEvent: Assembly.add_text_delta,
    ResponseTextDoneEvent: Assembly.add_text_done,
    ResponseContentPartAddedEvent: Assembly.add_part_added,
    ResponseContentPartDoneEvent: Assembly.add_part_done,
}
_CALLS: Mapping[type[ServerEvent], Fold] = {
    ResponseFunctionCallArgumentsDeltaEvent: _delta(FUNCTION),
    ResponseFunctionCallArgumentsDoneEvent: Assembly.add_arguments_done,
}
_CLIENT_CALLS: Mapping[type[ServerEvent], Fold] = {
    **_CALLS,
    ResponseApplyPatchCallOperationDiffDeltaEvent: _delta(DIFF),
    ResponseApplyPatchCallOperationDiffDoneEvent: _done(DIFF),
    ResponseCustomToolCallInputDeltaEvent: _delta(CUSTOM),
    ResponseCustomToolCallInputDoneEvent: _done(CUSTOM),
    ResponseShellCallCommandAddedEvent: _done(COMMAND),
    ResponseShellCallCommandDeltaEvent: _delta(COMMAND),
    ResponseShellCallCommandDoneEvent: _done(COMMAND),
}
_OTHERS: Mapping[type[ServerEvent], Fold] = {
    ResponseCodeInterpreterCallCodeDeltaEvent: _delta(CODE),
    ResponseCodeInterpreterCallCodeDoneEvent: _done(CODE),
    ResponseMcpCallArgumentsDeltaEvent: _delta(MCP),
    ResponseMcpCallArgumentsDoneEvent: _done(MCP),
    ResponseOutputTextAnnotationAddedEvent: Assembly.add_annotation,
    ResponseReasoningSummaryPartAddedEvent: Assembly.add_summary_added,
    ResponseReasoningSummaryPartDoneEvent: Assembly.add_summary_done,
    ResponseReasoningSummaryTextDeltaEvent: _delta(SUMMARY),
    ResponseReasoningSummaryTextDoneEvent: _done(SUMMARY),
    ResponseReasoningTextDeltaEvent: _delta(REASONING),
    ResponseReasoningTextDoneEvent: _done(REASONING),
    ResponseRefusalDeltaEvent: _delta(REFUSAL),
    ResponseRefusalDoneEvent: _done(REFUSAL),
    ResponseShellCallOutputContentDeltaEvent: Assembly.add_shell_output_delta,
    ResponseShellCallOutputContentDoneEvent: Assembly.add_shell_output_done,
}
_STATUSES: Mapping[type[ServerEvent], Fold] = {
    ResponseCodeInterpreterCallInProgressEvent: _status(ResponseCodeInterpreterToolCall, "in_progress"),
    ResponseCodeInterpreterCallInterpretingEvent: _status(ResponseCodeInterpreterToolCall, "interpreting"),
    ResponseCodeInterpreterCallCompletedEvent: _status(ResponseCodeInterpreterToolCall, "completed"),
    ResponseFileSearchCallInProgressEvent: _status(ResponseFileSearchToolCall, "in_progress"),
    ResponseFileSearchCallSearchingEvent: _status(ResponseFileSearchToolCall, "searching"),
    ResponseFileSearchCallCompletedEvent: _status(ResponseFileSearchToolCall, "completed"),
    ResponseImageGenCallInProgressEvent: _status(ImageGenerationCall, "in_progress"),
    ResponseImageGenCallGeneratingEvent: _status(ImageGenerationCall, "generating"),
    ResponseImageGenCallCompletedEvent: _status(ImageGenerationCall, "completed"),
    ResponseMcpCallInProgressEvent: _status(McpCall, "in_progress"),
    ResponseMcpCallCompletedEvent: _status(McpCall, "completed"),
    ResponseMcpCallFailedEvent: _status(McpCall, "failed"),
    ResponseWebSearchCallInProgressEvent: _status(ResponseFunctionWebSearch, "in_progress"),
    ResponseWebSearchCallSearchingEvent: _status(ResponseFunctionWebSearch, "searching"),
    ResponseWebSearchCallCompletedEvent: _status(ResponseFunctionWebSearch, "completed"),
}

WHOLE = Scope({**_LIFECYCLE, **_ITEMS, **_TEXT, **_CLIENT_CALLS, **_OTHERS, **_STATUSES})
"""Everything."""

TEXTS = Scope({**_LIFECYCLE, **_ITEMS, **_TEXT}, only_text=True)
"""The output text."""

CALLS = Scope({**_LIFECYCLE, **_ITEMS, **_CALLS})
"""The function calls."""

CLIENT_CALLS = Scope({**_LIFECYCLE, **_ITEMS, **_CLIENT_CALLS})
"""The calls that a client answers: of functions, custom tools, shells and patches."""

REFUSALS = Scope(
    {
        **_LIFECYCLE,
        **_ITEMS,
        ResponseContentPartAddedEvent: Assembly.add_part_added,
        ResponseContentPartDoneEvent: Assembly.add_part_done,
        ResponseRefusalDeltaEvent: _delta(REFUSAL),
        ResponseRefusalDoneEvent: _done(REFUSAL),
    }
)
"""The refusals."""

RESPONSES = Scope(_LIFECYCLE)
"""What the response itself says."""
