"""The opening handshake: redirects, proxies, credentials, and the error of a connection that cannot be made."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus

from ..errors import ConnectFailedError, ConnectTimeoutError
from ..headers import Headers
from ..known_secrets import Secrets, handshake_secrets
from ..options import ConnectionOptions
from ..redaction import discreet_logger, display
from ..waits import stated_time, stated_wait
from ..wire.jsontext import read_json
from .credentials import KeyTimeoutError
from .endpoint import is_loopback
from .transport import FrameConnection, FrameListener

_TEXT_LENGTH = 200  # characters of a response body without a message that an error text shows
_DEFAULT_PORTS = {"ws": 80, "wss": 443}


class _Connect(connect):
    """`connect` that follows redirects within the origin only, because the credentials are sent along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        location = exc.response.headers.get("Location") if isinstance(exc, InvalidStatus) else None
        if location is not None and _leaves_origin(self.uri, location):
            return exc
        return super().process_redirect(exc)


async def open_connection(
    url: str, *, key: str | None, options: ConnectionOptions, listener: FrameListener, secrets: Secrets
) -> FrameConnection:
    """Connect to `url` and return the open connection.

    Raises the exceptions of websockets and of the network, for which `connect_failure` returns the
    public error.  Cancelling the task stops the attempt.  Adds to `secrets` what the server and a proxy are sent.
    """
    headers = dict(options.headers)
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    secrets.add(handshake_secrets(headers, url, *getproxies().values()))
    more: dict[str, Any] = {"ssl": options.ssl} if options.ssl is not None and url.startswith("wss:") else {}
    connecting = _Connect(
        url,
        create_connection=functools.partial(FrameConnection, listener=listener, secrets=secrets),  # type: ignore[arg-type]
        additional_headers=headers,
        user_agent_header=_user_agent(),
        open_timeout=options.connect_timeout,
        close_timeout=options.close_timeout,
        ping_interval=None,  # `keep_alive` sends the pings: unlike websockets, it knows when reading is paused
        max_size=options.max_message_size,
        compression="deflate" if options.compression else None,
        proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
        logger=discreet_logger("rxresponses.transport"),
        **more,
    )
    connection = await connecting
    assert isinstance(connection, FrameConnection)
    return connection


def connect_failure(error: Exception, url: str, stream_id: str | None) -> ConnectFailedError:
    """Return the public error for a connection that could not be made."""
    status: int | None = None
    message = ""
    detail: Mapping[str, Any] = {}
    headers = Headers()
    timed_out = isinstance(error, (TimeoutError, asyncio.TimeoutError))  # one class from Python 3.11 on
    if isinstance(error, InvalidStatus):
        response = error.response
        status, headers = response.status_code, Headers(response.headers.raw_items())
        location = response.headers.get("Location")
        message, detail = _error_in(response.body)
        if location is not None and 300 <= status < 400 and _leaves_origin(url, location):
            why = (
                f"the server redirects (HTTP {status}) to another origin, where credentials are not sent: use the URL "
                "of that origin itself"
            )
        else:
            why = f"the server refused with HTTP {status}{f': {message}' if message else ''}"
    elif isinstance(error, InvalidProxy):
        # The text of `error` shows the proxy's URL, which may hold a password.
        why = f"the proxy set in the environment cannot be used: {error.msg}"
    elif isinstance(error, KeyTimeoutError):
        why = str(error)
    elif timed_out:
        why = "no answer in time: see the option `connect_timeout`"
    elif isinstance(error, InvalidHandshake):
        why = f"the answer was no WebSocket handshake: {error}"
    else:
        why = str(error) or type(error).__name__
    make = ConnectTimeoutError if timed_out else ConnectFailedError
    failure = make(
        f"cannot connect to {display(url)}: {why}; nothing was sent",
        status=status,
        headers=headers,
        code=_text(detail.get("code")),
        type=_text(detail.get("type")),
        stream_id=stream_id,
        retry_after=stated_wait({**detail, "message": message}),
        resets_at=stated_time(detail),
    )
    if not isinstance(error, InvalidProxy):
        failure.__cause__ = error
    # The key is among the variables of the handshake's frames, which some error reports show.
    linked: BaseException | None = error
    while linked is not None:
        linked.__traceback__ = None
        linked = linked.__cause__ or linked.__context__
    return failure


def _error_in(body: bytes | bytearray | None) -> tuple[str, Mapping[str, Any]]:
    """Return message and fields of a JSON error body; the start of its text where there is no message."""
    if not body:
        return "", {}
    text = bytes(body).decode("utf-8", "replace").strip()
    try:
        data, _ = read_json(text)
    except ValueError:
        return text[:_TEXT_LENGTH], {}
    detail = data.get("error", data) if isinstance(data, dict) else data
    fields = detail if isinstance(detail, dict) else {"message": detail}
    message = _text(fields.get("message"))
    return text[:_TEXT_LENGTH] if message is None else message, fields


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _leaves_origin(url: str, location: str) -> bool:
    """Whether a redirect leads to another origin, or to no valid URL."""
    try:
        return _origin(urljoin(url, location)) != _origin(url)
    except ValueError:  # for example an impossible port
        return True


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(scheme)


@functools.cache
def _user_agent() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"rxresponses/{version('rxresponses')}"
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "rxresponses"
