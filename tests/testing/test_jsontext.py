from __future__ import annotations

import pytest

from rxresponses.testing.jsontext import decode, encode


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
