from __future__ import annotations

import math

import pytest

from rxresponses.testing.jsontext import decode, encode, is_deeper


def test_encoding_and_decoding() -> None:
    value = {"a": [1, 2.5, None, True, "é🎉"], "b": {}}

    assert decode(encode(value)) == value
    assert encode({"a": 1, "b": [2]}) == '{"a":1,"b":[2]}'


def test_lone_surrogates_are_kept() -> None:
    assert encode({"delta": "\ud83c"}) == '{"delta":"\\ud83c"}'
    assert decode('{"delta":"\\ud83c"}') == {"delta": "\ud83c"}


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"a": NaN}', "[" * 100_000, b"\xff"])
def test_text_that_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the codecs word it differently
        decode(text)


def test_numbers_that_are_too_large_for_a_float() -> None:
    assert decode('["\\ud83c", 1e400, 1e3]') == ["\ud83c", math.inf, 1000.0]
    assert decode('["\\ud83c", 1e3]', finite=True) == ["\ud83c", 1000.0]
    with pytest.raises(ValueError, match="out of range"):
        decode('["\\ud83c", 1e400, 1e3]', finite=True)


@pytest.mark.parametrize(
    ("value", "levels"),
    [(1, 0), ([], 1), ({}, 1), ([1, "a"], 1), ([{}, [{"a": []}]], 4), ({"a": [], "b": {"c": []}}, 3)],
)
def test_the_depth_of_a_value(value: object, levels: int) -> None:
    assert not is_deeper(value, levels)
    assert levels == 0 or is_deeper(value, levels - 1)
