"""Which proxy a connection goes through."""

from __future__ import annotations

import pytest

from rxresponses.proxies import is_exempt, proxy_from, proxy_url, with_plain_password
from rxresponses.redaction import display

URL = "wss://api.example.com/v1/responses"
SECRET = "secret"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("HTTPS://Proxy/", "https://Proxy"),
        ("proxy:3128", "http://proxy:3128"),
        ("10.0.0.1", "http://10.0.0.1"),
        (" user:pw@proxy:3128 ", "http://user:pw@proxy:3128"),
        ("http://token@proxy", "http://token:@proxy"),
        ("http://user:p%40w@[::1]:3128", "http://user:p%40w@[::1]:3128"),
        ("socks5://proxy", "socks5://proxy:1080"),
        ("socks5h://[::1]", "socks5h://[::1]:1080"),
        ("socks4://proxy:9", "socks4://proxy:9"),
        ("socks4a://u:p@proxy", "socks4a://u:p@proxy:1080"),
        ("socks://proxy:1080/", "socks5h://proxy:1080"),
    ],
)
def test_scenario_65_urls_of_proxies(text: str, url: str) -> None:
    assert proxy_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        f"http://{SECRET}@",
        f"http://u:{SECRET}@:3128",
        f"http://u:{SECRET}@proxy:port",
        f"http://u:{SECRET}@proxy:0",
        f"http://u:{SECRET}@proxy:99999",
        f"http://u:{SECRET}@proxy/path",
        f"http://proxy?{SECRET}",
        f"http://proxy#{SECRET}",
        f"http://u:{SECRET} @proxy",
        f"http://u:{SECRET}\n@proxy",
        f"http://u:{SECRET}@[::1",
        f"ftp://u:{SECRET}@proxy",
    ],
)
def test_scenario_65_urls_that_are_no_proxys(text: str) -> None:
    with pytest.raises(ValueError, match="the proxy of a test") as caught:
        proxy_url(text, "the proxy of a test")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://user:pw@proxy", "http://user:pw@proxy"),
        ("http://us%40er:p%40w%3A%25@proxy:1", "http://us@er:p@w:%@proxy:1"),
        ("http://us%3Aer:p%40w@proxy", None),
        ("http://user:p%2Fw@proxy", None),
        ("http://user:p%23w@proxy", None),
        ("http://user:p%0Aw@proxy", None),
        ("http://user:p%C3%A9w@proxy", None),
    ],
)
def test_scenario_65_a_percent_encoded_password_is_decoded(url: str, plain: str | None) -> None:
    assert with_plain_password(url) == (plain or url)


def test_scenario_65_the_name_of_a_proxy_has_no_password() -> None:
    assert display(f"http://user:{SECRET}@proxy:3128") == "http://proxy:3128"
    assert display("socks5h://proxy:1080") == "socks5h://proxy:1080"


@pytest.mark.parametrize(
    ("scheme", "variables", "proxy"),
    [
        ("wss", {}, None),
        ("wss", {"http": "http://h:1"}, None),
        ("wss", {"https": "http://s:1", "http": "http://h:1"}, "http://s:1"),
        ("ws", {"http": "http://h:1"}, "http://h:1"),
        ("ws", {"https": "http://s:1", "http": "http://h:1"}, "http://s:1"),
        ("wss", {"all": "http://a:1"}, "http://a:1"),
        ("ws", {"all": "http://a:1"}, "http://a:1"),
        ("ws", {"all": "socks5://a"}, "socks5://a:1080"),
        ("wss", {"all": "a:1"}, "http://a:1"),
        ("wss", {"all": "http://a:1", "https": "http://s:1"}, "http://s:1"),
        ("ws", {"all": "http://a:1", "http": "http://h:1"}, "http://h:1"),
        ("wss", {"all": "http://a:1", "https": " "}, "http://a:1"),
        ("wss", {"wss": "http://w:1", "socks": "http://k:1", "https": "http://s:1"}, "http://w:1"),
        ("wss", {"socks": "http://k:1", "https": "http://s:1"}, "socks5h://k:1"),
        ("wss", {"socks": "k:1"}, "socks5h://k:1"),
        ("wss", {"socks": "socks4://k:1"}, "socks4://k:1"),
        ("ws", {"ws": "w:1", "wss": "http://s:1"}, "http://w:1"),
        ("wss", {"all": "http://a:1", "no": "other.com, api.example.com"}, None),
        ("wss", {"all": "http://a:1", "no": "other.com"}, "http://a:1"),
        ("wss", {"all": "http://a:1", "no": "api.example.com:443"}, None),
        ("ws", {"all": "http://a:1", "no": "api.example.com:443"}, "http://a:1"),
    ],
)
def test_scenario_65_the_proxy_of_the_environment(scheme: str, variables: dict[str, str], proxy: str | None) -> None:
    assert proxy_from(f"{scheme}://api.example.com/v1/responses", variables) == proxy


def test_scenario_65_a_wrong_proxy_of_the_environment_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"\(all_proxy\)") as caught:
        proxy_from(URL, {"all": f"ftp://{SECRET}@h"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "no_proxy", "exempt"),
    [
        ("example.com", "", False),
        ("example.com", " , ,", False),
        ("example.com", "*", True),
        ("10.0.0.1", "a.com,*", True),
        ("example.com", "example.com", True),
        ("EXAMPLE.com.", "Example.COM.", True),
        ("api.example.com", "example.com", True),
        ("api.example.com", ".example.com", True),
        ("example.com", ".example.com", True),
        ("api.example.com", "*.example.com", True),
        ("notexample.com", "example.com", False),
        ("notexample.com", ".example.com", False),
        ("example.com.evil", "example.com", False),
        ("example.com", "a.com b.com example.com", True),
        ("example.com", "https://example.com", True),
        ("example.com", "example.com:443", True),
        ("example.com", "example.com:8443", False),
        ("api.example.com", ".example.com:443", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.9/24", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "fd00::/8", False),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "fd00:0:0::1", True),
        ("fd00::1", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]:443", True),
        ("fd00::1", "[fd00::1]:80", False),
        ("fd00::2", "fd00::1", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("10.example.com", "10.0.0.0/8", False),
        ("example.com", ".", False),
    ],
)
def test_scenario_65_hosts_without_a_proxy(host: str, no_proxy: str, exempt: bool) -> None:
    assert is_exempt(host, 443, no_proxy) is exempt
