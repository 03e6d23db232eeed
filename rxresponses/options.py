"""How a connection is made: limits, clocks and headers, in one frozen dataclass."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Literal

from .backoff import Backoff
from .errors import ConfigurationError

MEBIBYTE = 2**20
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


_TIMES = (
    *("connect_timeout", "close_timeout", "ping_interval", "ping_timeout"),
    *("queue_timeout", "first_event_timeout", "idle_timeout", "steer_timeout"),
)


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """Options of one socket.  Times are seconds, sizes bytes.

    `connect_timeout` bounds the wait for an asynchronous `api_key` function, and then the whole handshake,
    `close_timeout` the closing one.  A connection is alive as long as pongs come back: a ping goes out each
    `ping_interval`, and none answered for `ping_timeout` is a lost connection; `None` turns either off.
    `max_message_size` bounds what is received (images arrive in one frame, so it is generous),
    `max_request_size` what is sent.
    Clocks of a request, `None` for none: `queue_timeout` while it waits here, `first_event_timeout`
    from when it was sent, `idle_timeout` between its events, each with its own error; and
    `steer_timeout` for the answer to a steer, and again, once it is accepted and the steered response
    has ended, for the response that follows to begin.  A request that a clock ended after it was sent was
    disposed, in effect: it keeps its lane until the server has ended it, so set `queue_timeout` along with
    `first_event_timeout` or `idle_timeout`, or what waits behind it may wait for ever.

    `max_active` responses run at once on a connection, further ones wait here.  `lanes` says whether
    the server echoes `stream_id`; `None` finds it out, which lets one request at a time go first.
    `on_dispose` says what becomes of a request that is disposed after it was sent: with "drain" the
    server works on and its events are swallowed, with "close" the connection is closed to stop the
    spending, for everyone on it.  Whatever ends a subscription here disposes the request: a clock that runs
    out, a consumer whose buffer overflows, an observer that raises; so with "close" it closes the connection
    too.  `max_buffered_bytes` bounds what waits for a subscriber on another event loop.

    `headers` go with the handshake; their values, like all credentials, are in no repr and no log.  An
    `authorization` header takes the place of the API key; with an `api-key` header, as Azure has it, the
    key of the environment is not sent.
    `allow_insecure_credentials` lets a key travel over `ws://` to a host that is not loopback.
    `ssl` replaces the default TLS context.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout: float | None = 30.0
    close_timeout: float = 2.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    max_message_size: int = 64 * MEBIBYTE
    max_request_size: int = 64 * MEBIBYTE
    queue_timeout: float | None = None
    first_event_timeout: float | None = None
    idle_timeout: float | None = None
    steer_timeout: float | None = 10.0
    max_active: int = 16
    max_buffered_bytes: int = 16 * MEBIBYTE
    on_dispose: Literal["drain", "close"] = "drain"
    lanes: bool | None = None
    compression: bool = False
    allow_insecure_credentials: bool = False
    ssl: SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in _TIMES:
            value = getattr(self, name)
            if value is None and name != "close_timeout":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigurationError(f"`{name}` must be a positive number of seconds, not {value!r}")
        for name in ("max_message_size", "max_request_size", "max_active", "max_buffered_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"`{name}` must be a positive whole number, not {value!r}")
        if self.on_dispose not in ("drain", "close"):
            raise ConfigurationError(f"`on_dispose` must be 'drain' or 'close', not {self.on_dispose!r}")
        for name in ("compression", "allow_insecure_credentials"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"`{name}` must be True or False, not {getattr(self, name)!r}")
        if self.lanes is not None and not isinstance(self.lanes, bool):
            raise ConfigurationError(f"`lanes` must be True, False or None, not {self.lanes!r}")
        if self.ssl is not None and not isinstance(self.ssl, SSLContext):
            raise ConfigurationError(f"`ssl` must be an ssl.SSLContext, not {type(self.ssl).__name__}")
        if not isinstance(self.headers, Mapping):
            raise ConfigurationError(f"`headers` must be a mapping, not {type(self.headers).__name__}")
        object.__setattr__(self, "headers", dict(self.headers))  # what was checked is what is sent
        for name, value in self.headers.items():
            if not isinstance(name, str) or _HEADER_NAME.fullmatch(name) is None:
                raise ConfigurationError(
                    "`headers` has a name that HTTP does not allow (not shown: it may be a secret)"
                )
            if not isinstance(value, str) or not value.isascii() or not value.isprintable():
                raise ConfigurationError(f"the header {name!r} must be one line of printable ASCII")


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """Options of a client: how many connections, for how long, and who may wait.  Times are seconds.

    `max_connections` are open at most; those that only finish their work come on top.  `max_queued`
    requests may wait.  `min_idle` connections stay open from the first request on, with work or without
    (for its model, where a service routes by it); of the others one without work is closed after
    `close_idle_after`, unless it holds a response that is not stored.
    A connection is used until `max_age`; the server ends one after 60 minutes.  The next one is opened
    and takes the new work a twentieth of `max_age` before that, and earlier by a random share of it of up
    to `age_jitter` (0 to 0.9), so that not all are replaced at once.  What runs by then ends where it is,
    and conversations that are not stored go on there until `max_age`.
    A connection holds the latest response of 32 conversations, where the server has no lanes of one: with
    more that are not stored (`store=False`), a new one takes the place of the one used longest ago.

    `backoff` is for connections that cannot be made, and for requests that the server refuses for now:
    after its `max_retries` what waits gets the last error; at once, when the server asks for a wait of more
    than its `max_retry_after`.
    """

    max_connections: int = 8
    max_queued: int = 10_000
    min_idle: int = 0
    close_idle_after: float = 60.0
    max_age: float = 55 * 60.0
    age_jitter: float = 0.1
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        for name, least in (("max_connections", 1), ("max_queued", 1), ("min_idle", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"`{name}` must be a whole number of at least {least}, not {value!r}")
        for name in ("close_idle_after", "max_age"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigurationError(f"`{name}` must be a positive number of seconds, not {value!r}")
        jitter = self.age_jitter
        if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter <= 0.9:
            raise ConfigurationError(f"`age_jitter` must be from 0 to 0.9, not {jitter!r}")
        if self.min_idle > self.max_connections:
            raise ConfigurationError("`min_idle` must not be more than `max_connections`")
        if not isinstance(self.backoff, Backoff):
            raise ConfigurationError(f"`backoff` must be a Backoff, not {type(self.backoff).__name__}")
