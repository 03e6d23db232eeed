"""Lanes whose request was disposed while the server may still run it."""

from __future__ import annotations

from rxresponses.conversations.lanes import Branch, Lanes, Turn

from .test_lanes import FakeTurn


def start(lanes: Lanes, branch: Branch) -> Turn:
    turn = FakeTurn(branch)
    lanes.submit(turn)
    assert list(lanes.next_turns()) == [turn]
    return turn


def lane_name(branch: Branch) -> str | None:
    assert branch.lane is not None
    return branch.lane.name


def test_a_conversation_moves_to_another_lane() -> None:
    lanes, branch = Lanes(), Branch()
    lanes.end(start(lanes, branch), None, abandoned=True)
    assert branch.lane is None
    turn = start(lanes, branch)
    assert lane_name(branch) == "conversation-1"
    lanes.end(turn, "resp_1")
    assert lane_name(branch) == "conversation-1"


def test_a_lane_of_the_program_stays() -> None:
    lanes, branch = Lanes(), Branch("mine")
    lanes.end(start(lanes, branch), None, abandoned=True)

    assert lane_name(branch) == "mine"


def test_a_sender_that_chooses_lanes_gets_another_name() -> None:
    lanes, branch = Lanes(sender_chooses=True), Branch()
    lanes.end(start(lanes, branch), None, abandoned=True)
    start(lanes, branch)

    assert lane_name(branch) == "conversation-1"


def test_of_four_abandoned_lanes_the_first_is_used_again() -> None:
    lanes = Lanes()
    names = []
    for _ in range(6):
        branch = Branch()
        names.append(lanes.take(branch))
        lanes.leave(branch, abandoned=True)

    assert names == [None, "conversation-1", "conversation-2", "conversation-3", None, "conversation-1"]


def test_a_lane_whose_request_has_ended_is_free_again() -> None:
    lanes, first, second = Lanes(), Branch(), Branch()
    lanes.take(first)
    assert lanes.take(second) == "conversation-1"
    lanes.leave(second, abandoned=True)
    lanes.leave(first, abandoned=False)
    lanes.leave(first, abandoned=True)  # it has left already

    assert lanes.take(Branch()) is None
    assert lanes.take(Branch()) == "conversation-2"


def test_a_turn_that_has_ended_says_no_more_what_its_lane_holds() -> None:
    lanes, branch = Lanes(), Branch()
    turn = start(lanes, branch)
    lanes.hold(turn, "resp_1")
    assert turn.lane.held == "resp_1"
    lanes.end(turn, "resp_2")
    lanes.hold(turn, "resp_1")

    assert turn.lane.held == "resp_2"
