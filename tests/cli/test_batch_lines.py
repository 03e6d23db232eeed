"""`rxresponses batch`: lines that are told or counted apart, bad ones of the input and refused or cut answers."""

from __future__ import annotations

import pytest

from rxresponses.testing import Raw, Refusal, ResponsesServer
from rxresponses.testing.request import Request

from .conftest import Batch


class TestInput:
    def test_scenario_71_each_kind_of_bad_line_is_told(self, batch: Batch) -> None:
        batch.requests.write_text('{broken\n[broken\n{"input": 7}\n""\n7\n{"url": "x", "body": {}}\n"y\n')
        code, err = batch("--concurrency", "1")
        assert code == 1
        assert [line.split(":")[0] for line in err.splitlines() if line.startswith("line ")] == [
            *("line 1", "line 2", "line 3", "line 4", "line 5", "line 6", "line 7")
        ]

    def test_scenario_71_a_custom_id_twice(self, batch: Batch, server: ResponsesServer) -> None:
        body = {"custom_id": "a", "body": {"input": "x"}}
        batch.ask(body, "y", body)
        code, err = batch()
        assert code == 2
        assert "lines 1 and 3 of the input have the same `custom_id`, 'a'" in err
        assert server.accepted == 0

    def test_scenario_71_utf_16(self, batch: Batch) -> None:
        batch.requests.write_bytes('"caf\u00e9"\r\n"two"\r\n'.encode("utf-16"))
        assert batch()[0] == 0
        assert batch.answers == {1: "caf\u00e9", 2: "two"}
        assert batch()[0] == 0


class TestOutcomes:
    """Refused and incomplete answers."""

    @pytest.fixture(autouse=True)
    def _answers(self, batch: Batch, server: ResponsesServer) -> None:
        cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        server.on("^no$", Refusal("I will not."))
        response = {"id": "r", "output": [], **cut}

        def reply(request: Request) -> list[Raw]:
            lane = {} if request.stream_id is None else {"stream_id": request.stream_id}
            return [Raw([{"type": "response.incomplete", "response": response, **lane}])]

        server.on("^cut$", reply)
        batch.ask("no", "cut", "one")

    def test_scenario_70_are_told_apart(self, batch: Batch) -> None:
        for _ in range(2):
            code, err = batch()
            assert code == 0
            assert err == f"3 of 3 answered (1 refused, 1 incomplete), 0 failed: {batch.results}\n"
        assert [batch.lines[number].get("outcome") for number in (1, 2, 3)] == ["refused", "incomplete", None]

    def test_scenario_70_fail_if_asked(self, batch: Batch) -> None:
        code, err = batch("--fail-refused", "--fail-incomplete")
        assert code == 1
        assert f"1 of 3 answered, 2 failed: {batch.results}\n" in err
        assert "line 1: the model refused to answer: I will not.\n" in err
        assert "line 2: the response is incomplete: max_output_tokens\n" in err
        errors = {number: line["error"] for number, line in batch.lines.items() if "error" in line}
        assert {number: error["type"] for number, error in errors.items()} == {
            1: "ResponseRefusedError",
            2: "ResponseIncompleteError",
        }
        assert errors[2]["response_id"] == errors[2]["response"]["id"] == "r"  # what was paid for is kept
        assert batch()[0] == 1

    def test_scenario_70_only_the_kind_that_was_asked_for(self, batch: Batch) -> None:
        code, err = batch("--fail-incomplete")
        assert code == 1
        assert f"2 of 3 answered (1 refused), 1 failed: {batch.results}\n" in err

    def test_scenario_70_of_earlier_runs_fail_too(self, batch: Batch, server: ResponsesServer) -> None:
        assert batch()[0] == 0
        code, err = batch("--fail-refused")
        assert code == 1
        assert f"2 of 3 answered (1 incomplete), 1 failed: {batch.results}\n" in err
        assert len(server.requests) == 3
        assert batch("--fail-refused", "--retry-failed")[0] == 1
        assert len(server.requests) == 4
        assert batch.lines[1]["error"]["type"] == "ResponseRefusedError"
