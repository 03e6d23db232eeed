"""Which upgrades to a WebSocket the server refuses, and with which body."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from .faults import RefuseUpgrade

PATH = "/v1/responses"


def check_upgrade(path: str, authorization: str | None, api_key: str | None) -> RefuseUpgrade | None:
    """Return why an upgrade is refused, `None` if it is welcome.

    The path counts without its query.  With an `api_key` the request must carry it as its bearer token.
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


def _refusal(status: int, kind: str, code: str | None, message: str) -> RefuseUpgrade:
    return RefuseUpgrade(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})
