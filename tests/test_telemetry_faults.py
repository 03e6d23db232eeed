"""What watches a request never breaks it: numbers that no server should send, and instruments that raise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rxresponses import ResponseCreate, ResponseUsage

from .support.events import completed, created
from .support.recorder import Recorder

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk, which the extra `test` installs")

from .support.telemetry import HotSender, Telemetry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.shutdown()


@pytest.mark.parametrize(
    "tokens", [10**400, -(10**400), float("nan"), float("inf"), 2**53], ids=["+", "-", "NaN", "inf", "53 bits"]
)
def test_scenario_76_numbers_of_an_event_that_a_program_built_break_nothing(telemetry: Telemetry, tokens: Any) -> None:
    sender = HotSender()
    got = Recorder(telemetry.traced(sender).send_request(ResponseCreate(model="m", input="x")))
    sender.send(created(), completed(usage=ResponseUsage(input_tokens=3, output_tokens=tokens)))

    assert (got.types, got.errors) == (["response.created", "response.completed"], [])
    assert telemetry.attributes["gen_ai.usage.input_tokens"] == 3
    assert "gen_ai.usage.output_tokens" not in telemetry.attributes
    [recorded] = telemetry.points("gen_ai.client.token.usage")
    assert recorded.sum == 3


def test_scenario_76_an_instrument_that_raises_breaks_nothing(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sender = HotSender()
    traced = telemetry.traced(sender)
    got = Recorder(traced.send_request(ResponseCreate(model="m", input="x")))

    def broken(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(traced._instruments.duration, "record", broken)
    with caplog.at_level(logging.ERROR, "rxresponses.telemetry"):
        sender.send(created(), completed())

    assert (got.types, got.errors) == (["response.created", "response.completed"], [])
    assert telemetry.span.end_time is not None
    assert "the disk is full" in caplog.text
