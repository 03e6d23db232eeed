"""`rxresponses batch` with Parquet files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from rxresponses.testing import Failure, ResponsesServer

from .conftest import Batch

pa: Any = pytest.importorskip("pyarrow", reason="comes with the extra `parquet`")
pq: Any = pytest.importorskip("pyarrow.parquet", reason="comes with the extra `parquet`")


@pytest.fixture
def files(batch: Batch, tmp_path: Path) -> tuple[Path, Path]:
    requests, results = tmp_path / "in.parquet", tmp_path / "out.parquet"
    batch.arguments[1:4] = [str(requests), "-o", str(results)]
    return requests, results


def test_from_parquet_to_parquet(batch: Batch, server: ResponsesServer, files: tuple[Path, Path]) -> None:
    requests, results = files
    server.on("two", Failure("context_length_exceeded", after=0))
    pq.write_table(pa.table({"prompt": ["one", "two"], "custom_id": ["a", "b"], "label": [1, 2]}), requests)
    code, err = batch()
    assert code == 1
    assert f"1 of 2 answered, 1 failed: {results}\n" in err
    assert batch.results.name == "out.jsonl"
    assert batch.answers == {1: "one"}  # the results that a later run goes on with
    rows = pq.read_table(results).to_pylist()
    assert [(row["custom_id"], row["label"], row["error_type"]) for row in rows] == [
        ("a", 1, None),
        ("b", 2, "ResponseFailedError"),
    ]
    assert rows[0]["text"].endswith("one")
    results.unlink()
    server.reply("Two.")
    server.on("two", "Two.")
    assert batch("--retry-failed", "--dedupe", "--in-order")[0] == 0
    assert [row["text"] for row in pq.read_table(results).to_pylist()][1] == "Two."
    assert len(server.requests) == 3


def test_files_that_cannot_be_used(batch: Batch, server: ResponsesServer, files: tuple[Path, Path]) -> None:
    requests, _ = files
    pq.write_table(pa.table({"prompt": ["one"], "text": ["a"]}), requests)
    code, err = batch()
    assert code == 2
    assert "the column 'text' of the requests has the name of a column of the results" in err
    batch.arguments[3] = str(requests)
    assert batch()[0] == 2
    assert server.accepted == 0
    assert not batch.results.exists()


def test_without_pyarrow(batch: Batch, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, err = batch()
    assert (code, 'pip install "rxresponses[parquet]"' in err) == (2, True)
    batch.ask("one")
    batch.arguments[1] = str(batch.requests)
    code, err = batch()
    assert (code, 'pip install "rxresponses[parquet]"' in err) == (2, True)
