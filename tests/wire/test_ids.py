"""Ids take bounded memory, and are told apart however long they are."""

from __future__ import annotations

import pytest

from rxresponses.wire import ids
from rxresponses.wire.fields import continued_response_id, named_response_id, response_id_of, steer_ids_of
from rxresponses.wire.ids import LONGEST_ID, LatestIds, id_key

from ..support.events import wire_event


@pytest.mark.parametrize("whole", ["", "r1", "r" * LONGEST_ID, "\ud800"])
def test_an_id_of_usual_length_is_kept_as_it_is(whole: str) -> None:
    assert id_key(whole) is whole


def test_scenario_77_an_id_that_is_too_long_is_kept_as_its_begin_and_its_hash() -> None:
    whole = "r" * (LONGEST_ID + 1)
    keys = {id_key(whole), id_key(whole + "r"), id_key(whole[:-1] + "\ud800")}
    assert len(keys) == 3
    assert all(len(key) < 200 and key.startswith("r" * 64) for key in keys)
    assert id_key("".join(whole)) in keys
    assert all(id_key(key) == key for key in keys)


@pytest.mark.parametrize("readable", [True, False])
def test_scenario_69_the_ids_of_an_event_are_short(readable: bool) -> None:
    long, bad = "r" * 10**6, {} if readable else {"sequence_number": "x"}
    created = wire_event("response.created", response={"id": long, "previous_response_id": long}, **bad)
    assert response_id_of(created) == continued_response_id(created) == id_key(long)
    steer = wire_event("response.steer.accepted", steer={"id": long, "previous_response_id": long}, **bad)
    assert steer_ids_of(steer) == (id_key(long), id_key(long))
    assert named_response_id(wire_event("response.output_text.delta", delta="", response_id=long)) == id_key(long)


def test_the_latest_ids_are_kept() -> None:
    latest: LatestIds[int] = LatestIds(3)
    for number in (1, 2, 3, 1, 4):
        latest.add(f"r{number}", number)
    assert [f"r{number}" in latest for number in range(1, 5)] == [True, False, True, True]
    assert latest["r3"] == latest.get("r3", 0) == 3
    assert latest.get("r2", 0) == 0
    latest.discard("r3")
    latest.discard("r3")
    assert "r3" not in latest
    latest.clear()
    assert "r4" not in latest


def test_scenario_77_the_ids_are_bounded_by_their_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MOST_CHARACTERS", 10)
    latest: LatestIds[None] = LatestIds(100)
    for response_id in ("aaaa", "bbbb", "cc"):
        latest.add(response_id, None)
    assert "aaaa" in latest
    latest.add("bbbb", None)  # again: counted once
    assert "aaaa" in latest
    latest.add("d", None)
    assert "aaaa" not in latest
    latest.discard("bbbb")
    latest.add("eeeeeee", None)
    assert [one in latest for one in ("cc", "d", "eeeeeee")] == [True, True, True]
    latest.add("f" * 11, None)
    assert not any(one in latest for one in ("cc", "d", "eeeeeee", "f" * 11))
    latest.add("g" * 10, None)
    assert "g" * 10 in latest
