from __future__ import annotations

import errno
import json
import math
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses import ConfigurationError, InvalidRequestError
from rxresponses.batch.lines import Task, digest
from rxresponses.batch.lock import lock
from rxresponses.batch.results import Results
from rxresponses.batch.run import Result

INPUT = [(number, b'"question %d"' % number) for number in range(1, 6)]
WRONG = InvalidRequestError("the prompt is empty")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def open_results(path: Path, **more: Any) -> Results:
    return Results(str(path), **{"lines": 100, **more})


def answer(number: int, response: Any = None) -> Result:
    return Result(Task(number, digest(dict(INPUT).get(number, b"")), {}), response=response or {"id": f"r{number}"})


def failure(number: int) -> Result:
    return Result(Task(number, digest(dict(INPUT)[number]), WRONG), error=WRONG)


def fill(path: Path, results: Iterable[Result], **more: Any) -> None:
    with open_results(path, **more) as output:
        output.check(INPUT)
        output.begin()
        for result in results:
            output.write(result)


def lines(path: Path) -> list[tuple[int, str]]:
    """Return the line number and the kind of each result."""
    data = path.read_bytes()
    assert data.endswith(b"\n") or not data
    return [(line["line"], "error" if "error" in line else "response") for line in map(json.loads, data.splitlines())]


class TestLines:
    def test_an_answer(self, path: Path) -> None:
        task = Task(3, digest(INPUT[2][1]), {}, custom_id="a")
        fill(path, [Result(task, response={"id": "r", "output": [], "new": "é"})])
        assert path.read_bytes() == (
            b'{"line":3,"digest":"%s","custom_id":"a","response":{"id":"r","output":[],"new":"\xc3\xa9"}}\n'
            % task.digest.encode()
        )

    def test_a_failure(self, path: Path) -> None:
        fill(path, [failure(2)])
        (line,) = map(json.loads, path.read_text().splitlines())
        assert line == {
            "line": 2,
            "digest": digest(INPUT[1][1]),
            "error": {
                "type": "InvalidRequestError",
                "message": "the prompt is empty",
                "delivery": "not_sent",
                "code": None,
                "status": None,
                "response_id": None,
            },
        }

    def test_one_write_for_each_line(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with open_results(path) as output:
            output.begin()
            written: list[bytes] = []

            def write(fd: int, data: bytes) -> int:
                written.append(data)
                return len(data)

            monkeypatch.setattr(os, "write", write)
            output.write(answer(1))
            output.write(failure(2))
        assert [data.count(b"\n") for data in written] == [1, 1]
        assert all(data.endswith(b"\n") for data in written)

    def test_counts(self, path: Path) -> None:
        fill(path, [answer(1), failure(2)])
        with open_results(path) as output:
            assert (output.answered, output.failed) == (1, 1)
            assert [number for number in range(7) if number in output] == [1, 2]
            output.begin()
            output.write(answer(4))
            output.write(failure(5))
            assert (output.answered, output.failed) == (2, 2)
            assert [number for number in range(7) if number in output] == [1, 2, 4, 5]

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (-math.inf, "-Infinity"),
            (math.nan, "NaN"),
            ([1e400, None], ["Infinity", None]),
            ("a\ud83c", "a\ufffd"),
            ({"\udf89": ["\ud83c\udf89", -math.inf]}, {"\ufffd": ["\U0001f389", "-Infinity"]}),
        ],
    )
    def test_scenario_71_every_parser_reads_a_result(self, path: Path, value: object, written: object) -> None:
        fill(path, [answer(1, {"new": value})])
        assert msgspec.json.decode(path.read_bytes())["response"] == {"new": written}

    def test_text_with_lone_surrogates(self, path: Path) -> None:
        fill(path, [answer(1, {"text": "\ud83c"}), answer(2)])
        with open_results(path) as output:
            assert (1 in output, 2 in output) == (True, True)


class TestOrigin:
    """Answers of different origin are not mixed."""

    def test_answers_of_the_embedded_server_are_marked(self, path: Path) -> None:
        fill(path, [answer(1)], embedded=True)
        assert json.loads(path.read_bytes())["server"] == "embedded"
        fill(path, [answer(2)], embedded=True)
        assert lines(path) == [(1, "response"), (2, "response")]

    @pytest.mark.parametrize("embedded", [True, False])
    def test_answers_of_the_embedded_server_beside_others(self, path: Path, embedded: bool) -> None:
        fill(path, [failure(2), answer(1)], embedded=embedded)
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match=r"embedded test server .*another output"):
            open_results(path, embedded=not embedded)
        assert path.read_bytes() == before

    def test_another_model(self, path: Path) -> None:
        left_to_the_command = Task(1, digest(INPUT[0][1]), {}, model="a")
        fill(path, [Result(left_to_the_command, response={"id": "r"}), answer(2)], model="a")
        assert [json.loads(line).get("model") for line in path.read_bytes().splitlines()] == ["a", None]
        fill(path, [answer(3)], model="a")
        with pytest.raises(ConfigurationError, match=r"answers of 'a' .* would go to 'b': go on with --model a"):
            open_results(path, model="b")

    def test_another_model_where_each_line_names_its_own(self, path: Path) -> None:
        fill(path, [answer(1)], model="a")
        fill(path, [answer(2)], model="b")
        assert lines(path) == [(1, "response"), (2, "response")]

    def test_another_model_after_failures(self, path: Path) -> None:
        """The first model name may have been misspelled."""
        task = Task(1, digest(INPUT[0][1]), {}, model="a")
        fill(path, [Result(task, error=WRONG)], model="a")
        fill(path, [answer(1)], model="b", retry_failed=True)
        assert lines(path) == [(1, "response")]


class TestTornLine:
    def test_is_cut_off(self, path: Path) -> None:
        fill(path, [answer(1), answer(2)])
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        with open_results(path) as output:
            assert (1 in output, 2 in output) == (True, False)
            assert path.read_bytes() == whole[:-5]  # nothing is done to it before it is known to belong
            output.check(INPUT)
            output.begin()
            output.write(answer(2))
        assert path.read_bytes() == whole

    def test_a_whole_line_without_its_end_is_kept(self, path: Path) -> None:
        fill(path, [answer(1), answer(2)])
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with open_results(path) as output:
            assert 2 in output
        assert path.read_bytes() == whole[:-1]  # nothing was missing, so nothing is changed
        fill(path, [answer(3)])
        assert lines(path) == [(1, "response"), (2, "response"), (3, "response")]

    @given(kinds=st.lists(st.sampled_from([answer, failure]), max_size=5), data=st.data(), retry=st.booleans())
    def test_torn_at_any_byte(
        self, tmp_path_factory: pytest.TempPathFactory, kinds: list[Any], data: st.DataObject, retry: bool
    ) -> None:
        path = tmp_path_factory.mktemp("torn") / "out.jsonl"
        fill(path, [kind(number) for number, kind in enumerate(kinds, 1)])
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        # Whole is what has come to its closing brace.
        left = [json.loads(line) for line in (whole[:cut] + b"\n").splitlines() if line.endswith(b"}}")]
        kept = [(one["line"], "response" if "response" in one else "error") for one in left]
        if retry:
            kept = [(number, kind) for number, kind in kept if kind == "response"]
        fill(path, [answer(number) for number, _ in INPUT if number not in dict(kept)], retry_failed=retry)
        assert lines(path)[: len(kept)] == kept
        assert sorted(number for number, _ in lines(path)) == [1, 2, 3, 4, 5]

    def test_a_full_disk_leaves_a_torn_line(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write = os.write

        def half(fd: int, data: bytes) -> int:
            if not data.startswith(b'{"line":2'):
                return write(fd, data)
            monkeypatch.setattr(os, "write", full)
            return write(fd, data[: len(data) // 2])

        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            fill(path, [answer(1), answer(2)])
        monkeypatch.undo()
        fill(path, [answer(2)])
        assert lines(path) == [(1, "response"), (2, "response")]


class TestForeignFile:
    @pytest.mark.parametrize(
        "content",
        [
            b"My notes\n",
            b"My notes",
            b"\n",
            b'{"id": "x"}\n',
            b'{"id": "x"}',
            b'{"line":0,"digest":"0123456789abcdef","response":{}}\n',
            b'{"line":1,"digest":"no digest","response":{}}\n',
            b'{"line":1,"digest":\n',
            b"[" * 100_000,
        ],
    )
    def test_is_left_alone(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"line 1 of .*out\.jsonl is no result of a batch"):
            open_results(path)
        assert path.read_bytes() == content

    def test_two_results_of_a_line(self, path: Path) -> None:
        fill(path, [answer(1), answer(2), failure(1)])
        with pytest.raises(ConfigurationError, match="two results of line 1"):
            open_results(path)

    def test_results_of_another_input(self, path: Path) -> None:
        fill(path, [answer(number) for number, _ in INPUT])
        before = path.read_bytes()
        with open_results(path) as output, pytest.raises(ConfigurationError, match="line 4 of the input is not the"):
            output.check((number, b'"changed"' if number == 4 else line) for number, line in INPUT)
        assert path.read_bytes() == before

    def test_results_of_a_longer_input(self, path: Path) -> None:
        fill(path, [answer(5)])
        with open_results(path) as output, pytest.raises(ConfigurationError, match="lines that the input does not"):
            output.check(INPUT[:4])
        with pytest.raises(ConfigurationError, match="lines that the input does not"):
            open_results(path, lines=4)  # before memory is taken for it

    def test_an_input_that_has_grown(self, path: Path) -> None:
        fill(path, [answer(1)])
        with open_results(path) as output:
            assert output.check(INPUT) == 5

    def test_a_line_that_was_corrected(self, path: Path) -> None:
        fill(path, [answer(1), failure(2)])
        mended = [INPUT[0], (2, b'"mended"')]
        with open_results(path) as output, pytest.raises(ConfigurationError, match="--retry-failed"):
            output.check(mended)
        with open_results(path, retry_failed=True) as output:
            assert output.check(mended) == 2
            assert 2 not in output

    @pytest.mark.parametrize("path", [Path(os.devnull)])
    def test_no_regular_file(self, path: Path) -> None:
        with pytest.raises(ConfigurationError, match="is no regular file"):
            open_results(path)

    def test_a_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none" / "out.jsonl"):
            with pytest.raises(ConfigurationError, match="cannot write the results: "):
                open_results(path)


class TestLock:
    def test_two_runs_at_once(self, path: Path) -> None:
        with open_results(path), pytest.raises(ConfigurationError, match=r"another run is writing .*out\.jsonl"):
            open_results(path)
        with open_results(path):
            pass

    def test_the_new_file_is_locked_too(self, path: Path) -> None:
        fill(path, [failure(1)])
        with open_results(path, retry_failed=True) as output:
            output.begin()
            with pytest.raises(ConfigurationError, match="another run"):
                open_results(path)

    def test_a_file_that_was_replaced_before_it_was_locked(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(path, [failure(1)])

        def late(fd: int, name: str) -> None:
            monkeypatch.setattr("rxresponses.batch.results.lock", lock)
            fill(path, [answer(1)], retry_failed=True)  # another run, from its begin to its end
            lock(fd, name)

        monkeypatch.setattr("rxresponses.batch.results.lock", late)
        with open_results(path) as output:
            assert (output.answered, output.failed) == (1, 0)

    def test_a_file_that_was_removed_before_it_was_locked(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

        def late(fd: int, name: str) -> None:
            monkeypatch.setattr("rxresponses.batch.results.lock", lock)
            path.unlink()
            lock(fd, name)

        monkeypatch.setattr("rxresponses.batch.results.lock", late)
        fill(path, [answer(1)])
        assert lines(path) == [(1, "response")]

    def test_scenario_71_a_system_without_fcntl(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Windows has `msvcrt.locking`, which locks bytes at the place of the file."""
        locked: list[tuple[int, int]] = []

        def locking(fd: int, mode: int, count: int) -> None:
            place = os.lseek(fd, 0, os.SEEK_CUR)
            if locked:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            locked.append((place, count))

        monkeypatch.setitem(sys.modules, "fcntl", None)
        monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
        with open_results(path) as output:
            assert locked == [(2**31 - 2, 1)]
            output.begin()
            output.write(answer(1))
            with pytest.raises(ConfigurationError, match="another run is writing"):
                open_results(path)
        assert lines(path) == [(1, "response")]


class TestRetry:
    def test_failures_stay_without_it(self, path: Path) -> None:
        fill(path, [answer(1), failure(2)])
        fill(path, [answer(3)])
        assert lines(path) == [(1, "response"), (2, "error"), (3, "response")]

    def test_failures_are_removed_with_it(self, path: Path) -> None:
        fill(path, [answer(1), failure(2), answer(3), failure(4)])
        with open_results(path, retry_failed=True) as output:
            assert (output.answered, output.failed) == (2, 0)
            assert [number for number in range(6) if number in output] == [1, 3]
            assert len(lines(path)) == 4  # as long as nothing has begun
            output.begin()
            assert lines(path) == [(1, "response"), (3, "response")]
            output.write(answer(4))
        assert lines(path) == [(1, "response"), (3, "response"), (4, "response")]

    def test_a_last_line_without_its_end(self, path: Path) -> None:
        for last in (answer(2), failure(2)):
            path.unlink(missing_ok=True)
            fill(path, [failure(1), last])
            path.write_bytes(path.read_bytes()[:-1])
            fill(path, [answer(3), answer(4)], retry_failed=True)
            kept = [] if last.error else [(2, "response")]
            assert lines(path) == [*kept, (3, "response"), (4, "response")]

    def test_the_file_keeps_its_mode_and_its_links(self, path: Path) -> None:
        fill(path, [failure(1)])
        path.chmod(0o640)
        link = path.with_name("link.jsonl")
        link.symlink_to(path)
        fill(link, [answer(1)], retry_failed=True)
        assert link.is_symlink()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert lines(path) == [(1, "response")]
        assert {file.name for file in path.parent.iterdir()} == {"out.jsonl", "link.jsonl"}

    def test_nothing_failed(self, path: Path) -> None:
        fill(path, [answer(1)])
        before = path.stat().st_ino
        fill(path, [answer(2)], retry_failed=True)
        assert path.stat().st_ino == before

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_an_error_while_copying_leaves_the_old_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        fill(path, [answer(1), failure(2)])
        before = path.read_bytes()

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, step, full)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            fill(path, [], retry_failed=True)
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == ["out.jsonl"]
