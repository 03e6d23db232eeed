"""Events of shell commands and patches."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from ..base import Model, model
from ..models.shell import ShellCommandOutput
from .base import ItemEvent, ServerEvent


@model
class ShellCallOutputDelta(Model):
    """The next characters of a command's output."""

    stdout: str | None = None
    stderr: str | None = None


@model
class ShellCommandEvent(ServerEvent):
    """Base of the events about one of the commands of a shell call."""

    output_index: int | None = None
    command_index: int | None = None


@model
class ResponseShellCallCommandAddedEvent(ShellCommandEvent):
    """A command begins."""

    type: Literal["response.shell_call_command.added"] = "response.shell_call_command.added"
    command: str


@model
class ResponseShellCallCommandDeltaEvent(ShellCommandEvent):
    """The next characters of a command."""

    type: Literal["response.shell_call_command.delta"] = "response.shell_call_command.delta"
    delta: str
    obfuscation: str | None = None


@model
class ResponseShellCallCommandDoneEvent(ShellCommandEvent):
    """A command is complete."""

    type: Literal["response.shell_call_command.done"] = "response.shell_call_command.done"
    command: str


@model
class ResponseShellCallOutputContentDeltaEvent(ShellCommandEvent):
    """A command printed something."""

    type: Literal["response.shell_call_output_content.delta"] = "response.shell_call_output_content.delta"
    delta: ShellCallOutputDelta
    item_id: str | None = None


@model
class ResponseShellCallOutputContentDoneEvent(ShellCommandEvent):
    """The whole output of a command, and how the command ended."""

    type: Literal["response.shell_call_output_content.done"] = "response.shell_call_output_content.done"
    output: list[ShellCommandOutput] = field(default_factory=list)
    item_id: str | None = None


@model
class ResponseApplyPatchCallOperationDiffDeltaEvent(ItemEvent):
    """The next characters of a V4A diff."""

    type: Literal["response.apply_patch_call_operation_diff.delta"] = "response.apply_patch_call_operation_diff.delta"
    delta: str


@model
class ResponseApplyPatchCallOperationDiffDoneEvent(ItemEvent):
    """A V4A diff is complete."""

    type: Literal["response.apply_patch_call_operation_diff.done"] = "response.apply_patch_call_operation_diff.done"
    diff: str
