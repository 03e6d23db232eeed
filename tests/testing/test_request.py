from __future__ import annotations

from rxresponses.testing.request import Request

from .peer import TOOLS, user


def test_a_request_shows_the_conversation() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    view = Request(
        body={"stream_id": "main", "tools": TOOLS},
        history=[user("first"), {"type": "message", "role": "assistant", "content": "answer"}, call],
        input=[output],
        connection=3,
    )

    assert view.stream_id == "main"
    assert view.text == "first"
    assert view.conversation == "user: first\nassistant: answer"
    assert view.function_outputs == {"c": "x"}
    assert list(view.tools) == ["f", "g"]
    assert view.text_format == {"type": "text"}
    assert Request(body={}, input=[user("hi")]).stream_id is None


def test_scenario_74_the_repr_of_a_request_does_not_show_the_credentials_of_tools() -> None:
    tool = {"type": "mcp", "server_label": "l", "authorization": "secret-1", "headers": {"X-Key": "secret-2"}}
    view = Request(body={"tools": [tool]}, input=[user("hi")], number=3)
    assert "number=3" in repr(view)
    assert "secret" not in repr(view)
