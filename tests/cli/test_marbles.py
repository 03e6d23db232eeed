"""`rxresponses marbles`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rxresponses.cli.main import main
from rxresponses.recording.format import Record, RecordingHeader, header_line, line_of
from tests.marbles.builders import event, request, session, text

EVENTS = '{"type":"response.created","response":{"id":"a"}}\n{"type":"response.output_text.delta","delta":"Hi"}\n'


def save(path: Path, records: Sequence[Record]) -> str:
    lines = [header_line(RecordingHeader()), *map(line_of, records)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    return save(tmp_path / "session.jsonl", session().records)


def count(svg: str | bytes) -> int:
    return sum(int(element.get("data-count", "0")) for element in ElementTree.fromstring(svg).iter())


def fails(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Return what is said of wrong usage."""
    code: object
    try:
        code = main(["marbles", *args])
    except SystemExit as end:
        code = end.code
    assert code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_picture(recorded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "session.svg"
    assert main(["marbles", recorded, "-o", str(output)]) == 0
    svg = output.read_text(encoding="utf-8")
    assert '<title id="rxm-title">session.jsonl</title>' in svg
    assert count(svg) == sum(record.what == "next" for record in session().records if hasattr(record, "what")) + len(
        session().events()
    )
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "options"), [("a.html", []), ("a.HTM", []), ("a.txt", ["--format", "html"])])
def test_a_page(recorded: str, tmp_path: Path, name: str, options: list[str]) -> None:
    output = tmp_path / name
    assert main(["marbles", recorded, "-o", str(output), "--title", "My session", *options]) == 0
    page = output.read_bytes().decode()
    assert page.startswith("<!DOCTYPE html>\n")
    assert "<title>My session</title>" in page


def test_the_format_may_differ_from_the_name(recorded: str, tmp_path: Path) -> None:
    output = tmp_path / "a.html"
    assert main(["marbles", recorded, "-o", str(output), "--format", "svg"]) == 0
    assert output.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(("options", "begin"), [([], b"<svg"), (["--format", "html"], b"<!DOCTYPE html>")])
def test_standard_output(
    recorded: str, capfdbinary: pytest.CaptureFixture[bytes], options: list[str], begin: bytes
) -> None:
    assert main(["marbles", recorded, "-o", "-", *options]) == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith(begin)
    assert err == b""


def test_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "events").write_bytes(EVENTS.encode())
    with open(tmp_path / "events", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["marbles", "-", "-o", "-"]) == 0
    out, _ = capfdbinary.readouterr()
    assert count(out) == 2
    assert b"standard input" in out


def test_a_file_with_one_event_a_line(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "events.jsonl").write_text(EVENTS)
    assert main(["marbles", str(tmp_path / "events.jsonl"), "-o", "-"]) == 0
    assert count(capfdbinary.readouterr()[0]) == 2
    assert main(["marbles", str(tmp_path / "events.jsonl"), "-o", "-", "--from", "2", "--to", "2"]) == 0
    svg = capfdbinary.readouterr()[0]
    assert count(svg) == 1
    assert b"Hi" in svg


def test_bytes_that_are_no_utf_8(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"type":"response.output_text.delta","delta":"\xff"}\n')
    assert main(["marbles", str(tmp_path / "events.jsonl"), "-o", "-"]) == 0
    assert "\ufffd".encode() in capfdbinary.readouterr()[0]


def test_a_selection(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = save(
        tmp_path / "a.jsonl",
        [
            request(0, "r1", "a"),
            event(1, "response.created", "r1", "a"),
            text(2, "A", "r1", "a"),
            text(2, "B", "r2"),
            text(9, "C", "r1", "a"),
        ],
    )
    assert main(["marbles", path, "-o", "-", "--lane", "a", "--type", "text", "--from", "0.5", "--to", "5"]) == 0
    assert count(capfdbinary.readouterr()[0]) == 1


def test_no_such_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    err = fails(capsys, str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "a.svg"))
    assert err.startswith("rxresponses: cannot read the recording: ")
    assert "none.jsonl" in err
    assert not (tmp_path / "a.svg").exists()


def test_no_recording(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary\n\nnothing\n")
    err = fails(capsys, str(tmp_path / "notes.txt"), "-o", "-")
    assert err.startswith("rxresponses: no recording: ")
    assert "notes.txt: line 1: " in err


@pytest.mark.parametrize("lines", ["", "\n\n", header_line(RecordingHeader()) + "\n"])
def test_an_empty_recording(capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: str) -> None:
    (tmp_path / "a.jsonl").write_text(lines)
    assert "a.jsonl has no records" in fails(capsys, str(tmp_path / "a.jsonl"), "-o", "-")


def test_a_torn_recording(recorded: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with open(recorded, "a", encoding="utf-8") as file:
        file.write('{"t":3,"kind":"ev')
    assert main(["marbles", recorded, "-o", "-"]) == 0
    assert b"the last line of the recording is torn, and left out" in capfdbinary.readouterr()[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lane", "b"], "--lane b is not in the recording, which has: draft, research"),
        (["--lane", "b", "--type", "text"], "--lane b is not in the recording"),
        (["--type", "audio"], "--type audio is not in the recording, which has: items, lifecycle, "),
        (["--from", "99"], "no event is in the selected time, lanes and types"),
    ],
)
def test_a_selection_of_nothing(
    recorded: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert f"nothing to draw: {message}" in fails(capsys, recorded, "-o", "-", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.png"], "the output 'a.png' is neither .svg nor .html: choose with --format"),
        (["-o", "a.svg", "--from", "2", "--to", "1"], "--from is later than --to"),
        (["-o", "a.svg", "--from", "-1"], "argument --from"),
        ([], "-o/--output"),
    ],
)
def test_wrong_usage(recorded: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert message in fails(capsys, recorded, *options)


def test_the_recording_is_never_overwritten(recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(recorded).read_bytes()
    with pytest.raises(SystemExit) as caught:
        main(["marbles", recorded, "-o", recorded, "--format", "svg"])
    assert caught.value.code == 2
    assert "the output is the recording itself" in capsys.readouterr().err
    assert Path(recorded).read_bytes() == before


def test_an_output_that_cannot_be_written(recorded: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    err = fails(capsys, recorded, "-o", os.path.join(tmp_path, "no", "a.svg"))
    assert err.startswith("rxresponses: cannot write the picture: ")


def test_standard_output_is_utf_8_whatever_the_locale_is(recorded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["marbles", recorded, "-o", "-"]) == 0
    assert "☔" in out.buffer.getvalue().decode()
