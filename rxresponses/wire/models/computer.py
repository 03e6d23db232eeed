"""Output items of computer use: the actions to perform, and the screenshots in return."""

from __future__ import annotations

from dataclasses import field
from typing import Literal, TypeAlias

from ..base import Model, UnknownItem, model


@model
class ActionClick(Model):
    """Click at a point, in pixels, with `keys` held down."""

    type: Literal["click"] = "click"
    button: str | None = None
    x: int | None = None
    y: int | None = None
    keys: list[str] | None = None


@model
class ActionDoubleClick(Model):
    """Click twice at a point, in pixels, with `keys` held down."""

    type: Literal["double_click"] = "double_click"
    x: int | None = None
    y: int | None = None
    keys: list[str] | None = None


@model
class ActionDragPath(Model):
    """A point of a drag, in pixels."""

    x: int | None = None
    y: int | None = None


@model
class ActionDrag(Model):
    """Drag along a path, with `keys` held down."""

    type: Literal["drag"] = "drag"
    path: list[ActionDragPath] = field(default_factory=list)
    keys: list[str] | None = None


@model
class ActionKeypress(Model):
    """Press keys together."""

    type: Literal["keypress"] = "keypress"
    keys: list[str] = field(default_factory=list)


@model
class ActionMove(Model):
    """Move the pointer to a point, in pixels, with `keys` held down."""

    type: Literal["move"] = "move"
    x: int | None = None
    y: int | None = None
    keys: list[str] | None = None


@model
class ActionScreenshot(Model):
    """Take a screenshot."""

    type: Literal["screenshot"] = "screenshot"


@model
class ActionScroll(Model):
    """Scroll by a distance at a point, all in pixels, with `keys` held down."""

    type: Literal["scroll"] = "scroll"
    scroll_x: int | None = None
    scroll_y: int | None = None
    x: int | None = None
    y: int | None = None
    keys: list[str] | None = None


@model
class ActionType(Model):
    """Type a text."""

    type: Literal["type"] = "type"
    text: str | None = None


@model
class ActionWait(Model):
    """Wait a moment."""

    type: Literal["wait"] = "wait"


ComputerAction: TypeAlias = (
    ActionClick
    | ActionDoubleClick
    | ActionDrag
    | ActionKeypress
    | ActionMove
    | ActionScreenshot
    | ActionScroll
    | ActionType
    | ActionWait
    | UnknownItem
)
"""An action for the client to perform on the computer."""


@model
class SafetyCheck(Model):
    """A safety concern, which the user must acknowledge before the call goes on."""

    id: str | None = None
    code: str | None = None
    message: str | None = None


@model
class ResponseComputerToolCall(Model):
    """A request to act on the computer: one `action`, or several in `actions`."""

    type: Literal["computer_call"] = "computer_call"
    id: str | None = None
    call_id: str | None = None
    action: ComputerAction | None = None
    actions: list[ComputerAction] | None = None
    pending_safety_checks: list[SafetyCheck] = field(default_factory=list)
    status: str | None = None


@model
class ResponseComputerToolCallOutputScreenshot(Model):
    """The screen after an action, by URL (`data:` included) or by file id."""

    type: str = "computer_screenshot"
    file_id: str | None = None
    image_url: str | None = None


@model
class ResponseComputerToolCallOutputItem(Model):
    """The client's answer to a computer call."""

    type: Literal["computer_call_output"] = "computer_call_output"
    id: str | None = None
    call_id: str | None = None
    output: ResponseComputerToolCallOutputScreenshot | None = None
    acknowledged_safety_checks: list[SafetyCheck] | None = None
    created_by: str | None = None
    status: str | None = None
