"""The view of a request that the scripted model answers from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .items import item_text
from .wire import JSON


@dataclass(frozen=True)
class Request:
    """One `response.create` with the conversation that it continues."""

    body: JSON
    """The frame as received."""

    input: Sequence[JSON]
    """The new items, as items: a string input is a user message here."""

    history: Sequence[JSON] = ()
    """The items of the conversation before them."""

    connection: int = 1
    """The number of the connection, counted from 1."""

    number: int = 0
    """Which request of the server it is, counted from 1 as they arrive; 0 for the successor of a steered response."""

    ordinal: int = 0
    """The same among the requests of its connection."""

    @property
    def stream_id(self) -> str | None:
        """The named lane, `None` for the default one."""
        return self.body.get("stream_id")

    @property
    def items(self) -> list[JSON]:
        """The whole conversation, the new items last."""
        return [*self.history, *self.input]

    @property
    def text(self) -> str:
        """The text of the latest user message, empty if there is none."""
        return next((item_text(item) for item in reversed(self.items) if item.get("role") == "user"), "")

    @property
    def conversation(self) -> str:
        """The messages of the conversation, one `role: text` a line."""
        return "\n".join(f"{item['role']}: {item_text(item)}" for item in self.items if "role" in item)

    @property
    def function_outputs(self) -> dict[str, str]:
        """The outputs of function calls among the new items: the call's id and the text of its output."""
        return {item["call_id"]: item_text(item) for item in self.input if item["type"] == "function_call_output"}

    @property
    def tools(self) -> dict[str, JSON]:
        """The function tools on offer by name."""
        return {tool["name"]: tool for tool in self.body.get("tools") or () if tool["type"] == "function"}

    @property
    def forced_function(self) -> str | None:
        """The function that `tool_choice` demands, if it demands one."""
        choice: Any = self.body.get("tool_choice")
        names = list(self.tools)
        if isinstance(choice, dict):
            if choice.get("type") == "function":
                return str(choice["name"])
            if choice.get("type") != "allowed_tools":
                return None
            names = [tool.get("name") for tool in choice.get("tools") or () if tool.get("name") in self.tools]
            choice = choice.get("mode")
        return names[0] if choice == "required" and names else None

    @property
    def text_format(self) -> JSON:
        """The format of the text that is asked for: `{"type": "text"}` unless said otherwise."""
        return (self.body.get("text") or {}).get("format") or {"type": "text"}
