"""Whatever happens to a conversation, the items that the server has seen through it are its history.

The model is a server that knows only what it is sent: for each response the items before it, and its output.  A
continuation of a response that the server has forgotten must never be sent.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from rxresponses import InvalidRequestError
from rxresponses.conversations.chain import Chain
from rxresponses.wire.requests.sent import plain_json

from ..effort import examples
from .chains import call, reasoning, response, result, says, sent, user

SETTINGS = st.sampled_from(
    [
        {"model": "m", **store, **more}
        for store in ({}, {"store": True}, {"store": False})
        for more in ({}, {"instructions": "be brief"}, {"metadata": {"a": "b"}})
    ]
)
OUTPUTS = st.lists(
    st.sampled_from(["says", "reasoning", "encrypted", "call", "cut call", "unknown", "compaction"]), max_size=4
)


class Branch:
    """A conversation, and what it must have said."""

    def __init__(self, chain: Chain, items: list[dict[str, Any]]) -> None:
        self.chain = chain
        self.items = items

    @property
    def open_calls(self) -> list[str]:
        answered = {item["call_id"] for item in self.items if item["type"] == "function_call_output"}
        calls = [item for item in self.items if item["type"] == "function_call" and item.get("status") != "incomplete"]
        return [item["call_id"] for item in calls if item["call_id"] not in answered]


class ChainMachine(RuleBasedStateMachine):
    branches: Bundle[Branch] = Bundle("branches")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.seen: dict[str, list[dict[str, Any]]] = {}  # by response id; stored ones, and those of open connections
        self.unstored: set[str] = set()
        self.stored_items: set[str] = set()  # reasoning that the server can look up, by id
        self.never_stored: set[str] = set()  # reasoning that it never could

    def new(self) -> int:
        self.count += 1
        return self.count

    @initialize(target=branches)
    def begin(self) -> Branch:
        return Branch(Chain(), [])

    # Turns.

    @rule(branch=branches, settings=SETTINGS, kinds=OUTPUTS, cut=st.booleans(), target=branches)
    def turn_that_ends(self, branch: Branch, settings: dict[str, Any], kinds: list[str], cut: bool) -> Branch:
        new = self.input(branch)
        seen = self.serve(branch, settings, new)
        output = [self.output(kind) for kind in kinds]
        response_id = f"resp_{self.new()}"
        status = "incomplete" if cut else "completed"
        chain = branch.chain.after(settings, new, response(response_id, *output, status=status))
        begin = max((n for n, item in enumerate(output) if item["type"] == "compaction"), default=None)
        # Cut calls stay at the server that continues the response; only a client cannot send them.
        self.seen[response_id] = [*seen, *output] if begin is None else output[begin:]
        own = {item["id"] for item in references(output)}
        if settings.get("store") is False:
            self.unstored.add(response_id)
            self.never_stored |= own
        else:
            self.stored_items |= own
        items = [*branch.items, *new, *output] if begin is None else output[begin:]
        return self.checked(Branch(chain, items))

    @rule(branch=branches, settings=SETTINGS)
    def turn_that_fails(self, branch: Branch, settings: dict[str, Any]) -> None:
        before = branch.chain.items
        self.serve(branch, settings, self.input(branch))
        assert branch.chain.items == before

    @rule(branch=branches, settings=SETTINGS)
    def turn_without_the_answers(self, branch: Branch, settings: dict[str, Any]) -> None:
        if branch.open_calls:
            with pytest.raises(InvalidRequestError):
                branch.chain.request(settings, [user("never mind")])

    # Losses.

    @rule(branch=branches)
    def server_forgets(self, branch: Branch) -> None:
        """The server has forgotten a response, and with it all that it had stored of the conversation."""
        self.seen.pop(branch.chain.parent_id or "", None)
        self.stored_items -= {item["id"] for item in branch.items if item["type"] == "reasoning"}

    @rule()
    def connections_are_lost(self) -> None:
        for response_id in self.unstored:
            self.seen.pop(response_id, None)

    @rule(branch=branches, target=branches)
    def saved_and_restored(self, branch: Branch) -> Branch:
        return self.checked(Branch(Chain.from_dict(json.loads(json.dumps(branch.chain.to_dict()))), branch.items))

    # Edits.

    @rule(branch=branches, start=st.integers(0, 3), target=branches)
    def history_is_cut(self, branch: Branch, start: int) -> Branch:
        return self.checked(Branch(branch.chain.edited(branch.chain.items[start:]), branch.items[start:]))

    @rule(branch=branches, target=branches)
    def history_grows(self, branch: Branch) -> Branch:
        added = user(f"added {self.new()}")
        return self.checked(Branch(branch.chain.edited([*branch.chain.items, added]), [*branch.items, added]))

    @rule(branch=branches, target=branches)
    def steer_waits(self, branch: Branch) -> Branch:
        """The server has taken the input of a steer, and puts it before the input of a continuation."""
        parent_id = branch.chain.parent_id
        if parent_id not in self.seen or branch.chain.unsent:
            return branch
        number = self.new()
        steer, steered_id = user(f"steer {number}"), f"{parent_id}+{number}"
        # A fork of this response does not get the input, so the response is another one from now on.
        self.seen[steered_id] = [*self.seen[parent_id], steer]
        if parent_id in self.unstored:
            self.unstored.add(steered_id)
        chain = dataclasses.replace(branch.chain.with_held([steer]), parent_id=steered_id)
        return self.checked(Branch(chain, [*branch.items, steer]))

    # What holds.

    def input(self, branch: Branch) -> list[dict[str, Any]]:
        return [*map(result, branch.open_calls), user(f"text {self.new()}")]

    def output(self, kind: str) -> dict[str, Any]:
        number = self.new()
        return {
            "says": says(f"said {number}"),
            "reasoning": reasoning(number),
            "encrypted": reasoning(number, encrypted_content="gAAA"),
            "call": call(f"call_{number}"),
            "cut call": call(f"call_{number}", status="incomplete"),
            "unknown": {"type": "new_kind", "number": number, "nothing": None},
            "compaction": {"type": "compaction", "id": f"cmp_{number}"},
        }[kind]

    def checked(self, branch: Branch) -> Branch:
        assert [plain_json(item) for item in branch.chain.items] == branch.items
        return branch

    def serve(self, branch: Branch, settings: dict[str, Any], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Take the request as the server does; return what it has seen of the conversation then.

        A request that the server refuses is sent once more, as `send_turn` does.
        """
        create, reason = branch.chain.request(settings, new)
        for _ in range(2):
            request = sent(create)
            expected = [*branch.items, *new]
            parent_id = request.get("previous_response_id")
            if parent_id in self.seen:
                assert reason is None
                seen = [*self.seen[parent_id], *request["input"]]
                assert seen == expected
                return seen
            if parent_id is None:
                assert reason is not None or not len(branch.chain)
                self.check_sendable(request["input"], expected, settings)
                if all(item["id"] in self.stored_items for item in references(request["input"])):
                    return expected
            branch.chain = branch.chain.without_parent("refused")
            create, reason = branch.chain.full_request(settings, new), branch.chain.why
        raise AssertionError("the server refused a request that was sent once more")

    def check_sendable(
        self, items: list[dict[str, Any]], expected: list[dict[str, Any]], settings: dict[str, Any]
    ) -> None:
        """Check that everything was sent but for what the server would refuse."""
        left_out = list(expected)
        for item in items:
            while left_out[0] != item:
                assert may_be_missing(left_out.pop(0))
            left_out.pop(0)
        assert all(map(may_be_missing, left_out))
        if settings.get("store") is False:
            assert not references(items)
        assert not {item["id"] for item in references(items)} & self.never_stored


def may_be_missing(item: dict[str, Any]) -> bool:
    return item["type"] == "reasoning" or (item["type"] == "function_call" and item.get("status") == "incomplete")


def references(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the reasoning that the server has to look up."""
    return [item for item in items if item["type"] == "reasoning" and not item.get("encrypted_content")]


@pytest.mark.hypothesis  # its own `runTest` hides that this is a property test
class TestChainMachine(ChainMachine.TestCase):  # type: ignore[valid-type, misc]
    """The machine."""

    settings = hypothesis_settings(max_examples=examples(200), stateful_step_count=25, deadline=None)

    def runTest(self) -> None:
        super().runTest()
