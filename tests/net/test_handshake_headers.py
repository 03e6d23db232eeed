"""What a handshake sends besides the key, what it offers, and what of its answer can be read."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from rxresponses import (
    ConfigurationError,
    ConnectFailedError,
    ConnectionOptions,
    ConnectionState,
    ConnectTimeoutError,
    ObserverExitError,
    ResponsesClient,
    ResponsesWebSocket,
)
from rxresponses.net.credentials import Credentials
from rxresponses.net.handshake_headers import handshake_headers, with_account_ids
from rxresponses.testing import ResponsesServer

from ..support.clients import ask, run
from ..support.recorder import Recorder
from ..support.websocket_server import complete, refuse, websocket_server

KEY = "sk-very-secret"


def handshakes(count: int = 1, *, api_key: Any = KEY, **options: Any) -> list[Request]:
    """Return the handshakes of so many connections, made one after the other, as the server received them."""
    received: list[Request] = []

    def note(connection: ServerConnection, request: Request) -> None:
        received.append(request)

    async def main() -> None:
        async with websocket_server(complete, process_request=note) as url:
            for _ in range(count):
                async with ResponsesWebSocket(url, api_key=api_key, options=ConnectionOptions(**options)) as socket:
                    await socket.send_request(ask())

    run(main())
    assert len(received) == count
    return received


def headers_of(**options: Any) -> dict[str, str]:
    """Return the headers for one connection, without the key."""
    url = options.pop("url", "https://server.example/v1")
    return dict(asyncio.run(handshake_headers(url, ConnectionOptions(**options), Credentials(None))))


# --- the Host header, and those that the handshake sets


@pytest.mark.parametrize("host", ["other.example", "other.example:8080", "[fd00::1]:8080", "10.0.0.1"])
@pytest.mark.parametrize("name", ["Host", "host"])
def test_scenario_65_an_own_host_header_is_the_only_one(host: str, name: str) -> None:
    [request] = handshakes(headers={name: host})
    assert request.headers.get_all("Host") == [host]
    assert request.path == "/v1/responses?model=m"


def test_scenario_65_the_host_header_is_that_of_the_url() -> None:
    [request] = handshakes()
    [host] = request.headers.get_all("Host")
    assert host.startswith("127.0.0.1:")


def test_scenario_65_an_own_user_agent_is_the_only_one() -> None:
    [request] = handshakes(headers={"user-agent": "mine"})
    assert request.headers.get_all("User-Agent") == ["mine"]


# --- subprotocols


def test_scenario_65_subprotocols_are_offered_in_order() -> None:
    [request] = handshakes(subprotocols=["a", "c", "b"])
    assert request.headers["Sec-WebSocket-Protocol"] == "a, c, b"
    assert "Sec-WebSocket-Protocol" not in handshakes()[0].headers


def test_scenario_65_the_chosen_subprotocol_can_be_read() -> None:
    async def main() -> None:
        async with (
            websocket_server(complete, subprotocols=["b", "c"]) as url,
            ResponsesWebSocket(url, options=ConnectionOptions(subprotocols=("a", "c"))) as socket,
        ):
            await socket.send_request(ask())
            assert socket.handshake_headers is not None
            assert socket.handshake_headers["sec-websocket-protocol"] == "c"

    run(main())


def test_scenario_65_a_key_among_the_subprotocols_stays_secret(caplog: pytest.LogCaptureFixture) -> None:
    secret = f"openai-insecure-api-key.{KEY}"
    options = ConnectionOptions(subprotocols=["b", secret])
    assert KEY not in repr(options)
    with pytest.raises(ConfigurationError, match="unencrypted"):
        ResponsesWebSocket("ws://server.example", options=options)
    with caplog.at_level(logging.DEBUG):
        assert secret in handshakes(api_key=None, subprotocols=["b", secret])[0].headers["Sec-WebSocket-Protocol"]
    assert KEY not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("rxr"))


# --- organization and project


@pytest.fixture
def _ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-env")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-env")


def sent_ids(request: Request) -> tuple[str | None, str | None]:
    return request.headers.get("OpenAI-Organization"), request.headers.get("OpenAI-Project")


@pytest.mark.usefixtures("_ids")
@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, ("org-env", "proj-env")),
        ({"organization": "org"}, ("org", "proj-env")),
        ({"project": "proj", "organization": ""}, (None, "proj")),
        ({"headers": {"openai-organization": "own"}}, ("own", "proj-env")),
        ({"headers": {"OpenAI-Organization": "own"}, "organization": "org"}, ("own", "proj-env")),
        ({"headers": lambda: {"OPENAI-PROJECT": "own"}}, ("org-env", "own")),
        ({"headers": {"Authorization": "Bearer x"}}, ("org-env", "proj-env")),
        ({"headers": {"api-key": KEY}}, (None, None)),
        ({"headers": lambda: {"Api-Key": KEY}}, (None, None)),
    ],
)
def test_scenario_65_organization_and_project(options: dict[str, Any], ids: tuple[str | None, str | None]) -> None:
    [request] = handshakes(**options)
    assert sent_ids(request) == ids


def test_scenario_65_no_organization_and_no_project() -> None:
    assert sent_ids(handshakes()[0]) == (None, None)


@pytest.mark.usefixtures("_ids")
def test_scenario_65_the_ids_of_the_environment_are_read_when_the_sender_is_made(
    server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ResponsesClient(server.url, options=ConnectionOptions(project="proj")) as client:
        monkeypatch.setenv("OPENAI_ORG_ID", "org-later")
        assert Recorder(client.send_request(ask())).wait().completions == 1
    headers = {name.lower(): value for name, value in server.upgrades[0].headers.items()}
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-env", "proj")


@pytest.mark.parametrize("variable", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_scenario_65_an_id_that_is_no_header_is_refused(variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        with_account_ids(ConnectionOptions(), {variable: "a\nb"})


@pytest.mark.parametrize(
    ("url", "options", "sent"),
    [
        ("https://server.example", {}, True),
        ("ws://127.0.0.1", {}, True),
        ("ws://server.example", {}, False),
        ("ws://server.example", {"allow_insecure_credentials": True}, True),
        ("ws://127.0.0.1", {"proxy": "http://proxy.example"}, False),
    ],
)
def test_scenario_65_the_ids_go_only_where_a_key_may_go(url: str, options: dict[str, Any], sent: bool) -> None:
    made = headers_of(url=url, organization="org", headers={"X-One": "1"}, **options)
    assert made == {"X-One": "1", **({"OpenAI-Organization": "org"} if sent else {})}
    if not sent:
        with pytest.raises(ConfigurationError, match="unencrypted"):
            ResponsesWebSocket(url, options=ConnectionOptions(organization="org", **options))
        ResponsesWebSocket(url, options=ConnectionOptions(**options)).close()


# --- headers from a function


def plain(headers: Any) -> Callable[[], Any]:
    return lambda: headers


def coroutine(headers: Any) -> Callable[[], Any]:
    async def provide() -> Any:
        await asyncio.sleep(0)
        return headers

    return provide


functions = pytest.mark.parametrize("function", [plain, coroutine])


@functions
def test_scenario_65_headers_of_a_function_are_made_at_each_connect(function: Callable[[Any], Any]) -> None:
    tokens: Iterator[int] = iter(range(10))

    def provide() -> Any:
        return function({"X-Token": str(next(tokens))})()

    received = handshakes(3, headers=provide)
    assert [request.headers["X-Token"] for request in received] == ["0", "1", "2"]
    assert received[0].headers["Authorization"] == f"Bearer {KEY}"


@functions
def test_scenario_65_an_authorization_header_of_a_function_replaces_the_key(function: Callable[[Any], Any]) -> None:
    def no_key() -> str:
        raise AssertionError("nobody needs the key")

    for api_key in (None, KEY, no_key):
        [request] = handshakes(headers=function({"authorization": "Bearer mine"}), api_key=api_key)
        assert request.headers.get_all("Authorization") == ["Bearer mine"]


def test_scenario_65_an_api_key_header_of_a_function_replaces_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert "Authorization" not in handshakes(headers=lambda: {"api-key": "azure"}, api_key=None)[0].headers
    [request] = handshakes(headers=lambda: {"api-key": "azure"}, api_key="other")
    assert (request.headers["Authorization"], request.headers["api-key"]) == ("Bearer other", "azure")


def failure(headers: Callable[[], Any], url: str = "ws://127.0.0.1:1", **options: Any) -> Exception:
    """Return the error of a request for whose connection there are no headers; it shows no secret."""
    with ResponsesWebSocket(url, options=ConnectionOptions(headers=headers, **options)) as socket:
        error: Exception = Recorder(socket.send_request(ask())).wait().error
    assert KEY not in "".join(traceback.format_exception(error))
    walk = traceback.walk_tb(error.__traceback__)
    assert KEY not in repr([frame.f_locals for frame, _ in walk if "rxresponses" in frame.f_globals["__name__"]])
    return error


@functions
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (None, "a function that returns one, not NoneType"),
        ([("a", KEY)], "not list"),
        ({"a": f"{KEY}\n"}, "the header 'a' must be one line"),
        ({f"a: {KEY}": "x"}, "HTTP does not allow"),
        ({"Upgrade": KEY}, "set by the handshake"),
        ({"Host": f"/{KEY}"}, "HOST or HOST:PORT"),
    ],
)
def test_scenario_65_bad_headers_of_a_function(function: Callable[[Any], Any], headers: Any, reason: str) -> None:
    error = failure(function(headers))
    assert isinstance(error, ConfigurationError)
    assert reason in str(error)
    assert str(error).endswith("; no connection was tried")


def raising(error: BaseException) -> Callable[[], Mapping[str, str]]:
    def provide() -> Mapping[str, str]:
        raise error

    return provide


def raising_later(error: BaseException) -> Callable[[], Any]:
    async def provide() -> Mapping[str, str]:
        await asyncio.sleep(0)
        raise error

    return provide


@pytest.mark.parametrize("make", [raising, raising_later])
@pytest.mark.parametrize("error", [ValueError(KEY), KeyError(KEY), asyncio.CancelledError(KEY)])
def test_scenario_65_a_headers_function_that_raises(make: Callable[..., Any], error: BaseException) -> None:
    found = failure(make(error))
    assert type(found) is ConfigurationError
    assert str(found) == f"the `headers` function raised {type(error).__name__}; no connection was tried"


@pytest.mark.parametrize("make", [raising, raising_later])
@pytest.mark.parametrize("error", [SystemExit(KEY), KeyboardInterrupt(KEY), GeneratorExit(KEY)])
def test_scenario_65_a_headers_function_that_exits(
    make: Callable[..., Any], error: BaseException, server: ResponsesServer
) -> None:
    assert isinstance(failure(make(error)), ObserverExitError)
    with ResponsesWebSocket(server.url) as socket:  # the background loop lives on
        assert Recorder(socket.send_request(ask())).wait().completions == 1


def test_scenario_65_a_headers_function_that_never_returns() -> None:
    async def never() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    error = failure(never, connect_timeout=0.05)
    assert isinstance(error, ConnectTimeoutError)
    assert "the `headers` function did not return" in str(error)


def test_scenario_65_a_credential_of_a_function_is_not_sent_unencrypted() -> None:
    error = failure(lambda: {"Authorization": KEY}, "ws://server.example/v1")
    assert isinstance(error, ConfigurationError)
    assert "unencrypted to server.example" in str(error)
    allowed = failure(lambda: {"Authorization": KEY}, "ws://server.example/v1", allow_insecure_credentials=True)
    assert isinstance(allowed, ConnectFailedError)  # it tries to connect


def test_scenario_65_the_official_service_takes_headers_of_a_function() -> None:
    ResponsesWebSocket(options=ConnectionOptions(headers=lambda: {"Authorization": KEY})).close()


@pytest.mark.parametrize(
    "options",
    [
        {"headers": lambda: {"X-Tenant": KEY}},
        {"headers": {"x-tenant": KEY}},
        {"subprotocols": ["a", f"openai-insecure-api-key.{KEY}"]},
    ],
)
def test_scenario_65_a_server_that_sends_back_what_it_got(options: dict[str, Any]) -> None:
    def echo(connection: ServerConnection, request: Request) -> Response:
        assert KEY in str(request.headers)
        return refuse(401, str(request.headers))(connection, request)

    async def main() -> None:
        async with (
            websocket_server(complete, process_request=echo) as url,
            ResponsesWebSocket(url, options=ConnectionOptions(**options)) as socket,
        ):
            with pytest.raises(ConnectFailedError) as raised:
                await socket.send_request(ask())
        error = raised.value
        assert error.status == 401
        assert KEY not in repr(error) + repr(vars(error)) + repr(vars(error.__cause__))

    run(main())


# --- the headers of the answer


def answer(connection: ServerConnection, request: Request, response: Response) -> Response:
    response.headers["X-Request-Id"] = "req-1"
    response.headers["openai-processing-ms"] = "12"
    response.headers["Set-Cookie"] = f"session={KEY}"
    return response


@pytest.mark.parametrize("kind", [ResponsesWebSocket, ResponsesClient])
def test_scenario_65_the_headers_of_the_answer_can_be_read(kind: type[ResponsesWebSocket | ResponsesClient]) -> None:
    async def main() -> None:
        async with websocket_server(complete, process_response=answer) as url, kind(url, api_key=KEY) as sender:
            assert sender.handshake_headers is None
            await sender.send_request(ask())
            headers = sender.handshake_headers
            assert headers is not None
            assert (headers["x-request-id"], headers["OpenAI-Processing-Ms"]) == ("req-1", "12")
            assert headers["set-cookie"] == f"session={KEY}"
            assert KEY not in repr(headers) + str(headers) + repr(sender)
        assert sender.handshake_headers is headers

    run(main())


def test_scenario_65_the_headers_are_there_when_the_socket_is_open() -> None:
    seen: list[tuple[ConnectionState, bool]] = []

    async def main() -> None:
        async with websocket_server(complete) as url, ResponsesWebSocket(url) as socket:
            socket.state.subscribe(lambda state: seen.append((state, socket.handshake_headers is not None)))
            await socket.send_request(ask())

    run(main())
    states = ConnectionState
    assert seen[:3] == [(states.IDLE, False), (states.CONNECTING, False), (states.OPEN, True)]
