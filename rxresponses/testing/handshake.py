"""Which WebSocket upgrades the server refuses, and with which HTTP response."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from .faults import RefuseUpgrade

PATH = "/v1/responses"


def check_upgrade(path: str, authorization: str | None, api_key: str | None) -> RefuseUpgrade | None:
    """Return the refusal of an upgrade, `None` if the server accepts it.

    Args:
        path: the path of the request; its query is ignored.
        authorization: the value of the `Authorization` header, `None` without one.
        api_key: the bearer token that the request must carry; `None` accepts every request.
    """
    try:
        resource = urlsplit(path).path
    except ValueError:  # such as `//[`
        resource = path
    if resource != PATH:
        return _refusal(404, "invalid_request_error", "unknown_url", f"Invalid URL (GET {resource})")
    if api_key is None:
        return None
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return _refusal(401, "invalid_request_error", None, "Missing bearer authentication in header")
    # A header may have bytes that are not UTF-8, which websockets gives as surrogates.
    if not hmac.compare_digest(token.strip().encode(errors="surrogateescape"), api_key.encode()):
        return _refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
    return None


def check_headers(headers: Iterable[tuple[str, str]]) -> RefuseUpgrade | None:
    """Return the refusal of an upgrade whose headers hold bytes that no WebSocket header can have, otherwise `None`.

    websockets repeats a wrong value in its own refusal, and fails if that is not text.

    Args:
        headers: the names in lower case, and the values.
    """
    for name, value in headers:
        if (name in ("connection", "upgrade") or name.startswith("sec-websocket")) and not value.isascii():
            return _refusal(400, "invalid_request_error", None, f"Invalid header '{name}': it is not ASCII.")
    return None


class AllowedOrigins:
    """The web pages that may connect.  Only browsers send an `Origin`, and they send it for every page.

    Without this check, any web page that the user of a server visits could talk to the server.

    Args:
        allowed: origins such as `http://localhost:3000`, `*` for all of them.

    Raises:
        TypeError: if `allowed` is a string.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        if isinstance(allowed, str):
            raise TypeError(f"allow_origins takes a list of origins: [{allowed!r}]")
        self._allowed = {_normalized(origin) for origin in allowed}

    def check(self, origins: Iterable[str], hosts: set[str], port: int) -> RefuseUpgrade | None:
        """Return the refusal of an upgrade from a foreign web page, `None` if the upgrade may go on.

        The host of the request does not count: a foreign page can choose the name that leads to this address.

        Args:
            origins: the values of all `Origin` headers of the request.
            hosts: the names and addresses of the server.
            port: the port of the server.
        """
        if "*" in self._allowed:
            return None
        own = {_normalized(f"http://{f'[{host}]' if ':' in host else host}:{port}") for host in hosts}
        if "127.0.0.1" in hosts or "::1" in hosts:
            own.add(_normalized(f"http://localhost:{port}"))
        for origin in origins:
            if _normalized(origin) not in self._allowed | own:
                message = f"Web pages of the origin {origin!r} may not use this server. Start the server with this "
                message += "origin in allow_origins, or with --allow-origin, to let them."
                return _refusal(403, "invalid_request_error", "origin_not_allowed", message)
        return None


def _normalized(origin: str) -> str:
    origin = origin.strip().rstrip("/").lower()
    return origin.removesuffix(":80") if origin.startswith("http://") else origin.removesuffix(":443")


def _refusal(status: int, error_type: str, code: str | None, message: str) -> RefuseUpgrade:
    return RefuseUpgrade(status, {"error": {"message": message, "type": error_type, "param": None, "code": code}})
