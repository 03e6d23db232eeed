from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ConfigurationError, InvalidRequestError
from rxresponses.batch.lines import digest, open_input, read_lines, task_of


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
