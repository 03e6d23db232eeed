"""Input and output items: their texts, their sizes in tokens, and the calls that still need an output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from .jsontext import JSON

CALL_OUTPUTS = {
    "apply_patch_call": "apply_patch_call_output",
    "computer_call": "computer_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "function_call": "function_call_output",
    "local_shell_call": "local_shell_call_output",
    "mcp_approval_request": "mcp_approval_response",
    "shell_call": "shell_call_output",
    "tool_search_call": "tool_search_output",
}
"""The types of the calls that a client must answer, each with the type of the output that answers it."""

_OUTPUT_CALLS = {output: call for call, output in CALL_OUTPUTS.items()}
_NAMED_OTHERWISE = ("local_shell_call_output", "mcp_approval_response", "tool_search_output")
_TO_THE_MODEL = ("developer", "system", "user")  # roles
_PART = 2**16  # characters
_PIECE = re.compile(r"\s*(?:\w{1,12}|[^\w\s]{1,3})|\s+")


def pieces(text: str) -> Iterator[str]:
    """Yield `text` cut into pieces of about one token.  Joined, the pieces are `text` again."""
    return (match.group() for match in _PIECE.finditer(text))


def count_tokens(text: str) -> int:
    """Return the number of tokens in `text`: an approximation, the same everywhere on this server."""
    # A list is made faster than an iterator is counted, but not of a text of any length.
    return sum(len(_PIECE.findall(text[start : start + _PART])) for start in range(0, len(text), _PART))


def normalize_input(value: object) -> list[JSON]:
    """Return the `input` of a checked request as items.

    A string becomes a user message.  A message without a `type` gets it.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    assert isinstance(value, list)  # `checks` refuses everything else
    return [item if "type" in item else {"type": "message", **item} for item in value]


def item_text(item: JSON) -> str:
    """Return the text of an item: the content of a message, the arguments or the output of a call."""
    if item["type"] == "function_call":
        return f"{item.get('name', '')} {item.get('arguments', '')}"
    if item["type"] == "reasoning":
        return _text(item.get("summary"))
    return _text(item["content"] if "content" in item else item.get("output", item.get("input")))


def item_tokens(items: Iterable[JSON]) -> int:
    """Return the size of `items` in tokens."""
    return sum(count_tokens(item_text(item)) for item in items)


def unanswered_calls(items: Iterable[JSON]) -> list[JSON]:
    """Return the calls among `items` that the client still has to answer, in the order of `items`."""
    calls: dict[tuple[str, str], JSON] = {}
    for item in items:
        kind = item["type"]
        if kind in CALL_OUTPUTS and item.get("status") != "incomplete" and item.get("execution") != "server":
            calls[kind, _call_id(item)] = item
        elif kind in _OUTPUT_CALLS:
            calls.pop((_OUTPUT_CALLS[kind], _call_id(item)), None)
    return list(calls.values())


def is_call_output(item: JSON) -> bool:
    """Return whether an item answers a call."""
    return item["type"] in _OUTPUT_CALLS


def unasked_outputs(items: Iterable[JSON]) -> list[JSON]:
    """Return the outputs of calls among `items` whose call does not come before them.

    An approval, and the output of the older local shell, name their call in other ways: they are not looked at.
    """
    asked: set[tuple[str, str]] = set()
    outputs = []
    for item in items:
        kind = item["type"]
        if kind in CALL_OUTPUTS:
            asked.add((kind, _call_id(item)))
        elif (
            is_call_output(item) and kind not in _NAMED_OTHERWISE and (_OUTPUT_CALLS[kind], _call_id(item)) not in asked
        ):
            outputs.append(item)
    return outputs


def new_items(items: Sequence[JSON]) -> Sequence[JSON]:
    """Return the items at the end of `items` that are not of the model: messages to it, and outputs of calls."""
    first = len(items)
    while first > 0 and is_for_the_model(items[first - 1]):
        first -= 1
    return items[first:]


def is_for_the_model(item: JSON) -> bool:
    """Return whether an item is input only: a message to the model, or the output of a call."""
    return is_call_output(item) or item.get("role") in _TO_THE_MODEL


def tool_outputs(items: Iterable[JSON], calls: Iterable[JSON]) -> list[tuple[str, str]]:
    """Return the outputs of calls among `items`, each as the name of the tool and the text of the output.

    A tool without a name of its own has that of its type, such as `shell` or `apply_patch`.

    Args:
        items: the items with the outputs.
        calls: all items of the conversation, among them the calls.
    """
    answers = [item for item in items if is_call_output(item)]
    if not answers:
        return []
    names = {(item["type"], _call_id(item)): item.get("name") for item in calls if item["type"] in CALL_OUTPUTS}
    outputs = []
    for item in answers:
        kind = _OUTPUT_CALLS[item["type"]]
        outputs.append((names.get((kind, _call_id(item))) or kind.removesuffix("_call"), output_text(item)))
    return outputs


def output_text(item: JSON) -> str:
    """Return the text of the output of a call: of an approval, `approved` or `denied` with the reason."""
    if item["type"] == "mcp_approval_response":
        return f"{'approved' if item.get('approve') else 'denied'} {item.get('reason') or ''}".rstrip()
    if item["type"] == "shell_call_output" and isinstance(item.get("output"), list):
        parts = [part for part in item["output"] if isinstance(part, dict)]
        return "".join(f"{part.get('stdout', '')}{part.get('stderr', '')}" for part in parts)
    return item_text(item) or str(item.get("status") or "")


def required_input(call: JSON) -> JSON:
    """Return the output item for `call` without its output, which the client fills in."""
    output: JSON = {"type": CALL_OUTPUTS[call["type"]]}
    if call["type"] == "mcp_approval_request":
        return {**output, "approval_request_id": call.get("id")}
    output["call_id"] = call.get("call_id")
    if call["type"] == "function_call":
        output["name"] = call.get("name")
    if call["type"] == "tool_search_call":
        output["execution"] = "client"
    return output


def _call_id(item: JSON) -> str:
    if item["type"] == "mcp_approval_request":
        return str(item.get("id"))
    return str(item.get("approval_request_id") or item.get("call_id") or item.get("id"))


def _text(value: object) -> str:
    texts: list[str] = []
    waiting = [value]
    while waiting:  # without recursion, because a client may nest its values as it likes
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            waiting.extend(reversed(value))
        elif isinstance(value, dict):
            waiting.append(value.get("text", value.get("refusal")))
    return "".join(texts)
