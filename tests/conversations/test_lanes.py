"""Which turn is next, on which lane, and whether that lane still holds the response to continue."""

from __future__ import annotations

from typing import Any

from rxresponses.conversations.chain import Chain
from rxresponses.conversations.lanes import Branch, Lanes, Turn
from rxresponses.protocol.lanes import MAX_NAMED_LANES

from .chains import SETTINGS, UNSTORED, response, user


class FakeTurn(Turn):
    def __init__(self, branch: Branch, chain: Chain | None = None) -> None:
        super().__init__(branch)
        self._chain = Chain() if chain is None else chain

        self.is_over = False

    @property
    def is_gone(self) -> bool:
        return self.is_over

    @property
    def may_remember(self) -> bool:
        return not self.is_over

    def latest_chain(self) -> Chain:
        return self._chain

    def begin(self) -> None:
        """The test does what a turn would do."""


def chain(parent_id: str, settings: dict[str, Any] = UNSTORED) -> Chain:
    return Chain().after(settings, [user("hello")], response(parent_id))


class Desk:
    """Lanes, with short words for what happens to turns."""

    def __init__(self, **options: Any) -> None:
        self.lanes = Lanes(**options)

    def submit(self, branch: Branch, latest: Chain | None = None) -> FakeTurn:
        turn = FakeTurn(branch, latest)
        self.lanes.submit(turn)
        return turn

    def started(self) -> list[Turn]:
        return list(self.lanes.next_turns())

    def run(self, branch: Branch, latest: Chain | None = None, *, held: str | None) -> FakeTurn:
        """Run a turn to its end, after which its lane holds a response."""
        turn = self.submit(branch, latest)
        assert self.started() == [turn]
        self.lanes.end(turn, held)
        return turn


def name(branch: Branch) -> str | None:
    assert branch.lane is not None
    return branch.lane.name


class TestOrder:
    def test_turns_of_a_conversation_run_one_after_the_other(self) -> None:
        desk, branch = Desk(), Branch()
        first, second = desk.submit(branch), desk.submit(branch)
        assert desk.started() == [first]
        assert desk.started() == []
        desk.lanes.end(first, None)
        assert desk.started() == [second]

    def test_those_of_others_run_beside_them(self) -> None:
        desk = Desk()
        turns = [desk.submit(Branch()), desk.submit(Branch()), desk.submit(Branch())]
        assert desk.started() == turns
        assert list(desk.lanes.running) == turns

    def test_a_turn_that_is_withdrawn_does_not_run(self) -> None:
        desk, branch = Desk(), Branch()
        first, second, third = (desk.submit(branch) for _ in range(3))
        assert desk.started() == [first]
        desk.lanes.withdraw(second)
        desk.lanes.end(first, None)
        assert desk.started() == [third]
        desk.lanes.end(third, None)
        assert desk.started() == []

    def test_the_only_turn_may_be_withdrawn(self) -> None:
        desk, branch = Desk(), Branch()
        desk.lanes.withdraw(desk.submit(branch))
        assert desk.started() == []

    def test_a_turn_whose_subscriber_is_gone_makes_room(self) -> None:
        desk, branch = Desk(), Branch()
        gone = desk.submit(branch)
        assert desk.started() == [gone]
        gone.is_over = True
        turn = desk.submit(branch)
        assert desk.started() == [turn]


class TestNames:
    def test_the_first_conversation_has_the_default_lane(self) -> None:
        desk, branches = Desk(), [Branch(), Branch(), Branch()]
        for branch in branches:
            desk.run(branch, held="resp")
        assert [name(branch) for branch in branches] == [None, "conversation-1", "conversation-2"]

    def test_a_lane_that_the_program_chose(self) -> None:
        desk, chosen, other = Desk(), Branch("mine"), Branch()
        desk.run(chosen, held="resp")
        desk.run(other, held="resp")
        assert (name(chosen), name(other)) == ("mine", None)

    def test_the_names_of_forgotten_conversations_are_used_again(self) -> None:
        desk, kept = Desk(), Branch()
        desk.run(kept, held="resp")
        for _ in range(3 * MAX_NAMED_LANES):
            branch = Branch()
            desk.run(branch, held="resp")
            assert name(branch) == "conversation-1"
            desk.lanes.give_back(branch)

    def test_a_conversation_that_never_ran_has_no_lane_to_give_back(self) -> None:
        Desk().lanes.give_back(Branch())

    def test_what_is_known_of_a_chosen_lane_is_forgotten_with_its_last_conversation(self) -> None:
        desk, one, other = Desk(), Branch("mine"), Branch("mine")
        desk.run(one, held="resp_1")
        desk.run(other, held="resp_2")
        desk.lanes.give_back(one)
        assert "mine" in desk.lanes._lanes
        desk.lanes.give_back(other)
        assert "mine" not in desk.lanes._lanes

    def test_no_33rd_name(self) -> None:
        desk, branches = Desk(), [Branch() for _ in range(2 * (MAX_NAMED_LANES + 1))]
        for branch in branches:
            desk.run(branch, held="resp")
        names = [name(branch) for branch in branches]
        assert len(set(names)) == MAX_NAMED_LANES + 1
        assert all(names.count(one) == 2 for one in set(names))

    def test_the_lanes_of_the_program_count(self) -> None:
        desk = Desk()
        for number in range(MAX_NAMED_LANES):
            desk.run(Branch(f"mine-{number}"), held="resp")
        one, other = Branch(), Branch()
        desk.run(one, held="resp")
        desk.run(other, held="resp")
        assert (name(one), name(other)) == (None, None)

    def test_a_connection_that_takes_no_more_names(self) -> None:
        desk, default, named, branch = Desk(), Branch(), Branch(), Branch()
        desk.run(default, held="resp")
        desk.run(named, held="resp")
        turn = desk.submit(branch)
        assert desk.started() == [turn]
        assert name(branch) == "conversation-2"
        assert desk.lanes.refused(branch)
        assert name(branch) in (None, "conversation-1")
        desk.lanes.end(turn, "resp")
        another = Branch()
        desk.run(another, held="resp")
        assert name(another) in (None, "conversation-1")

    def test_a_lane_that_the_program_chose_is_not_changed(self) -> None:
        desk, chosen, default = Desk(), Branch("mine"), Branch()
        desk.submit(chosen)
        desk.submit(default)
        desk.started()
        assert not desk.lanes.refused(chosen)
        assert not desk.lanes.refused(default)
        assert not desk.lanes.refused(Branch())


class TestParents:
    def test_the_lane_itself_holds_it(self) -> None:
        desk, branch = Desk(), Branch()
        desk.run(branch, held="resp_1")
        turn = desk.submit(branch, chain("resp_1"))
        assert desk.started() == [turn]
        assert turn.chain.parent_id == "resp_1"

    def test_a_stored_response_needs_no_lane(self) -> None:
        desk = Desk()
        turn = desk.submit(Branch(), chain("resp_1", SETTINGS))
        assert desk.started() == [turn]
        assert turn.chain.parent_id == "resp_1"
        assert turn.parent_lane is None

    def test_scenario_33_after_a_failure_the_lane_holds_nothing(self) -> None:
        desk, branch = Desk(), Branch()
        desk.run(branch, held="resp_1")
        desk.run(branch, chain("resp_1"), held=None)
        turn = desk.submit(branch, chain("resp_1"))
        desk.started()
        assert turn.chain.parent_id is None
        assert (
            turn.chain.request(UNSTORED, [])[1]
            == "the response to continue is not stored, and its lane no longer holds it"
        )

    def test_scenario_34_the_lane_waits_for_the_fork(self) -> None:
        desk, branch, fork_branch = Desk(), Branch(), Branch()
        desk.run(branch, held="resp_1")
        fork = desk.submit(fork_branch, chain("resp_1"))
        assert desk.started() == [fork]
        assert fork.chain.parent_id == "resp_1"
        own = desk.submit(branch, chain("resp_1"))
        assert desk.started() == []
        desk.lanes.loaded(fork)
        assert desk.started() == [own]
        assert own.chain.parent_id == "resp_1"

    def test_scenario_34_a_fork_that_ends_early_lets_the_lane_go_on(self) -> None:
        desk, branch = Desk(), Branch()
        desk.run(branch, held="resp_1")
        fork = desk.submit(Branch(), chain("resp_1"))
        desk.started()
        own = desk.submit(branch, chain("resp_1"))
        assert desk.started() == []
        desk.lanes.end(fork, None)
        assert desk.started() == [own]

    def test_scenario_33_a_failed_fork_keeps_the_parent(self) -> None:
        desk, branch, fork = Desk(), Branch(), Branch()
        desk.run(branch, held="resp_1")
        desk.run(fork, chain("resp_1"), held=None)
        again = desk.submit(fork, chain("resp_1"))
        own = desk.submit(branch, chain("resp_1"))
        assert desk.started() == [again]
        desk.lanes.loaded(again)
        assert desk.started() == [own]
        assert (again.chain.parent_id, own.chain.parent_id) == ("resp_1", "resp_1")

    def test_a_fork_of_a_lane_that_has_moved_on_sends_everything(self) -> None:
        desk, branch = Desk(), Branch()
        desk.run(branch, held="resp_1")
        running = desk.submit(branch, chain("resp_1"))
        fork = desk.submit(Branch(), chain("resp_1"))
        assert desk.started() == [running, fork]
        assert fork.chain.parent_id is None

    def test_a_lane_that_forks_load_from_is_not_given_to_another_conversation(self) -> None:
        desk, branch = Desk(), Branch()
        desk.run(branch, held="resp_1")
        desk.submit(Branch(), chain("resp_1"))
        desk.started()
        desk.lanes.give_back(branch)
        other = Branch()
        desk.run(other, held="resp")
        assert name(other) == "conversation-2"

    def test_a_run_of_several_requests_holds_what_the_latest_left(self) -> None:
        desk, branch = Desk(), Branch()
        turn = desk.submit(branch)
        desk.started()
        desk.lanes.begin_request(turn, "resp_1")
        assert turn.held_before == "resp_1"
        desk.lanes.end(turn, turn.held_before)
        later = desk.submit(branch, chain("resp_1"))
        desk.started()
        assert later.chain.parent_id == "resp_1"

    def test_a_request_of_a_turn_that_has_ended_changes_nothing(self) -> None:
        desk, branch = Desk(), Branch()
        turn = desk.run(branch, held="resp_1")
        desk.lanes.begin_request(turn, "resp_2")
        assert branch.lane is not None
        assert branch.lane.held == "resp_1"

    def test_a_sender_that_chooses_lanes_knows_the_parents_itself(self) -> None:
        desk, branch = Desk(sender_chooses=True), Branch()
        turn, other = desk.submit(branch, chain("resp_1")), desk.submit(Branch(), chain("resp_1"))
        assert desk.started() == [turn, other]
        assert turn.chain.parent_id == other.chain.parent_id == "resp_1"
        assert (name(turn.branch), name(other.branch)) == (None, "conversation-1")

    def test_such_a_sender_takes_any_number_of_names(self) -> None:
        desk, branches = Desk(sender_chooses=True), [Branch() for _ in range(2 * MAX_NAMED_LANES)]
        for branch in branches:
            desk.run(branch, held="resp")
        assert len({name(branch) for branch in branches}) == 2 * MAX_NAMED_LANES
