"""Output items of shells and patches: commands, their outputs, changes to files."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal, TypeAlias

from ..base import Model, UnknownItem, model
from .function_calls import Caller


@model
class LocalShellCallAction(Model):
    """A command to run, with its environment; the time limit is in milliseconds."""

    type: str | None = None
    command: list[str] = field(default_factory=list)
    env: dict[str, Any] = field(default_factory=dict)
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


@model
class LocalShellCall(Model):
    """A request to run one command in the client's local shell."""

    type: Literal["local_shell_call"] = "local_shell_call"
    id: str | None = None
    call_id: str | None = None
    action: LocalShellCallAction | None = None
    status: str | None = None


@model
class LocalShellCallOutput(Model):
    """The output of the local shell, as JSON text."""

    type: Literal["local_shell_call_output"] = "local_shell_call_output"
    id: str | None = None
    output: str | None = None
    status: str | None = None


@model
class ShellCallAction(Model):
    """Commands to run; the output limit is in characters, the time limit in milliseconds."""

    commands: list[str] = field(default_factory=list)
    max_output_length: int | None = None
    timeout_ms: int | None = None


@model
class ResponseLocalEnvironment(Model):
    """The shell is the client's own."""

    type: Literal["local"] = "local"


@model
class ResponseContainerReference(Model):
    """The shell is in a container of the server."""

    type: Literal["container_reference"] = "container_reference"
    container_id: str | None = None


ShellEnvironment: TypeAlias = ResponseLocalEnvironment | ResponseContainerReference | UnknownItem
"""Where a shell call runs."""


@model
class ResponseFunctionShellToolCall(Model):
    """A call of the shell tool."""

    type: Literal["shell_call"] = "shell_call"
    id: str | None = None
    call_id: str | None = None
    action: ShellCallAction | None = None
    environment: ShellEnvironment | None = None
    caller: Caller | None = None
    created_by: str | None = None
    status: str | None = None


@model
class OutputOutcomeTimeout(Model):
    """The command took too long."""

    type: Literal["timeout"] = "timeout"


@model
class OutputOutcomeExit(Model):
    """The command ended with an exit code."""

    type: Literal["exit"] = "exit"
    exit_code: int | None = None


ShellOutcome: TypeAlias = OutputOutcomeTimeout | OutputOutcomeExit | UnknownItem
"""How a command ended."""


@model
class ShellCommandOutput(Model):
    """The output of one command, and how the command ended."""

    outcome: ShellOutcome | None = None
    stdout: str | None = None
    stderr: str | None = None
    created_by: str | None = None


@model
class ResponseFunctionShellToolCallOutput(Model):
    """The outputs of the commands of a shell call, an entry for each command."""

    type: Literal["shell_call_output"] = "shell_call_output"
    id: str | None = None
    call_id: str | None = None
    output: list[ShellCommandOutput] = field(default_factory=list)
    max_output_length: int | None = None
    caller: Caller | None = None
    created_by: str | None = None
    status: str | None = None


@model
class OperationCreateFile(Model):
    """Create a file from a V4A diff."""

    type: Literal["create_file"] = "create_file"
    path: str | None = None
    diff: str | None = None


@model
class OperationDeleteFile(Model):
    """Delete a file."""

    type: Literal["delete_file"] = "delete_file"
    path: str | None = None


@model
class OperationUpdateFile(Model):
    """Change a file by a V4A diff."""

    type: Literal["update_file"] = "update_file"
    path: str | None = None
    diff: str | None = None


PatchOperation: TypeAlias = OperationCreateFile | OperationDeleteFile | OperationUpdateFile | UnknownItem
"""One change to one file."""


@model
class ResponseApplyPatchToolCall(Model):
    """A request to change a file."""

    type: Literal["apply_patch_call"] = "apply_patch_call"
    id: str | None = None
    call_id: str | None = None
    operation: PatchOperation | None = None
    caller: Caller | None = None
    created_by: str | None = None
    status: str | None = None


@model
class ResponseApplyPatchToolCallOutput(Model):
    """Whether a file was changed, and the log of the change."""

    type: Literal["apply_patch_call_output"] = "apply_patch_call_output"
    id: str | None = None
    call_id: str | None = None
    output: str | None = None
    caller: Caller | None = None
    created_by: str | None = None
    status: str | None = None
