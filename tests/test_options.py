from __future__ import annotations

import copy
import math
import pickle
import ssl
from collections import UserDict
from dataclasses import FrozenInstanceError, fields, replace
from types import MappingProxyType
from typing import Any

import pytest

from rxresponses.errors import ConfigurationError
from rxresponses.options import BreakerOptions, ConnectionOptions, PoolOptions

SECRET = "sk-secret"
TIMES = [
    *("connect_timeout", "close_timeout", "ping_interval", "ping_timeout"),
    *("queue_timeout", "first_event_timeout", "idle_timeout", "steer_timeout"),
]
SIZES = ["max_message_size", "max_request_size", "max_active", "max_buffered_bytes"]
SWITCHES = ["compression", "allow_insecure_credentials"]


def made(**options: Any) -> ConnectionOptions:
    return ConnectionOptions(**options)


def refused(**options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        made(**options)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_every_option_has_a_test() -> None:
    others = {"headers", "on_dispose", "lanes", "ssl", "proxy", "subprotocols", "organization", "project"}
    assert {*TIMES, *SIZES, *SWITCHES} | others == {field.name for field in fields(ConnectionOptions)}


def test_the_defaults_are_safe() -> None:
    options = ConnectionOptions()
    assert options.allow_insecure_credentials is False
    assert options.ssl is None  # the default context, which verifies
    assert options.max_message_size >= 2 * 2**20  # images arrive in one frame
    assert options.max_active == 16
    assert options.lanes is None
    assert options.headers == {}
    assert options.ping_interval
    assert options.ping_timeout
    assert options.connect_timeout
    assert options.steer_timeout  # some servers ignore a steer in silence
    assert options.queue_timeout is options.first_event_timeout is options.idle_timeout is None
    assert options.on_dispose == "drain"


@pytest.mark.parametrize("name", TIMES)
def test_times(name: str) -> None:
    for value in (0.001, 5, 5.5):
        assert getattr(made(**{name: value}), name) == value
    for bad in (0, -1, math.nan, math.inf, "5", True, [5]):
        assert f"`{name}`" in refused(**{name: bad})


@pytest.mark.parametrize("name", TIMES)
def test_all_times_but_that_of_closing_can_be_turned_off(name: str) -> None:
    if name == "close_timeout":
        assert "`close_timeout`" in refused(close_timeout=None)
    else:
        assert getattr(made(**{name: None}), name) is None


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str) -> None:
    for value in (1, 2**40):
        assert getattr(made(**{name: value}), name) == value
    for bad in (0, -1, 1.0, math.inf, "5", None, True):
        assert f"`{name}`" in refused(**{name: bad})


@pytest.mark.parametrize("name", SWITCHES)
def test_switches(name: str) -> None:
    for value in (True, False):
        assert getattr(made(**{name: value}), name) is value
    for bad in ("no", 0, 1, None):  # a string such as "false" would count as true
        assert f"`{name}`" in refused(**{name: bad})


def test_lanes() -> None:
    for value in (True, False, None):
        assert ConnectionOptions(lanes=value).lanes is value
    for bad in ("yes", 1, 32):
        assert "`lanes`" in refused(lanes=bad)


def test_on_dispose() -> None:
    assert made(on_dispose="close").on_dispose == "close"
    for bad in ("stop", "", None, True, ["close"]):
        assert "`on_dispose`" in refused(on_dispose=bad)


def test_ssl() -> None:
    context = ssl.create_default_context()
    assert ConnectionOptions(ssl=context).ssl is context
    for bad in (True, False, "cert.pem"):
        assert "`ssl`" in refused(ssl=bad)


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        (True, True),
        (None, None),
        (False, None),
        ("", None),
        (f"http://user:{SECRET}@proxy:3128", f"http://user:{SECRET}@proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
    ],
)
def test_scenario_65_proxy(value: Any, proxy: Any) -> None:
    options = made(proxy=value)
    assert options.proxy == proxy
    assert replace(options, max_active=1).proxy == proxy
    assert SECRET not in repr(options)


@pytest.mark.parametrize("bad", [f"ftp://{SECRET}@h", f"http://{SECRET}@", 5, [SECRET]])
def test_scenario_65_a_wrong_proxy_is_refused_and_not_shown(bad: object) -> None:
    assert "`proxy`" in refused(proxy=bad)


@pytest.mark.parametrize("kind", [dict, MappingProxyType, UserDict])
def test_headers(kind: Any) -> None:
    headers = {"api-key": SECRET, "X-Empty": "", "X-Words": "two words"}
    assert ConnectionOptions(headers=kind(headers)).headers == headers


@pytest.mark.parametrize(
    "value", [f"{SECRET}\n", f"{SECRET}\r\nX: 1", f"{SECRET}\0", f"{SECRET}é", 5, None, SECRET.encode()]
)
def test_header_values_are_one_line(value: object) -> None:
    assert "'api-key'" in refused(headers={"X-Good": "1", "api-key": value})


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", f"Authorization: {SECRET}", "é", 5, None])
def test_header_names_are_tokens(name: object) -> None:
    assert "a name that HTTP does not allow" in refused(headers={name: "x"})


@pytest.mark.parametrize("headers", [None, [("api-key", SECRET)], SECRET])
def test_headers_are_a_mapping(headers: object) -> None:
    assert "`headers` must be a mapping" in refused(headers=headers)


@pytest.mark.parametrize(
    "name",
    ["Connection", "UPGRADE", "content-length", "Transfer-Encoding", "Sec-WebSocket-Key", "sec-websocket-protocol"],
)
def test_scenario_65_headers_that_the_handshake_sets_are_refused(name: str) -> None:
    assert "set by the handshake itself" in refused(headers={name: SECRET})


@pytest.mark.parametrize(
    "value", ["", " ", ":80", "a b", "user@host", "host/path", "host?x", "host:port", "[::1", "h:99999"]
)
def test_scenario_65_a_host_header_is_host_and_port(value: str) -> None:
    assert "HOST or HOST:PORT" in refused(headers={"host": value})


@pytest.mark.parametrize("value", ["host", "host:80", "[::1]", "[::1]:80", "10.0.0.1:8080"])
def test_scenario_65_host_headers(value: str) -> None:
    assert made(headers={"Host": value}).headers == {"Host": value}


def test_scenario_65_headers_of_a_function() -> None:
    def headers() -> dict[str, str]:
        return {}

    assert made(headers=headers).headers is headers
    assert "a function that returns one, not int" in refused(headers=5)


@pytest.mark.parametrize("value", [[], ("a",), ["a", "b.c-d"]])
def test_scenario_65_subprotocols(value: Any) -> None:
    assert made(subprotocols=value).subprotocols == tuple(value)


@pytest.mark.parametrize("bad", [SECRET, None, 5, [""], [f"{SECRET} x"], [f"{SECRET},x"], [5], [SECRET, SECRET]])
def test_scenario_65_wrong_subprotocols_are_refused(bad: object) -> None:
    assert "`subprotocols`" in refused(subprotocols=bad)


@pytest.mark.parametrize("name", ["organization", "project"])
def test_scenario_65_ids_of_the_account(name: str) -> None:
    for value in (None, "", "org-1"):
        assert getattr(made(**{name: value}), name) == value
    for bad in (f"{SECRET}\n", "é", 5, True):
        assert f"`{name}`" in refused(**{name: bad})


def test_later_changes_of_the_headers_have_no_effect() -> None:
    headers = {"a": "b"}
    options = ConnectionOptions(headers=headers)
    headers["a"] = "b\r\nX: 1"
    assert options.headers == {"a": "b"}
    with pytest.raises(FrozenInstanceError):
        options.max_active = 5  # type: ignore[misc]
    assert options == ConnectionOptions(headers={"a": "b"})
    assert replace(options, max_active=5) == ConnectionOptions(headers={"a": "b"}, max_active=5)
    with pytest.raises(ConfigurationError):
        replace(options, max_active=0)


def test_unknown_and_positional_options_are_type_errors() -> None:
    with pytest.raises(TypeError, match="conect_timeout"):
        ConnectionOptions(conect_timeout=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ConnectionOptions({})  # type: ignore[call-arg]


def test_no_repr_shows_a_header() -> None:
    options = ConnectionOptions(headers={"api-key": SECRET}, max_active=5)
    assert SECRET not in repr(options)
    assert "api-key" not in repr(options)
    assert "max_active=5" in repr(options)


def test_options_can_be_copied() -> None:
    options = ConnectionOptions(headers={"a": "b"}, lanes=True)
    assert copy.deepcopy(options) == pickle.loads(pickle.dumps(options)) == options


# --- the pool


@pytest.mark.parametrize(
    "options",
    [
        {"max_connections": 0},
        {"max_connections": 1.0},
        {"max_connections": True},
        {"max_queued": 0},
        {"min_idle": -1},
        {"close_idle_after": 0},
        {"close_idle_after": "60"},
        {"max_age": float("inf")},
        {"max_age": True},
        {"age_jitter": -0.1},
        {"age_jitter": 0.95},
        {"age_jitter": True},
        {"min_idle": 9},
        {"backoff": 1.0},
    ],
)
def test_invalid_pool_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        PoolOptions(**options)


def test_options_of_a_pool() -> None:
    options = PoolOptions(max_connections=2, min_idle=2, age_jitter=0, max_age=60)
    assert (options.max_connections, options.min_idle) == (2, 2)
    assert options == PoolOptions(max_connections=2, min_idle=2, age_jitter=0, max_age=60)


@pytest.mark.parametrize(
    "options",
    [
        {"failures": 0},
        {"failures": True},
        {"failures": 1.5},
        {"window": 0},
        {"window": "20"},
        {"share": 0},
        {"share": 1.1},
        {"share": True},
        {"share": "half"},
    ],
)
def test_invalid_breaker_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        BreakerOptions(**options)


def test_options_of_a_breaker() -> None:
    assert BreakerOptions(failures=1, share=1, window=1) == BreakerOptions(failures=1, share=1.0, window=1)
