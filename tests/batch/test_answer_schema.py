"""What a schema says of the text of an answer, and which schemas are refused before anything is sent."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from rxresponses import ConfigurationError

pytest.importorskip("jsonschema", reason="comes with the extra `cli`")

from rxresponses.batch.answer_schema import AnswerSchema
from rxresponses.batch.lines import OWN, content_digest, task_of
from rxresponses.batch.outcomes import text_of

CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name", "days"],
}
FORMAT = {"type": "json_schema", "name": "city", "schema": CITY, "strict": False}


def message(*texts: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text} for text in texts], **more}


def problems(text: str, schema: Any = None) -> str | None:
    return AnswerSchema(FORMAT, schema or CITY).problems_of({"output": [message(text)]})


class TestAnswers:
    @pytest.mark.parametrize("text", ['{"name": "a", "days": [1]}', ' \n{"days":[],"name":"","more":null}\n'])
    def test_fits(self, text: str) -> None:
        assert problems(text) is None

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("Cologne!", "the text is no JSON: Expecting value"),
            ('{"name": NaN, "days": []}', "the text is no JSON: NaN is no JSON value"),
            ("1" * 5000, "the text is no JSON: "),
            ('```json\n{"name": "a", "days": []}\n```', "the text is no JSON: "),
            ("[" * 100_000, "the JSON, or what the schema says of it, is nested too deeply"),
            ('{"days": []}', "$: 'name' is a required property"),
            ('{"name": "a", "days": [1, "x"]}', "$.days[1]: 'x' is not of type 'integer'"),
            ('{"name": 7, "days": "x"}', "$.name: 7 is not of type 'string'; $.days: 'x' is not of type 'array'"),
        ],
    )
    def test_where_it_does_not_fit(self, text: str, said: str) -> None:
        assert str(problems(text)).startswith(said)

    def test_many_and_long_problems_are_shortened(self) -> None:
        told = str(problems(json.dumps({"name": "a", "days": ["x" * 1000] * 9})))
        assert told.endswith("; and 6 more")
        assert len(told) < 1100

    def test_secrets_are_hidden_before_texts_are_shortened(self) -> None:
        secret = "sk-" + "s" * 100
        response = {"output": [message(json.dumps({"name": [secret * 9], "days": {secret: 1}, secret: 1}))]}
        schema = {**CITY, "additionalProperties": {"type": "string"}}
        told = str(AnswerSchema(FORMAT, schema).problems_of(response, lambda text: text.replace(secret, "***")))
        assert "sss" not in told
        assert told.count("***") > 3

    def test_no_text(self) -> None:
        assert AnswerSchema(FORMAT, CITY).problems_of({"output": []}) == "the response has no text"

    def test_an_endless_schema(self) -> None:
        assert problems("{}", {"$ref": "#"}) == "the JSON, or what the schema says of it, is nested too deeply"


class TestText:
    @pytest.mark.parametrize(
        ("output", "text"),
        [
            ([message("a", "b")], "ab"),
            ([message("a"), message("b")], "b"),
            ([message("a", phase="final_answer"), message("b", phase="commentary")], "a"),
            ([message("a"), {"type": "function_call"}, message()], "a"),
            ([{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}], None),
            ([{"type": "message", "content": [None, {"type": "output_text", "text": 7}]}, None, 7], None),
            ([{"type": "message", "content": None}], None),
            (None, None),
        ],
    )
    def test_of_a_response(self, output: Any, text: str | None) -> None:
        assert text_of({"output": output}) == text

    def test_of_nothing(self) -> None:
        assert text_of(None) is None


class TestSchemas:
    @pytest.mark.parametrize(
        ("schema", "said"),
        [
            ({"type": "text"}, r"^\$\.type: 'text' is not"),
            ({"type": "object", "properties": {"a": {"pattern": "("}}}, r"pattern: '\(' is not a 'regex'"),
            ({"properties": {"a": {"$ref": "#/$defs/None"}}}, "'#/[$]defs/None' leads to nothing in the schema"),
            ({"anyOf": [{"$ref": "https://example.invalid/x"}]}, "leads to nothing in the schema"),
        ],
    )
    def test_that_cannot_be_used(self, schema: Any, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            AnswerSchema(FORMAT, schema)

    def test_references_of_a_schema(self) -> None:
        schema = {"$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/A"}}}
        assert problems('{"a": 1}', schema) is None
        assert problems('{"a": "x"}', schema) == "$.a: 'x' is not of type 'integer'"
        assert problems('{"$ref": "y"}', {"const": {"$ref": "y"}}) is None  # a value, no reference

    def test_without_jsonschema(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "jsonschema", None)
        with pytest.raises(ConfigurationError, match=r'pip install "rxresponses\[cli\]"'):
            AnswerSchema(FORMAT, CITY)


class TestTasks:
    def task(self, line: object) -> Any:
        return task_of(1, json.dumps(line).encode(), "m", AnswerSchema(FORMAT, CITY).format)

    def test_a_line_without_a_format_asks_for_the_schema(self) -> None:
        digest = content_digest(FORMAT).hex()
        assert self.task("Hi").schema == digest
        assert self.task("Hi").request == {"model": "m", "input": "Hi", "text": {"format": FORMAT}}
        task = self.task({"input": "Hi", "text": {"verbosity": "low", "format": None}})
        assert task.request["text"] == {"verbosity": "low", "format": FORMAT}
        assert (task.schema, task.head()["schema"]) == (digest, digest)

    @pytest.mark.parametrize("text", [{"format": {"type": "text"}}, 7])
    def test_a_line_with_a_format_keeps_it(self, text: object) -> None:
        task = self.task({"input": "Hi", "text": text})
        assert (task.request["text"], task.schema) == (text, OWN)

    def test_a_line_that_is_no_request(self) -> None:
        assert self.task(7).schema is None


def test_the_digest_of_content_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert content_digest({"a": 1, "b": [1, 2]}) == content_digest({"b": [1, 2], "a": 1})
    values: list[Any] = [{"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": [1]}, {"a": 10**30}, {"a": "\ud800"}, {"a": "\ud801"}]
    assert len({content_digest(value) for value in values}) == len(values)
