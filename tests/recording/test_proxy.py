"""The proxy passes everything on, and records it with the request that each event belongs to."""

from __future__ import annotations

import json
import socket as sockets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from websockets.sync.client import connect

from rxresponses import ResponsesWebSocket, errors, load_recording
from rxresponses import operators as rops
from rxresponses.known_secrets import Secrets
from rxresponses.recording.format import RequestRecord
from rxresponses.recording.proxy import RecordingProxy, _RecordedConnection
from rxresponses.recording.recorder import Recorder
from rxresponses.recording.tape import Tape
from rxresponses.testing import Close, DropStreamIds, Fault, Hold, Raw, RefuseUpgrade, ResponsesServer, Text
from tests.support.recordings import KEY, ends, states

BODY: dict[str, Any] = {"model": "m", "input": "Hi"}


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@pytest.fixture
def proxy(server: ResponsesServer, path: Path) -> Iterator[RecordingProxy]:
    with Recorder(path) as recorder, RecordingProxy(server.url, recorder) as proxy:
        yield proxy
    assert recorder.error is None


def close(proxy: RecordingProxy) -> None:
    proxy.__exit__(None, None, None)  # waits until the end of the last connection is noted
    proxy._recorder.close()


def test_requests_on_lanes_and_their_events(server: ResponsesServer, proxy: RecordingProxy, path: Path) -> None:
    server.on("1", f"One, {KEY}")
    server.on("2", "Two")
    with ResponsesWebSocket(proxy.url, api_key=KEY) as socket:
        seen = reactivex.merge(*(socket.send_request({**BODY, "input": text}, stream_id=f"l{text}") for text in "12"))
        events = seen.pipe(ops.to_list()).run()
    server.wait_until(lambda: server.connections == 0)  # before this, the proxy has noted that the client has left
    close(proxy)
    found = load_recording(path)
    assert KEY not in path.read_text(encoding="utf-8")
    for name in ("r1", "r2"):
        (asked,) = (r for r in found.records if isinstance(r, RequestRecord) and r.request == name)
        assert {event.lane for event in found.events(name)} == {asked.lane}
        expected = [event.type for event in events if event.stream_id == asked.lane]
        assert [event.frame["type"] for event in found.events(name) if event.frame] == expected
    assert sorted(ends(path)) == [("r1", "completed"), ("r2", "completed")]
    assert states(path) == [("connecting", None), ("open", None), ("closed", 1000)]


def test_a_server_without_lanes_and_a_frame_that_is_no_json(
    server: ResponsesServer, proxy: RecordingProxy, path: Path
) -> None:
    server.fault(Fault(DropStreamIds()))
    server.reply(Raw(["no JSON", b'{"type":"x"}', '{"type":"response.created"}', '{"type":"response.completed"}']))
    with ResponsesWebSocket(proxy.url, api_key=KEY) as socket:
        socket.send_request(BODY, stream_id="main").run()
    close(proxy)
    found = load_recording(path)
    assert [(event.text, event.binary) for event in found.events() if event.frame is None] == [
        ("no JSON", False),
        ('{"type":"x"}', True),
    ]
    assert len(found.events("r1")) == 2
    assert ends(path) == [("r1", "completed")]


@pytest.mark.parametrize("code", [1011, 1006, 1000])
def test_a_service_that_ends_the_connection(
    server: ResponsesServer, proxy: RecordingProxy, path: Path, code: int
) -> None:
    server.reply([Text("Hello"), Close(code, after=3)])
    with ResponsesWebSocket(proxy.url, api_key=KEY) as socket:
        with pytest.raises(errors.ConnectionLostError) as caught:
            socket.send_request(BODY).run()
        assert caught.value.close_code == code
    close(proxy)
    assert ends(path) == [("r1", "error")]
    assert states(path)[-1] == ("closed", code)


def test_a_client_that_leaves(server: ResponsesServer, path: Path) -> None:
    server.reply([Text("Hello"), Hold(server.gate(), after=3)])
    headers = {"Authorization": f"Bearer {KEY}"}
    with Recorder(path) as recorder:
        with RecordingProxy(server.url, recorder) as proxy:
            url = f"{proxy.url.replace('http', 'ws')}/responses"
            with connect(url, additional_headers=headers) as client:
                client.send(json.dumps({"type": "response.create", **BODY}))
                while "response.created" not in str(client.recv()):
                    pass
            server.wait_until(lambda: server.connections == 0)
        with pytest.raises(OSError, match="refused"):
            connect(url)
    assert ends(path) == [("r1", "disposed")]
    assert states(path)[-1] == ("closed", 1000)


def test_a_client_that_vanishes(server: ResponsesServer, path: Path) -> None:
    server.reply([Text("Hello"), Hold(server.gate(), after=3)])
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        Recorder(path) as recorder,
        RecordingProxy(server.url, recorder) as proxy,
        connect(f"{proxy.url.replace('http', 'ws')}/responses", additional_headers=headers) as client,
    ):
        client.send(json.dumps({"type": "response.create", **BODY}))
        while "response.created" not in str(client.recv()):
            pass
        client.close_socket()
        server.wait_until(lambda: server.connections == 0)
    assert states(path)[-1] == ("closed", 1006)


def test_a_refused_handshake_is_passed_on(server: ResponsesServer, proxy: RecordingProxy, path: Path) -> None:
    server.fault(Fault(RefuseUpgrade(429, headers={"Retry-After": "7"}), times=1))
    with ResponsesWebSocket(proxy.url, api_key=KEY) as socket:
        with pytest.raises(errors.ConnectFailedError) as caught:
            socket.send_request(BODY).run()
        assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "7")
    close(proxy)
    assert states(path) == [("connecting", None), ("closed", None)]


def test_a_service_that_is_not_there(path: Path) -> None:
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with (
        Recorder(path) as recorder,
        RecordingProxy(url, recorder) as proxy,
        ResponsesWebSocket(proxy.url, api_key=KEY) as socket,
        pytest.raises(errors.ConnectFailedError) as caught,
    ):
        socket.send_request(BODY).run()
    assert caught.value.status == 502
    assert states(path) == [("connecting", None), ("closed", None)]


def test_a_wrong_url_and_a_server_that_cannot_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(path) as recorder:
        with pytest.raises(errors.ConfigurationError):
            RecordingProxy("nonsense", recorder).__enter__()

        def fails(*args: object, **options: object) -> None:
            raise OSError("no port")

        monkeypatch.setattr("rxresponses.recording.proxy.serve", fails)
        with pytest.raises(OSError, match="no port"):
            RecordingProxy(None, recorder).__enter__()


def test_the_model_in_the_url_reaches_a_gateway(server: ResponsesServer, proxy: RecordingProxy) -> None:
    with ResponsesWebSocket(proxy.url, api_key=KEY) as socket:
        socket.send_request({**BODY, "model": "my model"}).pipe(rops.collect_text()).run()
    assert [upgrade.path for upgrade in server.upgrades] == ["/v1/responses?model=my%20model"]


def test_which_request_an_event_belongs_to() -> None:
    tape = Tape("c1", Secrets())
    recorded = _RecordedConnection(tape)

    def owner(**event: Any) -> object:
        recorded.received(json.dumps(event))
        return next(entry for entry in reversed(tape.entries) if type(entry).__name__ in ("_Asked", "NoneType"))

    recorded.sent("no request")
    recorded.sent(b'{"type":"response.create"}')  # a binary message
    assert owner(type="x") is None
    for lane in (None, "a"):
        recorded.sent(json.dumps({"type": "response.create", "stream_id": lane}))
    recorded.sent('{"type":"response.steer","input":"x"}')
    first, second = recorded._waiting
    assert owner(type="response.created", response={"id": "r2"}, stream_id="a") is second
    assert owner(type="response.created", response={"id": "r1"}) is first
    assert owner(type="x", stream_id="b") is None
    assert owner(type="error") is first
    assert owner(type="response.failed", response={"id": "r1"}) is first  # which comes after its end
    assert list(recorded._waiting) == [second]
