"""Options of a socket and of a client, checked when they are made."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from .backoff import Backoff
from .errors import ConfigurationError
from .proxies import proxy_url
from .redaction import discreet_init
from .scalars import take_plain_scalars

MEBIBYTE = 2**20
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # of HTTP: the name of a header, or a subprotocol
_OWN_HEADERS = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})

_TIMES = (
    *("connect_timeout", "close_timeout", "ping_interval", "ping_timeout"),
    *("queue_timeout", "first_event_timeout", "idle_timeout", "steer_timeout"),
)


HeadersSource: TypeAlias = "Mapping[str, str] | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]"
"""Headers of the handshake, or a function that returns them, plain or async, and is called at each connect."""

Options = TypeVar("Options", "ConnectionOptions", "PoolOptions", "BreakerOptions")


def options_of(kind: type[Options], name: str, value: Options | None) -> Options:
    """Return the options given as the argument `name`, the default ones for `None`.

    Raises `TypeError` for anything else, such as a mapping.  The message shows no values, which may be secret.
    """
    if value is None:
        return kind()
    if isinstance(value, kind):
        return value
    given = ", ".join(f"{key}=…" for key in value) if isinstance(value, Mapping) else "…"
    shown = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    raise TypeError(f"`{name}` must be a {kind.__name__}, not {shown}: write `{name}={kind.__name__}({given})`")


@discreet_init
@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """Options of one socket.  Times are in seconds, sizes in bytes.

    Of the connection: `connect_timeout` limits the wait for an asynchronous `api_key` function, and then the whole
    handshake; `close_timeout` limits the closing handshake.  The client sends a ping every `ping_interval`, and ends
    the connection when a ping is not answered within `ping_timeout`; `None` turns either off.  `max_message_size`
    limits received messages (images arrive in one frame, so the default is large), `max_request_size` those sent.

    Of a request, with an error of its own for each; `None` means no limit: `queue_timeout` limits the wait in the
    client, `first_event_timeout` the time from sending to the first event, `idle_timeout` the time between two
    events.  `steer_timeout` limits the wait for the answer to a steer; and, after the server has accepted the steer
    and ended the steered response, the wait for the response that follows.  A request that a timeout ends after it
    was sent is disposed: it keeps its lane until the server has ended it.  So set `queue_timeout` together with
    `first_event_timeout` or `idle_timeout`, or requests that wait behind it on its lane may wait for ever.

    `idle_timeout` and `first_event_timeout` have no default limit.  A peer that is gone is noticed by the pings, at the
    latest after `ping_interval` and `ping_timeout`.  A server that answers pings and sends no event is most likely at
    work: reasoning, tools of the server and slow service tiers are silent for many minutes, and nothing tells such a
    silence from one without end.  A limit would give up an answer that is made, and paid, to its end.  Where a limit
    is better than a long wait, 600 to 900 seconds bear what is known of the official service.

    `max_active` responses run at once on a connection; further requests wait in the client.  `lanes` says whether the
    server echoes `stream_id`; with `None` the socket finds out, and sends one request at a time until it knows.

    `on_dispose` says what happens when a request is disposed after it was sent.  With "drain" the server goes on, and
    the socket drops the events.  With "close" the socket closes the connection to stop the spending, for all requests
    on it.  A request is also disposed when a timeout ends it, when its consumer's buffer overflows, and when its
    observer raises; with "close", each of these closes the connection.  `max_buffered_bytes` limits the events that
    wait for a subscriber on another event loop; each counts its frame and 600 bytes.

    With `compression` the client offers the server to compress messages (permessage-deflate), in both directions.  The
    deltas of a text then take about a ninth of the bytes, or two thirds if the server compresses each message for
    itself, and twice the processor time; a connection takes 60 kB more, and a request of 10 MiB holds up the loop for
    about 70 ms.  The size limits hold for the messages before compression.  It is off by default, and is for networks
    that are slow or metered.  Behind TLS it also weakens the server's `obfuscation` of deltas: the size of a compressed
    frame depends on what the text repeats.

    `headers` are sent with the handshake; their values, like all credentials, are in no repr and no log, and in no
    error if the server sends them back, unless they have fewer than 8 characters.  They may be a function, plain or
    async, that returns them: it is called at each connect on the loop of the connection, before an `api_key` function,
    and what holds for that holds for it.  An `authorization` header replaces the API key.  With an `api-key` header, as
    Azure uses it, key and ids of the environment are not sent.  A `host` header replaces that of the URL, but not in
    the check of the certificate.  `subprotocols` are offered to the server in this order.  `organization` and `project`
    are the headers `OpenAI-Organization` and `OpenAI-Project`, by default `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`; ""
    means none.  They are sent only to where a key may be sent, and `headers` replace them.
    `allow_insecure_credentials` permits sending a key over `ws://` to a host that is not loopback.  `ssl` replaces the
    default TLS context, also for a proxy that speaks TLS.

    `proxy` is the URL of a proxy: `http://`, `https://`, or with the package `python-socks` `socks5h://`, `socks5://`,
    `socks4a://` or `socks4://`; a URL without a scheme is one of `http://`.  With `True` the environment decides, as it
    does for the `websockets` package and the official SDK: `HTTPS_PROXY`, `ALL_PROXY` and the like, but not for
    loopback addresses and the hosts in `NO_PROXY`.  `None` means no proxy.
    """

    headers: HeadersSource = field(default_factory=dict, repr=False)
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
    proxy: str | bool | None = field(default=True, repr=False)
    subprotocols: Sequence[str] = field(default=(), repr=False)
    organization: str | None = field(default=None, repr=False)
    project: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        take_plain_scalars(self)
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
        if not isinstance(self.proxy, (str, bool, type(None))):
            raise ConfigurationError(f"`proxy` must be a URL, True or None, not {type(self.proxy).__name__}")
        problem = None
        if self.proxy is not True:
            try:
                object.__setattr__(self, "proxy", proxy_url(self.proxy) if self.proxy else None)
            except ValueError as error:
                problem = str(error)  # raised below, because the frames behind `error` have the password
        if problem is not None:
            raise ConfigurationError(problem)
        if not callable(self.headers):
            problem = headers_problem(self.headers)
            if problem is not None:
                raise ConfigurationError(problem)
            object.__setattr__(self, "headers", dict(self.headers))  # a copy: what is checked must be what is sent
        if isinstance(self.subprotocols, str) or not isinstance(self.subprotocols, Sequence):
            raise ConfigurationError(f"`subprotocols` must be a list of names, not {type(self.subprotocols).__name__}")
        object.__setattr__(self, "subprotocols", tuple(self.subprotocols))
        if not all(map(_is_token, self.subprotocols)) or len(set(self.subprotocols)) < len(self.subprotocols):
            raise ConfigurationError("`subprotocols` must be different names that HTTP allows (not shown)")
        for name, variable in (("organization", "OPENAI_ORG_ID"), ("project", "OPENAI_PROJECT_ID")):
            value = getattr(self, name)
            if value is not None and not _is_header_value(value):
                raise ConfigurationError(f"`{name}`, by default {variable}, must be one line of printable ASCII")


def headers_problem(headers: object) -> str | None:
    """Return why these cannot be headers of the handshake, `None` if they can.  The text shows no value."""
    if not isinstance(headers, Mapping):
        return f"`headers` must be a mapping, or a function that returns one, not {type(headers).__name__}"
    for name, value in headers.items():
        if not _is_token(name):
            return "`headers` has a name that HTTP does not allow (not shown: it may be a secret)"
        if not _is_header_value(value):
            return f"the header {name!r} must be one line of printable ASCII"
        if name.lower() in _OWN_HEADERS or name.lower().startswith("sec-websocket-"):
            return f"the header {name!r} is set by the handshake itself; for subprotocols use the option `subprotocols`"
        if name.lower() == "host" and split_host(value) is None:
            return f"the header {name!r} must be HOST or HOST:PORT"
    return None


def split_host(value: str) -> tuple[str, int | None] | None:
    """Return the host and the port in the value of a `Host` header, `None` if it has none."""
    try:
        parts = urlsplit(f"//{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (host, port) if host and "@" not in value and " " not in value and parts.netloc == value else None


def _is_header_value(value: object) -> bool:
    """Whether a value can be that of a header: one line of printable ASCII."""
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _is_token(name: object) -> bool:
    return isinstance(name, str) and _TOKEN.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """Options of a client's pool of connections.  Times are in seconds.

    At most `max_connections` are open; connections that only finish their responses do not count.  At most
    `max_queued` requests wait in the client.  `min_idle` connections stay open from the first request on, even
    without a request; where a service routes by model, they are for the model of that request.  Any other connection
    is closed `close_idle_after` seconds after its last response, unless it holds a response that is not stored.

    A connection takes new requests until `max_age`, because the server ends every connection after 60 minutes.  Its
    replacement opens a twentieth of `max_age` before that, or earlier by a random share of `max_age` of up to
    `age_jitter` (0 to 0.9), so that not all connections are replaced at once.  New requests then go to the
    replacement. Responses that run finish on the old connection, and conversations that are not stored go on there
    until `max_age`.

    A connection holds the latest response of 32 conversations, or of one where the server has no lanes.  If there are
    more that are not stored (`store=False`), a new conversation replaces the one used longest ago.

    `backoff` sets the delays after a connection could not be made, and after the server refused a request for now.
    When its `max_retries` are used up, the waiting requests end with the last error.  They end at once when the
    server asks for a wait of more than its `max_retry_after`.
    """

    max_connections: int = 8
    max_queued: int = 10_000
    min_idle: int = 0
    close_idle_after: float = 60.0
    max_age: float = 55 * 60.0
    age_jitter: float = 0.1
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        take_plain_scalars(self)
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


@dataclass(frozen=True, kw_only=True)
class BreakerOptions:
    """When a `ResponsesFleet` sends nothing more to a member that fails: its circuit breaker opens.

    It opens after `failures` in a row, and if at least `share` (over 0, up to 1) of the latest `window` requests have
    failed.  It opens at once if no connection can be made, or if the member refuses the key.  Failures are lost
    connections, timeouts of the connection's options, and failures of the server: status 5xx, `server_error`,
    overloaded.  Requests that are invalid, refused answers, rate limits and disposed requests are none.

    The delays of `PoolOptions.backoff` say after how long an open breaker lets one request through, the trial.
    """

    failures: int = 5
    share: float = 0.5
    window: int = 20

    def __post_init__(self) -> None:
        take_plain_scalars(self)
        for name in ("failures", "window"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"`{name}` must be a whole number of at least 1, not {value!r}")
        share = self.share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise ConfigurationError(f"`share` must be over 0 and at most 1, not {share!r}")
