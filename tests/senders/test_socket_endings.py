"""Requests that servers and gateways end in other ways than the official service does."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses import ResponseFailedError, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import Raw, ResponsesServer

from ..support.clients import ask
from ..support.frames import completed, created, delta
from ..support.recorder import Recorder

WHOLE = {"id": "r1", "status": "completed"}
FAILED = {"id": "r1", "status": "failed", "error": {"code": "server_error", "message": "broke"}}
ERROR = {"code": "server_error", "message": "broke"}


@pytest.mark.parametrize(
    "end",
    [
        {"type": "response.done", "response": WHOLE},
        {"type": "response.done"},
        {"type": "response.cancelled", "response": {**WHOLE, "status": "cancelled"}},
        {"type": "response.canceled"},
        {"type": "response.finished", "response": WHOLE},
        {"type": "done"},
        {"type": "message_stop"},
        "[DONE]",
        completed("other"),
        completed(""),
    ],
    ids=str,
)
def test_scenario_59_the_stream_completes_and_the_next_request_works(
    server: ResponsesServer, socket: ResponsesWebSocket, end: dict[str, Any] | str
) -> None:
    for number in (1, 2):
        server.reply(Raw([created(f"r{number}"), delta("text"), end]))
        got = Recorder(socket.send_request(ask())).wait()
        assert [event.type for event in got.values[:2]] == ["response.created", "response.output_text.delta"]
        assert len(got.values) == 3
        assert got.values[-1].is_terminal
        assert not got.errors


@pytest.mark.parametrize(
    "end",
    [
        {"type": "response.done", "response": FAILED},
        {"type": "response.error", "error": ERROR},
        {"type": "upstream_error", "error": ERROR},
        {"error": ERROR},
        {"message": "broke", "code": "server_error", "connectionId": "c"},
        {"detail": "broke"},
        {"success": False, "message": "broke"},
        {"type": "about:blank", "title": "broke", "status": 502},
    ],
    ids=lambda end: "+".join(end),
)
@pytest.mark.parametrize("begun", [False, True], ids=["rejected", "started"])
def test_scenario_59_the_stream_fails_with_the_error_of_the_end(
    server: ResponsesServer, socket: ResponsesWebSocket, end: dict[str, Any], begun: bool
) -> None:
    for number in (1, 2):
        server.reply(Raw([*([created(f"r{number}"), delta("text")] if begun else []), end]))
        error = Recorder(socket.send_request(ask()).pipe(rops.raise_on_failure())).wait().error
        assert isinstance(error, ResponseFailedError)
        assert "broke" in str(error)
        assert begun or end.get("type") == "response.done" or error.delivery == "rejected"


@pytest.mark.parametrize("end", [{"type": "response.timeout", "message": "broke"}, {"status": "failed"}])
def test_scenario_59_a_failure_that_only_the_type_or_a_status_tells(
    server: ResponsesServer, socket: ResponsesWebSocket, end: dict[str, Any]
) -> None:
    """Also as the first and only answer, behind a response that ended well."""
    for begin in ([created("r1"), delta("text")], []):
        server.reply("text", Raw([*begin, end]))
        assert not Recorder(socket.send_request(ask())).wait().errors
        error = Recorder(socket.send_request(ask()).pipe(rops.raise_on_failure())).wait().error
        assert isinstance(error, ResponseFailedError)
        assert "the response failed" in str(error)
