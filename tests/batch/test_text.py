"""The texts of the answers, in order; and the results in order."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses import InvalidRequestError
from rxresponses.batch.lines import OWN, Task, digest
from rxresponses.batch.results import Results
from rxresponses.batch.run import Result
from rxresponses.batch.text import new_file, write_texts
from tests.effort import examples

LINES = [(number, b'"%d"' % number) for number in (1, 2, 3, 5)]
WRONG = InvalidRequestError("wrong")


def answer(number: int, text: str, schema: str | None = None) -> Result:
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    return Result(Task(number, digest(b'"%d"' % number), {}, schema=schema), {"id": f"r{number}", "output": output})


@pytest.fixture
def results(tmp_path: Path) -> Any:
    with Results(str(tmp_path / "out.jsonl"), lines=100_000) as results:
        results.begin()
        yield results


def texts(results: Results, tmp_path: Path) -> list[str]:
    path = tmp_path / "texts"
    write_texts(str(path), results, LINES)
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return data.decode()[:-1].split("\n")


class TestTexts:
    def test_line_n_is_the_answer_to_line_n(self, results: Results, tmp_path: Path) -> None:
        results.write(answer(5, "five\nfive é\u2028"))
        results.write(Result(Task(2, digest(b'"2"'), WRONG), error=WRONG))
        results.write(answer(1, "one"))
        assert texts(results, tmp_path) == ['"one"', "null", "null", "", '"five\\nfive é\u2028"']

    def test_answers_to_a_schema_are_json_on_one_line(self, results: Results, tmp_path: Path) -> None:
        results.write(answer(1, '\n{\r\n"a": "b"}\n', schema="0" * 16))
        results.write(answer(2, '{\n"a": "b"}', schema=OWN))
        results.write(answer(3, '"\ud800"', schema="0" * 16))
        assert texts(results, tmp_path)[:3] == ['{  "a": "b"}', '"{\\n\\"a\\": \\"b\\"}"', '"\ufffd"']

    def test_answers_without_a_text(self, results: Results, tmp_path: Path) -> None:
        results.write(Result(Task(1, digest(b'"1"'), {}), {"output": []}))
        results.write(Result(Task(2, digest(b'"2"'), {}), {"output": "x"}))
        assert texts(results, tmp_path)[:2] == ["null", "null"]

    def test_a_line_that_another_program_has_spoilt(
        self, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Results, "in_order", lambda self, lines: [(1, b"", b"{")])
        assert texts(results, tmp_path) == ["null"]


class TestNewFile:
    def test_takes_the_place_of_the_old_one_when_it_is_whole(self, tmp_path: Path) -> None:
        path, link = tmp_path / "texts", tmp_path / "link"
        path.write_text("old")
        path.chmod(0o640)
        link.symlink_to(path)
        with new_file(str(link)) as file:
            file.write(b"new")
            file.flush()
            assert path.read_text() == "old"
        assert link.is_symlink()
        assert path.read_text() == "new"
        assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o640
        assert len(list(tmp_path.iterdir())) == 2

    def test_leaves_the_old_one_if_it_cannot_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "texts"
        path.write_text("old")
        with pytest.raises(KeyboardInterrupt), new_file(str(path)):
            raise KeyboardInterrupt
        assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


class TestOrder:
    @given(st.permutations(range(1, 8)), st.integers(0, 7))
    @settings(max_examples=examples(30))
    def test_sorted_by_line(self, tmp_path_factory: pytest.TempPathFactory, numbers: list[int], earlier: int) -> None:
        path = tmp_path_factory.mktemp("batch") / "out.jsonl"
        for part in (numbers[:earlier], numbers[earlier:]):
            with Results(str(path), lines=100) as results:
                results.begin()
                for number in part:
                    results.write(answer(number, "x" * number * 1000))
                before = sorted(path.read_bytes().splitlines(keepends=True), key=lambda line: json.loads(line)["line"])
                results.sort()
                assert path.read_bytes().splitlines(keepends=True) == before
                results.write(answer(9, "later"))
                assert json.loads(path.read_bytes().splitlines()[-1])["line"] == 9
            path.write_bytes(b"".join(before))

    def test_a_sorted_file_stays_as_it_is(self, results: Results) -> None:
        results.write(answer(1, "one"))
        results.write(answer(2, "two"))
        before = os.stat(results.path)
        results.sort()
        assert os.path.samestat(before, os.stat(results.path))

    def test_a_file_that_took_the_place_of_the_results_is_not_sorted(self, results: Results) -> None:
        results.write(answer(2, "two"))
        results.write(answer(1, "one"))
        os.unlink(results.path)
        Path(results.path).write_text("mine")
        results.sort()
        assert Path(results.path).read_text() == "mine"
