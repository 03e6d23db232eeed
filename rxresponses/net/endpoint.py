"""The URL to connect to, and whether a credential may be sent there.  No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit, urlunsplit

from ..errors import ConfigurationError
from ..redaction import discreet, is_secret

OFFICIAL_BASE = "https://api.openai.com/v1"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@discreet
def endpoint(base: str | None, model: str | None = None) -> str:
    """Return the WebSocket URL for a base or full endpoint.

    A gateway sees nothing but the URL during the opening handshake, and routes by a `model` query
    parameter.  So `model` is added for every host but the official one, unless the URL already has it.
    An existing query string is kept.  Raises `ConfigurationError` for anything but an `http(s)` or
    `ws(s)` URL.
    """
    parts = _split(base or OFFICIAL_BASE)
    path = parts.path.rstrip("/")
    if not path.endswith("/responses"):
        path += "/responses"
    query = parts.query
    if model and not is_official(base) and "model" not in dict(parse_qsl(query, keep_blank_values=True)):
        query = "&".join(filter(None, (query, f"model={quote(model, safe='', errors='replace')}")))
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, query, ""))


@discreet
def is_official(base: str | None) -> bool:
    """Whether this is the official service, which echoes `stream_id` and needs no `model` in the URL."""
    return not base or _split(base).hostname == "api.openai.com"


@discreet
def check_credentials(
    base: str | None,
    *,
    has_key: bool,
    headers: Iterable[str],
    allow_insecure: bool,
    proxy: str | bool | None = None,
) -> None:
    """Raise `ConfigurationError` when a credential would be sent unencrypted to another machine.

    A credential is an API key, or one of these names of headers (or subprotocols), or of a query parameter, that looks
    secret.  `proxy` is the option of that name: of connections to this machine, only those through a proxy of the
    option leave it.
    """
    query = _split(base or OFFICIAL_BASE).query
    secret = has_key or any(map(is_secret, (*headers, *dict(parse_qsl(query, keep_blank_values=True)))))
    host = unencrypted_host(base, proxy)
    if secret and not allow_insecure and host is not None:
        raise ConfigurationError(
            f"a credential would be sent unencrypted to {host}: use https:// or wss://, or set the option "
            "`allow_insecure_credentials=True` if nobody else can read what is sent on that network"
        )


def unencrypted_host(base: str | None, proxy: str | bool | None = None) -> str | None:
    """Return the other machine that a handshake goes to unencrypted, `None` if it is encrypted or stays here."""
    parts = _split(base or OFFICIAL_BASE)
    if _SCHEMES[parts.scheme] == "wss":
        return None
    hosts = parts.hostname, urlsplit(proxy).hostname if isinstance(proxy, str) else None
    return next((host for host in hosts if host is not None and not is_loopback(host)), None)


def _split(base: str) -> SplitResult:
    if not isinstance(base, str):
        raise ConfigurationError(f"the URL must be a string, not {type(base).__name__}")
    base = base.strip()
    try:
        parts = urlsplit(base)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or " " in base or not base.isprintable():
        raise ConfigurationError("the URL must be http(s)://host/... or ws(s)://host/..., with a valid host and port")
    if "@" in parts.netloc:
        raise ConfigurationError("the URL must not hold a user name or password: pass `api_key` or `headers` instead")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        # `*.localhost` does not count: some resolvers ask the network for these names.
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
