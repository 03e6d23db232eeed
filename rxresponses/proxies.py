"""Which proxy a connection goes through: the rules of `websockets`, and of what the official SDK uses.  No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

_SCHEMES = ("http", "https", "socks5h", "socks5", "socks4a", "socks4")
_SOCKS_PORT = 1080
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
"""The port of a URL that has none, by its scheme."""

# Which variables count, the first one that is set.  The order is that of `websockets`; `ALL_PROXY` comes last, as the
# official SDK and curl have it.
_VARIABLES = {"wss": ("wss", "socks", "https", "all"), "ws": ("ws", "socks", "https", "http", "all")}


def proxy_url(text: str, name: str = "`proxy`") -> str:
    """Return the URL of a proxy with its scheme, which is `http://` where the text has none.

    A SOCKS proxy without a port has port 1080.  Raises `ValueError` for a URL that is no proxy's: its text has
    `name`, and does not show the URL, which may hold a password.
    """
    text = text.strip()
    parts = _split(text if "://" in text else f"http://{text}", name)
    scheme = "socks5h" if parts.scheme == "socks" else parts.scheme
    if scheme not in _SCHEMES:
        raise ValueError(f"{name} has the scheme {scheme}://, not one of {', '.join(_SCHEMES)}")
    netloc = parts.netloc
    user, at, host = netloc.rpartition("@")
    if at and ":" not in user:
        user += ":"  # websockets wants a password, which may be empty
    if scheme.startswith("socks") and parts.port is None:
        host = f"{host.rstrip(':')}:{_SOCKS_PORT}"
    return urlunsplit((scheme, f"{user}{at}{host}", "", "", ""))


def _split(url: str, name: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or not url.isprintable() or " " in url or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(
            f"{name} must be the URL of a proxy, SCHEME://HOST:PORT or SCHEME://USER:PASSWORD@HOST:PORT (not shown: it "
            "may hold a password)"
        )
    return parts


def with_plain_password(url: str) -> str:
    """Return the URL of a proxy with user name and password as they are, not percent-encoded.

    Before version 17.2, websockets sends them as they stand in the URL, so that a proxy would refuse them.  Those with
    characters that end this part of a URL, as `/` does, stay encoded.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    plain = f"{unquote(name)}{colon}{unquote(password)}{at}{host}"
    is_safe = plain.isascii() and plain.isprintable() and ":" not in unquote(name)
    if not is_safe or any(character in unquote(user) for character in "/?#[]\\ "):
        return url
    return urlunsplit((parts.scheme, plain, "", "", ""))


def proxy_from(url: str, variables: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a `ws://` or `wss://` URL, `None` if the connection needs no proxy.

    `variables` are those that `urllib.request.getproxies` returns: `https` is `HTTPS_PROXY`, and `no` is `NO_PROXY`.
    Raises `ValueError` for a proxy that cannot be used.
    """
    parts = urlsplit(url)
    if is_exempt(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme], variables.get("no", "")):
        return None
    for variable in _VARIABLES[parts.scheme]:
        value = variables.get(variable, "").strip()
        if not value:
            continue
        if variable == "socks":  # systems tell it with the scheme http://
            value = f"socks5h://{value.removeprefix('http://')}" if value[:5] != "socks" else value
        return proxy_url(value, f"the proxy in the environment ({variable}_proxy)")
    return None


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether `NO_PROXY` exempts a host, by the rules of curl.

    Its entries have commas or spaces between them.  An entry is `*` for every host; a name, which stands for its
    subdomains too, with or without a leading `.` or `*.`; an IP address; or a network (`10.0.0.0/8`).  Each may have a
    port behind a colon.
    """
    host = host.rstrip(".").lower()
    return any(_matches(entry.lower(), host, port) for entry in no_proxy.replace(",", " ").split())


def _matches(entry: str, host: str, port: int) -> bool:
    entry = entry.rpartition("://")[2]
    name, only_port = _without_port(entry)
    if only_port is not None and only_port != port:
        return False
    if name == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            network = ipaddress.ip_network(name.strip("[]"), strict=False)
        except ValueError:
            return False
        return address in network
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _without_port(entry: str) -> tuple[str, int | None]:
    """Return an entry of `NO_PROXY` without its port, and the port."""
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
        return name, int(port)
    return entry, None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
