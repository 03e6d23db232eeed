"""Which WebSocket upgrades the server refuses, and with which HTTP response."""

from __future__ import annotations

import hmac
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
    if urlsplit(path).path != PATH:
        return _refusal(404, "invalid_request_error", "unknown_url", f"Invalid URL (GET {urlsplit(path).path})")
    if api_key is None:
        return None
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return _refusal(401, "invalid_request_error", None, "Missing bearer authentication in header")
    if not hmac.compare_digest(token.strip().encode(), api_key.encode()):
        return _refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
    return None


def _refusal(status: int, error_type: str, code: str | None, message: str) -> RefuseUpgrade:
    return RefuseUpgrade(status, {"error": {"message": message, "type": error_type, "param": None, "code": code}})
