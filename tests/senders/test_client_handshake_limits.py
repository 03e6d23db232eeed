"""Limits that a server tells in the headers of a handshake which it accepts."""

from __future__ import annotations

import pytest

from rxresponses import ResponsesClient

from ..support.clients import ask, without_pings
from ..support.raw_server import raw_server
from ..support.recorder import AsyncRecorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "1.5"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"},
    ],
    ids=["retry-after", "a used-up limit"],
)
def test_scenario_64_a_limit_told_in_an_accepted_handshake_is_respected(headers: dict[str, str]) -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        async with raw_server(headers) as raw, ResponsesClient(raw.url, options=without_pings()) as client:
            states = AsyncRecorder(client.state)
            got = AsyncRecorder(client.send_request(ask()))
            await states.until(lambda: states.values[-1].paused_for is not None)
            assert states.values[-1].paused_for == pytest.approx(1.5)
            await loop.advance(1.4)
            assert raw.received == []
            await loop.advance(0.2)
            await raw.until_received(1)
            await raw.answer(raw.received[0], "r1")
            assert (await got.until_end()).types[-1] == "response.completed"

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1.5s"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"},  # perhaps a limit of handshakes
        {"retry-after": "3600"},  # too long: the request is sent, and gets its own refusal
    ],
    ids=["none", "something remains", "not of requests", "too long"],
)
def test_scenario_64_other_headers_of_a_handshake_delay_nothing(headers: dict[str, str]) -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        async with raw_server(headers) as raw, ResponsesClient(raw.url, options=without_pings()) as client:
            got = AsyncRecorder(client.send_request(ask()))
            await raw.until_received(1)
            await raw.answer(raw.received[0], "r1")
            assert (await got.until_end()).types[-1] == "response.completed"

    run_in_virtual_time(main)
