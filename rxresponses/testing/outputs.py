"""The content that a scripted response can have: messages, reasoning, calls of tools, and any other item.

All classes here raise `TypeError` or `ValueError` for arguments that cannot be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .arguments import CheckedArguments
from .jsontext import encode


@dataclass(frozen=True)
class Text(CheckedArguments):
    """A message of the assistant with a text.

    Args:
        text: the text, which the server cuts into deltas of about one token.
        deltas: the deltas to send, in place of those that the server cuts.  If given, they replace `text`.
        phase: the phase of the message: a `commentary` before the answer, or the `final_answer`.  By default the
            message has no phase.
    """

    text: str = ""
    deltas: Sequence[str] = ()
    phase: Literal["commentary", "final_answer"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "deltas", tuple(self.deltas))
        if self.deltas:
            object.__setattr__(self, "text", "".join(self.deltas))


@dataclass(frozen=True)
class Json(CheckedArguments):
    """A message of the assistant whose text is the JSON of a value, as the answer to a request with a `text_format`.

    Args:
        value: a mapping, a list, a string, a number, a boolean or `None`.
    """

    value: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        encode(self.value)  # raises for what is not JSON

    @property
    def text(self) -> str:
        """The text of the message."""
        return encode(self.value)


@dataclass(frozen=True)
class Refusal(CheckedArguments):
    """A message of the assistant with a refusal: the model declines to answer.  The request itself succeeds."""

    text: str


@dataclass(frozen=True)
class Reasoning(CheckedArguments):
    """A reasoning item.

    If the `include` of the request has `reasoning.encrypted_content`, the item has an `encrypted_content`.

    Args:
        summary: the summary; each string becomes one part of it.
        text: the reasoning itself, which some models give.
        encrypted_content: the encrypted content; by default the server makes one up.
    """

    summary: str | Sequence[str] = ()
    text: str | None = None
    encrypted_content: str | None = None


@dataclass(frozen=True)
class FunctionCall(CheckedArguments):
    """A function call.

    Args:
        name: the name of the function.
        arguments: the arguments.  A string is sent as it is, whether or not it is valid JSON.
        call_id: the id of the call, which the client repeats in the output; by default the server makes an id.
    """

    name: str
    arguments: Mapping[str, Any] | str = "{}"
    call_id: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments_text(self.arguments)  # raises for what is not JSON, which would otherwise break the connection


@dataclass(frozen=True)
class CustomToolCall(CheckedArguments):
    """A call of a custom tool, whose input is any text.

    Args:
        name: the name of the tool.
        input: the input.
        call_id: the id of the call; by default the server makes an id.
    """

    name: str
    input: str = ""
    call_id: str | None = None


@dataclass(frozen=True)
class McpApprovalRequest(CheckedArguments):
    """A request to approve the call of a tool of an MCP server, which the client answers with `mcp_approval_response`.

    Args:
        server_label: the label of the MCP server.
        name: the name of the tool.
        arguments: the arguments of the tool, as in `FunctionCall`.
        id: the id of the request, which the client repeats as `approval_request_id`; by default the server makes an id.
    """

    server_label: str
    name: str
    arguments: Mapping[str, Any] | str = "{}"
    id: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        arguments_text(self.arguments)


@dataclass(frozen=True)
class ShellCall(CheckedArguments):
    """A call of the shell tool, which the client runs.

    Args:
        commands: the commands.
        timeout_ms: how long each command may run, in milliseconds.
        max_output_length: how many characters of output the model wants.
        call_id: the id of the call; by default the server makes an id.
    """

    commands: Sequence[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None
    call_id: str | None = None


@dataclass(frozen=True)
class LocalShellCall(CheckedArguments):
    """A call of the older local shell tool, which the client runs.

    Args:
        command: the program and its arguments.
        env: the environment variables of the program.
        working_directory: where the program runs.
        timeout_ms: how long the program may run, in milliseconds.
        user: the user who runs the program.
        call_id: the id of the call; by default the server makes an id.
    """

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    timeout_ms: int | None = None
    user: str | None = None
    call_id: str | None = None


@dataclass(frozen=True)
class ApplyPatchCall(CheckedArguments):
    """A call of the tool that changes files, which the client carries out.

    Args:
        operation: what to do with the file.
        path: the path of the file.
        diff: the content of the new file, or the changes; none if the file is deleted.
        call_id: the id of the call; by default the server makes an id.
    """

    operation: Literal["create_file", "update_file", "delete_file"]
    path: str
    diff: str | None = None
    call_id: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.diff is None) != (self.operation == "delete_file"):
            raise ValueError(f"diff must be given to create or to update a file, and only then: {self!r}")


@dataclass(frozen=True)
class Item(CheckedArguments):
    """Any other output item, such as `Item({"type": "web_search_call", "status": "completed"})`.

    The server sends it in one piece.  An item without an `id` gets one.

    Args:
        item: the item, with its `type`.
    """

    item: Mapping[str, Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.item.get("type"), str):
            raise ValueError(f"item must have a type: {self.item!r}")
        encode(dict(self.item))  # raises for what is not JSON


@dataclass(frozen=True)
class Raw(CheckedArguments):
    """Frames that the server sends exactly as given, without `stream_id` and `sequence_number` of its own.

    If a reply has raw frames as its only outputs, they are the whole answer: the server sends no events
    besides.  Next to other outputs, they are sent at their place among the events of the response.

    Args:
        frames: a mapping is sent as JSON, a string as a text frame, bytes as a binary frame.
    """

    frames: Sequence[Mapping[str, Any] | str | bytes]

    def __post_init__(self) -> None:
        super().__post_init__()
        for frame in self.frames:
            check_frame(frame)


@dataclass(frozen=True)
class Interleaved(CheckedArguments):
    """Several outputs at once, such as parallel calls: their events take turns.

    Args:
        outputs: the outputs; a string is a `Text`.
    """

    outputs: Sequence[Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        outputs = tuple(Text(output) if isinstance(output, str) else output for output in self.outputs)
        for output in outputs:
            if not isinstance(output, _SINGLE_OUTPUTS):
                raise TypeError(f"Interleaved: outputs must be outputs, not {output!r}")
        object.__setattr__(self, "outputs", outputs)


Call = FunctionCall | CustomToolCall | McpApprovalRequest | ShellCall | LocalShellCall | ApplyPatchCall
"""A call that the client has to answer."""

Output = Text | Json | Refusal | Reasoning | Call | Item | Raw | Interleaved
"""A part of a reply that is content of the response."""

_CALLS = (FunctionCall, CustomToolCall, McpApprovalRequest, ShellCall, LocalShellCall, ApplyPatchCall)
_SINGLE_OUTPUTS = (Text, Json, Refusal, Reasoning, *_CALLS, Item, Raw)
OUTPUTS = (*_SINGLE_OUTPUTS, Interleaved)


def has_calls(output: object) -> bool:
    """Return whether an output is a call that the client has to answer, or has such calls."""
    return isinstance(output, _CALLS) or (isinstance(output, Interleaved) and any(map(has_calls, output.outputs)))


def arguments_text(arguments: Mapping[str, Any] | str) -> str:
    """Return the arguments of a call as the text that is sent."""
    return arguments if isinstance(arguments, str) else encode(dict(arguments))


def check_frame(frame: Mapping[str, Any] | str | bytes) -> None:
    """Raise an error for a frame that cannot be sent: it would otherwise break the connection later."""
    if isinstance(frame, str):
        frame.encode()
    elif not isinstance(frame, bytes):
        encode(dict(frame))
