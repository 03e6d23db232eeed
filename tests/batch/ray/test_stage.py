from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rxresponses import ConfigurationError
from rxresponses.batch.ray import ResponsesStage
from rxresponses.batch.ray.stage import COLUMNS
from rxresponses.testing import Failure, ResponsesServer

pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'rxresponses[ray]'")

Make = Callable[..., ResponsesStage]


@pytest.fixture
def stage(server: ResponsesServer) -> Iterator[Make]:
    """Return a function that makes a stage, as an actor of Ray does."""
    made: list[ResponsesStage] = []

    def make(**settings: Any) -> ResponsesStage:
        made.append(ResponsesStage(url=server.url, api_key="key", **{"fields": {"model": "m"}, **settings}))
        return made[-1]

    yield make
    for one in made:
        one._running.close()


def answer(stage: ResponsesStage, batch: Any) -> Any:
    return asyncio.run(stage(batch))


class TestRows:
    def test_prompts(self, stage: Make, server: ResponsesServer) -> None:
        server.reply("Hello", Failure(code="server_error", message="no model"))
        [first] = answer(stage(), pa.table({"prompt": ["one"], "key": [7]})).to_pylist()
        response = json.loads(first.pop("response"))
        assert response["status"] == "completed"
        assert first == {
            "prompt": "one",
            "key": 7,
            "text": "Hello",
            "input_tokens": response["usage"]["input_tokens"],
            "output_tokens": response["usage"]["output_tokens"],
            "total_tokens": response["usage"]["total_tokens"],
            **dict.fromkeys(("error_type", "error_message", "delivery", "code", "retryable")),
        }
        [second] = answer(stage(), pa.table({"prompt": ["two"]})).to_pylist()
        assert (second["response"], second["text"], second["input_tokens"]) == (None, None, None)
        assert (second["error_type"], second["code"]) == ("ResponseFailedError", "server_error")
        assert (second["delivery"], second["retryable"]) == ("started", False)
        assert "no model" in second["error_message"]

    def test_requests_have_any_form_of_a_line(self, stage: Make, server: ResponsesServer) -> None:
        requests = [
            '"a prompt"',
            '{"model": "n", "input": "a body"}',
            '{"custom_id": "x", "method": "POST", "url": "/v1/responses", "body": {"input": "an envelope"}}',
            "no JSON",
        ]
        table = answer(stage(fields={"model": "m", "instructions": "Be brief."}), pa.table({"request": requests}))
        rows = table.to_pylist()
        assert [row["error_type"] for row in rows] == [None, None, None, "InvalidRequestError"]
        assert rows[3]["delivery"] == "not_sent"
        asked = {request["input"]: request for request in server.requests}
        assert {name: request["model"] for name, request in asked.items()} == {
            "a prompt": "m",
            "a body": "n",
            "an envelope": "m",
        }
        assert all(request["instructions"] == "Be brief." for request in asked.values())

    def test_requests_as_structures(self, stage: Make, server: ResponsesServer) -> None:
        numpy = pytest.importorskip("numpy")
        bodies = numpy.empty(2, dtype=object)
        bodies[:] = [{"input": "one", "max_output_tokens": numpy.int64(16)}, {"input": b"bytes"}]
        columns = answer(stage(), {"request": bodies})
        assert columns["error_type"].to_pylist() == [None, "InvalidRequestError"]
        assert server.requests[0]["max_output_tokens"] == 16
        assert list(columns) == ["request", *COLUMNS]

    def test_fields_without_a_value_are_not_sent(self, stage: Make, server: ResponsesServer) -> None:
        bodies = [
            {"input": "one", "max_output_tokens": 16, "metadata": {"a": "x"}},
            {"input": [{"role": "user", "content": "two"}, {"role": "user", "content": "three"}], "temperature": 0.5},
        ]
        fields = {"model": "m", "max_output_tokens": 99}
        # Each struct of a table of Arrow has all fields, and pandas makes floating-point numbers of whole ones.
        for first, second in (
            (bodies[0] | {"temperature": None}, bodies[1] | {"metadata": {"a": None}}),
            (
                bodies[0] | {"temperature": math.nan, "max_output_tokens": 16.0},
                bodies[1] | {"max_output_tokens": math.nan},
            ),
        ):
            seen = len(server.requests)
            assert answer(stage(fields=fields), {"request": [first, second]})["error_type"].null_count == 2
            asked = {isinstance(request["input"], str): request for request in server.requests[seen:]}
            assert (asked[True]["max_output_tokens"], asked[False]["max_output_tokens"]) == (16, 99)
            assert "temperature" not in asked[True]
            assert asked[False]["temperature"] == 0.5
            assert asked[False].get("metadata") in (None, {})

    def test_nulls_of_json_are_sent(self, stage: Make, server: ResponsesServer) -> None:
        answer(stage(), {"request": ['{"input": "one", "temperature": null}']})
        assert server.requests[0]["temperature"] is None

    @pytest.mark.parametrize("missing", [None, math.nan])
    def test_a_missing_prompt_is_an_error(self, stage: Make, server: ResponsesServer, missing: object) -> None:
        for column in ("prompt", "request"):
            columns = answer(stage(), {column: [missing]})
            assert columns["error_type"].to_pylist() == ["InvalidRequestError"]
        assert not server.requests

    def test_the_key_may_be_a_function(self) -> None:
        with ResponsesServer(api_key="sk-of-a-function") as server:
            made = ResponsesStage(url=server.url, api_key=lambda: "sk-of-a-function", fields={"model": "m"})
            assert answer(made, {"prompt": ["one"]})["error_type"].to_pylist() == [None]
            made._running.close()

    def test_no_rows(self, stage: Make) -> None:
        table = answer(stage(), pa.table({"prompt": pa.array([], pa.string())}))
        assert table.num_rows == 0
        assert table.column_names == ["prompt", *COLUMNS]

    def test_a_data_frame(self, stage: Make) -> None:
        pandas = pytest.importorskip("pandas")
        frame = answer(stage(), pandas.DataFrame({"prompt": ["one", "two"]}))
        assert list(frame.columns) == ["prompt", *COLUMNS]
        assert frame["error_type"].isna().all()
        failed = answer(stage(), pandas.DataFrame({"prompt": [pandas.NA]}))
        assert list(failed.dtypes[-len(COLUMNS) :]) == list(frame.dtypes[-len(COLUMNS) :])  # so Ray can join the blocks

    def test_other_names(self, stage: Make) -> None:
        table = answer(stage(prompt_column="question", prefix="answer_"), pa.table({"question": ["x"], "text": ["y"]}))
        assert table.column_names == ["question", "text", *(f"answer_{name}" for name in COLUMNS)]
        with pytest.raises(ConfigurationError, match="neither a column 'request' nor 'prompt'"):
            answer(stage(), pa.table({"question": ["x"]}))
        with pytest.raises(ConfigurationError, match="a column 'text' already: give `prefix`"):
            answer(stage(), pa.table({"prompt": ["x"], "text": ["y"]}))

    def test_batches_at_the_same_time(self, stage: Make, server: ResponsesServer) -> None:
        made = stage()

        async def both() -> list[Any]:
            return await asyncio.gather(*(made(pa.table({"prompt": [name] * 5})) for name in "ab"))

        for name, table in zip("ab", asyncio.run(both()), strict=True):
            assert all(text.endswith(name) for text in table.column("text").to_pylist())


class TestErrors:
    def test_a_server_that_is_down_is_an_error_in_each_row(
        self, stage: Make, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from rxresponses import Backoff

        monkeypatch.setattr("rxresponses.batch.ray.settings.BACKOFF", Backoff(max_retries=0))
        made = stage()
        server.__exit__(None, None, None)
        rows = answer(made, pa.table({"prompt": ["one", "two"]})).to_pylist()
        assert [(row["error_type"], row["delivery"], row["retryable"]) for row in rows] == [
            ("ConnectFailedError", "not_sent", True)
        ] * 2

    def test_a_url_that_cannot_be_used(self) -> None:
        with pytest.raises(ConfigurationError):
            ResponsesStage(url="ftp://example.com", api_key="key")

    def test_the_end_of_the_run_does_not_leave_rows_waiting(self, stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: object, tasks: object) -> Any:
            raise RuntimeError("no memory")

        monkeypatch.setattr("rxresponses.batch.run.Run.results", fail)
        made = stage()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no memory"):
                answer(made, pa.table({"prompt": ["one"]}))
