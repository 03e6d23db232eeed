from __future__ import annotations

from typing import Any

import pytest

from rxresponses.batch.ray import ResponsesStage, SharedGate
from rxresponses.limits.permits import MOST_AHEAD
from rxresponses.testing import Failure, ResponsesServer
from rxresponses.testing.request import Request

ROWS = 200


@pytest.mark.filterwarnings("ignore")  # Ray's own
class TestResponsesStage:
    def test_a_dataset(self, ray: Any) -> None:
        from ray.data import ActorPoolStrategy, from_items

        def answer(request: Request) -> Any:
            return Failure(code="server_error") if request.text == "question 150" else f"answer to {request.text}"

        gate = SharedGate.start(requests=ROWS)
        with ResponsesServer() as server:
            server.on(lambda request: True, answer)
            items = [{"prompt": f"question {number}", "number": number} for number in range(ROWS + 9)]
            rows = from_items(items, override_num_blocks=4)
            settings = {"url": server.url, "api_key": "key", "fields": {"model": "m"}, "concurrency": 16, "gate": gate}
            answered = rows.map_batches(
                ResponsesStage,
                fn_constructor_kwargs=settings,
                compute=ActorPoolStrategy(size=1),
                batch_size=8,
            ).take_all()
            sent = len(server.requests)
        # Ray ends the actor that has nothing left to do.  Permits that it holds at that moment count as used.
        assert ROWS - MOST_AHEAD <= sent <= ROWS
        assert sorted(row["number"] for row in answered) == list(range(ROWS + 9))
        failed = {row["number"]: row for row in answered if row["error_type"] == "ResponseFailedError"}
        unsent = [row for row in answered if row["error_type"] == "BudgetExceededError"]
        assert len(unsent) == ROWS + 9 - sent
        assert {(row["delivery"], row["retryable"], row["text"]) for row in unsent} == {("not_sent", False, None)}
        assert set(failed) <= {150}
        for row in answered:
            if row["error_type"] is None:
                assert row["text"] == f"answer to {row['prompt']}"
                assert row["total_tokens"] > 0
        metrics = gate.metrics()  # an actor that was ended may not have told its latest ones
        assert 0 < metrics["answered"] <= sent - len(failed)
        assert metrics["spent"]["requests"] + metrics["reserved"]["requests"] <= ROWS
        gate.close()
