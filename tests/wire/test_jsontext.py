from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.wire import jsontext
from rxresponses.wire.jsontext import read_json
from tests.effort import examples
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


PIECES = [
    *(
        '{"a":1',
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        "\\",
        " ",
        "\n",
        "\t",
        "\x01",
        "\x0b",
        "\x7f",
        "\ufeff",
        "é",
        "\U0001f389",
        "/",
    ),
    *(
        "\\u0000",
        "\\ud83c",
        "\\udf89",
        "\\uD83C\\uDF89",
        "\\ud83cx",
        "\\ud83c\\u0041",
        "\\u00e",
        "\\x",
        "\\/",
        "\ud83c",
    ),
    *("0", "-", "00", "-0", "-0.0", "1.", ".5", "+1", "1e5", "1E+05", "1e400", "-1e400", "1e-400", "0.1e-320"),
    *("1.7976931348623157e308", "1.7976931348623159e308", "2.2250738585072011e-308", "9007199254740993.0"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809", "1" * 400),
    *("true", "false", "null", "nul", "NaN", "Infinity", "-Infinity", '{"a":1,"a":2}', '{"":[]}', "[1,]"),
]


@settings(max_examples=examples(1000))
@given(
    texts=st.lists(st.sampled_from(PIECES), min_size=1, max_size=4),
    frame=st.sampled_from(["{}", '"{}"', "[{}]", '{{"a":{}}}', '{{"{}":1}}', " {} "]),
    encoding=st.sampled_from(["", "utf-8", "utf-8", "utf-16", "utf-32"]),
    change=st.none() | st.tuples(st.integers(0, 40), st.binary(max_size=2)),
)
def test_both_parsers_read_the_same(
    texts: list[str], frame: str, encoding: str, change: tuple[int, bytes] | None
) -> None:
    text: str | bytes = frame.format("".join(texts))
    if encoding:
        text = text.encode(encoding, "surrogatepass")  # type: ignore[union-attr]
        if change is not None:
            text = text[: change[0]] + change[1] + text[change[0] :]
    try:
        expected: Any = json.loads(text)
    except ValueError as error:
        with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"):
            read_json(text)
    else:
        # As text, because NaN differs from itself, and `-0.0`, `True` and `1.0` equal other values.
        assert repr(read_json(text)) == repr((expected, None))


def test_common_text_is_not_read_by_the_slower_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "json", None)
    assert read_json(b'{"a": [1, 2.5, null, "\\ud83c\\udf89"]}') == ({"a": [1, 2.5, None, "\U0001f389"]}, None)


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
