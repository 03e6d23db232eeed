"""What a pool wants done.  The driver of the pool does it, and tells the pool what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .lanes import PoolConnection, PoolRequest


@dataclass(frozen=True)
class OpenConnection:
    """Open a connection; then call `connection_opened` or `connection_ended`."""

    connection: PoolConnection


@dataclass(frozen=True)
class CloseConnection:
    """Close a connection, on which nothing runs."""

    connection: PoolConnection


@dataclass(frozen=True)
class SendRequest:
    """Send a request on `request.lane`."""

    request: PoolRequest


@dataclass(frozen=True)
class FailRequest:
    """Tell the sender of a request, which was not sent, this error."""

    request: PoolRequest
    error: Exception


Action: TypeAlias = OpenConnection | CloseConnection | SendRequest | FailRequest
