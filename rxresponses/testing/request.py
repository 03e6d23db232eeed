"""A request as the scripted model, and the functions of a test, see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..redaction import shown_field
from .items import is_call_output, item_text, new_items, tool_outputs
from .jsontext import JSON


@dataclass(frozen=True, repr=False)
class Request:
    """One `response.create`, with the conversation that it continues.

    Its `repr` does not show the credentials of tools.
    Functions given to `ResponsesServer.on`, `ResponsesServer.reply` and `Fault` receive such an object.
    """

    body: JSON
    """The message as received."""

    input: Sequence[JSON]
    """The input items of this request.  A string input is a user message here."""

    history: Sequence[JSON] = ()
    """The items of the conversation before `input`: the input and the output of the earlier responses."""

    connection: int = 1
    """The number of the connection, counted from 1."""

    number: int = 0
    """The number of the request on the server, counted from 1 in the order of arrival.

    0 for the successor of a steered response, for which no client sent a request.
    """

    ordinal: int = 0
    """The number of the request on its connection, counted like `number`."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={shown_field(name, value)!r}" for name, value in vars(self).items())
        return f"Request({fields})"

    @property
    def stream_id(self) -> str | None:
        """The `stream_id` of the request, `None` for the default lane."""
        return self.body.get("stream_id")

    @property
    def items(self) -> list[JSON]:
        """All items of the conversation: `history`, then `input`."""
        return [*self.history, *self.input]

    @property
    def text(self) -> str:
        """The text of the latest user message, empty if there is none."""
        return next((item_text(item) for item in reversed(self.items) if item.get("role") == "user"), "")

    @property
    def conversation(self) -> str:
        """The messages of the conversation, each as a line `role: text`."""
        return "\n".join(f"{item['role']}: {item_text(item)}" for item in self.items if "role" in item)

    @property
    def function_outputs(self) -> dict[str, str]:
        """The function call outputs in `input`: the text of each output by the `call_id` of its call."""
        return {item["call_id"]: item_text(item) for item in self.input if item["type"] == "function_call_output"}

    @property
    def answers_calls(self) -> bool:
        """Whether the input ends with the output of a call, and so not with a message."""
        return len(self.input) > 0 and is_call_output(self.input[-1])

    @property
    def tool_outputs(self) -> list[tuple[str, str]]:
        """The outputs of calls that this request brings, of any kind: the name of the tool, and the text of the output.

        A request may repeat its conversation: only the outputs after the latest item of the model count.

        A tool without a name of its own has that of its type: `shell`, `local_shell`, `apply_patch`, `computer`.
        The text for an MCP approval is `approved`, or `denied` and the reason; its name is that of the tool.
        """
        return tool_outputs(new_items(self.input), self.items)

    @property
    def tools(self) -> dict[str, JSON]:
        """The function tools of the request by their names."""
        return {tool["name"]: tool for tool in self.body.get("tools") or () if tool["type"] == "function"}

    @property
    def forced_function(self) -> str | None:
        """The name of the function that `tool_choice` demands, `None` if it demands none.

        If `tool_choice` demands some function without naming it, this is the first function that it allows.
        """
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
        """The requested format of the text, `{"type": "text"}` by default."""
        return (self.body.get("text") or {}).get("format") or {"type": "text"}
