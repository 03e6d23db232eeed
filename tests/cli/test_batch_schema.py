"""`rxresponses batch --schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rxresponses.testing import Refusal, ResponsesServer

from .conftest import Batch
from .programs import usage_error

pytest.importorskip("jsonschema", reason="comes with the extra `cli`")

CITY = {"type": "object", "properties": {"name": {"type": "string"}}}
FORMAT = {
    "type": "json_schema",
    "name": "city",
    "schema": {**CITY, "required": ["name"], "additionalProperties": False},
    "strict": True,
}


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "city.json"
    path.write_text(json.dumps(CITY))
    return path


@pytest.fixture
def checked(batch: Batch, schema: Path) -> Batch:
    batch.arguments += ["--schema", str(schema)]
    return batch


def test_each_answer_fits(checked: Batch, server: ResponsesServer) -> None:
    own: dict[str, Any] = {"input": "two", "text": {"format": {"type": "text"}}}
    checked.ask("one", own)
    server.on("two", "free text")
    assert checked() == (0, f"2 of 2 answered, 0 failed: {checked.results}\n")
    assert json.loads(checked.answers[1]).keys() == {"name"}
    assert checked.answers[2] == "free text"
    formats = {request["input"]: request["text"]["format"] for request in server.requests}
    assert formats == {"one": FORMAT, "two": {"type": "text"}}
    assert checked.lines[2]["schema"] == "own"


def test_an_answer_that_does_not_fit_is_asked_for_again_and_then_fails(checked: Batch, server: ResponsesServer) -> None:
    server.on("one", '{"name": 7}')
    server.on("two", "{", '{"name": "b"}')
    checked.ask("one", "two")
    code, err = checked("--schema-retries", "1", "--concurrency", "1")
    assert code == 1
    told = "the answer does not fit the schema, in 2 tries; the latest: $.name: 7 is not of type 'string'"
    assert f"line 1: {told}\n" in err
    assert checked.lines[1]["error"]["message"] == told
    assert checked.lines[1]["error"]["response"]["output"]
    assert checked.answers == {2: '{"name": "b"}'}
    assert len(server.requests) == 4
    assert checked()[0] == 1
    assert len(server.requests) == 4
    checked("--retry-failed", "--schema-retries", "0")
    assert len(server.requests) == 5


def test_a_refused_answer_fails_at_once(checked: Batch, server: ResponsesServer) -> None:
    server.on("one", Refusal("I will not."))
    checked.ask("one")
    assert checked()[0] == 1
    assert len(server.requests) == 1


def test_answers_to_two_schemas_are_not_mixed(batch: Batch, schema: Path) -> None:
    batch.ask("one", {"input": "two", "text": {"format": {"type": "text"}}})
    assert batch("--schema", str(schema))[0] == 0
    code, err = batch()
    assert code == 2
    assert "has answers that were asked for with another schema: go on as that run" in err
    schema.write_text(json.dumps({**CITY, "title": "town"}))
    assert batch("--schema", str(schema))[0] == 2
    batch.results.unlink()
    assert batch()[0] == 0
    code, err = batch("--schema", str(schema))
    assert code == 2
    assert "has answers that were asked for with no schema" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read the schema in"),
        ('{"type": "string"}', 'the type at the top must be "object"'),
        ('{"type": "object", "properties": {"a": {"type": "text"}}}', "$.properties.a.type: 'text' is not valid"),
    ],
)
def test_the_file_is_checked_before_anything_is_sent(
    checked: Batch, schema: Path, server: ResponsesServer, text: str, said: str
) -> None:
    schema.write_text(text)
    checked.ask("one")
    code, err = checked()
    assert code == 2
    assert said in err
    assert str(schema) in err
    assert server.accepted == 0
    assert not checked.results.exists()


def test_the_number_of_retries(capsys: pytest.CaptureFixture[str]) -> None:
    said = usage_error(capsys, "batch", "in.jsonl", "-o", "x", "--schema-retries", "-1")
    assert "must be a whole number, 0 or more, not '-1'" in said
