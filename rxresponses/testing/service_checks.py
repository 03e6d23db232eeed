"""Which requests the service refuses although a lenient server would accept them.

`checks` holds what this server itself cannot do without.  The rules here can be switched off, because other servers
are lenient.
"""

from __future__ import annotations

from itertools import zip_longest

from .history import StoredResponses
from .item_checks import check_items
from .items import is_call_output, is_for_the_model, item_text, unanswered_calls, unasked_outputs
from .jsontext import JSON
from .refusal import RequestError, check_field, check_known, check_length, check_value
from .request import Request
from .tool_checks import check_format, check_tools

_FIELDS = frozenset(
    {
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "generate",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_id",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "type",
        "user",
    }
)
_INCLUDE = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
_LEAST_OUTPUT_TOKENS = 16
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512  # of `metadata`


def check_service_rules(body: JSON) -> None:
    """Check a `response.create` that `check_create` has accepted.

    Raises:
        RequestError: for the first field that the service refuses.
    """
    check_known("", body, _FIELDS)
    tokens = body.get("max_output_tokens")
    if tokens is not None and tokens < _LEAST_OUTPUT_TOKENS:
        message = (
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {_LEAST_OUTPUT_TOKENS}"
        )
        message += f", but got {tokens} instead."
        raise RequestError(message, code="integer_below_min_value", param="max_output_tokens")
    for index, value in enumerate(body.get("include") or ()):
        check_value(f"include[{index}]", value, _INCLUDE)
    for field, supported in (("service_tier", _TIERS), ("truncation", ("auto", "disabled"))):
        if body.get(field) is not None:
            check_value(field, body[field], supported)
    _check_reasoning(body.get("reasoning") or {})
    _check_metadata(body.get("metadata") or {})
    check_items(body.get("input"))
    check_tools(body)
    check_format(body)


def check_conversation(request: Request, stored: StoredResponses) -> None:
    """Check a request together with the conversation that it continues.

    Each call needs an output, and each output a call.  No item may be there twice.  Reasoning needs the item that
    followed it, and must be stored or have its encrypted content.

    Args:
        request: the request.
        stored: the stored responses of the server.

    Raises:
        RequestError: for the first item that is wrong.
    """
    for item in unasked_outputs(request.items):
        kind = item["type"].replace("_", " ")
        message = f"No tool call found for {kind} with call_id {item.get('call_id')}."
        raise RequestError(message, code=None, param="input")
    for call in unanswered_calls(request.items):
        name = call["type"].replace("_", " ")
        message = f"No tool output found for {name} {call.get('call_id', call.get('id'))}."
        raise RequestError(message, code=None, param="input")
    for item, following in zip_longest(request.input, request.input[1:]):
        _check_stored(item, stored)
        if item["type"] == "reasoning" and "id" in item and (following is None or is_for_the_model(following)):
            message = f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
            raise RequestError(message, code=None, param="input")
    _check_duplicates(request)
    if request.text_format["type"] == "json_object":
        texts = [request.body.get("instructions") or "", *map(item_text, request.items)]
        if not any("json" in text.lower() for text in texts):
            message = "The input messages must contain the word 'json' in some form, to use 'text.format' of type"
            raise RequestError(f"{message} 'json_object'.", code=None, param="input")


def _check_duplicates(request: Request) -> None:
    known = {item["id"] for item in request.history if isinstance(item.get("id"), str)}
    for item in request.input:
        item_id = item.get("id")
        if isinstance(item_id, str) and item["type"] != "item_reference":
            if item_id in known and not is_call_output(item):
                message = (
                    f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again."
                )
                raise RequestError(message, code=None, param="input")
            known.add(item_id)


def _check_stored(item: JSON, stored: StoredResponses) -> None:
    """Check that the server knows an item that stands for its content, which only the server has."""
    item_id = item.get("id")
    if item["type"] == "reasoning":
        is_needed = item.get("encrypted_content") is None and isinstance(item_id, str)
    else:
        is_needed = item["type"] == "item_reference"
    if is_needed and not stored.has_item(str(item_id)):
        message = (
            f"Item with id '{item_id}' not found. Items are not persisted when 'store' is set to false. Try again "
        )
        message += "with 'store' set to true, or remove this item from your input."
        raise RequestError(message, code=None, param="input", status=404)


def _check_reasoning(reasoning: JSON) -> None:
    check_known("reasoning", reasoning, ("context", "effort", "generate_summary", "mode", "summary"))
    for field, supported in (("effort", _EFFORTS), ("summary", _SUMMARIES), ("generate_summary", _SUMMARIES)):
        if reasoning.get(field) is not None:
            check_value(f"reasoning.{field}", reasoning[field], supported)


def _check_metadata(metadata: JSON) -> None:
    if len(metadata) > _MOST_PAIRS:
        rule = f"too many properties. Expected an object with at most {_MOST_PAIRS} properties, but got {len(metadata)}"
        raise RequestError(f"Invalid 'metadata': {rule}.", code="object_above_max_properties", param="metadata")
    for key, value in metadata.items():
        check_length("metadata", key, _LONGEST_KEY)
        if value is None:
            raise RequestError(f"Invalid 'metadata.{key}': null.", code="invalid_type", param=f"metadata.{key}")
        check_field(f"metadata.{key}", value, "a string")
        check_length(f"metadata.{key}", value, _LONGEST_VALUE)
