"""The URL to connect to, and whether a credential may be sent there."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.errors import ConfigurationError
from rxresponses.net.endpoint import check_credentials, endpoint, is_official
from rxresponses.redaction import display

SECRET = "sk-secret"


def refused(base: Any, model: str | None = "m") -> str:
    """Check that every function refuses a URL with the same text; return the text."""
    texts = set()
    for use in (
        lambda: endpoint(base, model),
        lambda: is_official(base),
        lambda: check_credentials(base, has_key=False, headers=[], allow_insecure=True),
    ):
        with pytest.raises(ConfigurationError) as caught:
            use()
        assert caught.value.__context__ is None
        texts.add(str(caught.value))
    (text,) = texts
    return text


@pytest.mark.parametrize(
    ("base", "model", "url"),
    [
        (None, "gpt-4.1", "wss://api.openai.com/v1/responses"),
        ("https://api.openai.com/v1", "gpt-4.1", "wss://api.openai.com/v1/responses"),
        ("https://gateway.example.com/v1", "gpt-4o", "wss://gateway.example.com/v1/responses?model=gpt-4o"),
        ("https://gateway.example.com/v1/", "gpt-4o", "wss://gateway.example.com/v1/responses?model=gpt-4o"),
        ("https://gateway.example.com/v1/responses", "gpt-4o", "wss://gateway.example.com/v1/responses?model=gpt-4o"),
        ("wss://gateway.example.com/v1/responses", "gpt-4o", "wss://gateway.example.com/v1/responses?model=gpt-4o"),
        ("http://gateway.example.com/v1", "gpt-4o", "ws://gateway.example.com/v1/responses?model=gpt-4o"),
    ],
)
def test_urls_by_the_rules_for_gateways(base: str | None, model: str, url: str) -> None:
    assert endpoint(base, model) == url


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("", "wss://api.openai.com/v1/responses"),
        ("https://api.openai.com/v1?a=1", "wss://api.openai.com/v1/responses?a=1"),
        ("https://API.OpenAI.com:443/v1", "wss://API.OpenAI.com:443/v1/responses"),
        ("https://api.openai.com.example/v1", "wss://api.openai.com.example/v1/responses?model=m"),
        ("https://h", "wss://h/responses?model=m"),
        ("https://h/", "wss://h/responses?model=m"),
        ("https://h/v1/responses/", "wss://h/v1/responses?model=m"),
        ("https://h/v1/my-responses", "wss://h/v1/my-responses/responses?model=m"),
        ("HTTPS://h/V1", "wss://h/V1/responses?model=m"),
        ("WS://h:8080/v1", "ws://h:8080/v1/responses?model=m"),
        (" https://h/v1\n", "wss://h/v1/responses?model=m"),
        ("https://h/v1#fragment", "wss://h/v1/responses?model=m"),
        ("https://h/v1?a=1#fragment", "wss://h/v1/responses?a=1&model=m"),
        ("https://h/v1?api-version=1&a=%20", "wss://h/v1/responses?api-version=1&a=%20&model=m"),
        ("https://h/v1?model=other", "wss://h/v1/responses?model=other"),
        ("https://h/v1?a=1&model=", "wss://h/v1/responses?a=1&model="),
        ("https://h/v1?models=1", "wss://h/v1/responses?models=1&model=m"),
        ("http://[::1]:8080/v1", "ws://[::1]:8080/v1/responses?model=m"),
        ("https://grüße.example/v1", "wss://grüße.example/v1/responses?model=m"),
    ],
)
def test_urls(base: str, url: str) -> None:
    assert endpoint(base, "m") == url
    assert endpoint(endpoint(base, "m"), "other") == url  # an endpoint stays the same, and `model` is added once


@pytest.mark.parametrize("model", [None, ""])
def test_without_a_model_the_url_has_none(model: str | None) -> None:
    assert endpoint("https://h/v1", model) == "wss://h/v1/responses"
    assert endpoint("https://h/v1?a=1", model) == "wss://h/v1/responses?a=1"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_model_comes_back_from_the_url(model: str) -> None:
    url = endpoint("https://h/v1?a=1", model)
    assert url.isascii()
    assert parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True) == {"a": ["1"], "model": [model]}


def test_percent_encoding() -> None:
    assert endpoint("https://h", "a/b c&d=é#") == "wss://h/responses?model=a%2Fb%20c%26d%3D%C3%A9%23"
    assert endpoint("https://h", "\ud83c") == "wss://h/responses?model=%3F"  # a lone surrogate has no encoding


@pytest.mark.parametrize(
    "base",
    [
        "h/v1",
        "api.openai.com",
        "https:h/v1",
        "https://",
        "https:///v1",
        "https://?model=m",
        "ftp://h/v1",
        "file:///v1",
        "://h",
        " ",
        "https://h:0/v1",
        "https://h:65536/v1",
        "https://h:port/v1",
        "https://h:-1/v1",
        "https://[::1/v1",
        "https://@",
        "https://exa mple/v1",
        "https://h/a b",
        "https://h\n.example/v1",
        "https://h/v1\r\nX-Header: 1",
        "https://h/\0",
    ],
)
def test_other_texts_than_urls_are_refused_without_showing_them(base: str) -> None:
    assert "http(s)://host" in refused(base + f"?key={SECRET}")
    assert SECRET not in refused(base + f"?key={SECRET}")


@pytest.mark.parametrize("base", [5, b"https://h/v1", ["https://h"]])
def test_a_url_is_a_string(base: object) -> None:
    assert type(base).__name__ in refused(base)


@pytest.mark.parametrize("user", [f"user:{SECRET}", SECRET, f":{SECRET}", f"{SECRET}:", ""])
@pytest.mark.parametrize("host", ["h", "api.openai.com", "127.0.0.1:80", r"h\@other"])
def test_user_info_is_refused_and_not_shown(user: str, host: str) -> None:
    text = refused(f"https://{user}@{host}/v1")
    assert "user name" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("base", "official"),
    [
        (None, True),
        ("", True),
        ("https://api.openai.com/v1", True),
        ("wss://API.OPENAI.COM", True),
        ("https://eu.api.openai.com/v1", False),
        ("https://api.openai.com.example/v1", False),
        ("https://h/api.openai.com", False),
        ("https://h?api.openai.com", False),
        ("http://localhost:8080", False),
    ],
)
def test_the_official_service(base: str | None, official: bool) -> None:
    assert is_official(base) is official


# --- credentials

INSECURE = [
    "http://h/v1",
    "WS://h/v1",
    "ws://api.openai.com/v1",
    "http://localhost.example.com",
    "http://x.localhost",  # some resolvers ask the network for this name
    "http://127.0.0.1.example.com",
    "http://128.0.0.1",
    "http://0.0.0.0",
    "http://10.0.0.1",
    "http://[::2]",
    "http://[fe80::1]",
]
SECURE = [
    None,
    "https://h/v1",
    "wss://h/v1",
    "http://localhost:8080/v1",
    "http://LOCALHOST",
    "ws://127.0.0.1",
    "ws://127.255.255.254",
    "http://[::1]:8080",
    "http://[0:0:0:0:0:0:0:1]",
]


def check(base: str | None, *, has_key: bool = False, headers: tuple[str, ...] = (), allow: bool = False) -> None:
    check_credentials(base, has_key=has_key, headers=headers, allow_insecure=allow)


@pytest.mark.parametrize("base", INSECURE)
def test_a_credential_over_an_unencrypted_network_is_refused(base: str) -> None:
    with pytest.raises(ConfigurationError, match=r"unencrypted.*allow_insecure_credentials=True") as caught:
        check(base, has_key=True)
    assert caught.value.delivery == "not_sent"
    with pytest.raises(ConfigurationError, match="unencrypted"):
        check(base, headers=("Authorization",))
    check(base, has_key=True, allow=True)
    check(base, headers=("User-Agent", "OpenAI-Organization", "OpenAI-Project"))


@pytest.mark.parametrize("base", SECURE)
def test_a_credential_may_be_encrypted_or_stay_on_this_machine(base: str | None) -> None:
    check(base, has_key=True, headers=("Authorization", "api-key"))


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "PROXY-AUTHORIZATION",
        "api-key",
        "X-Api-Key",
        "Ocp-Apim-Subscription-Key",
        "X-Auth",
        "X-Auth-Token",
        "x-client-secret",
        "Cookie",
        "X-Password",
        "X-Credentials",
    ],
)
def test_headers_that_look_secret_count_as_credentials(header: str) -> None:
    with pytest.raises(ConfigurationError, match="unencrypted"):
        check("http://h/v1", headers=("Accept", header))


@pytest.mark.parametrize("query", [f"api-key={SECRET}", f"a=1&access_token={SECRET}", "TOKEN="])
def test_secret_query_parameters_count_as_credentials(query: str) -> None:
    with pytest.raises(ConfigurationError, match="unencrypted") as caught:
        check(f"http://h/v1?{query}")
    assert SECRET not in str(caught.value)
    check(f"https://h/v1?{query}")
    check(f"http://h/v1?{query}", allow=True)
    check("http://h/v1?api-version=1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"wss://h/v1/responses?token={SECRET}", "wss://h/v1/responses"),
        (f"wss://h/v1?a=1?b={SECRET}", "wss://h/v1"),
        ("wss://h/v1/responses", "wss://h/v1/responses"),
    ],
)
def test_display_hides_the_query(url: str, shown: str) -> None:
    assert display(url) == shown
