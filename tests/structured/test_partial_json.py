from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses import DecodeError
from rxresponses.structured.answer import list_in
from rxresponses.structured.partial_json import NOTHING, PartialJson

from ..effort import examples
from ..support.strategies import json_values

containers = st.lists(json_values, max_size=4) | st.dictionaries(st.text(max_size=4), json_values, max_size=4)


def values(*pieces: str, path: tuple[str, ...] | None = None) -> Iterator[Any]:
    """The value after each piece behind which it is due."""
    parser = PartialJson(path)
    return (parser.value() for piece in pieces if parser.feed(piece))


def last(*pieces: str) -> Any:
    return list(values(*pieces))[-1]


def begins(part: Any, whole: Any) -> bool:
    """Whether `part` is a begin of `whole`: only what is last in it may be shorter."""
    if type(part) is not type(whole):
        return False
    if isinstance(part, str):
        return bool(whole.startswith(part))
    if isinstance(part, list):
        at = len(part) - 1
        return not part or (part[:-1] == whole[:at] and at < len(whole) and begins(part[-1], whole[at]))
    if isinstance(part, dict):
        names = list(part)
        return names == list(whole)[: len(names)] and begins(list(part.values()), list(whole.values()))
    return bool(part == whole)


@given(containers, st.booleans(), st.lists(st.integers(0, 10**6), max_size=12))
@settings(max_examples=examples(500))
def test_any_value_in_any_pieces(value: Any, ascii: bool, numbers: list[int]) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    whole = json.loads(text)
    cuts = sorted({number % len(text) for number in numbers} | {0, len(text)})
    seen: list[tuple[Any, str]] = []
    for part in values(*(text[start:end] for start, end in pairwise(cuts))):
        seen.append((part, json.dumps(part)))

    parts = [part for part, _ in seen]
    assert parts[-1] == whole
    assert all(begins(earlier, later) for earlier, later in pairwise(parts))
    assert all(earlier != later for earlier, later in pairwise(parts))
    assert all(json.dumps(part) == before for part, before in seen)  # none has changed


@given(containers)
@settings(max_examples=examples(300))
def test_character_by_character_each_part_is_seen(value: Any) -> None:
    text = json.dumps(value)
    parts = list(values(*text))

    assert parts[-1] == json.loads(text)
    assert list(values(text)) == [json.loads(text)]
    assert len(parts) == len({json.dumps(part) for part in parts})


def test_what_is_seen_when() -> None:
    assert list(values(*'{"a": "xy", "b": [12, tru', "e", "]}")) == [
        {},
        {"a": ""},
        {"a": "x"},
        {"a": "xy"},
        {"a": "xy", "b": []},
        {"a": "xy", "b": [12]},
        {"a": "xy", "b": [12, True]},
    ]


def test_a_number_is_seen_when_it_is_whole() -> None:
    assert list(values("[1", "2", "3, -", "1.5", "e", "2", " ", "]")) == [[], [123], [123, -150.0]]
    assert [type(number) for number in last("[1, 1.0, 1e2]")] == [int, float, float]
    assert last("[0, -0, 0.0]") == [0, 0, 0.0]


def test_a_cut_escape_waits() -> None:
    assert list(values('["a\\', "n\\u00", 'e9b"]')) == [["a"], ["a\n"], ["a\né" + "b"]]
    assert last(r'["\"\\\/\b\f\n\r\t"]') == ['"\\/\b\f\n\r\t']


def test_half_a_character_waits_for_the_other_half() -> None:
    assert list(values(r'["a\ud83c', r"\udf89", 'b"]')) == [["a"], ["a\U0001f389"], ["a\U0001f389b"]]
    assert last(r'["\ud83cb"]') == ["\ud83cb"]
    assert last(r'["\ud83c"]') == ["\ud83c"]
    assert last(r'["\ud83c\ud83c\udf89"]') == ["\ud83c\U0001f389"]
    assert last(r'["\ud83c\n"]') == ["\ud83c\n"]
    assert last(r'["\udf89"]') == ["\udf89"]


def test_names_are_seen_when_they_are_whole() -> None:
    assert list(values('{"na', 'me\\u0021" ', ': "x', '"}')) == [{}, {"name!": "x"}]


def test_space_anywhere() -> None:
    pieces = ' { "a" : [ 1 , true ] , "b" : { } } '
    assert last(*pieces) == last(pieces) == {"a": [1, True], "b": {}}


def test_of_a_name_that_occurs_twice_the_latest_value_counts() -> None:
    assert list(values('{"a": 1,', ' "a": [', "2]}")) == [{"a": 1}, {"a": []}, {"a": [2]}]


def test_closed_parts_are_shared_and_open_ones_are_not() -> None:
    first, second = values('{"a": [[1], [2', ", 3")

    assert first == {"a": [[1], []]}
    assert second == {"a": [[1], [2]]}
    assert first["a"][0] is second["a"][0]
    assert first["a"] is not second["a"]


def test_a_text_alone_is_a_value_and_a_number_alone_is_none_yet() -> None:
    assert list(values('"a', 'b"')) == ["a", "ab"]
    parser = PartialJson()
    assert not parser.feed("12")
    assert parser.value() is NOTHING


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"a": [1]}\n```',
        '```\n{"a": [1]}```',
        '```json {"a": [1]}```',
        'Here it is, `quoted` and ``so``:\n\n```json\n{"a": [1]}\n```\nAnything else?',
        ' \n\ufeff{"a": [1]} \n',
    ],
)
def test_a_fence_and_the_text_around_it_are_left_out(text: str) -> None:
    assert last(*text) == last(text) == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{1: 2}", "a name in quotes was expected at character 1, not '1'"),
        ('{"a" 1}', "a colon was expected at character 5, not '1'"),
        ('{"a": 1 "b"}', "a comma or '}' was expected at character 8"),
        ("[1 2]", "a comma or ']' was expected at character 3"),
        ("[1}", "a comma or ']'"),
        ("[1,]", "a value was expected at character 3, not ']'"),
        ('{"a": 1,}', "a name in quotes"),
        ("[nul]", "true, false or null"),
        ("[NaN]", "a value"),
        ("[01]", "a number was expected at character 3"),
        ("[-]", "a number"),
        ("[1.]", "a number"),
        ("[+1]", "a value"),
        ("['a']", "a value"),
        ('["a\nb"]', "an escape was expected at character 3, not '\\n'"),
        (r'["\x"]', "an escape was expected at character 3, not 'x'"),
        (r'["\u12g4"]', "an escape"),
        (r'["\u+123"]', "an escape"),
        ("{} {}", "the end of the text was expected at character 3"),
    ],
)
def test_text_that_is_no_json(text: str, message: str) -> None:
    for pieces in ([text], text):
        with pytest.raises(DecodeError) as caught:
            list(values(*pieces))
        assert message in str(caught.value)


def test_text_without_any_json_has_no_value() -> None:
    assert list(values("I can not ", "``say `` that` ", "\ufeff ")) == []


def test_deep_nesting_and_long_integers_are_errors() -> None:
    assert last("[" * 500 + "]" * 500)
    with pytest.raises(DecodeError, match="deeper than 500"):
        last("[" * 501)
    with pytest.raises(DecodeError, match="5000 digits"):
        last("[" + "1" * 5000 + "]")


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("[1, [2]]", None, [1, [2]]),
        ('{"a": {"x": [0]}, "b": [1, 2], "c": [3]}', None, [1, 2]),
        ('{"a": [1], "b": [2]}', ("b",), [2]),
        ('{"a": {"b": [1]}, "b": [2]}', ("a", "b"), [1]),
        ('{"a": [{"b": [1]}], "b": []}', ("b",), []),
    ],
)
def test_the_watched_list(text: str, path: tuple[str, ...] | None, expected: list[Any]) -> None:
    for pieces in ([text], text):
        parser = PartialJson(path)
        lengths = []
        for piece in pieces:
            parser.feed(piece)
            lengths.append(len(parser.watched or ()))
        assert parser.watched == expected
        assert lengths == sorted(lengths)
    assert list_in(json.loads(text), path) == expected


@pytest.mark.parametrize(("text", "path"), [('{"a": null}', None), ('{"a": {"b": null}}', ("a", "b"))])
def test_no_list_but_null(text: str, path: tuple[str, ...] | None) -> None:
    assert list_in(json.loads(text), path) == []


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ('{"a": 1}', None, "a list as a member, was expected"),
        ("7", None, "a list as a member, was expected"),
        ('{"a": 1}', ("a",), "a list was expected - at `$.a`"),
        ('{"a": {"b": 1}}', ("a", "c"), "the key 'c' was expected - at `$.a`"),
        ("[1]", ("a",), "the key 'a' was expected - at `$`"),
    ],
)
def test_no_list_at_all(text: str, path: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        list_in(json.loads(text), path)
    assert message in str(caught.value)


def test_the_depth_of_a_value() -> None:
    parser = PartialJson()
    assert parser.feed('{"a": [1, {"b": "x')
    assert parser.depth == 4
    assert [parser.value(depth) for depth in range(5)] == [
        NOTHING,
        {},
        {"a": [1]},
        {"a": [1, {}]},
        {"a": [1, {"b": "x"}]},
    ]


ANSWERS: dict[str, Callable[[int], Any]] = {
    "one long text": lambda count: {"text": "some words and more words " * count},
    "many escapes": lambda count: {"text": 'a "quoted" text\n' * count},
    "a list of objects": lambda count: {"all": [{"id": number, "tags": ["x"]} for number in range(count)]},
    "a list of numbers": lambda count: [12345.5] * count,
    "an object of many members": lambda count: {f"name {number}": number for number in range(count)},
    "a long number": lambda count: [float("1" * 300), int("1" * (2 * count))],
    "a long name": lambda count: {"name " * count: None},
    "nested lists": lambda count: json.loads("[" * (count // 2) + "]" * (count // 2)),
}


def steps(text: str, *, is_read_whole: bool) -> tuple[int, int]:
    """How many functions run, and how many elements are copied or read, for a text in pieces of five characters."""
    calls = cost = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    parser = PartialJson(is_read_whole=is_read_whole)
    for start in range(0, len(text), 5):
        sys.setprofile(count)
        is_due = parser.feed(text[start : start + 5])
        sys.setprofile(None)
        if is_due:
            cost += parser.cost
    return calls, cost


@pytest.mark.parametrize("is_read_whole", [False, True])
@pytest.mark.parametrize("kind", ANSWERS)
def test_the_steps_are_linear_in_the_length(kind: str, is_read_whole: bool) -> None:
    short, long = (json.dumps(ANSWERS[kind](count)) for count in (100, 900))
    few, many = (steps(text, is_read_whole=is_read_whole) for text in (short, long))

    assert many[0] / len(long) < 1.2 * few[0] / len(short)
    for text, (_, cost) in ((short, few), (long, many)):
        assert cost / len(text) < 500 / 5 + 8 + 1
