"""How a request tells the model of the calls of a response that was lost before its end."""

from __future__ import annotations

import json
import pickle
from typing import Any, cast

import pytest

from rxresponses.conversations.chain import Chain
from rxresponses.conversations.client_calls import ClientCall
from rxresponses.conversations.ledger import ToolLedger
from rxresponses.conversations.tool_calls import CallReader
from rxresponses.conversations.unfinished import carried, in_order, restored_call, restored_items
from rxresponses.errors import DecodeError
from rxresponses.wire.requests import function_result

from ..support.events import call, created, item_added, item_done, message, wire_event
from .chains import SETTINGS, response, user


def reasoning(number: int = 1, **fields: Any) -> Any:
    item = {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "secret", **fields}
    return restored_items([item])[0]


def told(*items: Any) -> list[ClientCall]:
    """Return the calls that are whole while these items stream."""
    reader = CallReader()
    events = [created(), *(item_done(item, index) for index, item in enumerate(items))]
    return [found for event in events for found in reader.read(event)]


def shown(items: Any) -> list[str]:
    """Return what identifies each item."""
    return [str(item.get("id") or item.get("call_id")) for item in items]


def answers(*numbers: int) -> list[Any]:
    return [{"type": "function_call_output", "call_id": f"call_{number}", "output": "ok"} for number in numbers]


class TestItems:
    def test_a_call_goes_without_what_names_the_lost_response(self) -> None:
        [found] = told(call(1, status="in_progress", arguments='{"a": 1}'))
        assert carried([found], answers(1)) == [
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "look",
                "arguments": '{"a": 1}',
                "status": "completed",
            },
            *answers(1),
        ]

    def test_a_call_that_is_whole_before_its_item(self) -> None:
        reader = CallReader()
        reader.read(created())
        reader.read(item_done(reasoning(), 0))
        reader.read(item_added(call(1, arguments="", status="in_progress"), 1))
        kind = "response.function_call_arguments.done"
        calls = reader.read(wire_event(kind, output_index=1, item_id="fc_1", arguments='{"a": 1}'))
        items: list[Any] = carried(calls, [])
        assert shown(items) == ["rs_1", "call_1"]
        assert (items[1]["arguments"], items[1]["status"]) == ('{"a": 1}', "completed")

    def test_an_item_without_a_status_gets_none(self) -> None:
        [item] = carried(told(call(1)), [])
        assert "status" not in cast("dict[str, Any]", item)

    def test_types_that_need_their_id_keep_it(self) -> None:
        action = {"type": "exec", "command": ["ls"], "env": {}}
        found = restored_call({"type": "local_shell_call", "id": "sh_1", "call_id": "call_1", "action": action})
        assert shown(carried([found], [])) == ["sh_1"]
        nameless = restored_call({"type": "shell_call", "id": "sh_2", "action": {"commands": ["ls"]}})
        assert shown(carried([nameless], [])) == ["sh_2"]  # its answer names the id

    def test_calls_go_in_the_order_of_their_response(self) -> None:
        first, second = told(call(1), call(2))
        assert shown(carried(in_order([second, first]), answers(1, 2))) == ["call_1", "call_2", "call_1", "call_2"]


class TestReasoning:
    @pytest.mark.parametrize(
        ("items", "expected"),
        [
            ([reasoning(), call(1)], ["rs_1", "call_1"]),
            ([reasoning(), call(1), call(2)], ["rs_1", "call_1", "call_2"]),
            ([reasoning(), call(1), reasoning(2), call(2)], ["rs_1", "call_1", "rs_2", "call_2"]),
            ([reasoning(), message("Let me look."), call(1)], ["rs_1", "call_1"]),
            ([reasoning(encrypted_content=None), call(1)], ["call_1"]),
            ([reasoning(), call(1), reasoning(2, encrypted_content=None), call(2)], ["rs_1", "call_1", "call_2"]),
            ([call(1), reasoning()], ["call_1"]),
        ],
    )
    def test_goes_before_the_calls_that_followed(self, items: list[Any], expected: list[str]) -> None:
        calls = told(*items)
        assert shown(carried(calls, [])) == expected
        restored = ToolLedger.from_json(lost(*calls).to_json()).unfinished[0]  # as other objects
        assert shown(carried(restored, [])) == expected

    def test_that_has_not_ended(self) -> None:
        reader = CallReader()
        reader.read(item_added(reasoning(), 0))
        assert shown(carried(reader.read(item_done(call(1), 1)), [])) == ["call_1"]


def lost(*calls: ClientCall, **options: Any) -> ToolLedger:
    """Return the ledger of a run whose first response was lost after it had called."""
    ledger = ToolLedger(**options)
    ledger.begin([user("hi")])
    ledger.begin_response()
    for found in calls:
        ledger.attempt(1, found)
    return ledger


class TestLedger:
    def test_calls_are_kept_until_a_response_has_ended(self) -> None:
        first, second = told(call(1), call(2))
        ledger = lost(first)
        ledger.finish(1, first, function_result("call_1", "one"))
        ledger.begin_response()
        ledger.begin_response()  # lost as well, without a call
        ledger.attempt(1, second)
        assert ledger.unfinished == [[first], [second]]
        again = ToolLedger.from_json(ledger.to_json())
        assert again.unfinished == ledger.unfinished
        again.begin_response()
        assert again.to_json() == ledger.to_json()
        chain = Chain().after(SETTINGS, [user("hi")], response("resp_1"))
        again.end_response(chain, [], 0)
        assert again.unfinished == []
        again.finish(1, first, function_result("call_1", "late"))
        assert again.unfinished == []

    def test_a_call_that_comes_again_is_kept_once(self) -> None:
        [found] = told(call(1))
        ledger = lost(found)
        ledger.begin_response()
        ledger.attempt(1, found)
        ledger.forget("call_1")
        ledger.attempt(1, found)
        assert ledger.unfinished == [[found]]

    def test_calls_of_a_server_that_numbers_them_anew(self) -> None:
        [first], [second] = told(call(1, arguments='{"a": 1}')), told(call(1, arguments='{"a": 2}'))
        ledger = lost(first)
        ledger.finish(1, first, function_result("call_1", "one"))
        ledger.begin_response()
        ledger.attempt(1, second)
        assert ledger.unfinished == [[first], [second]]
        assert (ledger.standing(1, first), ledger.standing(1, second)) == ("finished", "unknown")
        assert [json.loads(record.text)["a"] for record in ledger.calls] == [1, 2]

    def test_an_approval_is_asked_for_again(self) -> None:
        item = {"type": "mcp_approval_request", "id": "ask_1", "name": "f", "arguments": "{}", "server_label": "s"}
        ledger = lost()
        ledger.finish(1, restored_call(item), {"type": "mcp_approval_response"})
        assert ledger.unfinished == []

    def test_an_attempt_that_cannot_be_saved_is_not_kept(self) -> None:
        def fail(_: ToolLedger) -> None:
            raise OSError("no space left")

        first, second = told(call(1), call(2))
        ledger = ToolLedger.from_json(lost(first).to_json(), save=fail)
        with pytest.raises(OSError, match="no space left"):
            ledger.attempt(1, second)
        assert ledger.unfinished == [[first]]

    def test_a_copy_has_the_calls_and_no_sender(self) -> None:
        [found] = told(call(1))
        ledger = lost(found)
        ledger.in_use = False
        ledger.begin([user("hi")], lambda: None)  # what cannot be pickled
        clone = pickle.loads(pickle.dumps(ledger))
        assert clone.unfinished == [[found]]
        clone.begin([user("hi")])

    def test_an_item_that_is_no_call(self) -> None:
        data = lost(*told(call(1))).to_dict()
        data["unfinished"][0][0]["item"] = user("hi")
        with pytest.raises(DecodeError, match="another type"):
            ToolLedger.from_dict(data)
