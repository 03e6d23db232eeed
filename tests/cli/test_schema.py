"""`rxresponses ask --schema`, and the schema that it sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ConfigurationError
from rxresponses.cli.schema_file import NoJsonError, format_of, json_line
from rxresponses.testing import Failure, Raw, Refusal, ResponsesServer

from .conftest import Ask

CITY = {"type": "object", "properties": {"name": {"type": "string"}, "people": {"type": "integer"}}}
CLOSED = {**CITY, "required": ["name", "people"], "additionalProperties": False}


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "a city.json"
    path.write_text(json.dumps(CITY))
    return path


class TestAsk:
    def test_the_answer_is_json_on_one_line(self, ask: Ask, server: ResponsesServer, schema: Path) -> None:
        server.reply('{\n  "name": "K\\u00f6ln",\n  "people": 1.0e6\n}\n')
        assert ask("--schema", str(schema)) == (0, '{   "name": "K\\u00f6ln",   "people": 1.0e6 }\n', "")
        assert server.requests[0]["text"] == {
            "format": {"type": "json_schema", "name": "a_city", "schema": CLOSED, "strict": True}
        }

    def test_commentary_is_no_part_of_the_answer(self, ask: Ask, server: ResponsesServer, schema: Path) -> None:
        items = [
            {"type": "message", "role": "assistant", "phase": phase, "content": [{"type": "output_text", "text": text}]}
            for phase, text in (("commentary", "Let me see."), ("final_answer", "{}"))
        ]
        end = {"id": "r", "status": "completed", "output": items}
        server.reply(Raw([{"type": "response.completed", "response": end}]))
        assert ask("--schema", str(schema)) == (0, "{}\n", "")

    def test_events_in_place_of_the_answer(self, ask: Ask, server: ResponsesServer, schema: Path) -> None:
        server.reply("{}")
        code, out, err = ask("--schema", str(schema), "--json")
        assert (code, err) == (0, "")
        assert json.loads(out.splitlines()[-1])["type"] == "response.completed"

    def test_the_embedded_server_fulfils_the_schema(self, ask: Ask, schema: Path) -> None:
        code, out, _ = ask("--schema", str(schema))
        assert code == 0
        assert json.loads(out).keys() == {"name", "people"}

    @pytest.mark.parametrize("form", [[], ["--json"], ["--events"]])
    def test_no_json(self, ask: Ask, server: ResponsesServer, schema: Path, form: list[str]) -> None:
        server.reply("Cologne!")
        code, out, err = ask("--schema", str(schema), *form)
        assert (code, bool(out)) == (1, bool(form))
        assert err.startswith("rxresponses: the answer is no JSON")
        assert err.endswith(": Cologne!\n")

    @pytest.mark.parametrize("form", [[], ["--json"], ["--events"]])
    def test_a_refusal_is_no_broken_json(
        self, ask: Ask, server: ResponsesServer, schema: Path, form: list[str]
    ) -> None:
        server.reply(Refusal("I will not."))
        code, out, err = ask("--schema", str(schema), *form)
        assert (code, err) == (1, "rxresponses: the model refused to answer: I will not.\n")
        assert ("response.completed" in out) is bool(form)

    def test_a_cut_answer_is_no_broken_json(self, ask: Ask, server: ResponsesServer, schema: Path) -> None:
        cut = {"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        delta = {"type": "response.output_text.delta", "delta": '{"name": "K'}
        server.reply(Raw([delta, {"type": "response.incomplete", "response": cut}]))
        code, out, err = ask("--schema", str(schema))
        assert (code, out, err) == (1, "", "rxresponses: the response is incomplete: max_output_tokens\n")

    def test_a_failure(self, ask: Ask, server: ResponsesServer, schema: Path) -> None:
        server.reply(['{"name": ', Failure("server_error", "Sorry.", after=4)])
        code, out, err = ask("--schema", str(schema))
        assert (code, out) == (1, "")
        assert "Sorry." in err

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "No such file"),
            ("{", "cannot read the schema"),
            ("\udcff", "cannot read the schema"),
            ("[" * 100_000, "cannot read the schema"),
            ("[]", "the schema must be a JSON object"),
            ('{"type": "string"}', 'must be "object"'),
        ],
    )
    def test_files_without_a_schema(
        self, ask: Ask, server: ResponsesServer, schema: Path, text: str | None, said: str
    ) -> None:
        if text is None:
            schema.unlink()
        else:
            schema.write_text(text, errors="surrogateescape")
        code, out, err = ask("--schema", str(schema))
        assert (code, out, server.requests) == (2, "", [])
        assert said in err
        assert str(schema) in err

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_the_file_may_be_utf_16(self, ask: Ask, server: ResponsesServer, schema: Path, encoding: str) -> None:
        schema.write_text(json.dumps(CITY), encoding=encoding)
        assert ask("--schema", str(schema))[0] == 0
        assert server.requests[0]["text"]["format"]["schema"] == CLOSED


class TestFormat:
    @pytest.mark.parametrize("keyword", ["$defs", "definitions"])
    def test_a_reference_at_the_top_is_replaced(self, keyword: str) -> None:
        schema = {"$ref": f"#/{keyword}/City", keyword: {"City": CITY}}
        assert format_of(schema, "x")["schema"] == {**CLOSED, keyword: {"City": CLOSED}}

    @pytest.mark.parametrize("schema", [{"$ref": "#/$defs/No", "$defs": {"City": CITY}}, {"$ref": "#"}])
    def test_a_reference_to_nothing_at_the_top(self, schema: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match='must be "object"'):
            format_of(schema, "x")

    def test_every_object_is_closed(self) -> None:
        nested: dict[str, Any] = {
            "type": "object",
            "properties": {
                "list": {"type": "array", "items": CITY},
                "one": {"anyOf": [CITY, {"type": "null"}]},
                "named": {"$ref": "#/$defs/city"},
                "typeless": {"properties": {"a": {"type": "string"}}},
                "empty": {"type": "object"},
            },
            "required": ["list"],
            "$defs": {"city": CITY},
        }
        before = json.dumps(nested)
        assert format_of(nested, "x")["schema"] == {
            "type": "object",
            "properties": {
                "list": {"type": "array", "items": CLOSED},
                "one": {"anyOf": [CLOSED, {"type": "null"}]},
                "named": {"$ref": "#/$defs/city"},
                "typeless": {
                    "properties": {"a": {"type": "string"}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
                "empty": {"type": "object", "required": [], "additionalProperties": False},
            },
            "required": ["list", "one", "named", "typeless", "empty"],
            "additionalProperties": False,
            "$defs": {"city": CLOSED},
        }
        assert json.dumps(nested) == before

    def test_defaults_are_left_out(self) -> None:
        """The service refuses them.  A property may be called so."""
        schema = {"type": "object", "properties": {"default": {"type": "string", "default": "x"}}, "default": {}}
        assert format_of(schema, "x")["schema"] == {
            "type": "object",
            "properties": {"default": {"type": "string"}},
            "required": ["default"],
            "additionalProperties": False,
        }

    def test_a_format_as_requests_have_it(self) -> None:
        given = {"type": "json_schema", "name": "city", "description": "A city.", "strict": False, "schema": CITY}
        assert format_of(given, "x") == given
        assert format_of({"schema": CITY}, "x") == {
            "type": "json_schema",
            "name": "x",
            "schema": CLOSED,
            "strict": True,
        }

    def test_a_property_may_be_called_schema(self) -> None:
        schema = {"type": "object", "properties": {}, "schema": {}}
        assert format_of(schema, "x")["schema"]["properties"] == {}

    @pytest.mark.parametrize(
        ("given", "name"),
        [({"title": "A city (big)"}, "A_city_big_"), ({"title": "x" * 99}, "x" * 64), ({"title": ""}, "file")],
    )
    def test_names(self, given: dict[str, Any], name: str) -> None:
        assert format_of({**CITY, **given}, "file")["name"] == name

    @pytest.mark.parametrize(
        ("part", "said"),
        [
            ({"additionalProperties": {"type": "string"}}, r"\$\.properties\.a allows further properties"),
            ({"properties": []}, r"\$\.properties\.a\.properties must be an object"),
            ({"anyOf": {}}, r"\$\.properties\.a\.anyOf must be a list"),
            ({"items": [{}]}, r"\$\.properties\.a\.items is no schema"),
            ({"items": True}, r"\$\.properties\.a\.items is true"),
        ],
    )
    def test_what_no_strict_schema_has(self, part: dict[str, Any], said: str) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "object", **part}}}
        with pytest.raises(ConfigurationError, match=said):
            format_of(schema, "x")
        assert format_of({"schema": schema, "strict": False}, "x")["schema"] == schema

    def test_strict_is_a_boolean(self) -> None:
        with pytest.raises(ConfigurationError, match="`strict`"):
            format_of({"schema": CITY, "strict": "no"}, "x")

    def test_a_bottomless_schema(self) -> None:
        schema: Any = {}
        for _ in range(200):
            schema = {"type": "object", "properties": {"a": schema}}
        with pytest.raises(ConfigurationError, match="levels"):
            format_of(schema, "x")


class TestJson:
    @pytest.mark.parametrize(
        ("answer", "line"),
        [('{"a": 1}', '{"a": 1}'), (" [1,\r\n2]\n", "[1,  2]"), ('"' + "9" * 9 + '"', '"999999999"')],
    )
    def test_lines(self, answer: str, line: str) -> None:
        assert json_line(answer) == line

    def test_numbers_of_any_size(self) -> None:
        assert json_line("9" * 5000) == "9" * 5000

    @pytest.mark.parametrize("answer", ["", "{", "{} x", "NaN", "[" * 100_000, "yes"])
    def test_what_is_no_json(self, answer: str) -> None:
        with pytest.raises(NoJsonError):
            json_line(answer)
