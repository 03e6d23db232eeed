from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from rxresponses.wire import jsontext
from rxresponses.wire.jsontext import read_json
from tests.support.strategies import json_values

DEEP = "[" * 100_000 + "]" * 100_000
LONG = "1" * 5000


@pytest.mark.parametrize("convert", [str, str.encode])
def test_valid_text_is_read_whole(convert: Any) -> None:
    assert read_json(convert('{"a": ["é", 1, null]}')) == ({"a": ["é", 1, None]}, None)


@pytest.mark.parametrize("text", ["", "{", '{"a": 1} x', b"\xff\x00", b'{"a": "\xff"}'])
def test_text_that_is_no_json_raises(text: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_scenario_76_a_long_integer_is_read_as_text() -> None:
    data, reason = read_json(f'{{"a": {LONG}, "b": -{LONG}, "c": {"1" * 400}, "d": 1.5, "e": "{LONG}"}}')
    assert data == {"a": LONG, "b": f"-{LONG}", "c": int("1" * 400), "d": 1.5, "e": LONG}
    assert reason is not None
    assert "too many digits" in reason


def test_deep_nesting_is_left_out() -> None:
    data, reason = read_json(f'{{"a": {DEEP}, "b": [{DEEP}, {{"c": {DEEP}}}], "d": "{DEEP}"}}')
    assert reason is not None
    assert "deeper than 100" in reason
    assert data["d"] == DEEP
    for value, depth in ((data["a"], 99), (data["b"][0], 98), (data["b"][1]["c"], 97)):
        for _ in range(depth):
            (value,) = value
        assert value is None


@pytest.mark.parametrize(
    "string",
    ["[", "{]", '"', '\\"[', '\\\\"', "\\", "]" * 200, "[" * 200, "é\ud83c\n"],
)
@pytest.mark.parametrize("escape", [True, False])
def test_brackets_in_strings_do_not_count(string: str, escape: bool) -> None:
    data = {string: [string], "x": string}
    text = json.dumps(data, ensure_ascii=escape)
    read, reason = read_json(f'{text[:-1]}, "deep": {DEEP}, "last": 1}}')
    assert reason is not None
    assert {**read, "deep": None} == {**data, "deep": None, "last": 1}


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, DEEP + "]", DEEP[:-1], f"[{DEEP}, x]", f'[{DEEP}, "]', f"[{DEEP}}}", f"[{DEEP}, \\n]"],
    ids=["never closed", "closed twice", "one missing", "a word", "a string", "another bracket", "an escape"],
)
def test_deeply_nested_text_that_is_no_json_raises(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_broken_utf8_inside_values_that_are_too_deep() -> None:
    with pytest.raises(UnicodeDecodeError):
        read_json(f'["{"a" * 10}", {DEEP}, "'.encode() + b'\xff"]')


@given(json_values)
def test_values_that_are_not_too_deep_are_kept(data: Any) -> None:
    text = json.dumps(data)
    assert jsontext._shallow(text) == text
    assert read_json(f"[{text}, {LONG}]")[0] == [json.loads(text), LONG]
