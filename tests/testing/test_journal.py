from __future__ import annotations

import asyncio
import json
import threading

import pytest

from rxresponses.testing.journal import Exchange, Journal, Received, Upgrade


def test_the_list_of_frames_is_a_copy() -> None:
    journal = Journal()
    before = journal.frames
    journal.add_frame(Received(1, '{"a": 1}'))

    assert before == []
    assert [entry.message for entry in journal.frames] == [{"a": 1}]
    assert Received(1, "broken {").message is None


def test_waiting_ends_when_the_condition_holds() -> None:
    journal = Journal()
    journal.wait_until(lambda: True, timeout=0)
    looked = threading.Event()

    def two_entries() -> bool:
        looked.set()
        return len(journal.frames) == 2

    def write() -> None:
        looked.wait()
        journal.add_frame(Received(1, "1"))
        journal.add_frame(Received(1, "2"))

    writer = threading.Thread(target=write)
    writer.start()
    journal.wait_until(two_entries, timeout=10)
    writer.join()
    assert len(journal.frames) == 2


def test_waiting_ends_with_the_timeout() -> None:
    journal = Journal()

    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        journal.wait_until(lambda: False, timeout=0.01)
    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        asyncio.run(journal.until(lambda: False, timeout=0.01))


@pytest.mark.parametrize("timeout", [None, 10.0])
def test_waiting_on_a_loop(timeout: float | None) -> None:
    journal = Journal()

    async def main() -> None:
        waiting = asyncio.create_task(journal.until(lambda: len(journal.frames) == 2, timeout))
        for _ in range(2):
            await asyncio.to_thread(journal.add_frame, Received(1, "1"))
        await waiting

    asyncio.run(main())
    journal.notify()  # `until` has removed its watcher, which would fail on the closed loop


def test_scenario_77_a_bounded_journal_keeps_the_latest_of_each() -> None:
    journal = Journal(3, 100)
    for number in range(10):
        journal.add_frame(Received(1, "x" * 40))
        journal.add_request(1, number, {"n": number}, 0.0, 10)
        journal.add_upgrade(Upgrade(number, "/" * 30, {"a": "b" * 29}, 0.0))
    assert len(journal.frames) == 2
    assert [exchange.message["n"] for exchange in journal.exchanges] == [7, 8, 9]
    assert [exchange.number for exchange in journal.exchanges] == [8, 9, 10]
    assert [upgrade.connection for upgrade in journal.upgrades] == [9]
    journal.add_frame(Received(1, "y" * 1_000))
    assert [len(received.frame) for received in journal.frames] == [1_000]


TOOL = {"type": "mcp", "server_label": "l", "authorization": "secret-1", "headers": {"X-Key": "secret-2"}}


def test_scenario_74_no_repr_shows_a_query_or_the_credentials_of_tools() -> None:
    upgrade = Upgrade(1, "/v1/responses?key=secret-3", {"authorization": "secret-4"}, 0.0, 101)
    assert repr(upgrade) == "Upgrade(connection=1, path='/v1/responses', status=101)"
    message = {"model": "m", "tools": [TOOL]}
    exchange = Exchange(1, 1, 1, message, 0.5)
    assert "outcome=None" in repr(exchange)
    received = Received(1, json.dumps(message))
    assert "'model': 'm'" in repr(received)
    for shown in (exchange, received, [upgrade, exchange, received]):
        assert "secret" not in repr(shown)
    assert repr(Received(2, "secret {")) == "Received(connection=2, frame=(8 long, no JSON))"
    assert received.frame == json.dumps(message)
    assert upgrade.path.endswith("secret-3")


def test_a_copy_of_a_request_does_not_change_later() -> None:
    journal = Journal()
    exchange = journal.add_request(1, 1, {"model": "m"}, 0.5, 13)
    (before,) = journal.exchanges
    exchange.events = 3
    journal.end_request(exchange, "completed")
    assert before == Exchange(1, 1, 1, {"model": "m"}, 0.5, size=13)
    assert journal.exchanges == [Exchange(1, 1, 1, {"model": "m"}, 0.5, outcome="completed", events=3, size=13)]
