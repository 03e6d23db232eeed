"""The opening handshake: redirects, proxies, credentials, and the error of a connection that cannot be made."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidProxy, InvalidProxyStatus, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol
from websockets.version import version as websockets_version

from ..errors import ConnectFailedError, ConnectTimeoutError
from ..headers import Headers
from ..known_secrets import Secrets, handshake_secrets
from ..options import ConnectionOptions
from ..proxies import DEFAULT_PORTS, proxy_from, with_plain_password
from ..redaction import discreet_logger, display, error_text, is_secret
from ..version import installed_version
from ..waits import stated_time, stated_wait
from ..wire.failures import error_facts
from ..wire.jsontext import read_json
from .connect_errors import Reason, reason, status_reason
from .endpoint import is_loopback
from .probe import speaks_plain_http
from .refusal import SpeaksPlainHttpError
from .transport import FrameConnection, FrameListener
from .trust import system_context

# Level 1 compresses 10 MiB of a request in 70 ms on the loop, and the default of websockets in 350 ms for a fifth less.
_DEFLATE = ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5, "level": 1})
_TEXT_LENGTH = 200  # characters of a response body without a message that an error text shows
_WEBSOCKETS = tuple(map(int, re.findall(r"\d+", websockets_version)[:2]))


class _Connect(connect):
    """`connect` that follows redirects within the origin only, because the credentials are sent along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        locations = exc.response.headers.get_all("Location") if isinstance(exc, InvalidStatus) else []
        if len(locations) > 1 or any(_leaves_origin(self.uri, location) for location in locations):
            return exc
        if locations and isinstance(exc, InvalidStatus):
            exc.response.headers["Location"] = _redirected(self.uri, exc.response.headers.pop("Location"))
        return super().process_redirect(exc)


def proxy_for(url: str, proxy: str | bool | None) -> str | None:
    """Return the URL of the proxy for a connection, `None` if it needs none; `proxy` is the option of that name.

    Without a URL in the option, the environment or else the system says which proxy is used.  Loopback addresses are
    reached without it, because the proxy would see the key, and so are addresses with a zone of this machine.  Raises
    `ValueError` for a proxy that cannot be used.
    """
    if isinstance(proxy, str):
        return proxy
    parts = urlsplit(url)
    if not proxy or is_loopback(parts.hostname or "") or "%" in (parts.hostname or ""):
        return None
    variables = getproxies_environment()
    if not variables:
        if proxy_bypass(f"{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"):
            return None
        variables = getproxies()
    return proxy_from(url, variables)


async def open_connection(
    url: str,
    *,
    headers: Mapping[str, str],
    options: ConnectionOptions,
    listener: FrameListener,
    secrets: Secrets,
    proxy: str | None = None,
) -> FrameConnection:
    """Connect to `url`, through `proxy` or without one, and return the open connection.

    `headers` are those that `handshake_headers` returns for the options.

    Raises the exceptions of websockets and of the network, for which `connect_failure` returns the
    public error.  Cancelling the task stops the attempt.  Adds to `secrets` what the server and a proxy are sent.
    """
    headers = dict(headers)
    host = next((headers.pop(name) for name in tuple(headers) if name.lower() == "host"), None)
    secrets.add(handshake_secrets(headers, url, *filter(None, [proxy])))
    secrets.add(piece for name in filter(is_secret, options.subprotocols) for piece in (name, name.rpartition(".")[2]))
    more: dict[str, Any] = {}
    parts = urlsplit(url)
    address, _, zone = (parts.hostname or "").partition("%")
    if zone and proxy is None:
        # The zone of a link-local address is for this machine only (RFC 6874).  In a URL, `%25` stands for `%`.
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        host = host or f"[{address}]:{port}"
        more |= {"host": f"{address}%{zone.removeprefix('25')}", "port": port}
        more |= {"server_hostname": address} if parts.scheme == "wss" else {}
    for argument, uses_tls in (("ssl", parts.scheme == "wss"), ("proxy_ssl", (proxy or "").startswith("https:"))):
        if uses_tls:
            more[argument] = options.ssl or await system_context()
    made: list[FrameConnection] = []

    def make(*args: Any, **kwargs: Any) -> FrameConnection:
        made.append(
            FrameConnection(
                *args,
                listener=listener,
                secrets=secrets,
                max_message_size=options.max_message_size,
                host=host,
                **kwargs,
            )
        )
        return made[-1]

    connecting = _Connect(
        url,
        create_connection=make,  # type: ignore[arg-type]
        additional_headers=headers,
        user_agent_header=_user_agent(),
        open_timeout=options.connect_timeout,
        close_timeout=options.close_timeout,
        ping_interval=None,  # `keep_alive` sends the pings: unlike websockets, it knows when reading is paused
        max_size=options.max_message_size,
        compression=None,
        extensions=[_DEFLATE] if options.compression else None,
        subprotocols=[Subprotocol(name) for name in options.subprotocols] or None,
        proxy=with_plain_password(proxy) if proxy is not None and _WEBSOCKETS < (17, 2) else proxy,
        logger=discreet_logger("rxresponses.transport"),
        **more,
    )
    try:
        connection = await connecting
    except (OSError, asyncio.TimeoutError) as error:
        if made and made[-1].is_connected:
            made[-1].check_answer()
        elif made and parts.scheme == "wss" and proxy is None and _may_speak_plain_http(error):
            port = parts.port or DEFAULT_PORTS["wss"]
            if await speaks_plain_http(more.get("host", address), port):
                raise SpeaksPlainHttpError("the server has answered plain HTTP") from error
        raise
    assert isinstance(connection, FrameConnection)
    return connection


def _may_speak_plain_http(error: Exception) -> bool:
    """Whether a server may have ended a TLS handshake because it knows no TLS."""
    return isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError)


def connect_failure(error: Exception, url: str, stream_id: str | None, proxy: str | None = None) -> ConnectFailedError:
    """Return the public error for a connection that could not be made, through a proxy or without."""
    message = ""
    detail: Mapping[str, Any] = {}
    headers = Headers()
    timed_out = isinstance(error, (TimeoutError, asyncio.TimeoutError))  # one class from Python 3.11 on
    if isinstance(error, (InvalidStatus, InvalidProxyStatus)):
        response = error.response
        headers = Headers(response.headers.raw_items())
        message, detail = _error_in(response.body)
        why = status_reason(response.status_code, message, by_proxy=isinstance(error, InvalidProxyStatus))
        location = headers.get("location")
        if (
            isinstance(error, InvalidStatus)
            and location is not None
            and 300 <= response.status_code < 400
            and _leaves_origin(url, location)
        ):
            text = (
                f"the server redirects (HTTP {response.status_code}) to another origin, where credentials are not "
                "sent: use the URL of that origin itself"
            )
            why = Reason(text, True, response.status_code)
    else:
        why = reason(error, url, proxy)
    through = "" if proxy is None else f" through the proxy {display(proxy)}"
    make = ConnectTimeoutError if timed_out else ConnectFailedError
    failure = make(
        f"cannot connect to {display(url)}{through}: {why.text}; nothing was sent",
        status=why.status,
        headers=headers,
        code=_text(detail.get("code")),
        type=_text(detail.get("type")),
        stream_id=stream_id,
        retry_after=stated_wait({**detail, "message": message}),
        resets_at=stated_time(detail),
        lasting=why.lasting,
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
    """Return message and fields of a JSON error body; the start of its text where there is no message.

    A body with a NUL is no text, but compressed, for example, and says nothing.
    """
    if not body or b"\0" in body:
        return "", {}
    text = bytes(body).decode("utf-8", "replace").strip()
    try:
        data, _ = read_json(text)
    except ValueError:
        return text[:_TEXT_LENGTH], {}
    fields = data if isinstance(data, dict) else {"message": data}
    if fields.get("error"):
        fields = {**fields, "type": None, **error_facts(fields["error"])}
    message = _text(fields.get("message"))
    return text[:_TEXT_LENGTH] if message is None else error_text(message), fields


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _leaves_origin(url: str, location: str) -> bool:
    """Whether a redirect leads to another origin, or to no valid URL."""
    try:
        return _origin(urljoin(url, location)) != _origin(url)
    except ValueError:  # for example an impossible port
        return True


def _redirected(url: str, location: str) -> str:
    """Return the WebSocket URL to which a redirect within the origin leads.

    Servers send `http:` and `https:` in absolute redirects, and characters that a request must not have.  User name and
    password are those of this side only.
    """
    parts = urlsplit(urljoin(url, location))
    path, query = (
        quote(part, safe="/?:@!$&'()*+,;=%~-._", errors="surrogateescape") for part in (parts.path, parts.query)
    )
    own = urlsplit(url)
    return urlunsplit((own.scheme, own.netloc, path, query, ""))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(scheme)


@functools.cache
def _user_agent() -> str:
    number = installed_version()
    return f"rxresponses/{number}" if number else "rxresponses"
