"""What the next request of a conversation sends: examples; `test_chain_stateful` has all orders."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from rxresponses import DecodeError, EasyInputMessage, InvalidRequestError, user_message
from rxresponses.conversations.chain import ENCRYPTED_REASONING, Chain
from rxresponses.models import ResponseOutputMessage
from rxresponses.wire.requests.sent import plain_json

from .chains import SETTINGS, UNSTORED, call, reasoning, response, result, says, sent, user

HELLO = [user("hello")]
APPROVAL = "mcp_approval_response"


def begun(settings: dict[str, Any] = SETTINGS, *output: dict[str, Any], **fields: Any) -> Chain:
    return Chain().after(settings, HELLO, response("resp_1", *(output or (says("hi"),)), **fields))


class TestRequest:
    def test_the_first_one_has_no_reason(self) -> None:
        create, reason = Chain().request(SETTINGS, HELLO)
        assert sent(create) == {"type": "response.create", **SETTINGS, "input": HELLO}
        assert reason is None

    def test_without_input(self) -> None:
        create, _ = Chain().request({"prompt": {"id": "pmpt_1"}, "generate": False}, [])
        assert "input" not in sent(create)

    def test_a_text_alone_is_sent_as_text(self) -> None:
        assert sent(Chain().request(SETTINGS, [user_message("hi")])[0])["input"] == "hi"
        for item in (
            user_message([{"type": "input_text", "text": "hi"}]),
            EasyInputMessage(role="developer", content="hi"),
            EasyInputMessage.from_dict({"role": "user", "content": "hi", "odd": 1}),
        ):
            assert sent(Chain().request(SETTINGS, [item])[0])["input"] == [plain_json(item)]

    def test_the_next_one_sends_new_items_only(self) -> None:
        create, reason = begun().request(SETTINGS, [user("more")])
        assert sent(create)["input"] == [user("more")]
        assert sent(create)["previous_response_id"] == "resp_1"
        assert reason is None

    @pytest.mark.parametrize(
        ("changes", "names"),
        [
            ({"instructions": "be long"}, "instructions"),
            ({"temperature": 0.5, "model": "n"}, "model, temperature"),
            ({"tools": [{"type": "web_search"}]}, "tools"),
            ({"extra_body": {"new_field": 1}}, "new_field"),
            ({"store": False}, "store"),
        ],
    )
    def test_a_setting_that_has_changed_sends_everything(self, changes: dict[str, Any], names: str) -> None:
        create, reason = begun().request({**SETTINGS, **changes}, [user("more")])
        assert reason == f"settings have changed: {names}"
        assert sent(create)["input"] == [*HELLO, says("hi"), user("more")]
        assert "previous_response_id" not in sent(create)

    def test_a_setting_that_is_gone_has_changed(self) -> None:
        assert begun().request({"model": "m"}, [])[1] == "settings have changed: instructions"

    @pytest.mark.parametrize(
        "changes",
        [
            *({"metadata": {"turn": "2"}}, {"user": "u"}, {"safety_identifier": "s"}, {"generate": False}),
            *({"stream_options": {"include_obfuscation": False}}, {"stream_id": "lane"}),
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_what_never_reaches_the_model_does_not_count(self, changes: dict[str, Any]) -> None:
        create, reason = begun().request({**SETTINGS, **changes}, [user("more")])
        assert reason is None
        assert sent(create) == {
            "type": "response.create",
            **SETTINGS,
            **changes,
            "input": [user("more")],
            "previous_response_id": "resp_1",
        }

    def test_a_renewed_token_does_not_count(self) -> None:
        def settings(token: str) -> dict[str, Any]:
            tool = {"type": "mcp", "server_label": "s", "server_url": f"https://x/?key={token}"}
            return {**SETTINGS, "tools": [{**tool, "authorization": token, "headers": {"x-key": token}}]}

        assert begun(settings("first")).request(settings("second"), [])[1] is None

    def test_parameters_with_the_name_of_a_credential_count(self) -> None:
        def settings(kind: str) -> dict[str, Any]:
            schema = {"type": "object", "properties": {"headers": {"type": kind}}}
            return {**SETTINGS, "tools": [{"type": "function", "name": "f", "strict": True, "parameters": schema}]}

        assert begun(settings("string")).request(settings("array"), [])[1] is not None

    def test_the_order_of_a_schema_counts(self) -> None:
        def settings(*names: str) -> dict[str, Any]:
            schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
            return {**SETTINGS, "text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}}

        assert begun(settings("a", "b")).request(settings("b", "a"), [])[1] == "settings have changed: text"

    @pytest.mark.parametrize("name", ["input", "previous_response_id", "conversation"])
    def test_what_a_conversation_sets_itself_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidRequestError, match="sets `") as caught:
            Chain().request({**SETTINGS, name: "x"}, [])
        assert caught.value.field == name
        Chain().request({**SETTINGS, name: None}, HELLO)

    def test_a_request_without_a_model_is_refused(self) -> None:
        with pytest.raises(InvalidRequestError, match="model"):
            Chain().request({}, HELLO)


class TestCalls:
    @pytest.mark.parametrize(
        ("item", "answer"),
        [
            (call("c"), result("c")),
            ({"type": "custom_tool_call", "call_id": "c"}, {"type": "custom_tool_call_output", "call_id": "c"}),
            ({"type": "local_shell_call", "id": "c"}, {"type": "local_shell_call_output", "id": "c", "output": ""}),
            (
                {"type": "mcp_approval_request", "id": "c"},
                {"type": "mcp_approval_response", "approval_request_id": "c"},
            ),
        ],
        ids=lambda item: item["type"],
    )
    def test_scenario_35_a_call_without_an_answer_is_a_local_error(
        self, item: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        chain = begun(SETTINGS, item)
        with pytest.raises(InvalidRequestError, match="waits for the output of 1 call, ") as caught:
            chain.request(SETTINGS, [user("never mind")])
        assert caught.value.field == "input"
        assert answer["type"] in str(caught.value)
        answered = chain.after(SETTINGS, [answer], response("resp_2", says("thanks")))
        assert sent(chain.request(SETTINGS, [answer])[0])["input"] == [answer]
        assert not answered.open_calls

    def test_scenario_35_all_calls_are_answered_together(self) -> None:
        with pytest.raises(InvalidRequestError, match="'b'"):
            begun(SETTINGS, call("a"), call("b")).request(SETTINGS, [result("a")])

    @pytest.mark.parametrize(
        "items",
        [
            [call("c", status="incomplete")],
            [{"type": "tool_search_call", "call_id": "c", "execution": "server"}],
            [{"type": "shell_call", "call_id": "c"}, {"type": "shell_call_output", "call_id": "c", "output": []}],
        ],
        ids=["cut", "server", "answered"],
    )
    def test_calls_that_need_no_answer(self, items: list[dict[str, Any]]) -> None:
        begun(SETTINGS, *items).request(SETTINGS, [user("go on")])

    def test_only_the_server_knows_what_a_reference_stands_for(self) -> None:
        begun(SETTINGS, call("c")).request(SETTINGS, [{"type": "item_reference", "id": "fco_1"}])


class TestReasoning:
    def test_it_is_asked_for_where_nothing_is_stored(self) -> None:
        create, _ = Chain().request({**UNSTORED, "include": ["file_search_call.results"]}, HELLO)
        assert sent(create)["include"] == ["file_search_call.results", ENCRYPTED_REASONING]
        create, _ = Chain().request({**UNSTORED, "include": [ENCRYPTED_REASONING]}, HELLO)
        assert sent(create)["include"] == [ENCRYPTED_REASONING]
        assert "include" not in sent(Chain().request(SETTINGS, HELLO)[0])

    def test_a_model_that_refused_is_asked_no_more(self) -> None:
        chain = Chain().without_encrypted_reasoning(UNSTORED)
        assert "include" not in sent(chain.request(UNSTORED, HELLO)[0])
        assert "include" in sent(chain.request({**UNSTORED, "model": "n"}, HELLO)[0])

    def test_asking_no_more_is_no_change_of_settings(self) -> None:
        chain = begun(UNSTORED).without_encrypted_reasoning(UNSTORED)
        assert chain.request(UNSTORED, [])[1] is None

    def test_what_was_not_stored_and_cannot_be_read_is_not_sent_back(self) -> None:
        readable = reasoning(1, encrypted_content="gAAA")
        chain = begun(UNSTORED, reasoning(0), readable, says("hi")).without_parent("lost")
        assert sent(chain.full_request(UNSTORED, []))["input"] == [*HELLO, readable, says("hi")]
        # Also if the server stores from now on: it did not then.
        assert sent(chain.full_request(SETTINGS, []))["input"] == [*HELLO, readable, says("hi")]
        assert len(chain.items) == 4

    def test_a_server_may_store_nothing_although_it_was_asked_to(self) -> None:
        chain = begun(SETTINGS, reasoning(0), says("hi"), store=False)
        assert not chain.stored
        assert sent(chain.full_request(SETTINGS, []))["input"] == [*HELLO, says("hi")]

    def test_what_is_stored_can_be_named(self) -> None:
        chain = begun(SETTINGS, reasoning(0), says("hi"))
        assert sent(chain.full_request(SETTINGS, []))["input"] == [*HELLO, reasoning(0), says("hi")]

    def test_what_was_stored_is_lost_with_the_parent(self) -> None:
        chain = begun(SETTINGS, reasoning(0), says("hi")).without_parent("lost")
        assert sent(chain.full_request(SETTINGS, []))["input"] == [*HELLO, says("hi")]
        later = chain.after(SETTINGS, [user("more")], response("resp_2", reasoning(1), says("yes")))
        assert sent(later.full_request(SETTINGS, []))["input"] == [
            *(*HELLO, says("hi"), user("more"), reasoning(1), says("yes")),
        ]


class TestAfter:
    def test_an_incomplete_response_counts(self) -> None:
        chain = begun(SETTINGS, says("h", status="incomplete"), status="incomplete")
        create, reason = chain.request(SETTINGS, [user("go on")])
        assert (sent(create)["previous_response_id"], reason) == ("resp_1", None)

    def test_what_was_cut_is_kept_and_not_sent_back(self) -> None:
        cut = call("c", status="incomplete")
        chain = begun(SETTINGS, says("a"), reasoning(0), cut, status="incomplete")
        assert sent(chain.full_request(SETTINGS, []))["input"] == [*HELLO, says("a")]
        assert len(chain.items) == 4

    def test_a_response_without_an_id_cannot_be_continued(self) -> None:
        create, reason = Chain().after(SETTINGS, HELLO, response("", says("hi"))).request(SETTINGS, [])
        assert reason == "the server gave the latest response no id"
        assert sent(create)["input"] == [*HELLO, says("hi")]

    def test_a_compaction_replaces_what_was_before(self) -> None:
        compacted = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}
        chain = begun(SETTINGS, call("lost")).after(
            SETTINGS, [result("lost")], response("resp_2", says("a"), compacted, call("c"))
        )
        assert sent(chain.full_request(SETTINGS, [result("c")]))["input"] == [compacted, call("c"), result("c")]
        assert sent(chain.request(SETTINGS, [result("c")])[0])["previous_response_id"] == "resp_2"
        assert chain.open_calls == (("function_call_output", "c"),)

    def test_unknown_items_and_fields_stay(self) -> None:
        items = [{"type": "new_kind", "odd": [1, None]}, says("hi", odd={"deep": 1})]
        assert sent(begun(SETTINGS, *items).full_request(SETTINGS, []))["input"] == [*HELLO, *items]

    def test_the_response_is_kept(self) -> None:
        assert Chain().response is None
        latest = begun().response
        assert latest is not None
        assert latest.id == "resp_1"

    def test_held_items_are_not_sent_again_and_belong_to_the_history(self) -> None:
        chain = begun(SETTINGS, call("c")).with_held([user("shorter")])
        assert sent(chain.request(SETTINGS, [result("c")])[0])["input"] == [result("c")]
        inputs = [*HELLO, call("c"), user("shorter"), result("c")]
        assert sent(chain.full_request(SETTINGS, [result("c")]))["input"] == inputs
        later = chain.after(SETTINGS, [result("c")], response("resp_2", says("ok")))
        assert sent(later.full_request(SETTINGS, []))["input"] == [*inputs, says("ok")]


class TestEdited:
    def test_items_behind_the_history_are_sent_next(self) -> None:
        chain = begun()
        longer = chain.edited([*chain.items, user("added")])
        assert len(longer.items) == 3
        create, reason = longer.request(SETTINGS, [user("more")])
        assert (sent(create)["input"], reason) == ([user("added"), user("more")], None)
        later = longer.after(SETTINGS, [user("more")], response("resp_2"))
        assert len(later.items) == 4
        assert not later.unsent

    def test_equal_items_are_the_same(self) -> None:
        assert begun().edited([user_message("hello"), says("hi")]).parent_id == "resp_1"

    def test_another_history_is_sent(self) -> None:
        chain = begun(SETTINGS, says("hi"))
        create, reason = chain.edited(chain.items[1:]).request(SETTINGS, [user("more")])
        assert (sent(create)["input"], reason) == ([says("hi"), user("more")], "the history was edited")

    def test_a_history_at_the_beginning_needs_no_reason(self) -> None:
        create, reason = Chain().edited([user("before")]).request(SETTINGS, HELLO)
        assert (sent(create)["input"], reason) == ([user("before"), *HELLO], None)

    def test_an_empty_history_is_a_new_beginning(self) -> None:
        create, reason = begun().edited([]).request(SETTINGS, HELLO)
        assert (sent(create)["input"], reason) == (HELLO, None)

    def test_what_is_known_of_an_item_stays_known(self) -> None:
        cut = begun(UNSTORED, reasoning(0), says("hi"), call("c", status="incomplete"), status="incomplete")
        kept = cut.edited(cut.items[1:])
        assert sent(kept.full_request(SETTINGS, []))["input"] == [says("hi")]
        lost = begun(SETTINGS, reasoning(0), says("hi")).without_parent("lost")
        assert sent(lost.edited(lost.items[1:]).full_request(SETTINGS, []))["input"] == [says("hi")]

    def test_a_call_may_be_taken_out(self) -> None:
        chain = begun(SETTINGS, says("hi"), call("c"))
        chain.edited(chain.items[:-1]).request(SETTINGS, [user("never mind")])
        answered = chain.edited([*chain.items, result("c")])
        assert sent(answered.request(SETTINGS, [])[0])["input"] == [result("c")]


class TestJson:
    def saved(self, chain: Chain) -> Chain:
        return Chain.from_dict(json.loads(json.dumps(chain.to_dict())))

    def test_a_stored_response_is_continued(self) -> None:
        chain = begun(SETTINGS, says("hi", odd=1), {"type": "new_kind", "odd": None}, call("c"))
        restored = self.saved(chain)
        assert restored.items[1:] == chain.items[1:]
        assert isinstance(restored.items[1], ResponseOutputMessage)
        assert restored.open_calls == chain.open_calls
        assert restored.request(SETTINGS, [result("c")]) == chain.request(SETTINGS, [result("c")])

    def test_a_response_that_is_not_stored_is_lost(self) -> None:
        create, reason = self.saved(begun(UNSTORED)).request(UNSTORED, [])
        assert sent(create)["input"] == [*HELLO, says("hi")]
        assert reason == "the conversation was restored, and its parent is lost"

    def test_a_history_that_was_edited_in_the_file_is_sent(self) -> None:
        data = json.loads(json.dumps(begun().to_dict()))
        data["pieces"][0]["items"][0]["content"] = "goodbye"
        create, reason = Chain.from_dict(data).request(SETTINGS, [])
        assert sent(create)["input"] == [user("goodbye"), says("hi")]
        assert reason == "the history was edited"

    def test_the_input_of_a_steer_is_lost_with_the_connection(self) -> None:
        restored = self.saved(begun().with_held([user("shorter")]))
        assert sent(restored.request(SETTINGS, [])[0])["input"] == [*HELLO, says("hi"), user("shorter")]

    def test_everything_else_is_kept(self) -> None:
        chain = begun(SETTINGS, reasoning(0), says("hi")).without_parent("lost").without_encrypted_reasoning(UNSTORED)
        chain = chain.after(SETTINGS, [user("more")], response("resp_2", call("c", status="incomplete")))
        chain = chain.edited([*chain.items, user("added")])
        restored = self.saved(chain)
        assert restored.to_dict() == chain.to_dict()
        assert sent(restored.full_request(UNSTORED, [])) == sent(chain.full_request(UNSTORED, []))

    def test_no_secret_is_written(self) -> None:
        tool = {"type": "mcp", "server_label": "s", "server_url": "https://x", "authorization": "sesame"}
        assert "sesame" not in json.dumps(begun({**SETTINGS, "tools": [tool]}).to_dict())

    @pytest.mark.parametrize("data", [{}, {"pieces": 3}, {**Chain().to_dict(), "parent_id": 3}])
    def test_other_data_are_refused(self, data: dict[str, Any]) -> None:
        with pytest.raises(DecodeError, match="not the saved chain of a conversation"):
            Chain.from_dict(data)


def test_forks_share_the_items() -> None:
    chain = begun()
    fork = chain.after(SETTINGS, [user("left")], response("resp_2"))
    assert fork.items[1] is chain.items[1]
    assert fork._last is not None
    assert fork._last.before is chain._last


def test_a_long_conversation_is_freed_without_recursion() -> None:
    chain = Chain()
    for number in range(20_000):
        chain = chain.after({"model": "m"}, [], response(f"resp_{number}", says("x"))) if number < 2 else _longer(chain)
    assert len(chain) == 20_000
    del chain
    gc.collect()


def _longer(chain: Chain) -> Chain:
    from dataclasses import replace

    from rxresponses.conversations.chain import _add

    return replace(chain, _last=_add(chain._last, (user("x"),)))


def test_the_repr_shows_no_content() -> None:
    assert repr(begun()) == "<Chain of 2 items, parent 'resp_1'>"
