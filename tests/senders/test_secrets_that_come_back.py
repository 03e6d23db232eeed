"""One secret is planted at each place, and looked for everywhere, with a server that sends back what it was sent."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import pickle
import traceback
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from reactivex import Observable

from rxresponses import (
    ConfigurationError,
    ConnectFailedError,
    ConnectionOptions,
    InvalidRequestError,
    Mcp,
    ResponseCreate,
    ResponsesClient,
    ResponsesError,
    ResponsesWebSocket,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.batch.lines import Task
from rxresponses.cli.main import main
from rxresponses.headers import Headers
from rxresponses.senders.source import Lane
from rxresponses.testing import Request, ResponsesServer, url_or_embedded_server

from ..support.clients import fast_retries
from ..support.echo_server import EVENTS, EchoServer
from ..support.recorder import AsyncRecorder, Recorder

# No two of them have eight characters in common.
KEY = "sk-Key0/AAAA+1111=aaaa"
HEADER = "hdr-BBBB2222bbbb"
COOKIE = "ck-CCCC3333cccc"
QUERY = 'q-DDDD 4444"dddd'
PASSWORD = "pw-EEEE5555eeee"
MCP_TOKEN = "mcp-FFFF6666ffff"
MCP_HEADER = "mch-GGGG7777gggg"
MCP_QUERY = "mcq-HHHH8888hhhh"
DOMAIN_SECRET = "dom-IIII9999iiii"
SECRETS = (KEY, HEADER, COOKIE, QUERY, PASSWORD, MCP_TOKEN, MCP_HEADER, MCP_QUERY, DOMAIN_SECRET)

HEADERS = {"X-Gate": HEADER, "Cookie": f"a=b; session={COOKIE}"}
URL_QUERY = f"?sig={urllib.parse.quote_plus(QUERY)}"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "mcp",
        "server_label": "label",
        "server_url": f"https://mcp.example.com/sse?key={MCP_QUERY}",
        "authorization": MCP_TOKEN,
        "headers": {"X-Mcp": MCP_HEADER},
    },
    {
        "type": "shell",
        "environment": {
            "type": "container_auto",
            "network_policy": {
                "type": "allowlist",
                "allowed_domains": ["d"],
                "domain_secrets": [{"domain": "d", "name": "n", "value": DOMAIN_SECRET}],
            },
        },
    },
]


def forms_of(secret: str) -> Iterator[str]:
    for form in (secret, json.dumps(secret)[1:-1], urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret)):
        yield form.lower()
    for offset in range(3):
        yield base64.b64encode(b"x" * offset + secret.encode()).decode()[4:-4].lower()


FORMS = [(form, secret) for secret in SECRETS for form in forms_of(secret)]


def shown_secrets(*texts: str) -> set[str]:
    """Return the secrets that texts show, whole, in any of their forms."""
    joined = "\n".join(texts).lower()
    return {secret for form, secret in FORMS if form in joined}


def frames_of(tb: TracebackType | None) -> Iterator[str]:
    """Yield the variables of each frame of the package, as error reports show them."""
    for frame, _ in traceback.walk_tb(tb):
        if frame.f_globals.get("__name__", "").startswith("rxresponses"):
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_name}: {name}={value!r}"


def texts_of(error: BaseException) -> Iterator[str]:
    """Yield all texts in which an error may show a secret; those of its causes too."""
    yield from traceback.format_exception(error)
    linked: list[BaseException] = [error]
    for one in linked:
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)), *frames_of(one.__traceback__))
        for value in vars(one).values():
            if isinstance(value, Mapping):
                yield repr(dict(value))
            if hasattr(value, "raw"):
                yield from (repr(value), repr(value.raw), repr(value.extra), json.dumps(value.to_dict()))
        linked += [other for other in (one.__cause__, one.__context__) if other is not None and other not in linked]
    yield pickle.dumps(error).decode("latin-1")
    reported = traceback.TracebackException.from_exception(error, capture_locals=True)
    for summary in reported.stack:
        if "/rxresponses/" in summary.filename:
            yield repr(summary.locals)


@contextmanager
def clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that no record shows a secret, at level DEBUG."""
    with caplog.at_level(logging.DEBUG):
        yield
    gc.collect()
    formatter = logging.Formatter()
    ours = [record for record in caplog.records if record.name.startswith("rxresponses")]
    assert ours
    for record in ours:
        assert shown_secrets(formatter.format(record), repr(record.args), repr(record.exc_text)) == set()
        if record.exc_info and record.exc_info[1] is not None:
            assert shown_secrets(*texts_of(record.exc_info[1])) == set()


async def key_later() -> str:
    return KEY


KEYS: dict[str, dict[str, Any]] = {
    "a string": {"api_key": KEY},
    "a function": {"api_key": lambda: KEY},
    "a coroutine function": {"api_key": key_later},
    "a header": {"headers": {**HEADERS, "Authorization": f"Bearer {KEY}"}},
    "a pair": {"headers": {**HEADERS, "Authorization": "Basic " + base64.b64encode(f"me:{KEY}".encode()).decode()}},
}


def connect(url: str, key: str = "a string") -> ResponsesWebSocket:
    place = KEYS[key]
    options = ConnectionOptions(headers=place.get("headers", HEADERS), connect_timeout=5, close_timeout=0.1)
    return ResponsesWebSocket(url + URL_QUERY, api_key=place.get("api_key"), options=options)


def request(text: str = "hi") -> ResponseCreate:
    return ResponseCreate(model="m", input=text, tools=TOOLS)


def error_of(events: Observable[Any]) -> BaseException:
    with pytest.raises(ResponsesError) as caught:
        events.pipe(
            rops.raise_on_failure(), rops.raise_on_incomplete(), rops.raise_on_refusal(), rops.final_response()
        ).run()
    return caught.value


REFUSALS = ["body", "headers", "reason", "accept", "protocol", "redirect", "no HTTP"]
QUOTES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL": lambda text: urllib.parse.quote(text, safe=" "),
    "JSON": lambda text: json.dumps(json.dumps(text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("way", REFUSALS)
def test_scenario_74_a_handshake_that_comes_back(way: str, key: str, caplog: pytest.LogCaptureFixture) -> None:
    with clean_log(caplog), EchoServer(way) as server, connect(server.url, key) as socket:
        error = error_of(socket.send_request(request()))
        assert isinstance(error, ConnectFailedError)
        assert shown_secrets(*texts_of(error)) == set()
        assert way == "protocol" or "(hidden)" in repr([*texts_of(error)])


@pytest.mark.parametrize("way", ["body", "reason", "accept", "no HTTP", "error", "failed", "incomplete"])
@pytest.mark.parametrize("quote", QUOTES)
def test_scenario_74_a_quoted_text_that_comes_back(way: str, quote: str, caplog: pytest.LogCaptureFixture) -> None:
    with clean_log(caplog), EchoServer(way, QUOTES[quote]) as server, connect(server.url) as socket:
        error = error_of(socket.send_request(request()))
        assert shown_secrets(*texts_of(error)) == set()
        assert "(hidden)" in repr([*texts_of(error)])


@pytest.mark.parametrize("way", [*EVENTS, "text", "binary", "fragments"])
def test_scenario_74_a_request_that_comes_back(way: str, caplog: pytest.LogCaptureFixture) -> None:
    with clean_log(caplog), EchoServer(way) as server, connect(server.url) as socket:
        events, unrouted = Recorder(socket.events), Recorder(socket.unrouted)
        error = error_of(socket.send_request(request()))
        assert shown_secrets(*texts_of(error)) == set()
        for event in (*events.values, *unrouted.values):
            assert shown_secrets(repr(event)) == set()
            assert shown_secrets(repr(event.raw))  # the event itself is what the server has sent


@pytest.mark.parametrize("way", ["delta", "failed", "id"])
def test_scenario_74_an_observer_that_raises_at_what_comes_back(way: str) -> None:
    reported: list[BaseException] = []

    def fail(event: ServerEvent) -> None:
        if event.type != "response.created":
            raise RuntimeError("observer failed")

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        with EchoServer(way) as server:
            async with connect(server.url) as socket:
                await AsyncRecorder(socket.send_request(request()), fail).until_end()

    asyncio.run(ask())
    assert [str(error) for error in reported] == ["observer failed"]
    assert shown_secrets(*frames_of(reported[0].__traceback__)) == set()


def test_scenario_74_a_response_id_that_comes_back() -> None:
    with EchoServer("delta") as server, connect(server.url) as socket:
        got = Recorder(socket.send_request(request())).wait_for(2)
        socket.close()
        assert shown_secrets(*texts_of(got.wait().error)) == set()
        assert got.error.response_id.count("(hidden)") > 1


@pytest.mark.parametrize("way", ["close", "close, no UTF-8", "close, cut"])
@pytest.mark.parametrize("secret", sorted({*SECRETS} - {PASSWORD}))
def test_scenario_74_a_close_reason(way: str, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    with clean_log(caplog), EchoServer(way) as server, connect(server.url) as socket:
        error = error_of(socket.send_request(request(secret)))
        assert shown_secrets(*texts_of(error)) == set()
        assert secret[:10].lower() not in str(error).lower()
        assert ("(hidden)" in str(error)) is (way != "close, no UTF-8")


@pytest.mark.parametrize("way", ["body", "accept", "error", "failed", "limit"])
def test_scenario_74_a_client_and_its_states(way: str, caplog: pytest.LogCaptureFixture) -> None:
    options = ConnectionOptions(headers=HEADERS, close_timeout=0.1)
    with (
        clean_log(caplog),
        EchoServer(way) as server,
        ResponsesClient(server.url + URL_QUERY, api_key=KEY, options=options, pool=fast_retries()) as client,
    ):
        states = Recorder(client.state)
        error = error_of(client.send_request(request()))
        assert shown_secrets(*texts_of(error)) == set()
        for state in states.values:
            assert (
                shown_secrets(repr(state), *([] if state.connect_error is None else texts_of(state.connect_error)))
                == set()
            )
        assert shown_secrets(repr(client), repr(client.lane("a")), repr(options), repr(client._secrets)) == set()


def test_scenario_74_a_proxy_that_sends_back_its_credentials(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with clean_log(caplog), EchoServer("no HTTP") as server:
        monkeypatch.setenv("http_proxy", f"http://user:{PASSWORD}@127.0.0.1:{server.port}")
        options = ConnectionOptions(headers=HEADERS, allow_insecure_credentials=True)
        with ResponsesWebSocket(f"http://example.invalid/v1{URL_QUERY}", api_key=KEY, options=options) as socket:
            logging.getLogger("rxresponses").debug("something is logged")
            error = error_of(socket.send_request(request()))
    assert isinstance(error, ConnectFailedError)
    assert shown_secrets(*texts_of(error)) == set()


# Errors before anything is sent: no frame of the package shows the arguments.


class Broken:
    """No JSON, and no type of any field."""


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [*TOOLS, 5]},
        {"tools": [{**TOOLS[0], "extra": Broken()}]},
        {"tools": TOOLS, "input": Broken()},
        {"tools": TOOLS, "stream": False},
        {"tools": TOOLS, "input": "x" * 2000},
        {"tools": TOOLS, "type": "response.steer"},
        {"tools": TOOLS, "stream_id": "no lane"},
        {"tools": TOOLS[0]},
    ],
)
@pytest.mark.parametrize("is_mapping", [True, False])
def test_scenario_74_a_request_that_is_refused_here(fields: dict[str, Any], is_mapping: bool) -> None:
    fields = {"model": "m", "input": "hi", **fields}
    options = ConnectionOptions(max_request_size=1500)
    for sender in (
        ResponsesWebSocket("http://127.0.0.1:1", options=options),
        ResponsesClient("http://127.0.0.1:1", options=options),
    ):
        for send in (sender.send_request, sender.lane("a").send_request):
            with pytest.raises((InvalidRequestError, TypeError)) as caught:
                send(fields if is_mapping else ResponseCreate(**fields))
            assert shown_secrets(*texts_of(caught.value)) == set()


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"a": MCP_HEADER, "b": 5}},
        {"authorization": [MCP_TOKEN]},
        {"authorization": MCP_TOKEN, "server_label": 5},
        {"authorization": MCP_TOKEN, "unknown": 5},
        {"authorization": MCP_TOKEN, "server_url": f"https://x/?{MCP_QUERY}", "type": 5},
    ],
)
def test_scenario_74_a_tool_that_is_refused_here(fields: dict[str, Any]) -> None:
    fields = {"server_label": "label", **fields}
    makers: list[Callable[[], Mcp]] = [lambda: Mcp(**fields)]
    if "unknown" not in fields:
        makers.append(lambda: Mcp.from_dict(fields))
    for make in makers:
        with pytest.raises((ResponsesError, TypeError)) as caught:
            make()
        assert shown_secrets(*texts_of(caught.value)) == set()


@pytest.mark.parametrize("make", [ResponsesWebSocket, ResponsesClient])
@pytest.mark.parametrize(
    "arguments",
    [
        {"url": f"https://user:{PASSWORD}@host/v1", "api_key": KEY},
        {"url": f"ftp://host/v1?{QUERY}", "api_key": KEY},
        {"url": f"ws://host.example/v1?key={QUERY}", "api_key": KEY},
        {"url": f"https://host/v1?key={QUERY}", "api_key": f"{KEY}\n"},
        {"url": f"https://host/v1?key={QUERY}", "api_key": [KEY]},
        {"url": f"https://host/v1?key={QUERY}", "api_key": KEY, "options": {"headers": {"X-Gate": HEADER}}},
        {"url": [QUERY], "api_key": KEY},
    ],
)
def test_scenario_74_a_sender_that_is_refused(make: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        make(**arguments)
    assert shown_secrets(*texts_of(caught.value)) == set()
    half_made = make.__new__(make)
    assert "half made" in repr(half_made)


@pytest.mark.parametrize("headers", [{"X-Gate": f"{HEADER}\n"}, {"X-Gate": HEADER, "X y": "z"}, {"a": HEADER, "b": 5}])
def test_scenario_74_options_that_are_refused(headers: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ConnectionOptions(headers=headers)
    assert shown_secrets(*texts_of(caught.value)) == set()


def test_scenario_74_an_embedded_server_that_is_refused() -> None:
    arguments: dict[str, Any] = {"api_key": KEY, "faults": [5]}
    with pytest.raises(TypeError) as caught:
        ResponsesServer(**arguments)
    assert shown_secrets(*frames_of(caught.value.__traceback__)) == set()


def test_scenario_74_a_block_that_raises_with_the_url_of_a_service() -> None:
    with pytest.raises(RuntimeError) as caught, url_or_embedded_server(f"https://host/v1?key={QUERY}"):
        raise RuntimeError("the program's own")
    assert shown_secrets(*frames_of(caught.value.__traceback__)) == set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "https://127.0.0.1:1/v1"])
def test_scenario_74_a_server_that_is_not_there(url: str) -> None:
    with connect(url) as socket:
        error = error_of(socket.send_request(request()))
    assert shown_secrets(*texts_of(error)) == set()


@pytest.mark.parametrize("way", ["body", "error", "failed", "incomplete", "close"])
def test_scenario_74_a_trace_of_what_comes_back(way: str) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk, which the extra `test` installs")
    from ..support.telemetry import Telemetry

    telemetry = Telemetry()
    try:
        with EchoServer(way) as server, connect(server.url) as socket:
            sender = telemetry.traced(socket)
            error_of(sender.send_request(request(MCP_TOKEN)))
            span = telemetry.span
            assert shown_secrets(span.to_json(), repr(telemetry.points("gen_ai.client.operation.duration"))) == set()
            assert "(hidden)" in span.to_json()
            with pytest.raises(InvalidRequestError) as caught:
                sender.send_request({"model": "m", "tools": [*TOOLS, 5]})
            assert shown_secrets(repr(sender), *texts_of(caught.value)) == set()
            assert "half made" in repr(type(sender).__new__(type(sender)))
    finally:
        telemetry.shutdown()


def test_scenario_74_the_journal_of_the_embedded_server(caplog: pytest.LogCaptureFixture) -> None:
    with clean_log(caplog), ResponsesServer() as server, connect(server.url) as socket:
        seen: list[str] = []

        def reply(request: Request) -> str:
            seen.append(repr(request))
            return "hi"

        server.reply(reply)
        Recorder(socket.send_request(request())).wait()
        assert len(server.journal) == len(seen) == 1
        assert shown_secrets(repr([server, server.journal, server.exchanges, server.upgrades, seen])) == set()
        assert shown_secrets(repr(server.upgrades[0].headers), repr(server.requests)) == {*SECRETS} - {PASSWORD, QUERY}


def test_scenario_74_no_repr_shows_a_secret() -> None:
    options = ConnectionOptions(headers=HEADERS)
    with connect("http://127.0.0.1:1/v1") as socket:
        task = Task(1, "digest", {"tools": TOOLS})
        made = request()
        shown = [socket, socket._credentials, socket._secrets, socket.send_request(made), options, task, made]
        shown.append(Mcp(**TOOLS[0]))
        assert shown_secrets(*map(repr, shown)) == set()
    for cls in (ResponseCreate, Mcp, ResponsesWebSocket, ResponsesClient, Lane, Headers):
        assert repr(cls.__new__(cls))  # half made


# The command line.


@pytest.mark.parametrize("way", ["body", "error", "failed", "incomplete", "refusal", "text"])
def test_scenario_74_a_batch_that_comes_back(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    requests, results = tmp_path / "requests.jsonl", tmp_path / "results.jsonl"
    requests.write_text(json.dumps({"model": "m", "input": "hi", "tools": TOOLS}))
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object"}))
    with EchoServer(way) as server:
        arguments = [
            "--url",
            server.url + URL_QUERY,
            "--header",
            f"X-Gate: {HEADER}",
            "--header",
            f"Cookie: s={COOKIE}",
        ]
        main(["batch", str(requests), "-o", str(results), "--fail-refused", "--fail-incomplete", *arguments])
        checked = tmp_path / "checked.jsonl"
        main(["batch", str(requests), "-o", str(checked), "--schema", str(schema), *arguments])
    assert shown_secrets(results.read_text(), checked.read_text(), *capsys.readouterr()) == set()


@pytest.mark.parametrize("way", ["body", "error", "failed", "incomplete", "refusal", "text"])
@pytest.mark.parametrize("form", [[], ["--events"]])
def test_scenario_74_an_answer_that_comes_back(
    way: str, form: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with EchoServer(way) as server:
        main(["ask", "--url", server.url + URL_QUERY, "--header", f"X-Gate: {HEADER}", *form, "hi"])
    assert shown_secrets(*capsys.readouterr()) == set()
