from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from rxresponses import ConfigurationError, Limits
from rxresponses.batch.ray import GateLostError, SharedGate
from rxresponses.limits.admission import Estimate
from rxresponses.limits.permits import Permit, Report
from rxresponses.testing import Hold, ResponsesServer

from .conftest import Batch, kill_an_actor


class TestSharedGate:
    def test_it_can_be_found_by_its_name(self, ray: Any) -> None:
        gate = SharedGate.start(limits=Limits(requests_per_minute=60), usd=5.0, name="a gate")
        found = SharedGate.find("a gate")
        assert found.metrics()["remaining"]["usd"] == 5.0
        with pytest.raises(ConfigurationError, match="has a gate named 'a gate' already"):
            SharedGate.start(name="a gate")
        assert found.admission().needs_price
        found.stop()
        gate.close()
        with pytest.raises(ConfigurationError, match="no gate named 'a gate'"):
            SharedGate.find("a gate")
        with pytest.raises(GateLostError):
            found.metrics()

    def test_limits_that_cannot_be_used(self, ray: Any) -> None:
        with pytest.raises(ConfigurationError, match="usd"):
            SharedGate.start(usd=-1.0)

    def test_a_worker_that_has_ended_counts_at_once(self, ray: Any) -> None:
        gate = SharedGate.start(tokens=100)
        report = Report(sent_now=(Permit(-1, Estimate(10, 20)),))
        ray.get(gate._actor.exchange.remote("worker", report))
        assert gate.metrics()["in_flight"] == 1
        gate.gone("worker")
        while (metrics := gate.metrics())["in_flight"]:
            pass
        assert (metrics["in_flight"], metrics["workers"], metrics["spent"]["tokens"]) == (0, 0, 30)
        gate.close()


class TestBatch:
    def test_a_lost_gate_stops_the_run(self, batch: Batch) -> None:
        with ResponsesServer() as server:
            gate = server.gate()
            server.reply(*[Hold(gate)] * 4)
            batch.ask(60)

            def kill() -> None:
                server.wait_until(lambda: len(server.requests) >= 4, timeout=60)
                kill_an_actor("GateServer")
                gate.open()

            thread = threading.Thread(target=kill)
            thread.start()
            arguments = ("--url", server.url, "--on", "ray", "--workers", "1", "--concurrency", "4", "--rpm", "240")
            code, err = batch("out", *arguments)
            thread.join()
            assert code == 2, err
            assert "the process with the shared limits and budget has ended" in err
            assert "Traceback" not in err
            assert len(batch.lines("out")) == len(server.requests) < 60  # what was in flight has finished

    def test_a_spent_budget_stops_the_workers(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask(200, max_output_tokens=16)
        arguments = ("--url", server.url, "--on", "ray", "--workers", "3", "--concurrency", "12", "--max-tokens", "500")
        code, err = batch("out", *arguments)
        assert code == 3, err
        used = sum(line["response"]["usage"]["total_tokens"] for line in batch.lines("out"))
        assert 400 < used <= 500 + 12 * 6
        spent = re.search(r"spent: (\d+) tokens", err)
        assert spent is not None, err
        assert int(spent[1]) == used
        answered = len(batch.lines("out"))
        assert batch("out", *arguments)[0] == 3  # the budget is for all runs
        assert len(batch.lines("out")) - answered <= 2
