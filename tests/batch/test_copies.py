"""Lines that ask for the same: one is sent, and each has its result."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses import InvalidRequestError
from rxresponses.batch.copies import Copies
from rxresponses.batch.first_lines import FirstLines
from rxresponses.batch.lines import digest, task_of
from rxresponses.batch.results import Results
from rxresponses.batch.run import Result
from tests.effort import examples

READER = partial(task_of, model="m")
ERROR = InvalidRequestError("wrong")


def input_of(*lines: object) -> list[tuple[int, bytes]]:
    return [(number, json.dumps(line).encode()) for number, line in enumerate(lines, 1)]


def run(path: Path, lines: list[tuple[int, bytes]], failing: Collection[bytes] = (), **more: Any) -> list[int]:
    """Answer the lines, fail those that are in `failing`; return the numbers of those that were sent."""
    sent = []
    with Results(str(path), lines=10_000, **more) as results:
        copies = Copies(READER, results)
        assert results.check(copies.read(lines)) == len(lines)
        results.begin()
        expected = len(copies)
        for number, line in lines:
            if number not in results and number not in copies:
                sent.append(number)
                task = READER(number, line)
                is_failure = line in failing or isinstance(task.request, Exception)
                response = {"id": f"r{number}", "output": [], "usage": {"output_tokens": 1}}
                results.write(Result(task, error=ERROR) if is_failure else Result(task, response))
        assert len(list(copies.write(lines))) == expected
        assert len(copies) == 0
    return sent


def read(path: Path) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["line"] for line in lines}) == len(lines)
    return {line["line"]: line for line in lines}


def test_one_of_a_group_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    lines = input_of(
        "a",
        {"custom_id": "x", "body": {"input": "a", "model": "m"}},
        {"model": "m", "input": "b"},
        {"input": "a", "metadata": {"a": "b"}},
        7,
        7,
        {"custom_id": ["no request"]},
        {"stream": True, "input": "b", "custom_id": "y"},
    )
    assert run(path, lines) == [1, 3, 4, 5, 6, 7]
    results = read(path)
    assert results.keys() == set(range(1, 9))
    assert results[2] == {
        "line": 2,
        "digest": digest(lines[1][1]),
        "custom_id": "x",
        "copy_of": 1,
        "response": results[1]["response"],
    }
    assert results[8]["copy_of"] == 3
    assert results[8]["model"] == "m"
    assert "model" not in results[3]
    assert run(path, lines) == []
    with Results(str(path), lines=100) as again:
        assert (again.answered, again.failed, again.copied) == (5, 3, 2)


def test_copies_fail_with_what_was_sent_and_are_tried_again_with_it(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    lines = input_of("a", "a", "a")
    assert run(path, lines, {lines[0][1]}) == [1]
    assert [line["error"]["message"] for line in read(path).values()] == ["wrong"] * 3
    assert run(path, lines) == []
    assert run(path, lines, retry_failed=True) == [1]
    assert [line["response"]["id"] for line in read(path).values()] == ["r1"] * 3


def test_an_answer_of_an_earlier_run_is_preferred_to_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    lines = input_of("a", "a", "a", "b", "b")
    with Results(str(path), lines=100) as results:
        results.begin()
        results.write(Result(READER(*lines[0]), error=ERROR))
        results.write(Result(READER(*lines[2]), {"id": "r3"}))
        results.write(Result(READER(*lines[4]), error=ERROR))
    assert run(path, lines) == []
    after = read(path)
    assert after[2]["response"] == {"id": "r3"}
    assert after[2]["copy_of"] == 3
    assert after[4]["error"]["message"] == "wrong"


def test_lines_that_come_during_the_run_are_sent(tmp_path: Path) -> None:
    with Results(str(tmp_path / "out.jsonl"), lines=100) as results:
        copies = Copies(READER, results)
        lines = input_of("a", "a")
        results.check(copies.read(lines[:1]))
        assert 2 not in copies
        assert list(copies.write(lines)) == []


def test_a_long_line_is_copied_whole(tmp_path: Path) -> None:
    lines = input_of("a", "a")
    with Results(str(tmp_path / "out.jsonl"), lines=100) as results:
        copies = Copies(READER, results)
        results.check(copies.read(lines))
        results.begin()
        results.write(Result(READER(*lines[0]), {"id": "r", "text": "é\n\ud800" * 50_000}))
        assert list(copies.write(lines)) == [False]
    after = read(tmp_path / "out.jsonl")
    assert after[1]["response"] == after[2]["response"]


def test_results_that_another_program_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Results(str(path), lines=100) as results:
        results.begin()
        results.write(Result(READER(1, b'"a"'), {"id": "r"}))
        (place,) = [place for place, _ in results.places()]
        path.write_bytes(b"x" * path.stat().st_size)
        with pytest.raises(OSError, match="was changed during the run"):
            results.write_copy(READER(2, b'"a"'), place)


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["missing", "missing", "answered", "failed"]))))
def test_each_line_has_the_result_of_its_group(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("batch") / "out.jsonl"
    lines = input_of(*(prompt for prompt, _ in drawn))
    with Results(str(path), lines=1000) as results:
        results.begin()
        for (number, line), (_, state) in zip(lines, drawn, strict=True):
            if state == "answered":
                results.write(Result(READER(number, line), {"id": f"r{number}"}))
            elif state == "failed":
                results.write(Result(READER(number, line), error=ERROR))
    before = read(path)
    sent = run(path, lines)
    groups = {prompt: [number for number, (other, _) in enumerate(drawn, 1) if other == prompt] for prompt in "abc"}
    assert sent == sorted(group[0] for group in groups.values() if group and not before.keys() & set(group))
    after = read(path)
    assert after.keys() == {number for number, _ in lines}
    for number, result in after.items():
        assert before.get(number, result) == result
        if number not in before and number not in sent:
            group = groups[drawn[number - 1][0]]
            assert result["copy_of"] in group
            answers = [other for other in group if "response" in before.get(other, {}) or other in sent]
            assert ("response" in result) == bool(answers)


@settings(max_examples=examples(50))
@given(st.lists(st.sampled_from("abc"), min_size=1), st.floats(0, 1))
def test_a_run_that_was_killed_is_completed(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], share: float
) -> None:
    path = tmp_path_factory.mktemp("batch") / "out.jsonl"
    lines = input_of(*prompts)
    first = run(path, lines)
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])
    assert set(run(path, lines)) <= set(first)
    results = read(path)
    assert results.keys() == {number for number, _ in lines}
    for number, result in results.items():
        group = prompts.index(prompts[number - 1]) + 1
        assert result["response"]["id"] == f"r{group}"
        assert result.get("copy_of") == (None if number == group else group)


@given(st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**64 - 1)))
@settings(max_examples=examples(50))
def test_first_lines_are_those_of_a_dictionary(keys: list[int]) -> None:
    table, expected = FirstLines(), dict[int, int]()
    for line, key in enumerate(keys, 1):
        assert table.of(key, line) == expected.setdefault(key % 2**64, line)


def test_first_lines_of_many_keys() -> None:
    table = FirstLines()
    for line in range(1, 5001):
        assert table.of(line << 40, line) == line  # keys that differ in their upper bits only
    assert [table.of(line << 40, 7) for line in range(1, 5001)] == list(range(1, 5001))
