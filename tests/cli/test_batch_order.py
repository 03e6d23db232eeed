"""`rxresponses batch --in-order` and `--text`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from rxresponses.testing import Fault, Hold, RefuseUpgrade, ResponsesServer
from rxresponses.testing.request import Request

from .conftest import Batch, text_of
from .programs import PATIENCE, Start


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return tmp_path / "texts.jsonl"


def numbers(batch: Batch) -> list[int]:
    return list(batch.lines)


def test_the_results_are_sorted_at_the_end(batch: Batch, server: ResponsesServer) -> None:
    gate = server.gate()
    server.on("1", [Hold(gate), "one"])

    def reply(request: Request) -> str:
        gate.open()
        return "four"

    server.on("4", reply)
    batch.ask("1", "2", "3", "4")
    assert batch("--concurrency", "2")[0] == 0
    assert sorted(numbers(batch)) == [1, 2, 3, 4]
    assert numbers(batch) != [1, 2, 3, 4]
    assert batch("--in-order")[0] == 0  # nothing else is to do
    assert numbers(batch) == [1, 2, 3, 4]
    assert len(server.requests) == 4


def test_texts_in_the_order_of_the_input(batch: Batch, server: ResponsesServer, text: Path) -> None:
    batch.requests.write_text('"one"\n\n7\n"four"\n')
    server.on("four", "4\n4")
    server.on("one", "1")
    assert batch("--text", str(text))[0] == 1
    assert text.read_text() == '"1"\n\nnull\n"4\\n4"\n'
    text.unlink()
    assert batch("--text", str(text), "--in-order")[0] == 1
    assert text.read_text() == '"1"\n\nnull\n"4\\n4"\n'


def test_after_a_stop_and_an_error_they_are_written_too(
    batch: Batch, server: ResponsesServer, start: Start, text: Path
) -> None:
    gate = server.gate()
    server.reply("one", [Hold(gate), "two"])
    batch.ask("1", "2", "3")
    program = start(*batch.arguments, "--concurrency", "1", "--text", str(text))
    server.wait_until(lambda: len(server.requests) == 2, timeout=PATIENCE)
    program.signal(signal.SIGINT)
    program.read_stderr_until(b"waiting for the 1 in flight")
    gate.open()
    assert program.end()[0] == 130
    assert text.read_text() == '"one"\n"two"\nnull\n'
    text.unlink()
    server.fault(Fault(RefuseUpgrade(401)))
    assert batch("--text", str(text))[0] == 1
    assert text.read_text() == '"one"\n"two"\nnull\n'


def test_paths_that_cannot_be_used(batch: Batch, server: ResponsesServer, tmp_path: Path) -> None:
    batch.ask("one")
    for path, said in (
        (batch.results, "two outputs are to be"),
        (batch.requests, "the output is the input"),
        (tmp_path, "is no regular file"),
        (tmp_path / "none" / "x", "does not exist"),
    ):
        code, err = batch("--text", str(path))
        assert code == 2
        assert said in err
    assert server.accepted == 0
    assert not batch.results.exists()


def test_a_disk_that_is_full_at_the_end(batch: Batch, monkeypatch: pytest.MonkeyPatch, text: Path) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    batch.ask("one")
    monkeypatch.setattr("rxresponses.cli.batch_run.write_texts", full)
    code, err = batch("--text", str(text))
    assert (code, err) == (1, f"1 of 1 answered, 0 failed: {batch.results}\nrxresponses: no space left\n")
    assert text_of(batch.lines[1]) == "one"
