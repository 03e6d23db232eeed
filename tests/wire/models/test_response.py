from __future__ import annotations

import json

from hypothesis import given, settings

from rxresponses.wire.base import build
from rxresponses.wire.models import (
    ActionSearch,
    AnnotationURLCitation,
    CallerProgram,
    HTTPError,
    ImageGenerationCall,
    IncompleteDetails,
    McpCall,
    OutputLogs,
    OutputOutcomeExit,
    Response,
    ResponseComputerToolCall,
    ResponseFunctionToolCall,
    ResponseFunctionToolCallOutputItem,
    ResponseInputText,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseUsage,
    SummaryText,
)
from tests.effort import examples
from tests.support.strategies import JSON, holds, wire


def test_output_text_joins_the_text_of_all_messages() -> None:
    response = Response(
        id="resp_1",
        output=[
            ResponseReasoningItem(summary=[SummaryText(text="no")]),
            ResponseOutputMessage(content=[ResponseOutputText(text="Hel"), ResponseOutputRefusal(refusal="no")]),
            ResponseFunctionToolCall(call_id="c", name="f"),
            ResponseOutputMessage(content=[ResponseOutputText(text="lo")]),
        ],
    )
    assert response.output_text == "Hello"
    assert Response(id="resp_1").output_text == ""


def test_scenario_02_an_incomplete_response_keeps_reason_and_usage() -> None:
    data = {
        "id": "resp_1",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens_details": {"ttl_30m_tokens": 2}},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 7,
        },
    }
    response = build(Response, data)
    assert response.incomplete_details == IncompleteDetails(reason="max_output_tokens")
    usage = response.usage
    assert isinstance(usage, ResponseUsage)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 4, 7)
    assert usage.input_tokens_details is not None
    assert usage.input_tokens_details.cached_tokens == 1
    assert usage.input_tokens_details.cache_write_tokens_details is not None
    assert usage.input_tokens_details.cache_write_tokens_details.ttl_30m_tokens == 2
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.reasoning_tokens == 2


def test_fields_that_repeat_the_request_are_plain_json() -> None:
    data = {
        "id": "r",
        "tools": [{"type": "function", "name": "f"}],
        "text": {"format": {"type": "text"}},
        "store": True,
    }
    response = build(Response, data)
    assert response.tools == [{"type": "function", "name": "f"}]
    assert response.text == {"format": {"type": "text"}}
    assert response.store is True


def test_items_are_typed_down_to_their_parts() -> None:
    output = [
        {
            "type": "message",
            "content": [
                {
                    "type": "output_text",
                    "text": "a",
                    "annotations": [{"type": "url_citation", "url": "u", "start_index": 0, "end_index": 1}],
                    "logprobs": [{"token": "a", "bytes": [97], "logprob": -1, "top_logprobs": [{"token": "a"}]}],
                }
            ],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "caller": {"type": "program"}},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "b"}]},
        {
            "type": "web_search_call",
            "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]},
        },
        {"type": "computer_call", "actions": [{"type": "drag", "path": [{"x": 1, "y": 2}]}]},
        {"type": "shell_call_output", "output": [{"outcome": {"type": "exit", "exit_code": 1}, "stdout": "s"}]},
        {"type": "code_interpreter_call", "outputs": [{"type": "logs", "logs": "l"}]},
        {"type": "mcp_call", "error": "as text"},
        {"type": "mcp_call", "error": {"type": "http_error", "code": 404}},
        {"type": "image_generation_call", "error": {"message": "m", "moderation_details": {"categories": ["c"]}}},
    ]
    response = build(Response, {"id": "resp_1", "output": output})
    message, call, answer, search, computer, shell, code, text_error, http_error, image = response.output
    assert isinstance(message, ResponseOutputMessage)
    text = message.content[0]
    assert isinstance(text, ResponseOutputText)
    assert text.annotations == [AnnotationURLCitation(url="u", start_index=0, end_index=1)]
    assert text.logprobs is not None
    assert text.logprobs[0].top_logprobs[0].token == "a"
    assert isinstance(call, ResponseFunctionToolCall)
    assert call.caller == CallerProgram()
    assert isinstance(answer, ResponseFunctionToolCallOutputItem)
    assert answer.output == [ResponseInputText(text="b")]
    assert search.type == "web_search_call"
    assert isinstance(search.action, ActionSearch)
    assert search.action.sources is not None
    assert search.action.sources[0].url == "u"
    assert isinstance(computer, ResponseComputerToolCall)
    assert computer.actions is not None
    assert computer.actions[0].to_dict()["path"] == [{"x": 1, "y": 2}]
    assert shell.type == "shell_call_output"
    assert shell.output[0].outcome == OutputOutcomeExit(exit_code=1)
    assert code.type == "code_interpreter_call"
    assert code.outputs == [OutputLogs(logs="l")]
    assert isinstance(text_error, McpCall)
    assert text_error.error == "as text"
    assert isinstance(http_error, McpCall)
    assert http_error.error == HTTPError(code=404)
    assert isinstance(image, ImageGenerationCall)
    assert image.error is not None
    assert image.error.moderation_details is not None
    assert image.error.moderation_details.categories == ["c"]
    assert holds(response.to_dict()["output"], output)


def test_a_call_with_only_its_required_fields_is_typed() -> None:
    call = build(ResponseFunctionToolCall, {"type": "function_call", "call_id": "c", "name": "f", "async": True})
    assert call.async_ is True
    assert call.arguments == ""
    assert call.to_dict()["async"] is True
    assert "async_" not in call.to_dict()


@settings(max_examples=examples(50))
@given(data=wire(Response))
def test_responses_have_the_public_json_methods(data: JSON) -> None:
    response = Response.from_json(json.dumps(data))
    assert response == build(Response, json.loads(json.dumps(data)))
    assert holds(response.to_dict(), json.loads(json.dumps(data)))
    assert Response.from_dict(response.to_dict()) == response
    assert isinstance(response.output_text, str)
