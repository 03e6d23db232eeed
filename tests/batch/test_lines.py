from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ConfigurationError, InvalidRequestError
from rxresponses.batch.lines import checked_ids, digest, open_input, read_lines, task_of


def request_of(line: object) -> Any:
    return task_of(1, json.dumps(line).encode(), "m").request


def problem_of(line: bytes) -> str:
    task = task_of(1, line, "m")
    assert isinstance(task.request, InvalidRequestError)
    assert task.request.delivery == "not_sent"
    return str(task.request)


class TestForms:
    def test_a_string_is_a_prompt(self) -> None:
        assert request_of("Hi") == {"model": "m", "input": "Hi"}

    def test_a_request(self) -> None:
        assert request_of({"model": "n", "input": "Hi"}) == {"model": "n", "input": "Hi"}

    def test_a_line_of_a_batch_file(self) -> None:
        body = {"model": "n", "input": "Hi"}
        line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
        task = task_of(7, json.dumps(line).encode(), "m")
        assert (task.line, task.custom_id, task.request) == (7, "a", body)

    def test_custom_id_beside_a_request(self) -> None:
        task = task_of(1, b'{"custom_id": "a", "input": "Hi"}', "m")
        assert (task.custom_id, task.request) == ("a", {"model": "m", "input": "Hi"})

    @pytest.mark.parametrize("envelope", [lambda body: body, lambda body: {"body": body}])
    def test_the_model_is_for_lines_that_name_none(self, envelope: Any) -> None:
        assert request_of(envelope({"input": "Hi"})) == {"model": "m", "input": "Hi"}
        assert request_of(envelope({"model": None, "input": "Hi"}))["model"] is None  # a wrong request stays one
        assert request_of(envelope({"prompt": {"id": "p"}})) == {"prompt": {"id": "p"}}

    @pytest.mark.parametrize("stream", [False, True, None])
    def test_stream_is_ignored(self, stream: object) -> None:
        assert request_of({"model": "n", "input": "Hi", "stream": stream}) == {"model": "n", "input": "Hi"}

    def test_a_byte_order_mark(self) -> None:
        assert task_of(1, b'\xef\xbb\xbf"Hi"', "m").request == {"model": "m", "input": "Hi"}

    def test_the_digest_is_that_of_the_line(self) -> None:
        assert task_of(1, b'"Hi"', "m").digest == digest(b'"Hi"') != digest(b'"Ho"')
        assert len(digest(b"")) == 16


class TestBadLines:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b'{"input": ', "the line is no JSON: Expecting value, at character 11"),
            (b"\xff", "the line is no JSON: not UTF-8, at byte 1"),
            (b"[" * 100_000, "the line is no JSON: "),
            (b"1" * 5000, "the line is no JSON: "),
            (b"[1]", "a line holds an object or a string, not list"),
            (b"null", "a line holds an object or a string, not null"),
            (b"7", "a line holds an object or a string, not int"),
            (b'" "', "the prompt is empty"),
            (b'{"body": {}, "method": "GET"}', "`method` must be 'POST', not 'GET'"),
            (b'{"body": {}, "url": "/v1/chat/completions"}', "`url` must be '/v1/responses', not '/v1/chat/compl"),
            (b'{"body": {}, "custom_id": [1]}', "`custom_id` must be a string"),
            (b'{"body": "Hi"}', "`body` must be an object, not str"),
            (b'{"body": null}', "`body` must be an object, not null"),
        ],
    )
    def test_the_error_says_what_is_wrong(self, line: bytes, said: str) -> None:
        assert problem_of(line).startswith(said)

    def test_keeps_its_custom_id(self) -> None:
        task = task_of(1, b'{"custom_id": "a", "body": 7}', "m")
        assert task.custom_id == "a"
        assert isinstance(task.request, InvalidRequestError)


class TestReading:
    def test_numbers_count_blank_lines_too(self) -> None:
        file = io.BytesIO(b'"one"\r\n\n \t \n  "four"  ')
        assert list(read_lines(file)) == [(1, b'"one"'), (4, b'"four"')]
        assert list(read_lines(file)) == [(1, b'"one"'), (4, b'"four"')]  # from the start again

    def test_lines_are_read_on_demand(self) -> None:
        class Counted(io.BytesIO):
            read_so_far = 0

            def __next__(self) -> bytes:
                self.read_so_far += 1
                return super().__next__()

        file = Counted(b'"x"\n' * 10)
        lines = read_lines(file)
        assert file.read_so_far == 0
        next(lines)
        next(lines)
        assert file.read_so_far == 2


class TestOpening:
    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "in.jsonl"
        path.write_bytes(b'"Hi"')
        with open_input(str(path)) as file:
            assert list(read_lines(file)) == [(1, b'"Hi"')]

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"cannot read the requests: .*none\.jsonl"):
            open_input(str(tmp_path / "none.jsonl"))
        with pytest.raises(ConfigurationError, match="cannot read the requests: "):
            open_input(str(tmp_path))

    def test_an_input_that_cannot_be_read_again(self) -> None:
        ours, theirs = os.pipe()
        try:
            with pytest.raises(ConfigurationError, match="no run could be resumed"):
                open_input(f"/dev/fd/{ours}")
        finally:
            os.close(ours)
            os.close(theirs)


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_scenario_71_encodings_of_windows(tmp_path: Path, encoding: str, mark: bool) -> None:
    lines = ['"caf\u00e9 \u0a0a \u2028 \U0001f389"', '{"input": "x"}']
    text = ("\ufeff" if mark else "") + "\r\n".join([lines[0], "", lines[1] * 1, '"' + "y" * 100_000 + '"'])
    (tmp_path / "in.jsonl").write_bytes(text.encode(encoding))
    with open_input(str(tmp_path / "in.jsonl")) as file:
        for _ in range(2):
            read = list(read_lines(file))
            assert [number for number, _ in read] == [1, 3, 4]
            assert [line.decode() for _, line in read[:2]] == lines


def test_scenario_71_broken_utf_16(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"\xff\xfe" + '"one"'.encode("utf-16-le") + b"x")
    with open_input(str(tmp_path / "in.jsonl")) as file, pytest.raises(ConfigurationError, match="no valid UTF-16"):
        list(read_lines(file))


def test_scenario_71_a_custom_id_belongs_to_one_line() -> None:
    lines = [
        (1, b'{"custom_id":"a"}'),
        (2, b"{broken"),
        (3, b'"a"'),
        (4, b'{"custom_id":"b"}'),
        (5, b'{"custom_id":7}'),
    ]
    assert list(checked_ids(iter(lines))) == lines
    with pytest.raises(ConfigurationError, match="lines 1 and 6 of the input have the same `custom_id`, 'a'"):
        list(checked_ids([*lines, (6, b'{"body":{},"custom_id":"a"}')]))
    with pytest.raises(ConfigurationError, match="lines 5 and 6 of the input have the same `custom_id`, 7"):
        list(checked_ids([*lines, (6, b'{"body":{},"custom_id":7}')]))


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be"])
def test_scenario_71_utf_32_with_its_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "in.jsonl").write_bytes('\ufeff"caf\u00e9"\r\n"two"'.encode(encoding))
    with open_input(str(tmp_path / "in.jsonl")) as file:
        assert list(read_lines(file)) == [(1, '"caf\u00e9"'.encode()), (2, b'"two"')]
    (tmp_path / "in.jsonl").write_bytes('\ufeff"one"'.encode(encoding) + b"x")
    with open_input(str(tmp_path / "in.jsonl")) as file, pytest.raises(ConfigurationError, match="no valid UTF-32"):
        list(read_lines(file))
