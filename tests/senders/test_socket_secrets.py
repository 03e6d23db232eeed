"""A key is sent in the handshake, and shown nowhere: in no repr, no log line and no error."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import (
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    PongTimeoutError,
    ResponsesError,
    ResponsesWebSocket,
)
from rxresponses.testing import Close, Fault, Hold, RefuseUpgrade, ResponsesServer, Stall

from ..support.clients import ask
from ..support.recorder import WAIT, Recorder

KEY = "sk-very-secret"
HEADERS = {"api-key": f"{KEY}-2", "X-Auth-Token": f"{KEY}-3", "Cookie": f"session={KEY}-4", "X-Pass": f"{KEY}-5"}
QUERY = f"?subscription={KEY}-6"


def open_socket(server: ResponsesServer, **options: Any) -> ResponsesWebSocket:
    return ResponsesWebSocket(server.url + QUERY, api_key=KEY, options=ConnectionOptions(headers=HEADERS, **options))


def is_clean(error: BaseException | None) -> bool:
    """Whether neither the error nor its causes show the key."""
    while error is not None:
        shown = [str(error), repr(error), repr(error.args), *traceback.format_exception(error)]
        shown += [repr(value) for name, value in vars(error).items() if name not in ("response", "headers")]
        if any(KEY in text for text in shown):
            return False
        error = error.__cause__ or error.__context__
    return True


def drop(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply(["text", Close(1011, "oops")])


def close(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply(["text", Hold()])
    Recorder(socket.events, lambda event: socket.close())


def refuse(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.fault(Fault(RefuseUpgrade(401, headers={"Retry-After": "1"})))


def redirect(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.fault(Fault(RefuseUpgrade(307, headers={"Location": "http://127.0.0.1:1/v1/responses"})))


def go_deaf(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply(["text", Stall(pongs=False)])


def go_away(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.__exit__()


@pytest.mark.parametrize("trouble", [drop, close, refuse, redirect, go_deaf, go_away])
def test_no_error_and_no_log_line_shows_a_secret(
    trouble: Callable[[ResponsesServer, ResponsesWebSocket], None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), ResponsesServer() as server:
        with open_socket(server, ping_interval=0.05, ping_timeout=0.5, close_timeout=0.1) as socket:
            trouble(server, socket)
            got = Recorder(socket.send_request(ask())).wait()
        assert isinstance(got.error, ResponsesError)
        assert is_clean(got.error)
    gc.collect()
    for record in caplog.records:
        assert KEY not in record.getMessage()
        assert KEY not in repr(record.args)
        assert record.exc_info is None or is_clean(record.exc_info[1])
    if trouble is not go_away:
        logged_by = {record.name for record in caplog.records if "Authorization" in record.getMessage()}
        assert logged_by == {
            "rxresponses.transport",
            "rxresponses.testing",
        }  # the header that the client sent, and the server received


@pytest.mark.parametrize("kept", ["Authorization", "api-key", "X-Auth-Token"])
def test_a_key_that_the_refusal_quotes_is_not_shown(kept: str) -> None:
    quoted = {"Authorization": KEY, **HEADERS}[kept]
    refusal = RefuseUpgrade(401, {"error": {"message": f"Incorrect API key provided: {quoted}."}})
    with ResponsesServer(faults=[Fault(refusal)]) as server, open_socket(server) as socket:
        error = Recorder(socket.send_request(ask())).wait().error
    assert "Incorrect API key provided: (hidden)" in str(error)
    assert is_clean(error)
    assert KEY.encode() not in error.__cause__.response.body


def test_a_text_too_short_for_a_key_is_not_hidden() -> None:
    with (
        ResponsesServer(faults=[Fault(RefuseUpgrade(401, "no none here"))]) as server,
        ResponsesWebSocket(server.url, api_key="none", options=ConnectionOptions(headers={"api-key": ""})) as socket,
    ):
        assert "no none here" in str(Recorder(socket.send_request(ask())).wait().error)


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"authorization": "Basic abc"}, {"authorization": "Basic abc"}),
        ({"api-key": "azure"}, {"api-key": "azure"}),
        ({"x-other": "1"}, {"authorization": f"Bearer {KEY}"}),
    ],
)
def test_one_credential_is_sent_and_the_header_of_the_user_first(
    server: ResponsesServer, headers: dict[str, str], sent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ResponsesWebSocket(server.url, options=ConnectionOptions(headers=headers)) as socket:
        assert Recorder(socket.send_request(ask())).wait().completions == 1
    [upgrade] = server.upgrades
    assert {name: upgrade.headers[name] for name in ("authorization", "api-key") if name in upgrade.headers} == sent


def test_each_trouble_ends_in_its_own_error() -> None:
    kinds = {drop: ConnectionLostError, refuse: ConnectFailedError, go_deaf: PongTimeoutError}
    for trouble, kind in kinds.items():
        with (
            ResponsesServer() as server,
            open_socket(server, ping_interval=0.05, ping_timeout=0.5, close_timeout=0.1) as socket,
        ):
            trouble(server, socket)
            assert isinstance(Recorder(socket.send_request(ask())).wait().error, kind)


@pytest.mark.parametrize(
    "proxy", [f"ftp://user:{KEY}@127.0.0.1:1", f"http://{KEY}@:1", f"http://user:{KEY}@127.0.0.1:1"]
)
def test_a_proxy_that_cannot_be_used_is_not_shown(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", proxy)
    with ResponsesWebSocket("https://example.invalid/v1", api_key=KEY) as socket:
        error = Recorder(socket.send_request(ask())).wait().error
    assert isinstance(error, ConnectFailedError)
    assert is_clean(error)


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "ws_proxy"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_loopback_addresses_bypass_the_proxy(
    server: ResponsesServer, name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy would see the key, and so would each machine on the way to it."""
    for other in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with ResponsesWebSocket(f"http://{host}:{server.port}/v1", api_key=KEY) as socket:
        assert Recorder(socket.send_request(ask())).wait().completions == 1


def test_no_repr_shows_a_secret(server: ResponsesServer) -> None:
    with open_socket(server) as socket:
        source = socket.send_request(ask())
        got = Recorder(source).wait()
        shown = [socket, socket.lane("a"), socket._options, socket._credentials, source, socket.events]
        shown += [*got.values, socket._connection, *asyncio_tasks(socket)]
        for one in shown:
            assert KEY not in repr(one)
            assert KEY not in str(one)


def asyncio_tasks(socket: ResponsesWebSocket) -> list[object]:
    loop = socket._loop
    assert loop is not None
    return list(asyncio.all_tasks(loop))


def test_an_observer_that_raises_is_reported_without_the_key(
    server: ResponsesServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: object) -> None:
        raise RuntimeError("observer failed")

    with open_socket(server) as socket:
        Recorder(socket.send_request(ask()), fail).wait()
    assert "observer failed" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("answer", [f"{KEY}\n", f" {KEY}", f"{KEY}\0", f"é{KEY}", [KEY], {"key": KEY}, KEY.encode()])
def test_scenario_47_a_key_function_with_a_bad_answer(server: ResponsesServer, answer: Any) -> None:
    with ResponsesWebSocket(server.url, api_key=lambda: answer) as socket:
        error = Recorder(socket.send_request(ask())).wait().error
    assert isinstance(error, ConfigurationError)
    assert is_clean(error)
    assert server.upgrades == []


def test_scenario_47_a_key_function_that_raises_with_the_key(server: ResponsesServer) -> None:
    async def fail() -> str:
        try:
            raise ValueError(f"no {KEY}")
        except ValueError as error:
            raise LookupError(f"none for {KEY}") from error

    with ResponsesWebSocket(server.url, api_key=fail) as socket:
        error = Recorder(socket.send_request(ask())).wait().error
    assert isinstance(error, ConfigurationError)
    assert is_clean(error)
    assert "LookupError" in str(error)


def test_scenario_47_a_key_function_whose_own_work_was_cancelled(server: ResponsesServer) -> None:
    cancelled = True

    async def key() -> str:
        if cancelled:
            raise asyncio.CancelledError(KEY)
        return KEY

    with ResponsesWebSocket(server.url, api_key=key) as socket:
        error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, ConfigurationError)
        assert is_clean(error)
        assert "CancelledError" in str(error)
        cancelled = False
        assert Recorder(socket.send_request(ask())).wait().completions == 1


def test_scenario_48_no_credential_follows_a_redirect_to_another_origin(server: ResponsesServer) -> None:
    with ResponsesServer() as other:
        location = other.url + "/responses"
        server.fault(Fault(RefuseUpgrade(307, headers={"Location": location})))
        with open_socket(server) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, ConnectFailedError)
        assert (error.status, error.delivery) == (307, "not_sent")
        assert error.headers["Location"] == location
        assert other.upgrades == []
        assert len(server.upgrades) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_scenario_48_a_redirect_within_the_origin_takes_it_along(server: ResponsesServer, status: int) -> None:
    server.fault(Fault(RefuseUpgrade(status, headers={"Location": "/v1/responses?again"}), times=1))
    with open_socket(server) as socket:
        assert Recorder(socket.send_request(ask())).wait().completions == 1
    assert [upgrade.headers["authorization"] for upgrade in server.upgrades] == [f"Bearer {KEY}"] * 2
    assert server.upgrades[1].path == "/v1/responses?again"


@pytest.mark.parametrize("url", ["ws://example.com/v1", "http://10.0.0.1/v1", "http://localhost.example.com/v1"])
def test_no_key_goes_unencrypted_to_another_machine(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ResponsesWebSocket(url, api_key=KEY)
    assert is_clean(raised.value)
    with pytest.raises(ConfigurationError):
        ResponsesWebSocket(f"{url}?api-key={KEY}")
    ResponsesWebSocket(url)  # without a key the URL is allowed
    ResponsesWebSocket(url, api_key=KEY, options=ConnectionOptions(allow_insecure_credentials=True))


def test_scenario_29_a_key_that_is_asked_for_late_is_not_sent(server: ResponsesServer) -> None:
    """The socket is closed while the function runs: no connection is opened with the key that it returns."""

    async def main() -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def key() -> str:
            asked.set()
            await go.wait()
            return KEY

        socket = ResponsesWebSocket(server.url, api_key=key)
        Recorder(socket.send_request(ask()))
        await asked.wait()
        socket.close()
        go.set()
        await socket.wait_closed()

    asyncio.run(asyncio.wait_for(main(), WAIT))
    assert server.upgrades == []
