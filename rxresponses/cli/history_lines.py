"""The items of a conversation as text, for a reader."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..wire.requests.sent import plain_json

_TEXTS = ("text", "refusal")


def history_lines(items: Iterable[Any]) -> Iterator[str]:
    """Yield a text for each message, call, output and compaction; other items, such as reasoning, have none."""
    for item in items:
        data = plain_json(item)
        kind = data.get("type", "message")
        if kind == "message":
            yield f"{data.get('role', 'assistant')}: {_content(data.get('content'))}"
        elif kind.endswith("_call"):
            asked = data.get("arguments", data.get("input", ""))
            yield f"{data.get('name') or kind}: {_content(asked)}".rstrip(": ")
        elif kind.endswith("_output"):
            yield f"-> {_content(data.get('output'))}"
        elif kind == "compaction":
            yield "(what came before is compacted)"


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    return "\n".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    texts = [part[name] for name in _TEXTS if isinstance(part.get(name), str)]
    return texts[0] if texts else f"({part.get('type', 'part')})"
