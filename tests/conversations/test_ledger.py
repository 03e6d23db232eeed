"""What a ledger knows of calls, in memory, as JSON, and in a file."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from rxresponses.conversations.chain import Chain
from rxresponses.conversations.client_calls import ClientCall, client_call
from rxresponses.conversations.ledger import ToolLedger
from rxresponses.conversations.ledger_file import open_ledger
from rxresponses.errors import ConfigurationError, DecodeError
from rxresponses.wire.requests import function_result

from ..support.events import call as call_item
from .chains import SETTINGS, response, user


def call(number: int = 1, **fields: Any) -> ClientCall:
    found = client_call(call_item(number, **fields))
    assert found is not None
    return found


def plain_call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{number}", "name": "look", "arguments": "{}"}


def filled(**options: Any) -> ToolLedger:
    """Return the ledger of a run with one whole turn of three calls: finished, attempted, and not begun."""
    ledger = ToolLedger(**options)
    ledger.begin([user("hi")])
    ledger.attempt(1, call(1))
    ledger.finish(1, call(1), function_result("call_1", "one"))
    ledger.attempt(1, call(2))
    chain = Chain().after(SETTINGS, [user("hi")], response("resp_1", *map(plain_call, (1, 2, 3))))
    ledger.end_response(chain, [call(1), call(2), call(3)], 7)
    return ledger


def standings(ledger: ToolLedger) -> list[str]:
    return [ledger.standing(1, call(number)) for number in (1, 2, 3)]


def test_what_is_known_of_each_call() -> None:
    ledger = filled()
    assert standings(ledger) == ["finished", "unknown", "new"]
    assert ledger.output_of(1, call(1)) == {"type": "function_call_output", "call_id": "call_1", "output": "one"}
    assert ledger.output_of(1, call(3)) is None
    assert [record.call_id for record in ledger.calls] == ["call_1", "call_2"]
    assert [record.call_id for record in ledger.unknown] == ["call_2"]
    assert [one.call_id for one in ledger.unanswered] == ["call_1", "call_2", "call_3"]
    assert (ledger.turn, ledger.tokens, ledger.response_id, ledger.ending) == (1, 7, "resp_1", None)
    assert repr(ledger) == "<ToolLedger of 1 turns, 2 calls, 1 of them not finished>"


def test_an_id_that_a_server_uses_again_is_another_call() -> None:
    ledger = filled()
    assert ledger.standing(2, call(1)) == "new"
    assert ledger.standing(1, call(1, arguments='{"a": 1}')) == "new"
    assert ledger.standing(1, call(1, name="other")) == "new"


def test_each_change_is_saved() -> None:
    saved: list[list[str]] = []
    ledger = filled(save=lambda ledger: saved.append(standings(ledger)))
    assert saved == [
        ["unknown", "new", "new"],
        ["finished", "new", "new"],
        ["finished", "unknown", "new"],
        ["finished", "unknown", "new"],
    ]
    ledger.resolve("call_2", function_result("call_2", "two"))
    assert saved[4:] == [["finished", "finished", "new"]]
    ledger.end_response(ledger.chain, [], 0, ending={"type": "response.completed"})
    assert len(saved) == 6
    with pytest.raises(ConfigurationError, match="`save` must be a function"):
        ToolLedger(save="ledger.json")  # type: ignore[arg-type]


def test_an_attempt_that_cannot_be_saved_is_none() -> None:
    def fail(_: ToolLedger) -> None:
        raise OSError("no space left")

    ledger = ToolLedger.from_json(filled().to_json(), save=fail)
    for number in (2, 3):  # one was attempted before
        with pytest.raises(OSError, match="no space left"):
            ledger.attempt(1, call(number))
    assert standings(ledger) == ["finished", "unknown", "new"]


def test_the_program_decides_about_an_unknown_call() -> None:
    ledger = filled()
    ledger.forget("call_2")
    assert standings(ledger) == ["finished", "new", "new"]
    with pytest.raises(ConfigurationError, match="no unfinished call"):
        ledger.forget("call_1")
    with pytest.raises(ConfigurationError, match="no unfinished call"):
        ledger.resolve("call_3", {})


@pytest.mark.parametrize(
    "output",
    [
        "two",
        user("two"),
        {},
        function_result("call_1", "two"),
        {"type": "custom_tool_call_output", "call_id": "call_2"},
    ],
    ids=["a text", "a message", "nothing", "of another call", "of another type"],
)
def test_what_does_not_answer_an_unknown_call_is_refused(output: Any) -> None:
    ledger = filled()
    with pytest.raises(ConfigurationError, match="`function_call_output` with this id"):
        ledger.resolve("call_2", output)
    assert standings(ledger) == ["finished", "unknown", "new"]


def test_a_ledger_belongs_to_one_run() -> None:
    ledger = filled()
    with pytest.raises(ConfigurationError, match="in use"):
        ledger.begin([user("hi")])
    ledger.in_use = False
    with pytest.raises(ConfigurationError, match="another input"):
        ledger.begin([user("ho")])
    ledger.begin([user("hi")])


class TestAsJson:
    def test_and_back(self) -> None:
        ledger = filled()
        ledger.end_response(ledger.chain, ledger.unanswered, 3, ending={"type": "response.completed"})
        again = ToolLedger.from_json(ledger.to_json())
        assert again.to_json() == ledger.to_json()
        assert standings(again) == standings(ledger) == ["finished", "unknown", "new"]
        assert (again.turn, again.tokens) == (2, 10)
        assert again.unanswered == ledger.unanswered
        assert again.response_id == "resp_1"
        assert again.ending == {"type": "response.completed"}
        assert not again.in_use

    def test_a_cut_call(self) -> None:
        ledger = ToolLedger()
        cut = ClientCall(call_item(1, arguments="{"), "call_1", "look", is_cut=True)
        ledger.end_response(Chain(), [cut], 0)
        assert ToolLedger.from_json(ledger.to_json()).unanswered == [cut]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            "[" * 100_000,
            '{"calls":"\\ud800"}',
            filled().to_json().replace('"version":1', '"version":2'),
        ],
    )
    def test_other_text(self, text: str) -> None:
        with pytest.raises(DecodeError, match=r"not (that|those) of a ledger"):
            ToolLedger.from_json(text)

    def test_an_open_item_that_is_no_call(self) -> None:
        data = filled().to_dict() | {"open": [user("hi")]}
        with pytest.raises(DecodeError, match="another type"):
            ToolLedger.from_dict(data)


class TestInAFile:
    def test_each_change_replaces_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "run.json"
        ledger = open_ledger(path)
        assert not path.exists()
        ledger.attempt(1, call(1))
        assert open_ledger(path).standing(1, call(1)) == "unknown"
        ledger.finish(1, call(1), function_result("call_1", "é\ud83c"))
        again = open_ledger(path)
        assert again.output_of(1, call(1)) == ledger.output_of(1, call(1))
        again.attempt(1, call(2))
        assert len(open_ledger(path).calls) == 2
        assert os.listdir(tmp_path) == ["run.json"]

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
    def test_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        open_ledger(tmp_path / "run.json").attempt(1, call(1))
        assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600

    def test_a_change_that_cannot_be_saved(self, tmp_path: Path) -> None:
        path = tmp_path / "run.json"
        ledger = open_ledger(path)
        path.mkdir()
        (path / "in the way").touch()
        with pytest.raises(OSError, match=r"run\.json"):
            ledger.attempt(1, call(1))
        assert os.listdir(tmp_path) == ["run.json"]

    def test_a_file_that_holds_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "run.json").write_text("no ledger")
        with pytest.raises(DecodeError, match=r"run\.json: the text is not that of a ledger: .*; delete the file to "):
            open_ledger(tmp_path / "run.json")

    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="missing"):
            open_ledger(tmp_path / "missing" / "run.json")

    def test_the_program_goes_to_another_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        ledger = open_ledger("run.json")
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        ledger.attempt(1, call(1))
        assert len(open_ledger(tmp_path / "run.json").calls) == 1

    def test_a_link_stays(self, tmp_path: Path) -> None:
        link = tmp_path / "link.json"
        link.symlink_to(tmp_path / "run.json")
        open_ledger(link).attempt(1, call(1))
        assert link.is_symlink()
        assert len(open_ledger(tmp_path / "run.json").calls) == 1
