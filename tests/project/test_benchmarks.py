"""The parts of the benchmark suite that need no server; the benchmarks themselves test the rest."""

from __future__ import annotations

import configparser
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from tests.benchmarks.suite import machine, orders
from tests.benchmarks.suite.arguments import PARTS, QUICK, Settings, Sizes, parse
from tests.benchmarks.suite.clients import Client, Found, Plan, find, plans
from tests.benchmarks.suite.frames import STAMP, compression, interleaved, response_frames, slices
from tests.benchmarks.suite.page import SUMMARY, alternative, page, summary
from tests.benchmarks.suite.results import Part, Ratio, Report, Row, Spread
from tests.benchmarks.suite.rounds import in_turn, last_error, measure
from tests.benchmarks.suite.table import changes, part_lines, table
from tests.support.paths import ROOT

URLS = {"plain": "ws://127.0.0.1:1/v1", "TLS": "wss://127.0.0.1:2/v1", "compressed": "ws://127.0.0.1:3/v1"}


def a_part(*rows: Row) -> Part:
    return Part("throughput", "Throughput", "deltas/s", list(rows), [Ratio("ours / theirs", "ours", "theirs")])


def a_report(*parts: Part) -> Report:
    return Report("2026-01-02", {"cores": "2 cores"}, {"Python": "3.12.1"}, {"rounds": 3}, list(parts))


def payloads(data: bytes, deflate: PerMessageDeflate | None = None) -> list[dict[str, object]]:
    """Return the events in unmasked frames, as a client reads them."""
    events = []
    while data:
        length, head = data[1], 2
        if length == 126:
            length, head = int.from_bytes(data[2:4], "big"), 4
        assert length != 127
        frame = Frame(
            Opcode(data[0] & 15), data[head : head + length], fin=bool(data[0] & 128), rsv1=bool(data[0] & 64)
        )
        if deflate is not None:
            frame = deflate.decode(frame)
        events.append(json.loads(bytes(frame.data)))
        data = data[head + length :]
    return events


def test_a_spread() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(1.0, 2.5, 10.0)
    assert Spread.of([]) is None


def test_a_ratio_is_of_figures_of_the_same_round() -> None:
    part = a_part(Row("ours", [10.0, 30.0, None, 9.0]), Row("theirs", [5.0, 10.0, 1.0, None]))
    assert part.values_of(part.ratios[0]) == [2.0, 3.0]
    assert part.spread_of(part.ratios[0]) == Spread(2.0, 2.5, 3.0)


def test_a_report_survives_json() -> None:
    failed = Row("theirs", [None, 2.0], ["ClientError: gone"])
    report = a_report(a_part(Row("ours", [1.0, 3.0]), failed, Row("absent", missing="no --node-dir")))
    data = json.loads(json.dumps(report.to_json()))
    assert data["parts"][0]["rows"][0]["spread"] == {"low": 1.0, "median": 2.0, "high": 3.0}
    assert data["parts"][0]["ratios"][0]["spread"] == {"low": 1.5, "median": 1.5, "high": 1.5}
    assert Report.from_json(data) == report
    assert report.has_failed


def test_a_failed_and_a_missing_client_are_in_the_table() -> None:
    failed = Row("ours", [None, 12_345.6], ["ClientError: KeyError: 'id'"])
    missing = Row("theirs", missing="no `node` on the PATH")
    lines = [" ".join(line.split()) for line in part_lines(a_part(failed, missing))]
    assert "ours 12,346 12,346 12,346 FAILED in 1 of 2 rounds: ClientError: KeyError: 'id'" in lines
    assert "theirs missing: no `node` on the PATH" in lines
    assert "ours / theirs ours FAILED in 1 of 2 rounds; theirs missing" in lines


def test_the_table_says_with_what_and_where() -> None:
    text = table(a_report(a_part(Row("ours", [3.0]), Row("theirs", [2.0]))))
    for piece in (
        "Throughput (deltas/s; more is better)",
        "1.50",
        "2 cores",
        "Python 3.12.1",
        "rounds 3",
        "2026-01-02",
    ):
        assert piece in text


def test_the_changes_since_an_earlier_report() -> None:
    old = a_report(a_part(Row("ours", [4.0]), Row("theirs", [2.0])))
    new = a_report(a_part(Row("ours", [6.0]), Row("theirs", [2.0])))
    new.parts.append(Part("memory", "Memory", "bytes", [], []))
    assert "ours / theirs 2.00 3.00 1.50" in " ".join(changes(old, new).split())
    other = a_report(Part("latency", "Latency", "µs", [], []))
    assert "ours / theirs" not in changes(other, new)


def test_each_second_round_goes_backwards() -> None:
    assert [in_turn("abc", number) for number in range(3)] == ["abc", "cba", "abc"]


def test_a_client_that_fails_does_not_end_the_measurement() -> None:
    asked = []

    def run(client: Client) -> Mapping[str, float]:
        asked.append(client.command[0])
        if client.command[0] == "broken":
            raise ValueError("no")
        return {"first": float(len(asked)), "later": 8.0}

    clients = [
        Client(["good"], {"first": "good", "later": "good, later"}),
        Client(["broken"], {"first": "broken"}),
        Client(["forgetful"], {"p50": "forgetful"}),
        Client(["absent"], {"first": "absent"}, missing="not here"),
    ]
    part = measure(Plan("throughput", "Throughput", "deltas/s", clients, []), 2, run)
    assert asked == ["good", "broken", "forgetful", "forgetful", "broken", "good"]
    assert part.rows == [
        Row("good", [1.0, 6.0]),
        Row("broken", [None, None], ["ValueError: no"] * 2),
        Row("absent", missing="not here"),
        Row("good, later", [8.0, 8.0]),
        Row("forgetful", [None, None], ["KeyError: 'p50'"] * 2),
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Traceback (most recent call last):\n  File x\nKeyError: 'id'\n", "KeyError: 'id'"),
        ("file:1\n  throw x;\n  ^\n\nError: 3 events\n    at file:1:2\n\nNode.js v20\n", "Error: 3 events"),
        ("a warning\nkilled\n", "killed"),
        ("", ""),
    ],
)
def test_the_line_that_names_an_error(text: str, error: str) -> None:
    assert last_error(text) == error


def test_arguments() -> None:
    assert parse([]) == Settings(9, PARTS, None, sys.executable, None, None, Sizes())
    words = ["--quick", "--only", "memory,throughput", "--node-dir", "n", "--peer-python", "p"]
    words += ["--output", "o", "--compare", "c.json"]
    only = ("throughput", "memory")
    assert parse(words) == Settings(2, only, Path("n"), "p", Path("o"), Path("c.json"), QUICK)
    assert parse(["--quick", "--rounds", "5"]).rounds == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--rounds", "0"], "--rounds"), (["--rounds", "x"], "--rounds"), (["--only", "throughput,fun"], "no part fun")],
)
def test_wrong_arguments(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert message in capsys.readouterr().err


@given(st.builds(orders.Order, st.integers(1), st.integers(1), st.just("7.3"), st.floats(0, 1e6), st.booleans()))
def test_an_order_comes_back_from_its_text(order: orders.Order) -> None:
    assert orders.parse(str(order)) == order


def test_an_order_may_be_short() -> None:
    assert orders.parse("deltas=5") == orders.parse("Please deltas=5 !") == orders.Order(5)


@pytest.mark.parametrize("lane", [None, "lane-1"])
def test_the_frames_of_a_response(lane: str | None) -> None:
    frames = response_frames(5, lane)
    events = payloads(frames.opening + b"".join(frames.deltas) + frames.closing)
    kinds = ["response.created", *["response.output_text.delta"] * 5, "response.completed"]
    assert [event["type"] for event in events] == kinds
    assert [event["sequence_number"] for event in events] == list(range(7))
    assert {event.get("stream_id") for event in events} == {lane}
    assert frames.deltas[0][4:].startswith(b'{"type":')
    assert 200 < len(frames.deltas[0]) < 260  # as long as those of the service


def test_compressed_frames_are_what_a_client_of_websockets_reads() -> None:
    plain, compressed = response_frames(50), response_frames(50, deflate=compression())
    data = compressed.opening + b"".join(compressed.deltas) + compressed.closing
    assert payloads(data, PerMessageDeflate(False, False, 12, 12)) == payloads(
        plain.opening + b"".join(plain.deltas) + plain.closing
    )
    assert len(b"".join(compressed.deltas)) < len(b"".join(plain.deltas)) / 3


def test_responses_side_by_side_have_a_delta_each_in_turn() -> None:
    block = interleaved([response_frames(3, "a"), response_frames(3, "b")])
    assert [event["stream_id"] for event in payloads(block)] == ["a", "b"] * 3
    assert b"".join(slices(block, 7)) == block
    assert len(next(slices(block, 7))) == 7


def test_a_stamped_delta_has_a_place_for_the_time() -> None:
    assert all(frame.count(STAMP.encode()) == 1 for frame in response_frames(3, "lane-0", stamped=True).deltas)


def test_where_it_was_measured() -> None:
    found = machine.machine()
    assert found["cores"].partition(" ")[0].isdigit()
    assert found["processor"]


def test_versions(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "ws" / "package.json"
    package.parent.mkdir(parents=True)
    package.write_text('{"version": "8.1.2"}', encoding="utf-8")
    assert machine.node_versions(tmp_path) == {"openai": None, "ws": "8.1.2", "zod": None}
    assert machine.python_versions(str(tmp_path / "no-python")) == {}
    assert machine.own_version("rxresponses") is not None


def test_what_is_not_there_is_missing_and_says_why() -> None:
    found = find(parse(["--peer-python", "no-python"]))
    assert found.openai == "no `openai[realtime]` in the Python of --peer-python"
    assert found.node == dict.fromkeys(("openai", "ws", "zod"), "no --node-dir")


def all_parts() -> list[Part]:
    """Return all parts as of a full run in which no peer was there."""
    nothing = dict.fromkeys(("openai", "ws", "zod"), "no --node-dir")
    return [plan.empty() for plan in plans(parse([]), Found("python", None, "not here", nothing, "not here"), URLS)]


def test_every_ratio_is_of_rows_that_there_are() -> None:
    for part in all_parts():
        names = [row.name for row in part.rows]
        assert len(set(names)) == len(names)
        assert part.ratios
        for ratio in part.ratios:
            assert part.spread_of(ratio) is None
        assert any(row.missing is None for row in part.rows)


def test_the_page_has_the_summary_and_all_figures() -> None:
    report = a_report(*all_parts())
    assert summary(report).count("\n") == 1  # only the head: nothing was measured
    for part in report.parts:
        for row in part.rows:
            row.values, row.missing = [3.0, 4.0, 2.0], None
    assert len(summary(report).splitlines()) == 2 + len(SUMMARY)
    assert "| … / that of the official Python client | 1.00 | 1.00 to 1.00 |" in summary(report)
    assert "| Memory of a response in flight, in bytes | 3.00 | 2.00 to 4.00 |" in summary(report)
    assert "1.00 times the rate of openai (Node)" in alternative(report)
    for piece in (summary(report), table(report), f"![{alternative(report)}](speed.svg)"):
        assert piece in page(report)


def test_the_readme_has_the_figures_of_the_docs() -> None:
    figures = ROOT / "docs" / "speed.json"
    if not figures.exists():
        pytest.skip("docs/speed.json is not measured yet")
    report = Report.from_json(json.loads(figures.read_text(encoding="utf-8")))
    assert figures.with_suffix(".md").read_text(encoding="utf-8") == page(report)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert summary(report) in readme
    assert f"![{alternative(report)}](" in readme


def test_the_pictures_of_the_readme_are_there() -> None:
    """The README is the page of the package in the index too, where only an absolute address shows a picture."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    has_address = {"url", "project_urls"} & set(config["metadata"])
    for target in re.findall(r"!\[.*?\]\((.*?)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        is_absolute = target.startswith("https://")
        assert is_absolute or not has_address, f"the address of the project is known, so {target} must be absolute"
        assert (ROOT / "docs" / target.rpartition("/")[2]).is_file()
