"""The rules of many connections: which request goes where, and when."""

from __future__ import annotations

import pytest

from rxresponses.backoff import Backoff
from rxresponses.errors import (
    ConfigurationError,
    ConnectFailedError,
    InvalidRequestError,
    PreviousResponseLostError,
    QueueFullError,
    QueueTimeoutError,
)
from rxresponses.places import SlotState, Ticket, TicketState

from .pools import LOST, REFUSED, Desk, name_of, slot_of

HOUR = 55 * 60.0


def conversation(desk: Desk, lane: str | None = None) -> str:
    """Have a response that is not stored."""
    return desk.done(lane, stores=False)


class TestOnDemand:
    def test_nothing_before_the_first_request(self) -> None:
        desk = Desk()
        desk.turn()
        assert desk.opened == []
        assert desk.pool.deadline(desk.now) is None

    def test_sixteen_on_a_connection_and_the_next_on_another(self) -> None:
        desk = Desk()
        first = desk.burst(16)
        assert len(desk.opened) == 1
        last = desk.submit()
        assert len(desk.opened) == 2
        assert slot_of(last) is not slot_of(first[0])
        assert desk.pool.active == 17

    def test_a_warm_connection_before_a_new_one(self) -> None:
        desk = Desk()
        desk.done()
        desk.burst(16)
        assert len(desk.opened) == 1

    def test_the_fullest_one_so_that_others_come_to_rest(self) -> None:
        desk = Desk(max_active=2)
        first, second, third = desk.burst(3)
        desk.finish(first)
        assert slot_of(desk.submit()) is slot_of(second)
        assert slot_of(third) is not slot_of(second)

    def test_what_does_not_fit_waits_in_order(self) -> None:
        desk = Desk(max_active=1, max_connections=2)
        tickets = desk.burst(5)
        assert desk.sent == tickets[:2]
        assert desk.pool.waiting() == tickets[2:]
        assert desk.pool.queued == 3
        for ticket in tickets:
            desk.finish(ticket)
        assert desk.sent == tickets
        assert desk.is_quiet()

    def test_whoever_left_opens_no_connection(self) -> None:
        desk = Desk(connects=False)
        tickets = [desk.queue() for _ in range(100)]
        for ticket in tickets[1:]:
            desk.pool.withdraw(ticket)
        desk.turn()
        assert len(desk.opened) == 1

    def test_a_connection_that_nobody_needs_any_more_is_no_harm(self) -> None:
        desk = Desk(connects=False)
        desk.withdraw(desk.submit())
        desk.connect(desk.slot)
        desk.connect(desk.slot)  # twice does nothing
        assert desk.sent == []
        desk.wait(60.0)
        assert desk.closed == desk.opened

    def test_prewarm(self) -> None:
        desk = Desk()
        desk.pool.prewarm(3, None)
        desk.turn()
        assert len(desk.slots()) == 3
        desk.wait(HOUR / 2)
        assert len(desk.slots()) == 3
        assert desk.closed == []

    def test_min_idle_holds_from_the_first_request_on(self) -> None:
        desk = Desk(min_idle=2)
        desk.done()
        desk.wait(HOUR / 2)
        assert len(desk.slots()) == 2


class TestQueue:
    def test_as_many_wait_as_may(self) -> None:
        desk = Desk(connects=False, max_queued=2)
        first, _ = desk.burst(2)
        with pytest.raises(QueueFullError):
            desk.queue()
        desk.withdraw(first)
        desk.submit()
        assert desk.pool.queued == 2

    def test_no_longer_than_it_may(self) -> None:
        desk = Desk(connects=False, queue_timeout=10.0)
        early = desk.submit("a")
        desk.wait(4.0)
        late = desk.submit("a")
        assert desk.pool.deadline(desk.now) == 10.0
        desk.wait(6.0)
        error = desk.error(early, QueueTimeoutError)
        assert (error.seconds, error.delivery, error.stream_id) == (10.0, "not_sent", "a")
        assert late.state is TicketState.WAITING
        desk.wait(4.0)
        desk.error(late, QueueTimeoutError)
        assert desk.is_quiet()

    def test_the_clock_is_over_when_the_server_has_seen_it(self) -> None:
        desk = Desk(queue_timeout=10.0)
        ticket = desk.submit()
        desk.refuse(ticket, delay=20.0)
        desk.wait(20.0)
        assert desk.sent == [ticket, ticket]

    def test_the_clock_goes_on_for_what_was_not_sent(self) -> None:
        desk = Desk(queue_timeout=10.0)
        ticket = desk.submit()
        desk.connects = False
        desk.wait(4.0)
        desk.pool.ended(desk.slot, LOST, desk.now)
        desk.pool.again(ticket, desk.now)
        desk.wait(6.0)
        desk.error(ticket, QueueTimeoutError)

    def test_the_oldest_first_among_all_queues(self) -> None:
        """One that can run only in one place has no better turn than those who can run anywhere."""
        desk = Desk(max_active=1, max_connections=1)
        parent = conversation(desk)
        desk.fail(desk.submit(parent=parent, lane="x", stores=False))  # a fork keeps it
        running = desk.submit()
        free = desk.submit()
        bound = desk.submit(parent=parent, stores=False)
        desk.finish(running)
        assert desk.sent[-1] is free
        desk.finish(free)
        assert desk.sent[-1] is bound

    @pytest.mark.parametrize("where", ["free", "in line", "delayed", "for its parent", "for the lane", "for a fork"])
    def test_withdrawn_from_anywhere(self, where: str) -> None:
        desk = Desk(max_active=2, max_connections=1)
        parent = conversation(desk)
        running = desk.submit("a")
        child = desk.begin(running)
        desk.submit()
        ticket = {
            "free": lambda: desk.submit(),
            "in line": lambda: desk.submit("a"),
            "delayed": lambda: self.delayed(desk),
            "for its parent": lambda: desk.submit(parent=child, stores=False),
            "for the lane": lambda: desk.submit(parent=parent, stores=False),
            "for a fork": lambda: desk.submit("b", parent=parent, stores=False),
        }[where]()
        assert desk.pool.waiting() == [ticket]
        desk.withdraw(ticket)
        assert ticket.state is TicketState.OVER
        desk.withdraw(ticket)  # twice does nothing
        assert desk.pool.queued == 0
        for one in list(desk.slot.running()):
            desk.withdraw(one)  # it runs: not here
            desk.finish(one)
        assert desk.is_quiet()
        assert desk.pool.place_of(parent) is not None

    @staticmethod
    def delayed(desk: Desk) -> Ticket:
        ticket = desk.sent[-1]
        desk.refuse(ticket, delay=5.0)
        return ticket

    def test_again_in_the_old_turn(self) -> None:
        desk = Desk(max_active=1, max_connections=1)
        first, second = desk.burst(2)
        desk.refuse(first)
        assert desk.sent == [first, first]
        assert desk.pool.waiting() == [second]

    def test_again_when_the_time_has_come(self) -> None:
        desk = Desk()
        ticket = desk.submit("a")
        behind = desk.submit("a")
        desk.refuse(ticket, delay=3.0)
        assert desk.pool.deadline(desk.now) == 3.0
        assert desk.pool.waiting() == [ticket, behind]  # the lane stays in order
        desk.wait(3.0)
        assert desk.sent == [ticket, ticket]

    def test_again_only_for_what_runs(self) -> None:
        desk = Desk()
        ticket = desk.submit()
        desk.finish(ticket)
        desk.pool.again(ticket, desk.now)
        desk.pool.finished(ticket, desk.now)
        desk.pool.began(ticket, "late")
        assert desk.is_quiet()
        assert desk.pool.place_of("late") is None


class TestLanes:
    def test_scenario_13_a_named_lane_runs_in_order(self) -> None:
        desk = Desk()
        tickets = desk.burst(3, lane="a")
        for number, ticket in enumerate(tickets):
            assert desk.sent == tickets[: number + 1]
            desk.finish(ticket)
        assert desk.is_quiet()

    def test_scenario_13_a_lane_goes_on_after_a_failure(self) -> None:
        desk = Desk()
        first, second = desk.burst(2, lane="a")
        desk.fail(first)
        assert desk.sent == [first, second]

    def test_other_lanes_do_not_wait(self) -> None:
        desk = Desk()
        desk.submit("a")
        waiting = desk.submit("a")
        other, nameless = desk.submit("b"), desk.submit()
        assert desk.pool.waiting() == [waiting]
        assert {other, nameless} <= set(desk.sent)

    def test_a_long_line_that_fails_ends(self) -> None:
        desk = Desk()
        running = desk.submit("a")
        tickets = desk.burst(5000, lane="a", parent="gone", stores=False)
        desk.finish(running)
        assert list(desk.failed) == tickets
        assert desk.is_quiet()

    def test_scenario_15_hundred_conversations_use_few_names(self) -> None:
        desk = Desk(max_connections=1)
        for number in range(100):
            desk.done(f"conversation {number}")
        assert len(desk.slot.places) == 32

    def test_scenario_15_fewer_names_than_usual(self) -> None:
        desk = Desk(max_connections=1)
        first, second, third = desk.burst(3)
        refused = third.place
        assert refused is not None
        desk.pool.began(third, None)
        desk.pool.again(third, desk.now)
        desk.pool.full(refused)
        desk.turn()
        assert third.state is TicketState.WAITING
        desk.finish(first)
        assert name_of(third) == "lane-1"
        assert len(desk.slot.places) == 2
        assert second.state is TicketState.RUNNING


class TestServersWithoutLanes:
    def test_one_request_a_connection(self) -> None:
        desk = Desk(lanes=False, max_connections=3)
        tickets = desk.burst(5)
        assert desk.sent == tickets[:3]
        assert len({slot_of(ticket) for ticket in tickets[:3]}) == 3
        assert {name_of(ticket) for ticket in tickets[:3]} == {None}

    def test_until_it_is_known_a_burst_opens_few(self) -> None:
        desk = Desk(lanes=None)
        tickets = desk.burst(100)
        assert desk.sent == tickets[:4]
        desk.pool.lanes = True
        desk.turn()
        assert len(desk.sent) == 100

    def test_found_out(self) -> None:
        desk = Desk(lanes=None)
        tickets = desk.burst(100)
        desk.pool.lanes = False
        desk.turn()
        assert len(desk.sent) == 8
        for ticket in tickets:
            desk.finish(ticket)
        assert all(len(slot.places) == 1 for slot in desk.opened)

    def test_found_out_while_several_run(self) -> None:
        desk = Desk(max_connections=1)
        first, second, third = desk.burst(3)
        desk.pool.lanes = False
        for refused in (second, third):
            desk.refuse(refused)
        assert desk.pool.waiting() == [second, third]
        desk.finish(first)
        assert desk.sent[-1] is second

    def test_a_conversation_keeps_its_connection_while_another_may_be_opened(self) -> None:
        desk = Desk(lanes=False, max_connections=2)
        first = conversation(desk)
        second = conversation(desk)
        assert len(desk.opened) == 2
        assert {desk.pool.place_of(one) for one in (first, second)} == {slot.places[None] for slot in desk.opened}
        conversation(desk)
        assert desk.pool.is_lost(first)
        assert not desk.pool.is_lost(second)

    def test_found_out_late_only_the_latest_response_is_there(self) -> None:
        desk = Desk(max_connections=1)
        first, second = conversation(desk), conversation(desk)
        desk.pool.lanes = False
        assert desk.pool.is_lost(first)
        assert not desk.pool.is_lost(second)

    def test_the_next_response_replaces_it(self) -> None:
        desk = Desk(max_connections=1)
        running = desk.burst(2, stores=False)
        desk.pool.lanes = False
        held = [desk.finish(ticket) for ticket in running]
        assert [desk.pool.is_lost(one) for one in held] == [True, False]
        conversation(desk)
        assert desk.pool.is_lost(held[1])

    def test_a_fork_goes_on_in_the_only_lane_and_the_other_one_is_lost(self) -> None:
        desk = Desk(lanes=False, max_connections=1)
        parent = conversation(desk)
        fork, late = desk.burst(2, parent=parent, stores=False)
        assert fork.source is None
        assert desk.sent[-1] is fork
        assert desk.error(late, PreviousResponseLostError).previous_response_id == parent

    def test_a_fork_that_waits_when_it_is_found_out(self) -> None:
        desk = Desk(max_active=1, max_connections=1)
        parent = conversation(desk)
        other = desk.submit()
        fork = desk.submit("b", parent=parent, stores=False)
        assert fork.source is not None
        desk.pool.lanes = False
        desk.finish(other)
        assert fork.source is None
        desk.error(fork, PreviousResponseLostError)  # the other one took the only lane

    def test_a_fork_that_may_still_have_the_lane(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        desk.pool.throttle.limited(desk.now, 1, 1.0)
        fork = desk.submit("b", parent=parent, stores=False)
        place = fork.source
        assert place is not None
        desk.pool.lanes = False
        desk.wait(1.0)
        assert fork.place is place
        assert not desk.failed


class TestAffinity:
    def test_a_continuation_goes_to_the_lane_that_holds_its_parent(self) -> None:
        desk = Desk()
        parents = [conversation(desk) for _ in range(3)]
        for parent in parents:
            place = desk.pool.place_of(parent)
            assert desk.submit(parent=parent, stores=False).place is place

    def test_it_waits_for_room_there(self) -> None:
        desk = Desk(max_active=1)
        parent = conversation(desk)
        other = desk.submit()
        ticket = desk.submit(parent=parent, stores=False)
        desk.submit()
        assert ticket.state is TicketState.WAITING
        desk.finish(other)
        assert slot_of(ticket) is desk.opened[0]

    def test_its_lane_is_kept_for_it(self) -> None:
        """With lanes to spare nobody else takes the one whose response somebody waits to continue."""
        desk = Desk(max_active=1, max_connections=1)
        parents = [conversation(desk) for _ in range(32)]
        running, older = desk.burst(2)
        ticket = desk.submit(parent=parents[1], stores=False)
        desk.finish(running)
        assert desk.sent[-1] is older
        assert desk.pool.is_lost(parents[0])
        assert not desk.pool.is_lost(parents[1])
        desk.finish(older)
        assert desk.sent[-1] is ticket

    def test_while_its_parent_runs_it_waits(self) -> None:
        desk = Desk()
        parent = desk.submit(stores=False)
        parent_id = desk.begin(parent)
        child = desk.submit(parent=parent_id, stores=False)
        assert desk.pool.waiting() == [child]
        place = parent.place
        desk.finish(parent)
        assert child.place is place
        assert child.state is TicketState.RUNNING

    def test_a_parent_that_fails_takes_its_continuation_along(self) -> None:
        desk = Desk()
        parent = desk.submit(stores=False)
        child = desk.submit(parent=desk.begin(parent), stores=False)
        desk.fail(parent)
        desk.error(child, PreviousResponseLostError)

    def test_a_stored_one_prefers_its_lane(self) -> None:
        desk = Desk()
        parents = [desk.done() for _ in range(3)]
        place = desk.pool.place_of(parents[1])
        assert desk.submit(parent=parents[1]).place is place

    def test_but_goes_anywhere_when_there_is_no_room(self) -> None:
        desk = Desk(max_active=1, max_connections=2)
        parent = desk.done()
        other = desk.submit()
        ticket = desk.submit(parent=parent)
        assert slot_of(ticket) is not slot_of(other)

    def test_also_when_room_was_there_first(self) -> None:
        desk = Desk(max_active=1, max_connections=2)
        parent = desk.done()
        older, ticket = desk.queue(), desk.queue(parent=parent)
        desk.turn()
        assert slot_of(older) is not slot_of(ticket)

    def test_several_may_continue_a_stored_one(self) -> None:
        desk = Desk()
        parent = desk.done()
        tickets = desk.burst(3, parent=parent)
        assert [ticket.state for ticket in tickets] == [TicketState.RUNNING] * 3

    def test_scenario_23_with_its_connection_gone_a_stored_one_goes_anywhere(self) -> None:
        desk = Desk()
        parent = desk.done()
        desk.end(desk.slot)
        ticket = desk.submit(parent=parent, stores=False)
        assert ticket.state is TicketState.RUNNING
        assert not ticket.replays

    def test_scenario_32_without_storage_nothing_is_sent(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        desk.end(desk.slot)
        ticket = desk.submit("a", parent=parent, stores=False)
        error = desk.error(ticket, PreviousResponseLostError)
        assert ticket not in desk.sent
        assert (error.previous_response_id, error.stream_id, error.delivery) == (parent, "a", "not_sent")
        assert "send the whole history" in str(error)
        assert desk.is_quiet()

    def test_scenario_32_nor_is_the_id_of_one_that_is_known_to_be_lost(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        desk.end(desk.slot)
        desk.error(desk.submit(parent=parent, stores=True), PreviousResponseLostError)

    def test_scenario_32_nor_what_waited_when_the_connection_went(self) -> None:
        desk = Desk(max_active=1, max_connections=1)
        parent = conversation(desk)
        running = desk.submit()
        ticket = desk.submit(parent=parent, stores=False)
        fork = desk.submit("b", parent=parent, stores=False)
        child = desk.submit(parent=desk.begin(running), stores=True)
        desk.end(desk.slot)
        desk.error(ticket, PreviousResponseLostError)
        desk.error(fork, PreviousResponseLostError)
        assert desk.sent[-1] is child  # its parent is stored
        desk.finish(child)
        assert desk.is_quiet()

    def test_scenario_31_with_the_history_at_hand_it_goes_anywhere(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        desk.end(desk.slot)
        ticket = desk.submit(parent=parent, stores=False, has_history=True)
        assert ticket.replays
        assert ticket.state is TicketState.RUNNING

    def test_scenario_31_what_the_server_does_not_know_is_forgotten(self) -> None:
        desk = Desk()
        parent = desk.done()
        ticket = desk.submit(parent=parent, has_history=True)
        desk.pool.forget(parent)
        desk.refuse(ticket)
        assert ticket.replays
        assert desk.sent == [desk.sent[0], ticket, ticket]
        desk.error(desk.submit(parent=parent), PreviousResponseLostError)

    def test_scenario_31_whoever_waits_to_continue_it_is_told(self) -> None:
        desk = Desk(max_active=1, max_connections=1)
        parent = conversation(desk)
        other = desk.submit()
        ticket = desk.submit(parent=parent, stores=False)
        desk.pool.forget(parent)
        desk.finish(other)
        desk.error(ticket, PreviousResponseLostError)

    def test_a_foreign_id_is_sent_when_it_may_be_stored(self) -> None:
        desk = Desk()
        assert desk.submit(parent="foreign").state is TicketState.RUNNING
        desk.error(desk.submit(parent="foreign", stores=False), PreviousResponseLostError)

    def test_scenario_33_a_failure_in_its_lane_costs_the_parent(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        desk.fail(desk.submit(parent=parent, stores=False))
        assert desk.pool.is_lost(parent)

    def test_what_was_never_sent_costs_nothing(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        ticket = desk.submit(parent=parent, stores=False)
        place = ticket.place
        desk.pool.unsent(ticket, desk.now)
        desk.turn()
        assert not desk.pool.is_lost(parent)
        assert desk.submit(parent=parent, stores=False).place is place

    def test_nor_what_another_conversation_did_not_send(self) -> None:
        desk = Desk(lanes=False, max_connections=1)
        parent = conversation(desk)
        desk.pool.unsent(desk.submit(), desk.now)
        assert not desk.pool.is_lost(parent)

    def test_what_was_sent_does_even_if_nothing_was_heard_of_it(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        desk.pool.finished(desk.submit(parent=parent, stores=False), desk.now)
        assert desk.pool.is_lost(parent)

    def test_a_connection_that_is_lost_gives_nothing_back(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        ticket = desk.submit(parent=parent, stores=False)
        desk.pool.ended(desk.slot, LOST, desk.now)
        desk.pool.unsent(ticket, desk.now)
        desk.pool.unsent(ticket, desk.now)  # twice does nothing
        assert desk.pool.is_lost(parent)
        assert desk.pool.place_of(parent) is None
        assert desk.is_quiet()


class TestCalls:
    def test_scenario_35_each_call_needs_its_answer(self) -> None:
        desk = Desk()
        parent = desk.finish(desk.submit(), calls=frozenset({"one", "two"}))
        ticket = desk.submit(parent=parent, answers=frozenset({"two", "other"}))
        error = desk.error(ticket, InvalidRequestError)
        assert error.field == "input"
        assert "one" in str(error)
        assert "two" not in str(error)
        assert desk.submit(parent=parent, answers=frozenset({"one", "two"})).state is TicketState.RUNNING

    def test_scenario_35_also_when_it_waited_for_its_parent(self) -> None:
        desk = Desk()
        running = desk.submit(stores=False)
        parent = desk.begin(running)
        ticket = desk.submit(parent=parent, stores=False, answers=frozenset())
        desk.finish(running, calls=frozenset({"one"}))
        desk.error(ticket, InvalidRequestError)
        assert not desk.pool.is_lost(parent)

    def test_what_cannot_be_seen_is_left_to_the_server(self) -> None:
        desk = Desk()
        parent = desk.finish(desk.submit(), calls=frozenset({"one"}))
        assert desk.submit(parent=parent).state is TicketState.RUNNING


class TestForks:
    def test_scenario_34_the_source_waits_until_the_fork_has_begun(self) -> None:
        desk = Desk()
        parent = conversation(desk, "a")
        fork = desk.submit("b", parent=parent, stores=False)
        source = desk.submit("a", parent=parent, stores=False)
        assert slot_of(fork) is desk.slot
        assert fork.place is not desk.pool.place_of(parent)
        assert desk.pool.waiting() == [source]
        desk.begin(fork)
        assert desk.pool.waiting() == [source]
        desk.pool.in_progress(fork)
        desk.turn()
        assert source.state is TicketState.RUNNING

    def test_scenario_34_the_order_at_once_does_not_matter(self) -> None:
        desk = Desk()
        parent = conversation(desk, "a")
        source, fork = desk.queue("a", parent=parent, stores=False), desk.queue("b", parent=parent, stores=False)
        desk.turn()
        assert desk.sent[1:] == [fork]
        desk.pool.in_progress(fork)
        desk.turn()
        assert desk.sent[2:] == [source]

    def test_scenario_34_a_second_continuation_without_a_name_is_a_fork(self) -> None:
        desk = Desk()
        parent = conversation(desk)
        first, second, third = desk.burst(3, parent=parent, stores=False)
        assert desk.sent[1:] == [second, third]
        for fork in (second, third):
            desk.finish(fork)
        assert desk.sent[-1] is first

    def test_scenario_34_forks_of_a_stored_one_hold_nothing(self) -> None:
        desk = Desk()
        parent = desk.done("a")
        fork = desk.submit("b", parent=parent)
        assert fork.source is None
        assert desk.submit("a", parent=parent).state is TicketState.RUNNING

    @pytest.mark.parametrize("end", ["fails", "is withdrawn", "is complete", "times out"])
    def test_scenario_34_the_source_goes_on_when_the_fork(self, end: str) -> None:
        desk = Desk(max_active=2, max_connections=1, queue_timeout=60.0)
        parent = conversation(desk, "a")
        others = desk.burst(2 if end in ("is withdrawn", "times out") else 1)
        fork = desk.submit("b", parent=parent, stores=False)
        desk.wait(1.0)
        source = desk.submit("a", parent=parent, stores=False)
        if end in ("fails", "is complete"):
            desk.finish(others[0])
        assert desk.pool.waiting()[-1] is source
        if end == "fails":
            desk.fail(fork)
        elif end == "is withdrawn":
            desk.withdraw(fork)
        elif end == "is complete":
            desk.finish(fork)
        else:
            desk.wait(59.5)
            desk.error(fork, QueueTimeoutError)
        for other in others:
            desk.finish(other)
        assert source.state is TicketState.RUNNING
        assert not desk.failed or end == "times out"

    def test_scenario_33_a_failed_fork_keeps_the_parent(self) -> None:
        desk = Desk()
        parent = conversation(desk, "a")
        place = desk.pool.place_of(parent)
        desk.fail(desk.submit("b", parent=parent, stores=False))
        assert desk.submit("a", parent=parent, stores=False).place is place

    def test_scenario_34_a_fork_that_is_to_be_sent_again_still_holds_its_parent(self) -> None:
        desk = Desk()
        parent = conversation(desk, "a")
        fork = desk.submit("b", parent=parent, stores=False)
        desk.refuse(fork, delay=5.0)
        source = desk.submit("a", parent=parent, stores=False)
        desk.wait(5.0)
        assert desk.sent[-1] is fork
        desk.pool.in_progress(fork)
        desk.turn()
        assert desk.sent[-1] is source

    def test_a_fork_that_waits_to_be_sent_again_when_the_connection_goes(self) -> None:
        desk = Desk()
        parent = conversation(desk, "a")
        fork = desk.submit("b", parent=parent, stores=False)
        desk.refuse(fork, delay=5.0)
        desk.end(desk.slot)
        assert fork.source is None
        desk.wait(5.0)
        desk.error(fork, PreviousResponseLostError)

    def test_forks_go_no_later_than_the_one_that_waits_for_them(self) -> None:
        desk = Desk(max_active=1, max_connections=1)
        parent = conversation(desk, "a")
        running = desk.submit()
        source = desk.submit("a", parent=parent, stores=False)
        others = desk.burst(3)
        fork = desk.submit("b", parent=parent, stores=False)
        desk.finish(running)
        assert desk.sent[-1] is fork
        desk.finish(fork)
        assert desk.sent[-1] is source
        assert desk.pool.waiting() == others

    def test_when_each_lane_waits_for_its_fork_one_goes_on_in_its_own(self) -> None:
        """Or else none would ever go."""
        desk = Desk(max_connections=1)
        parents = [conversation(desk, f"lane {number}") for number in range(32)]
        desk.pool.throttle.limited(desk.now, 1000, 10.0)
        forks = [desk.submit("fork" + parent, parent=parent, stores=False) for parent in parents]
        second = desk.submit("another one", parent=parents[0], stores=False)
        assert desk.pool.queued == 33
        desk.wait(10.0)
        assert forks[0] in desk.sent
        desk.error(second, PreviousResponseLostError)
        for fork in forks:
            desk.finish(fork)
        assert desk.is_quiet()

    def test_many_forks_of_one(self) -> None:
        desk = Desk(max_connections=1)
        parent = conversation(desk)
        forks = [desk.queue(f"fork {number}", parent=parent, stores=False) for number in range(100)]
        source = desk.queue(parent=parent, stores=False)
        desk.turn()
        assert desk.pool.active == 16
        for fork in forks:
            desk.finish(fork)
        desk.finish(source)
        assert not desk.failed
        assert desk.is_quiet()


class TestRotation:
    def test_scenario_25_the_old_one_finishes_and_new_work_goes_to_the_next(self) -> None:
        desk = Desk(max_connections=1, max_age=HOUR)
        running = desk.submit()
        desk.wait(HOUR * 0.96)
        old, new = desk.opened
        assert (old.state, new.state) == (SlotState.DRAINING, SlotState.OPEN)
        assert slot_of(desk.submit()) is new
        desk.finish(running)
        assert desk.closed == [old]

    def test_scenario_25_there_is_no_gap(self) -> None:
        desk = Desk(max_connections=1, max_age=HOUR)
        desk.submit()
        desk.connects = False
        desk.wait(HOUR * 0.96)
        old, new = desk.opened
        assert slot_of(desk.submit()) is old
        desk.connect(new)
        assert slot_of(desk.submit()) is new

    def test_an_unstored_conversation_goes_on_where_it_is_while_it_can(self) -> None:
        desk = Desk(max_connections=1, max_age=HOUR)
        parent = conversation(desk)
        desk.done()
        desk.wait(HOUR * 0.97)
        (old,) = desk.slots(SlotState.DRAINING)
        ticket = desk.submit(parent=parent, stores=False)
        assert slot_of(ticket) is old
        parent = desk.finish(ticket)
        desk.wait(HOUR * 0.03)
        assert desk.closed == [old]
        assert desk.pool.is_lost(parent)

    def test_what_waits_there_is_told_when_its_time_is_over(self) -> None:
        desk = Desk(max_active=1, max_connections=1, max_age=HOUR)
        parent = conversation(desk)
        running = desk.submit(stores=False)
        ticket = desk.submit(parent=parent, stores=False)
        child = desk.submit(parent=desk.begin(running), stores=False)
        desk.wait(HOUR)
        desk.error(ticket, PreviousResponseLostError)
        last = desk.finish(running)
        desk.error(child, PreviousResponseLostError)
        assert desk.pool.is_lost(last)
        assert desk.opened[0] in desk.closed

    def test_a_stored_one_does_not_wait_there(self) -> None:
        desk = Desk(max_connections=1, max_age=HOUR)
        desk.submit()
        parent = desk.done()
        desk.wait(HOUR * 0.96)
        assert slot_of(desk.submit(parent=parent)) is desk.opened[1]

    def test_scenario_24_lost_while_it_idles(self) -> None:
        desk = Desk()
        desk.done()
        desk.end(desk.slot)
        assert len(desk.opened) == 1
        assert desk.submit().state is TicketState.RUNNING

    def test_ended_twice_is_ended_once(self) -> None:
        desk = Desk()
        desk.submit()
        slot = desk.slot
        desk.end(slot)
        desk.end(slot)
        assert desk.pool.slots == []


class TestLoss:
    def test_scenario_20_what_was_not_sent_goes_elsewhere(self) -> None:
        desk = Desk()
        desk.done()
        first, second = desk.burst(2)
        desk.pool.ended(desk.slot, LOST, desk.now)
        for ticket in (second, first):
            desk.pool.again(ticket, desk.now)
        desk.turn()
        assert desk.sent[1:] == [first, second, first, second]
        assert desk.pool.active == 2

    def test_scenario_23_what_was_sent_is_over_and_its_lane_goes_on(self) -> None:
        desk = Desk()
        desk.done()
        running, behind = desk.burst(2, lane="a")
        desk.end(desk.slot)  # nobody says what became of it: its sender may be gone
        assert running.state is TicketState.OVER
        assert behind.state is TicketState.RUNNING
        desk.pool.finished(running, desk.now)
        assert desk.pool.active == 1

    def test_scenario_23_a_fork_that_was_lost_holds_nothing(self) -> None:
        desk = Desk()
        parent = conversation(desk, "a")
        fork = desk.submit("b", parent=parent, stores=False)
        desk.pool.ended(desk.slot, LOST, desk.now)
        desk.pool.again(fork, desk.now)
        desk.turn()
        desk.error(fork, PreviousResponseLostError)
        assert fork.source is None

    def test_scenario_56_restarts_of_all_at_once(self) -> None:
        desk = Desk(max_connections=4, max_active=1)
        tickets = desk.burst(4)
        for ticket in tickets:
            desk.begin(ticket)
        for slot in desk.slots():
            desk.pool.ended(slot, LOST, desk.now)
        desk.turn()
        again = desk.burst(4)
        assert all(ticket.state is TicketState.RUNNING for ticket in again)


class TestFailures:
    def test_scenario_28_it_is_tried_again_and_given_up_in_the_end(self) -> None:
        desk = Desk(connects=False)
        ticket = desk.submit("a")
        for wait in (1.0, 2.0):
            desk.end(desk.slot, REFUSED)
            assert desk.pool.slots == []
            assert desk.pool.retries_at(desk.now) == desk.now + wait == desk.pool.deadline(desk.now)
            desk.wait(wait)
        desk.end(desk.slot, REFUSED)
        error = desk.error(ticket, ConnectFailedError)
        assert error is not REFUSED
        assert (error.status, error.stream_id) == (503, "a")
        assert desk.is_quiet()
        assert desk.pool.retries_at(desk.now) is None

    def test_scenario_28_everyone_is_told_also_those_in_line(self) -> None:
        desk = Desk(connects=False)
        tickets = [desk.queue(lane) for lane in ("a", "a", "a", None)]
        desk.turn()
        desk.end(desk.slot, ConnectFailedError("no", status=401))
        assert list(desk.failed) == tickets
        assert desk.is_quiet()

    def test_scenario_28_whoever_asks_after_that_has_a_try_of_its_own(self) -> None:
        desk = Desk(connects=False)
        for _ in range(3):
            ticket = desk.submit()
            desk.end(desk.slot, ConnectFailedError("no", status=401))
            assert ticket in desk.failed
        assert len(desk.opened) == 3

    def test_also_one_that_asks_in_the_same_moment(self) -> None:
        desk = Desk(connects=False)
        first = desk.submit()
        desk.pool.ended(desk.slot, ConnectFailedError("no", status=401), desk.now)
        second = desk.submit()
        assert list(desk.failed) == [first]
        desk.connect(desk.slot)
        assert desk.sent == [second]

    def test_nobody_is_told_when_another_connection_opened(self) -> None:
        desk = Desk(connects=False, max_active=1)
        tickets = desk.burst(2)
        first, second = desk.opened
        desk.pool.ended(first, ConnectFailedError("no", status=401), desk.now)
        desk.connect(second)
        assert not desk.failed
        assert desk.sent == tickets[:1]

    def test_other_errors_are_told_as_they_are(self) -> None:
        desk = Desk(connects=False)
        ticket = desk.submit()
        cause = OSError("no")
        error = ConfigurationError("no key")
        error.__cause__ = cause
        desk.end(desk.slot, error)
        assert desk.error(ticket, ConfigurationError).__cause__ is cause

    def test_routes_fail_by_themselves(self) -> None:
        desk = Desk(connects=False)
        here, there = desk.submit(route="x"), desk.submit(route="y")
        desk.end(desk.pool.slots[0], ConnectFailedError("no", status=404))
        assert list(desk.failed) == [here]
        desk.connect(desk.slot)
        assert desk.sent == [there]

    def test_what_runs_on_a_connection_or_waits_for_it_is_not_given_up(self) -> None:
        desk = Desk(max_active=1, max_connections=2, max_age=HOUR)
        parent = conversation(desk)
        running = desk.submit(stores=False)
        desk.connects = False
        ticket = desk.submit(parent=parent, stores=False)
        desk.wait(HOUR * 0.96)
        (old,) = desk.slots()
        free = desk.submit()
        old.state = SlotState.DRAINING
        for slot in desk.slots(SlotState.CONNECTING):
            desk.end(slot, ConnectFailedError("no", status=401))
        assert list(desk.failed) == [free]
        desk.refuse(running)
        assert ticket.state is TicketState.RUNNING
        assert running.state is TicketState.WAITING  # it has a try of its own

    def test_a_connection_that_never_works_is_given_up_too(self) -> None:
        """The server takes it, and closes it before anything can be sent."""
        desk = Desk()
        ticket = desk.submit()
        for _ in range(3):
            assert ticket.state is TicketState.RUNNING
            desk.pool.ended(desk.slot, LOST, desk.now)
            desk.pool.again(ticket, desk.now)
            desk.turn()
            desk.wait(2.0)
        desk.error(ticket, type(LOST))

    def test_nothing_is_opened_while_it_waits_however_many_ask(self) -> None:
        desk = Desk(connects=False)
        desk.submit()
        desk.end(desk.slot, REFUSED)
        desk.burst(100)
        assert len(desk.opened) == 1
        desk.wait(1.0)
        assert len(desk.opened) == 2


class TestRateLimits:
    def test_a_refusal_pauses_everyone_for_as_long_as_the_server_says(self) -> None:
        desk = Desk()
        first, second = desk.burst(2)
        desk.limit(first, 30.0)
        third = desk.submit()
        assert desk.pool.waiting() == [first, third]
        assert desk.pool.deadline(desk.now) == 30.0
        desk.wait(30.0)
        assert desk.sent == [first, second]  # one at a time now, and one runs
        desk.finish(second)
        assert desk.sent == [first, second, first, third]

    def test_half_as_many_run_then_and_more_with_each_success(self) -> None:
        desk = Desk()
        tickets = desk.burst(8)
        desk.limit(tickets[0], 1.0)
        for ticket in tickets[1:]:
            desk.fail(ticket)
        desk.wait(1.0)
        assert desk.sent[-1] is tickets[0]
        more = desk.burst(10)
        assert desk.pool.active == 4
        desk.finish(tickets[0])
        assert desk.pool.active == 5
        for ticket in more:
            desk.finish(ticket)
        assert desk.is_quiet()

    def test_nothing_is_opened_for_those_who_may_not_run(self) -> None:
        desk = Desk(max_active=1)
        first = desk.submit()
        desk.limit(first, 10.0)
        desk.burst(10)
        desk.wait(10.0)
        assert len(desk.opened) == 1

    def test_a_refused_connection_counts_too(self) -> None:
        desk = Desk(connects=False)
        ticket = desk.submit()
        desk.end(desk.slot, ConnectFailedError("slow down", status=429, headers={"Retry-After": "7"}))
        assert desk.pool.throttle.pause(desk.now) == 7.0
        desk.wait(7.0)
        desk.connect(desk.slot)
        assert desk.sent == [ticket]

    def test_the_oldest_goes_when_few_may(self) -> None:
        """Wherever it waits: on no connection does anyone wait for ever."""
        desk = Desk(max_active=1, max_connections=2)
        parents = [conversation(desk)]
        blocker = desk.submit()
        parents.append(conversation(desk))
        desk.finish(blocker)
        desk.pool.throttle.limited(desk.now, 1, 1.0)
        tickets = [desk.submit(parent=parents[1], stores=False), desk.submit(parent=parents[0], stores=False)]
        desk.submit()
        desk.wait(1.0)
        assert desk.sent[-1] is tickets[0]
        desk.fail(tickets[0])
        assert desk.sent[-1] is tickets[1]


class TestRoutes:
    def test_a_connection_serves_one_route(self) -> None:
        desk = Desk()
        here, there = desk.submit(route="x"), desk.submit(route="y")
        assert (slot_of(here).route, slot_of(there).route) == ("x", "y")

    def test_no_route_waits_for_ever(self) -> None:
        desk = Desk(max_connections=1, max_active=1)
        tickets = [desk.submit(route=route) for route in "xyzxyz"]
        while not desk.is_quiet():
            for ticket in tickets:
                if ticket.state is TicketState.RUNNING:
                    desk.finish(ticket)
        assert not desk.failed
        assert desk.sent[:3] == tickets[:3]
        assert sum(slot.is_live for slot in desk.pool.slots) <= 1

    def test_one_that_goes_for_another_route_loses_what_it_held(self) -> None:
        desk = Desk(max_connections=1)
        parent = desk.done(route="x", stores=False)
        assert desk.submit(route="y").state is TicketState.RUNNING
        assert desk.pool.is_lost(parent)
        assert desk.closed == desk.opened[:1]

    def test_a_continuation_on_another_route_needs_a_stored_parent(self) -> None:
        desk = Desk()
        parent = desk.done(route="x")
        assert slot_of(desk.submit(parent=parent, route="y")).route == "y"
        lost = desk.done(route="x", stores=False)
        desk.error(desk.submit(parent=lost, route="y"), PreviousResponseLostError)

    def test_one_without_a_route_goes_to_its_parent(self) -> None:
        desk = Desk()
        parent = desk.done(route="x", stores=False)
        assert slot_of(desk.submit(parent=parent, stores=False)).route == "x"


class TestSteering:
    def test_37_the_lane_waits_for_what_follows(self) -> None:
        desk = Desk()
        ticket = desk.submit("a", stores=False)
        steered = desk.begin(ticket)
        place = ticket.place
        assert place is not None
        desk.pool.steered(place)
        desk.finish(ticket)
        late = desk.submit("a", parent=steered, stores=False)
        assert desk.pool.waiting() == [late]
        desk.pool.follows(place, "next", stores=False)
        desk.turn()
        desk.error(late, PreviousResponseLostError)  # the lane has gone on
        child = desk.submit("a", parent="next", stores=False)
        assert desk.pool.place_of("next") is place
        assert desk.pool.waiting() == [child]
        desk.pool.hold(place, "next", stores=False)
        desk.pool.settled(place, desk.now)
        desk.turn()
        assert child.place is place
        assert child.state is TicketState.RUNNING

    def test_37_the_connection_stays_for_it(self) -> None:
        desk = Desk(close_idle_after=10.0)
        ticket = desk.submit()
        place = ticket.place
        assert place is not None
        desk.pool.steered(place)
        desk.finish(ticket)
        desk.wait(100.0)
        assert desk.closed == []
        desk.pool.settled(place, desk.now)
        desk.wait(9.0)
        assert desk.closed == []
        desk.wait(1.0)
        assert desk.closed == desk.opened

    def test_37_what_follows_and_fails_is_lost(self) -> None:
        desk = Desk()
        ticket = desk.submit(stores=False)
        desk.begin(ticket)
        place = ticket.place
        assert place is not None
        desk.pool.steered(place)
        desk.pool.steered(place)
        desk.finish(ticket)
        desk.pool.follows(place, "next", stores=False)
        desk.pool.settled(place, desk.now)
        assert desk.pool.place_of("next") is place  # the other one's response
        desk.pool.settled(place, desk.now)
        assert desk.pool.is_lost("next")

    def test_37_what_follows_on_a_connection_that_is_gone(self) -> None:
        desk = Desk()
        ticket = desk.submit()
        place = ticket.place
        assert place is not None
        desk.pool.steered(place)
        desk.end(desk.slot)
        desk.pool.follows(place, "next", stores=False)
        desk.pool.hold(place, "next", stores=False)
        desk.pool.settled(place, desk.now)
        assert desk.pool.place_of("next") is None
        assert desk.pool.is_lost("next")

    def test_what_comes_while_another_request_runs_is_not_held(self) -> None:
        desk = Desk()
        ticket = desk.submit()
        place = ticket.place
        assert place is not None
        desk.pool.follows(place, "odd", stores=True)
        desk.pool.hold(place, "odd", stores=True)
        assert desk.pool.place_of("odd") is None
        assert not desk.pool.is_lost("odd")


class TestTurns:
    def test_a_turn_costs_the_same_however_many_wait(self) -> None:
        """Counted, not timed: nobody who waits is looked at."""
        looks = 0

        class Watched(Ticket):
            __slots__ = ()

            def __getattribute__(self, name: str) -> object:
                nonlocal looks
                looks += 1
                return super().__getattribute__(name)

        costs = []
        for waiting in (10, 1000):
            desk = Desk(max_connections=2)
            parent = conversation(desk)
            tickets = [desk.queue() for _ in range(32)]
            desk.turn()
            kinds = [{}, {"lane": "x"}, {"lane": "y", "parent": parent, "stores": False}]
            for number in range(waiting):
                desk.pool.submit(Watched(**kinds[number % 3]), desk.now)  # type: ignore[arg-type]
            desk.turn()
            looks = 0
            desk.turn()
            idle = looks
            desk.finish(tickets[0])
            costs.append((idle, looks))
        assert costs[0] == costs[1]

    def test_no_deadline_when_nothing_can_happen(self) -> None:
        desk = Desk(connects=False)
        desk.submit()
        assert desk.pool.deadline(desk.now) is None

    def test_backoff_is_the_one_of_the_options(self) -> None:
        backoff = Backoff(max_retries=0)
        desk = Desk(connects=False, backoff=backoff)
        ticket = desk.submit()
        desk.end(desk.slot, REFUSED)
        assert ticket in desk.failed
        assert desk.pool.options.backoff is backoff
