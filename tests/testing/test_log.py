"""The log of a server, and the errors in the record of requests."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from rxresponses.testing.faults import Fault
from rxresponses.testing.journal import Exchange, Journal, Received, Upgrade
from rxresponses.testing.log import ServerLog
from rxresponses.testing.outputs import Raw
from rxresponses.testing.replies import Close, Failure

from .peer import Peer


class Log:
    """The lines of a log, decoded."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.journal = Journal(log=ServerLog(self.texts.append, lambda: 1_700_000_000.25))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]


def test_a_connection_without_its_credentials() -> None:
    log = Log()
    upgrade = Upgrade(3, "/v1/responses?key=secret", {"authorization": "Bearer sk-secret"}, 0.0)
    log.journal.add_upgrade(upgrade)
    log.journal.answer_upgrade(upgrade, 101)

    assert log.lines == [
        {
            "time": "2023-11-14T22:13:20.250Z",
            "event": "connection",
            "connection": 3,
            "path": "/v1/responses",
            "status": 101,
        }
    ]


def test_a_request_and_its_outcome() -> None:
    log = Log()
    peer = Peer(journal=log.journal, faults=[Fault(Close(1000, after=99), request=2)])
    peer.create(
        tools=[{"type": "mcp", "server_label": "s", "server_url": "https://u:p@h/x?k", "authorization": "sk-1"}]
    )
    peer.drain()
    peer.model.reply(Failure("rate_limit_exceeded", "slow down", after=0))
    peer.ask()
    request, outcome, _, failed = log.lines

    assert (request["event"], request["request"]) == ("request", 1)
    assert request["message"]["input"] == "hi"
    assert request["message"]["tools"][0]["authorization"] == "(hidden)"
    assert request["message"]["tools"][0]["server_url"] == "https://h/x"
    assert (outcome["event"], outcome["request"], outcome["outcome"]) == ("outcome", 1, "completed")
    assert outcome["response_id"].startswith("resp_")
    assert outcome["events"] > 5
    assert outcome["seconds"] >= 0
    assert "error" not in outcome
    assert failed["outcome"] == "refused"
    assert failed["error"]["code"] == "rate_limit_exceeded"
    assert failed["faults"] == ["Close"]


def test_other_messages() -> None:
    log = Log()
    for frame in ('{"type": "response.steer", "input": "x"}', '{"type": "response.create"}', "{broken", b"\x00\x01"):
        log.journal.add_frame(Received(1, frame))

    assert [{key: line.get(key) for key in ("event", "message", "size")} for line in log.lines] == [
        {"event": "message", "message": {"type": "response.steer", "input": "x"}, "size": None},
        {"event": "message", "message": None, "size": 7},
        {"event": "message", "message": None, "size": 2},
    ]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202e", "\u2028\u2029", "\x9b", "\ud83c"])
def test_nothing_in_a_line_controls_a_terminal_or_breaks_the_line(text: str) -> None:
    log = Log()
    log.journal.add_request(1, 1, {"input": text}, 0.0, 1)
    (line,) = log.texts

    assert line.isprintable()
    assert json.loads(line)["message"] == {"input": text}


def test_a_large_message_is_shortened() -> None:
    log = Log()
    log.journal.add_request(1, 1, {"input": "x" * 100_000, "authorization": "secret"}, 0.0, 1)
    (line,) = log.lines

    assert len(log.texts[0]) < 21_000
    assert "characters left out" in line["message"]
    assert "secret" not in log.texts[0]


def test_a_log_that_cannot_be_written_ends(caplog: pytest.LogCaptureFixture) -> None:
    written: list[str] = []

    def write(line: str) -> None:
        written.append(line)
        raise OSError("the disk is full")

    log = ServerLog(write)
    with caplog.at_level(logging.ERROR):
        log.request(Exchange(1, 1, 1, {}, 0.0))
        log.request(Exchange(2, 2, 1, {}, 0.0))

    assert len(written) == 1
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([{"type": "error", "error": {"code": "a"}}], {"code": "a"}),
        ([{"type": "error", "code": "a", "message": "b"}], {"type": "error", "code": "a", "message": "b"}),
        ([{"type": "response.failed", "response": {"error": {"code": "a"}}}], {"code": "a"}),
        ([{"type": "response.failed", "response": {"error": None}}], None),
        ([{"type": "error", "error": "odd"}], None),
        ([{"type": "error", "error": {"code": "a"}}, {"type": "response.failed", "response": {}}], {"code": "a"}),
    ],
)
def test_the_error_of_a_request_is_recorded(frames: list[dict[str, Any]], error: object) -> None:
    peer = Peer()
    peer.model.reply(Raw(frames))
    peer.ask()
    assert peer.journal.exchanges[0].error == error


def test_a_refusal_is_recorded() -> None:
    peer = Peer()
    peer.refused(temprature=1)
    error = peer.journal.exchanges[0].error
    assert error is not None
    assert (error["code"], error["param"]) == ("unknown_parameter", "temprature")
