from __future__ import annotations

from typing import Any

import pytest

from rxresponses.testing.faults import RefuseUpgrade
from rxresponses.testing.handshake import AllowedOrigins, check_headers, check_upgrade


def error_of(refusal: RefuseUpgrade) -> dict[str, Any]:
    assert isinstance(refusal.content, dict)
    error = refusal.content["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses?model=gpt-4o&x=1"])
@pytest.mark.parametrize("authorization", [None, "Bearer anything", "Basic x"])
def test_without_a_key_every_client_is_accepted(path: str, authorization: str | None) -> None:
    assert check_upgrade(path, authorization, None) is None


@pytest.mark.parametrize("path", ["/", "/v1/responses/", "/v1/realtime", "/responses"])
def test_an_upgrade_on_another_path_is_refused(path: str) -> None:
    refusal = check_upgrade(path, "Bearer secret", "secret")

    assert refusal is not None
    assert refusal.status == 404
    assert error_of(refusal)["message"] == f"Invalid URL (GET {path})"


@pytest.mark.parametrize("authorization", ["Bearer secret", "bearer secret", "Bearer  secret "])
def test_the_right_key_is_accepted(authorization: str) -> None:
    assert check_upgrade("/v1/responses", authorization, "secret") is None


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, None),
        ("", None),
        ("secret", None),
        ("Bearer ", None),
        ("Basic secret", None),
        ("Bearer wrong", "invalid_api_key"),
    ],
)
def test_a_wrong_key_is_refused(authorization: str | None, code: str | None) -> None:
    refusal = check_upgrade("/v1/responses", authorization, "secret")

    assert refusal is not None
    assert refusal.status == 401
    assert error_of(refusal)["code"] == code
    assert "secret" not in str(refusal.body)


@pytest.mark.parametrize(
    "path", ["//[", "http://[::1", "", "?", "/v1/responses#\udcff", "\udcff", "*", "//v1/responses"]
)
def test_scenario_77_an_odd_path_is_refused(path: str) -> None:
    refusal = check_upgrade(path, None, None)
    if path.endswith("#\udcff"):
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.status == 404
        assert error_of(refusal)["code"] == "unknown_url"


def test_the_absolute_form_of_the_path_is_accepted() -> None:
    assert check_upgrade("http://test:80/v1/responses?a=b", None, None) is None


@pytest.mark.parametrize("authorization", ["Bearer \udcff", "Bearer é", "Bearer", "\udcff secret", "", "Bearer  "])
def test_scenario_77_an_odd_key_is_refused(authorization: str) -> None:
    refusal = check_upgrade("/v1/responses", authorization, "secret")
    assert refusal is not None
    assert refusal.status == 401


@pytest.mark.parametrize("name", ["connection", "upgrade", "sec-websocket-key", "sec-websocket-extensions"])
def test_scenario_77_a_header_that_is_not_text_is_refused(name: str) -> None:
    assert check_headers([("host", "test"), ("x", "\udcff"), (name, "websocket")]) is None
    refusal = check_headers([("host", "test"), (name, "\udcff")])
    assert refusal is not None
    assert (refusal.status, error_of(refusal)["message"]) == (400, f"Invalid header '{name}': it is not ASCII.")


LOOPBACK = {"127.0.0.1"}


def is_allowed(origin: str, *allowed: str, hosts: set[str] = LOOPBACK, port: int = 8000) -> bool:
    refusal = AllowedOrigins(allowed).check([origin], hosts, port)
    if refusal is not None:
        assert refusal.status == 403
        assert "--allow-origin" in error_of(refusal)["message"]
    return refusal is None


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:8000", "http://localhost:8000", "HTTP://LOCALHOST:8000", "http://localhost:8000/"],
)
def test_scenario_69_pages_of_the_server_itself_are_allowed(origin: str) -> None:
    assert is_allowed(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example",
        "http://evil.example:8000",  # also if this name leads to the server, and is in the header `Host`
        "http://localhost.evil.example:8000",
        "http://127.0.0.1.evil.example:8000",
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://localhost:8000",
        "null",
        "",
        "file://",
        "\udcff",
        "http://[",
        "*",
    ],
)
def test_scenario_69_foreign_web_pages_are_refused(origin: str) -> None:
    assert not is_allowed(origin)
    assert not is_allowed(origin, "http://localhost:4000")
    if origin.startswith("http"):
        assert is_allowed(origin, "http://localhost:4000", origin)
    assert is_allowed(origin, "*")


def test_scenario_69_an_allowed_origin_is_compared_as_origins_are() -> None:
    assert is_allowed("https://app.example", "https://APP.example:443/")
    assert is_allowed("http://app.example:80", "http://app.example")
    assert not is_allowed("http://app.example", "https://app.example")


def test_scenario_69_own_origins_of_other_addresses() -> None:
    assert is_allowed("http://192.0.2.1:8000", hosts={"0.0.0.0", "192.0.2.1"})
    assert is_allowed("http://[::1]:8000", hosts={"::1"})
    assert is_allowed("http://localhost:8000", hosts={"::1"})
    assert not is_allowed("http://localhost:8000", hosts={"192.0.2.1"})
    assert is_allowed("http://localhost", port=80)


def test_scenario_69_one_foreign_origin_among_several_is_enough() -> None:
    origins = AllowedOrigins([])
    assert origins.check([], LOOPBACK, 8000) is None  # all programs but browsers
    assert origins.check(["http://localhost:8000", "http://evil.example"], LOOPBACK, 8000) is not None


def test_a_single_string_is_not_a_list_of_origins() -> None:
    with pytest.raises(TypeError, match=r"\['http://a'\]"):
        AllowedOrigins("http://a")
