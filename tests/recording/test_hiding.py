"""No secret gets into a recording, and what is no secret stays as it was received."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.known_secrets import LONGEST, Secrets
from rxresponses.recording import hiding
from rxresponses.recording.hiding import Hider
from rxresponses.recording.redacting import redacted, without_tool_secrets
from tests.effort import examples

KEY = "sk-proj-9fQ2mZ8vTt31LpXc7Hn5BbYw"
TOKEN = "mcp+Token/0123456789=abc"
HIDER = Hider(Secrets([KEY, TOKEN]), "full")
FILLING = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FORMS = [
    str,
    str.upper,
    lambda key: key[: len(key) // 2 + 1],
    lambda key: key[-(len(key) // 2) - 1 :],
    lambda key: quote(key, safe=""),
    lambda key: "".join(f"%{ord(character):02x}" for character in key),
    lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    lambda key: key.encode().hex(),
    json.dumps,
    repr,
]


def event(text: str, kind: str = "response.output_text.delta") -> bytes:
    return json.dumps({"type": kind, "item_id": "msg_0123", "delta": text}, ensure_ascii=False).encode()


@settings(max_examples=examples(300))
@given(
    st.sampled_from([KEY, TOKEN]),
    st.sampled_from(FORMS),
    st.lists(FILLING, max_size=5),
    st.lists(FILLING, max_size=5),
    FILLING,
    FILLING,
)
def test_no_form_of_a_secret_is_left(
    key: str, form: Any, before: list[str], after: list[str], left: str, right: str
) -> None:
    frames = [*map(event, before), event(f"{left} {form(key)} {right}"), *map(event, after)]
    hidden = HIDER.frames(frames)
    secrets = Secrets([key])
    for frame in hidden:
        assert secrets.hide_json(json.loads(frame)) == json.loads(frame)
    assert hidden[len(before)] != frames[len(before)]
    assert json.loads(hidden[len(before)])["type"] == "response.output_text.delta"


QUOTINGS = [
    str,
    str.upper,
    lambda character: f"%{ord(character):02x}",
    lambda character: f"\\u{ord(character):04x}",
    lambda character: f"&#{ord(character)};",
    lambda character: f"{character}\n  ",
    lambda character: f"\\x{ord(character):02X}",
    lambda character: f"\\{character}" if character == "/" else character,
]


@settings(max_examples=examples(300))
@given(
    st.sampled_from([KEY, TOKEN, TOKEN + '"']),
    st.lists(st.sampled_from(QUOTINGS), min_size=33, max_size=33),
    st.integers(0, 2),
    FILLING,
    FILLING,
    st.booleans(),
)
def test_the_quick_search_of_frames_finds_what_the_thorough_one_finds(
    key: str, quotings: list[Any], times: int, left: str, right: str, ascii_only: bool
) -> None:
    text = "".join(quote(character) for quote, character in zip(quotings, key, strict=False))
    for _ in range(times):
        text = json.dumps(text)
    frame = json.dumps({"type": "x", "delta": f"{left}{text}{right}"}, ensure_ascii=ascii_only).encode()
    hider = Hider(Secrets([key]), "full")
    if hider._is_changed(frame):
        assert hider._may_change([event("a"), frame, event("ü")])
        assert hider._may_change([frame])


@settings(max_examples=examples(100))
@given(st.lists(FILLING, max_size=8))
def test_frames_without_a_secret_stay_the_same_objects(texts: list[str]) -> None:
    frames = list(map(event, texts))
    assert all(map(lambda one, other: one is other, HIDER.frames(frames), frames))


@settings(max_examples=examples(200))
@given(st.binary(max_size=60).map(lambda data: data.replace(b"\\", b"").replace(b"%", b"").replace(b"&", b"")))
def test_the_quick_look_is_never_wrong(data: bytes) -> None:
    secrets = Secrets([KEY])
    for text in (data.decode("latin-1"), data.decode("latin-1") + KEY[:12], KEY.upper()[-18:] + data.decode("latin-1")):
        if text.isascii() and secrets.hide(text) is not text:
            assert secrets.may_be_in(text.encode())


def test_the_quick_look_says_no_to_most_texts() -> None:
    assert not Secrets([KEY, TOKEN]).may_be_in(event("hello") * 100)


def test_without_any_secret_nothing_is_searched() -> None:
    frames = [event("a")]
    assert Hider(Secrets(), "full").frames(frames)[0] is frames[0]
    assert HIDER.frames([]) == []


def test_many_frames_are_searched_in_parts() -> None:
    frames = [event("x" * 1000) for _ in range(600)]
    frames[300] = event(KEY)
    hidden = HIDER.frames(frames)
    assert [one is other for one, other in zip(hidden, frames, strict=True)].count(False) == 1
    assert KEY.encode() not in hidden[300]


def test_frames_that_are_large_together_are_searched_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiding, "_LARGE", 100)
    frames = [event("a"), event(KEY), event("b\n")]
    hidden = HIDER.frames(frames)
    assert [one is other for one, other in zip(hidden, frames, strict=True)] == [True, False, True]


@pytest.mark.parametrize("count", [3, 1200])
def test_only_frames_with_quoted_characters_are_searched_for_quoted_secrets(count: int) -> None:
    quoted = "".join(f"%{ord(character):02x}" for character in KEY)
    frames = [event("one\nline"), *[event("plain")] * count, event(f"100 % {quoted}"), event("& the end \\")]
    hidden = HIDER.frames(frames)
    assert [one is other for one, other in zip(hidden, frames, strict=True)].index(False) == count + 1
    assert hidden[-2].count(b"%") == 1


def test_frames_with_braces_in_their_text_hide_no_tools() -> None:
    tools = [{"type": "mcp", "authorization": "abc"}]
    frames = [event("{"), json.dumps({"type": "x", "tools": tools}).encode(), event("}")]
    hidden = HIDER.frames(frames)
    assert [one is other for one, other in zip(hidden, frames, strict=True)] == [True, False, True]
    assert b"abc" not in hidden[1]


@pytest.mark.parametrize("place", [10, LONGEST - 10, LONGEST + 2000])
def test_a_secret_deep_inside_of_a_large_frame(place: int) -> None:
    frame = event("-" * place + KEY + "-" * 3000)
    (hidden,) = HIDER.frames([frame])
    assert KEY.encode() not in hidden
    assert json.loads(hidden)["type"] == "response.output_text.delta"


def test_a_large_frame_without_a_secret_is_not_shortened() -> None:
    frame = event("-" * (LONGEST + 5000) + "\n")
    assert HIDER.frames([frame])[0] is frame


def test_a_frame_that_python_cannot_read_is_searched_as_text() -> None:
    deep = "[" * 200_000 + "]" * 200_000
    frame = f'{{"type":"x","deep":{deep},"key":"{KEY}"}}'.encode()
    (hidden,) = HIDER.frames([frame])
    assert KEY.encode() not in hidden
    (shown,) = Hider(Secrets([KEY]), "redacted").frames([frame])
    assert json.loads(shown) == {"unreadable": "x" * len(frame)}


def test_the_credentials_of_tools_are_hidden_and_nothing_else_of_them() -> None:
    function = {"type": "function", "name": "f", "parameters": {"properties": {"headers": {"type": "string"}}}}
    mcp = {
        "type": "mcp",
        "server_label": "s",
        "server_url": "https://u:p@host/path?token=1",
        "authorization": "abc",
        "headers": {"X-Key": "abc"},
    }
    tools = [function, mcp, {"type": "namespace", "tools": [function, mcp], "name": "n"}, 5, {"tools": 5}]
    shown = {**mcp, "server_url": "https://host/path", "authorization": "(hidden)", "headers": {"X-Key": "(hidden)"}}
    hidden = [function, shown, {"type": "namespace", "tools": [function, shown], "name": "n"}, 5, {"tools": 5}]
    assert without_tool_secrets({"tools": tools}) == {"tools": hidden}
    assert without_tool_secrets({"response": {"tools": tools, "id": "r"}}) == {"response": {"tools": hidden, "id": "r"}}
    assert without_tool_secrets({"response": {"tools": None}}) == {"response": {"tools": None}}
    (frame,) = Hider(Secrets(), "full").frames([json.dumps({"type": "x", "response": {"tools": tools}}).encode()])
    assert json.loads(frame) == {"type": "x", "response": {"tools": hidden}}
    same = json.dumps({"type": "x", "response": {"tools": [function]}}).encode()
    assert Hider(Secrets(), "full").frames([same])[0] is same


def test_tools_that_are_nested_too_deeply_are_left_out() -> None:
    tool: dict[str, Any] = {"type": "mcp", "authorization": "abc"}
    for _ in range(150):
        tool = {"type": "namespace", "tools": [tool]}
    assert "abc" not in str(without_tool_secrets({"tools": [tool]}))


# Redacted contents.


def lengths(data: Any) -> Any:
    """Return the structure of JSON data, with the length of each text."""
    if isinstance(data, dict):
        return {name: lengths(value) for name, value in data.items()}
    if isinstance(data, list):
        return list(map(lengths, data))
    return len(data) if isinstance(data, str) else type(data)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "id", "text", "name", "metadata", "item_id", "bytes", "x"]), children
        )
    ),
    max_leaves=10,
)


@settings(max_examples=examples(200))
@given(JSON)
def test_redacted_contents_keep_structure_and_lengths(data: Any) -> None:
    assert lengths(redacted(data)) == lengths(data)


def test_redacted_contents_keep_types_ids_and_numbers_only() -> None:
    data = {
        "type": "response.completed",
        "item_id": "msg_1",
        "delta": "Grüße",
        "output_index": 3,
        "metadata": {"name": "Alice", "customer_id": "A1", "type": "premium"},
        "item": {"type": "function_call", "name": "weather", "arguments": '{"city":"Paris"}', "call_id": "call_1"},
        "logprobs": [{"token": "He", "bytes": [72, 101], "logprob": -0.5, "name": "x y"}],
        "name": "two words",
        "tool_choice": ["auto"],
    }
    assert redacted(data) == {
        "type": "response.completed",
        "item_id": "msg_1",
        "delta": "xxxxx",
        "output_index": 3,
        "metadata": {"name": "xxxxx", "customer_id": "xx", "type": "xxxxxxx"},
        "item": {"type": "function_call", "name": "weather", "arguments": "x" * 16, "call_id": "call_1"},
        "logprobs": [{"token": "xx", "bytes": [0, 0], "logprob": -0.5, "name": "xxx"}],
        "name": "xxxxxxxxx",
        "tool_choice": ["xxxx"],
    }


def test_a_type_that_the_program_chooses_is_no_place_for_a_secret() -> None:
    assert redacted({"metadata": {"type": "a sentence"}}) == {"metadata": {"type": "xxxxxxxxxx"}}


def test_what_is_nested_too_deeply_is_left_out() -> None:
    data: Any = "text"
    for _ in range(200):
        data = [data]
    assert "text" not in str(redacted(data))


def test_redacted_frames() -> None:
    hider = Hider(Secrets([KEY]), "redacted")
    (frame,) = hider.frames([event(f"my key is {KEY}")])
    assert json.loads(frame)["delta"] == "x" * len(f"my key is {KEY}")
    assert hider.text("going away") == "x" * 10


def test_the_attributes_of_an_error_hold_no_secret_and_no_contents() -> None:
    attributes = {
        "close_reason": f"said hello to {KEY}",
        "close_code": 1011,
        "code": "server_error",
        "param": f"{KEY} [0]",
        "response_id": "resp_1",
        "unit": "bytes",
        "headers": {"retry-after": "2", "x-request-id": f"req {KEY}"},
    }
    error = {"type": "ConnectionLostError", "message": f"lost {KEY}", "delivery": "unknown", "attributes": attributes}
    full = Hider(Secrets([KEY]), "full").error(error)
    assert KEY not in str(full)
    assert full["attributes"]["close_reason"].startswith("said hello to ")
    shown = Hider(Secrets([KEY]), "redacted").error(error)
    assert shown["message"] == "x" * len(error["message"])
    assert set(shown["attributes"]["close_reason"]) == set(shown["attributes"]["param"]) == {"x"}
    kept = {name: shown["attributes"][name] for name in ("close_code", "code", "response_id", "unit")}
    assert kept == {"close_code": 1011, "code": "server_error", "response_id": "resp_1", "unit": "bytes"}
    assert shown["attributes"]["headers"]["retry-after"] == "2"
    assert KEY not in str(shown)
    assert Hider(Secrets([KEY]), "redacted").error({"type": "ValueError", "message": "no"}) == {
        "type": "ValueError",
        "message": "xx",
    }
