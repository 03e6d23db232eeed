"""Why a connection could not be made: a text that says what to do, and whether another try would fail as well.  No I/O.

A failure is lasting if nothing but a change can end it: of a URL, a key, a certificate, an option, a package.  All
other failures may pass, so they are tried again.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import sys
from collections.abc import Callable
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from websockets.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidURI,
    ProxyError,
    SecurityError,
)

from .credentials import KeyTimeoutError
from .refusal import SpeaksPlainHttpError, SpeaksTlsError


class Reason(NamedTuple):
    """Why a connection could not be made."""

    text: str
    lasting: bool
    status: int | None = None  # of an HTTP answer


_Reading: TypeAlias = "Callable[[Exception, str, str | None], Reason | None]"

_ADVICE = {
    401: "check the API key, or the headers that replace it",
    404: "check the path of the URL",
    426: "the server, or a proxy before it, takes no WebSocket at this URL",
}
_PROXY_ADVICE = {
    403: "the proxy does not allow this connection: use another proxy, or exempt the host with NO_PROXY",
    407: "put the user name and the password of the proxy into its URL: http://USER:PASSWORD@HOST:PORT",
}
_LASTING_STATUSES = frozenset({501, 505, 511})  # not implemented; HTTP version; log in to the network first

# The codes of X.509 verification in OpenSSL.
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
)
_PASSING_TLS = ("EOF", "INTERNAL_ERROR", "USER_CANCEL", "CLOSE_NOTIFY")
_HTTP_1_0 = re.compile(r"HTTP/1\.0 (\d{3})\b")
_PASSING_SOCKS = frozenset({1, 3, 4, 5, 6, 91})  # general failure, network, host, refused, TTL; of SOCKS 4: rejected


def status_reason(status: int, message: str, *, by_proxy: bool) -> Reason:
    """Return the reason of a refusal by the server, or by a proxy, with this HTTP status and message."""
    advice = (_PROXY_ADVICE if by_proxy else _ADVICE).get(status, "")
    if 200 <= status < 300 and not by_proxy:
        advice = "that is a web page or another API and no WebSocket: check the URL"
    text = f"the {'proxy' if by_proxy else 'server'} refused with HTTP {status}{f': {message}' if message else ''}"
    lasting = status in _LASTING_STATUSES or (status < 500 and status != 429)
    return Reason(f"{text}; {advice}" if advice else text, lasting, status)


def reason(error: Exception, url: str, proxy: str | None = None, *, platform: str = sys.platform) -> Reason:
    """Return why the connection to a URL, through a proxy or without, failed with this exception.

    Refusals with a status have `status_reason`.
    """
    if isinstance(error, socket.gaierror):
        is_http = proxy is not None and proxy.startswith("http")  # such a proxy looks up the server's name itself
        return _name_reason(error, url, proxy if is_http else None, platform)
    if isinstance(error.__cause__, socket.gaierror):  # of python-socks, which looked up the proxy
        return _name_reason(error.__cause__, url, proxy, platform)
    if type(error) is UnicodeError or getattr(error, "encoding", None) == "idna":
        host = urlsplit(url if proxy is None else proxy).hostname
        what = f"check the URL{'' if proxy is None else ' of the proxy'} ({error})"
        return Reason(f"{host} is no name of a host: {what}", True)
    for read in _READINGS:
        found = read(error, url, proxy)
        if found is not None:
            return found
    return Reason(str(error) or type(error).__name__, isinstance(error, (TypeError, ValueError)))


def _time_reason(error: Exception, url: str, proxy: str | None) -> Reason | None:
    if isinstance(error, KeyTimeoutError):
        return Reason(str(error), False)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):  # one class from Python 3.11 on
        return Reason("no answer in time: see the option `connect_timeout`", False)
    return None


def _certificate_reason(error: Exception, url: str, proxy: str | None) -> Reason | None:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    message = error.verify_message.rstrip(".")
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        advice = "the server needs a valid certificate, or the clock of this machine is wrong"
    elif error.verify_code in (_WRONG_HOST, _WRONG_ADDRESS):
        advice = "use the host name for which the certificate was made"
    else:
        advice = (
            "if it is the right one, trust its signer: pass the option `ssl=ssl.create_default_context(cafile=…)`, or "
            "`--ca-file` on the command line"
        )
    return Reason(f"the certificate is not trusted ({message}): {advice}", True)


def _tls_reason(error: Exception, url: str, proxy: str | None) -> Reason | None:
    if isinstance(error, SpeaksTlsError):
        return Reason("the port speaks TLS: use https:// or wss:// in the URL", True)
    if isinstance(error, SpeaksPlainHttpError):
        return Reason("the port does not speak TLS but plain HTTP: use http:// or ws:// in the URL", True)
    if not isinstance(error, ssl.SSLError):
        return None
    name = error.reason or ""
    passes = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError))
    if passes or any(word in name for word in _PASSING_TLS):
        return Reason(f"the TLS handshake was broken off: {error}", False)
    if any(word in name for word in _NOT_TLS):
        where = "the port of the URL, or of the proxy," if proxy and proxy.startswith("https:") else "the port"
        return Reason(f"{where} does not speak TLS: use http:// or ws://, or the port that speaks TLS ({error})", True)
    if "ALERT" in name:
        return Reason(
            f"the server refused the TLS handshake ({error}): if it wants a certificate of the client, pass the option "
            "`ssl` with a context that has loaded one (`context.load_cert_chain`)",
            True,
        )
    return Reason(f"TLS is not possible with this server: {error}", True)


def _package_reason(error: Exception, url: str, proxy: str | None) -> Reason | None:
    if not isinstance(error, ImportError):
        return None
    if "python-socks" in str(error):
        return Reason("a SOCKS proxy needs another package: pip install python-socks[asyncio]", True)
    return Reason(str(error), True)


def _name_reason(error: socket.gaierror, url: str, proxy: str | None, platform: str) -> Reason:
    """Return the reason for a name that was not found: that of the proxy, if there is one, else that of the URL."""
    host = urlsplit(url if proxy is None else proxy).hostname
    # macOS and Windows say the same of every name while the machine is offline, and that passes.
    unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
    if not unknown or platform in ("darwin", "win32"):
        return Reason(f"the address of {host} was not found: {error}", False)
    return Reason(f"there is no host {host}: check the URL{'' if proxy is None else ' of the proxy'} ({error})", True)


def _proxy_reason(error: Exception, url: str, proxy: str | None) -> Reason | None:
    if isinstance(error, InvalidProxy):
        # The text of `error` shows the proxy's URL, which may hold a password.
        return Reason(f"the proxy cannot be used: {error.msg}", True)
    if isinstance(error, InvalidProxyMessage):
        found = _HTTP_1_0.search(str(error.__cause__))  # which websockets reads from version 16 on
        if found is not None and not found[1].startswith("2"):
            return status_reason(int(found[1]), "", by_proxy=True)
        if found is not None:
            return Reason("the proxy speaks HTTP/1.0: pip install 'websockets>=16'", True)
        if isinstance(error.__cause__, EOFError):
            return Reason("the proxy ended the connection before it answered", False)
        return Reason("the answer of the proxy is no HTTP: check the URL of the proxy", True)
    if isinstance(error, ProxyError):  # of a SOCKS proxy
        passes = getattr(error.__cause__, "error_code", None) in _PASSING_SOCKS
        return Reason(f"the proxy refused: {error.__cause__ or error}", not passes)
    return None


def _handshake_reason(error: Exception, url: str, proxy: str | None) -> Reason | None:
    if isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError):
        return Reason("the connection ended before the server answered the handshake", False)
    if isinstance(error, SecurityError) and "redirect" in str(error):
        return Reason(f"the server redirects without end or to where it must not ({error}): check the URL", True)
    if isinstance(error, (InvalidHandshake, InvalidURI)):
        return Reason(f"the answer was no WebSocket handshake: {error}", True)
    return None


_READINGS: tuple[_Reading, ...] = (
    _time_reason,
    _certificate_reason,
    _tls_reason,
    _package_reason,
    _proxy_reason,
    _handshake_reason,
)
