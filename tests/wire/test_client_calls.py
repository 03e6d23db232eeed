from __future__ import annotations

from typing import Any

import pytest

from rxresponses.wire.client_calls import is_client_call
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseCompletedEvent

from ..support.events import wire_event


def item(kind: str, **fields: Any) -> Any:
    event = wire_event("response.completed", response={"output": [{"type": kind, "id": "i", "call_id": "c", **fields}]})
    assert isinstance(event, ResponseCompletedEvent)
    return event.response.output[0]


CONTAINER = {"type": "container_reference", "container_id": "cntr_1"}


@pytest.mark.parametrize(
    "call",
    [
        item("function_call", name="f", arguments="{}"),
        item("custom_tool_call", name="f", input=""),
        item("shell_call", action={"commands": ["ls"]}),
        item("shell_call", action={"commands": ["ls"]}, environment={"type": "local"}),
        item("local_shell_call", action={"type": "exec", "command": ["ls"], "env": {}}, status="completed"),
        item("apply_patch_call", operation={"type": "delete_file", "path": "a"}),
        item("computer_call"),
        item("tool_search_call", execution="client"),
        item("mcp_approval_request", name="f", arguments="{}", server_label="s"),
    ],
    ids=lambda call: call.type,
)
def test_a_call_for_the_program(call: object) -> None:
    assert is_client_call(call)


@pytest.mark.parametrize(
    "other",
    [
        item(
            "shell_call", action={"commands": ["ls"]}, environment={"type": "container_reference", "container_id": "x"}
        ),
        item("tool_search_call", execution="server"),
        item("web_search_call"),
        item("message", role="assistant", content=[]),
        item("function_call_output", output=""),
        item("news"),
        {"type": "function_call"},
        decode("{}"),
        None,
    ],
    ids=lambda other: str(getattr(other, "type", other)),
)
def test_anything_else(other: object) -> None:
    assert not is_client_call(other)
