"""Requests and results as Parquet files."""

from __future__ import annotations

import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ConfigurationError, InvalidRequestError
from rxresponses.batch import parquet
from rxresponses.batch.lines import JsonLines, Task, digest, task_of
from rxresponses.batch.outcomes import error_of
from rxresponses.batch.parquet import ParquetRows, is_parquet, require_pyarrow, write_parquet
from rxresponses.batch.results import Results
from rxresponses.batch.run import Result

pa: Any = pytest.importorskip("pyarrow", reason="comes with the extra `parquet`")
pq: Any = pytest.importorskip("pyarrow.parquet", reason="comes with the extra `parquet`")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in.parquet"


def write(path: Path, columns: Any, **more: Any) -> None:
    pq.write_table(pa.table(columns), path, **more)


def lines(path: Path) -> list[Any]:
    rows = ParquetRows(str(path))
    with rows.file:
        first = list(rows.lines())
        assert list(rows.lines()) == first
        assert [number for number, _ in first] == list(range(1, rows.last_line + 1))
    return [json.loads(line) for _, line in first]


class TestRequests:
    def test_prompts(self, path: Path) -> None:
        write(path, {"prompt": ["one", "é\n", "", None]})
        assert lines(path) == ["one", "é\n", "", None]
        write(path, {"prompt": ["one", None], "custom_id": ["a", "b"]})
        assert lines(path) == [{"custom_id": "a", "body": {"input": "one"}}, {"custom_id": "b", "body": None}]

    def test_bodies_as_json(self, path: Path) -> None:
        write(path, {"body": ['{"input": "a",  "model": "m"}', None], "custom_id": [7, None], "prompt": ["x", "two"]})
        assert lines(path) == [{"custom_id": 7, "body": {"input": "a", "model": "m"}}, "two"]

    def test_a_body_that_is_no_json_becomes_a_failed_line(self, path: Path) -> None:
        write(path, {"body": ["{", '"x"', None]})
        rows = ParquetRows(str(path))
        with rows.file:
            requests = [task_of(*line, "m").request for line in rows.lines()]
        assert all(isinstance(request, InvalidRequestError) for request in requests)

    def test_bodies_as_structs_without_the_fields_that_are_null(self, path: Path) -> None:
        write(
            path,
            {
                "body": [
                    {"input": [{"role": "user", "content": "a"}, {"role": None, "content": "b"}], "temperature": 0.5},
                    {"input": None, "temperature": math.nan, "text": {"verbosity": "low"}},
                ]
            },
        )
        assert lines(path) == [
            {"body": {"input": [{"role": "user", "content": "a"}, {"content": "b"}], "temperature": 0.5}},
            {"body": {"text": {"verbosity": "low"}}},
        ]

    def test_categories_of_pandas(self, path: Path) -> None:
        write(path, {"prompt": pa.array(["a", "b", "a"]).dictionary_encode()})
        assert lines(path) == ["a", "b", "a"]

    def test_many_row_groups(self, path: Path) -> None:
        write(path, {"prompt": [str(number) for number in range(1000)]}, row_group_size=300)
        assert lines(path) == [str(number) for number in range(1000)]

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ({"text": ["a"]}, "it needs the column `body` .* or `prompt`"),
            ({"custom_id": ["a"]}, "it needs the column"),
            ({"prompt": [1]}, "the column `prompt` must be text, not int64"),
            ({"body": [1]}, "the column `body` must be JSON text or a struct, not int64"),
            ({"prompt": ["a"], "custom_id": [1.5]}, "the column `custom_id` must be text or integers, not double"),
        ],
    )
    def test_columns_that_cannot_be_used(self, path: Path, columns: Any, said: str) -> None:
        write(path, columns)
        with pytest.raises(ConfigurationError, match=f"cannot read the requests in .*: {said}"):
            ParquetRows(str(path))

    def test_a_column_twice(self, path: Path) -> None:
        pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["prompt", "prompt"]), path)
        with pytest.raises(ConfigurationError, match="it has the column `prompt` twice"):
            ParquetRows(str(path))

    def test_a_struct_with_values_of_other_types(self, path: Path) -> None:
        kind = pa.struct([("a", pa.map_(pa.int64(), pa.int64()))])
        write(path, {"body": pa.array([{"a": [(1, 2)]}], kind)})
        assert lines(path) == [{"body": {"a": [[1, 2]]}}]
        write(path, {"body": [{"at": datetime.timedelta(days=1)}]})
        assert lines(path) == [{"body": {"at": "P1D"}}]
        with pytest.raises(ConfigurationError, match="the `body` of row 3 of the requests has a value that is no JSON"):
            parquet._line(3, {"body": {"a": object()}})

    def test_no_parquet_file(self, path: Path) -> None:
        path.write_text('"one"\n')
        with pytest.raises(ConfigurationError, match="is no Parquet file"):
            ParquetRows(str(path))

    def test_a_file_that_breaks_off(self, path: Path) -> None:
        write(path, {"prompt": [str(number) * 100 for number in range(2000)]}, row_group_size=1000, compression="none")
        data = bytearray(path.read_bytes())
        data[4:200_000] = bytes(199_996)
        path.write_bytes(data)
        rows = ParquetRows(str(path))
        with rows.file, pytest.raises(ConfigurationError, match="cannot read the requests after row 0"):
            list(rows.lines())

    def test_without_pyarrow(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        with pytest.raises(ConfigurationError, match=r'pip install "rxresponses\[parquet\]"'):
            require_pyarrow()

    def test_by_the_name(self) -> None:
        assert is_parquet("a.PARQUET")
        assert not is_parquet("a.parquet.jsonl")


def response(number: int, text: str) -> dict[str, Any]:
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    return {"id": f"r{number}", "output": output, "usage": {"input_tokens": number, "output_tokens": True}}


class TestResults:
    def rows(self, tmp_path: Path, source: JsonLines | ParquetRows, *results: Result) -> list[dict[str, Any]]:
        path = tmp_path / "out.parquet"
        with source.file, Results(str(tmp_path / "out.jsonl"), lines=10_000) as output:
            output.begin()
            for result in results:
                output.write(result)
            write_parquet(str(path), output, source.lines(), source if isinstance(source, ParquetRows) else None)
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows

    def test_a_row_for_each_line_in_order(self, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").write_text('"a"\n\n{"custom_id": 7, "input": "b"}\n{"custom_id": "x"}\n{\n"e"\n')
        source = JsonLines(str(tmp_path / "in.jsonl"))
        tasks = {number: task_of(number, line, "m") for number, line in source.lines()}
        cut = {**response(3, "cut"), "status": "incomplete"}
        rows = self.rows(
            tmp_path,
            source,
            Result(tasks[3], cut, error_of(cut)),
            Result(tasks[1], response(1, "é")),
            Result(tasks[5], error=InvalidRequestError("no JSON")),
        )
        assert [row["line"] for row in rows] == [1, 3, 4, 5, 6]
        assert [row["custom_id"] for row in rows] == [None, "7", "x", None, None]
        assert [row["text"] for row in rows] == ["é", "cut", None, None, None]
        assert [row["outcome"] for row in rows] == [None, "incomplete", None, None, None]
        types = [None, "ResponseIncompleteError", None, "InvalidRequestError", None]
        assert [row["error_type"] for row in rows] == types
        assert rows[3]["error_message"] == "no JSON"
        assert [row["delivery"] for row in rows] == [None, "started", None, "not_sent", None]
        assert [row["input_tokens"] for row in rows] == [1, 3, None, None, None]
        assert [row["output_tokens"] for row in rows] == [None] * 5
        assert [json.loads(row["response"] or "null") for row in rows] == [response(1, "é"), cut, None, None, None]

    def test_all_other_columns_are_kept(self, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        count = 1000
        monkeypatch.setattr(parquet, "_GROUP_ROWS", 400)
        write(
            path,
            {
                "custom_id": list(range(count)),
                "prompt": [f"p{number}" for number in range(count)],
                "label": [{"a": [number]} for number in range(count)],
                "at": [datetime.date(2026, 1, 1)] * count,
            },
            row_group_size=300,
        )
        tasks = [Task(number, digest(b""), {}) for number in range(1, count + 1)]
        results = [Result(task, response(task.line, f"a{task.line - 1}")) for task in reversed(tasks)]
        rows = self.rows(tmp_path, ParquetRows(str(path)), *results)
        assert [row["custom_id"] for row in rows] == list(range(count))
        assert [row["text"] for row in rows] == [f"a{number}" for number in range(count)]
        assert [row["label"] for row in rows] == [{"a": [number]} for number in range(count)]
        assert "prompt" not in rows[0]
        assert pq.ParquetFile(tmp_path / "out.parquet").metadata.num_row_groups == 2

    def test_no_other_columns_and_no_rows(self, tmp_path: Path, path: Path) -> None:
        write(path, {"prompt": ["a"]})
        assert self.rows(tmp_path, ParquetRows(str(path)))[0]["line"] == 1
        (tmp_path / "in.jsonl").write_text("\n")
        assert self.rows(tmp_path, JsonLines(str(tmp_path / "in.jsonl"))) == []

    def test_a_column_with_the_name_of_one_of_the_results(self, path: Path) -> None:
        write(path, {"prompt": ["a"], "custom_id": ["x"], "text": ["b"]})
        rows = ParquetRows(str(path))
        with rows.file, pytest.raises(ConfigurationError, match=r"the column 'text' .*: rename it"):
            rows.check_kept()

    def test_a_result_that_another_program_has_spoilt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "in.jsonl").write_text('"a"\n')
        monkeypatch.setattr(Results, "in_order", lambda self, lines: [(1, b'"a"', b"{")])
        assert self.rows(tmp_path, JsonLines(str(tmp_path / "in.jsonl")))[0]["response"] is None

    def test_an_error_of_pyarrow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "in.jsonl").write_text('"a"\n')
        monkeypatch.setattr(parquet, "_row", lambda *_: {"line": "x"})
        with pytest.raises(OSError, match="cannot write"):
            self.rows(tmp_path, JsonLines(str(tmp_path / "in.jsonl")))
        assert not (tmp_path / "out.parquet").exists()
