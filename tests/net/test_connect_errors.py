"""Which failed connections may be tried again, and what the error of each says."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    InvalidHeader,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    ProxyError,
    SecurityError,
)
from websockets.http11 import Response

from rxresponses.backoff import is_retryable
from rxresponses.net.connect import connect_failure
from rxresponses.net.connect_errors import reason, status_reason
from rxresponses.net.credentials import KeyTimeoutError
from rxresponses.net.refusal import SpeaksPlainHttpError, SpeaksTlsError

URL = "wss://server.example/v1/responses"
PROXY = "http://user:secret@proxy.example:3128"


def untrusted(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {message}")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    error.verify_code, error.verify_message = code, message
    return error


def tls(name: str | None, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, f"[SSL: {name}]")
    error.reason = name  # type: ignore[assignment]
    return error


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


class SocksError(Exception):
    """The error of python-socks."""

    def __init__(self, message: str, error_code: int | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code


def refused_by_socks(code: int | None) -> Exception:
    return caused(ProxyError("failed to connect to SOCKS proxy"), SocksError("refused by rule", code))


LASTING = [
    (untrusted(18, "self-signed certificate"), r"not trusted \(self-signed certificate\).*cafile=.*--ca-file"),
    (untrusted(20, "unable to get local issuer certificate"), "--ca-file"),
    (untrusted(10, "certificate has expired"), r"\(certificate has expired\).*clock"),
    (untrusted(9, "certificate is not yet valid"), "clock"),
    (untrusted(62, "Hostname mismatch, certificate is not valid for 'h'."), "use the host name for which"),
    (untrusted(64, "IP address mismatch, certificate is not valid for '10.0.0.1'."), "use the host name for which"),
    (tls("WRONG_VERSION_NUMBER"), "does not speak TLS: use http:// or ws://"),
    (tls("RECORD_LAYER_FAILURE"), "does not speak TLS"),
    (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "certificate of the client.*`ssl`.*load_cert_chain"),
    (tls("SSLV3_ALERT_HANDSHAKE_FAILURE"), "certificate of the client"),
    (tls("UNSUPPORTED_PROTOCOL"), "TLS is not possible"),
    (tls(None), "TLS is not possible"),
    (SpeaksPlainHttpError("HTTP"), "does not speak TLS but plain HTTP: use http:// or ws://"),
    (SpeaksTlsError("alert"), "speaks TLS: use https:// or wss://"),
    (ImportError("python-socks is required to use a SOCKS proxy"), r"pip install python-socks"),
    (ImportError("connecting through a SOCKS proxy requires python-socks"), r"pip install python-socks"),
    (ImportError("no module named x"), "no module named x"),
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no host server.example: check the URL"),
    (UnicodeError("label too long"), r"server.example is no name of a host: check the URL \(label too long\)"),
    (UnicodeEncodeError("idna", "x", 0, 1, "label too long"), r"server.example is no name of a host: check the URL"),
    (UnicodeEncodeError("ascii", "x", 0, 1, "no"), "'ascii' codec"),
    (ValueError("a wrong value"), "a wrong value"),
    (TypeError("a wrong type"), "a wrong type"),
    (InvalidProxy(PROXY, "hostname isn't provided"), "the proxy cannot be used: hostname isn't provided"),
    (caused(InvalidProxyMessage("no"), ValueError("expected HTTP/1.1: HTTP/1.0 200 OK")), "websockets>=16"),
    (caused(InvalidProxyMessage("no"), ValueError("invalid status line: SMTP")), "no HTTP: check the URL of the proxy"),
    (refused_by_socks(2), "the proxy refused: refused by rule"),
    (refused_by_socks(None), "the proxy refused"),
    (caused(InvalidMessage("no valid HTTP response"), ValueError("SMTP")), "no WebSocket handshake: no valid HTTP"),
    (SecurityError("more than 10 redirects"), r"redirects without end.*more than 10 redirects.*check the URL"),
    (SecurityError("too many HTTP headers"), "no WebSocket handshake: too many"),
    (InvalidUpgrade("Upgrade", "h2c"), "no WebSocket handshake"),
    (InvalidHeader("Sec-WebSocket-Accept"), "no WebSocket handshake"),
    (NegotiationError("no subprotocols supported"), "no subprotocols supported"),
    (InvalidURI("x", "scheme isn't ws or wss"), "scheme"),
]
PASSING = [
    (KeyTimeoutError("the `api_key` function did not return"), "`api_key` function"),
    (TimeoutError("timed out"), "`connect_timeout`"),
    (asyncio.TimeoutError(), "`connect_timeout`"),
    (tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError), "broken off"),
    (tls("UNEXPECTED_EOF_WHILE_READING"), "broken off"),
    (tls("TLSV1_ALERT_INTERNAL_ERROR"), "broken off"),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "server.example was not found: .*Temp"),
    (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 443)"), "Connect call failed"),
    (ConnectionResetError(104, "Connection reset by peer"), "reset by peer"),
    (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "Multiple exceptions"),
    (caused(InvalidMessage("no"), EOFError("closed")), "ended before the server answered"),
    (caused(InvalidProxyMessage("no"), EOFError("closed")), "proxy ended the connection"),
    (refused_by_socks(5), "the proxy refused"),
    (EOFError(), "EOFError"),
]


@pytest.mark.parametrize(("error", "text"), LASTING, ids=range(len(LASTING)))
def test_scenario_65_a_failure_that_lasts(error: Exception, text: str) -> None:
    failure = connect_failure(error, URL, "a")
    assert failure.lasting
    assert not is_retryable(failure)
    assert (failure.status, failure.delivery, failure.stream_id) == (None, "not_sent", "a")
    with pytest.raises(type(failure), match=text):
        raise failure


@pytest.mark.parametrize(("error", "text"), PASSING, ids=range(len(PASSING)))
def test_scenario_65_a_failure_that_may_pass(error: Exception, text: str) -> None:
    failure = connect_failure(error, URL, None)
    assert not failure.lasting
    assert is_retryable(failure)
    with pytest.raises(type(failure), match=text):
        raise failure


@pytest.mark.parametrize("error", [error for error, _ in (*LASTING, *PASSING)], ids=range(len(LASTING) + len(PASSING)))
def test_scenario_65_the_proxy_is_named_without_its_password(error: Exception) -> None:
    failure = connect_failure(error, URL, None, PROXY)
    assert f"cannot connect to {URL} through the proxy http://proxy.example:3128: " in str(failure)
    assert "secret" not in str(failure)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_scenario_65_a_machine_that_is_offline_says_that_there_is_no_such_host(platform: str) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "nodename nor servname provided, or not known")
    assert not reason(unknown, URL, platform=platform).lasting
    assert reason(unknown, URL, platform="linux").lasting


@pytest.mark.parametrize(
    ("proxy", "text"),
    [
        (PROXY, "no host proxy.example: check the URL of the proxy"),
        ("socks5://proxy.example", "no host server.example: check the URL "),
        (None, "no host server.example: check the URL "),
    ],
)
def test_scenario_65_the_name_that_was_looked_up(proxy: str | None, text: str) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert text in reason(unknown, URL, proxy, platform="linux").text


def test_scenario_65_the_name_of_a_socks_proxy() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    wrapped = caused(OSError(-2, "Could not connect to proxy"), unknown)
    found = reason(wrapped, URL, "socks5h://user:secret@proxy.example:1080", platform="linux")
    assert found.lasting
    assert "there is no host proxy.example: check the URL of the proxy" in found.text


def test_scenario_65_tls_to_a_proxy_or_through_it() -> None:
    assert (
        "of the URL, or of the proxy, does not speak TLS"
        in reason(tls("WRONG_VERSION_NUMBER"), URL, "https://proxy.example").text
    )
    assert "the port does not speak TLS" in reason(tls("WRONG_VERSION_NUMBER"), URL, PROXY).text


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 407, 426, 501, 505, 511])
def test_scenario_65_statuses_that_last(status: int) -> None:
    for by_proxy in (True, False):
        found = status_reason(status, "because", by_proxy=by_proxy)
        assert (found.lasting, found.status) == (True, status)
        assert f"the {'proxy' if by_proxy else 'server'} refused with HTTP {status}: because" in found.text


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520, 529])
def test_scenario_65_statuses_that_may_pass(status: int) -> None:
    for by_proxy in (True, False):
        assert status_reason(status, "", by_proxy=by_proxy) == (
            f"the {'proxy' if by_proxy else 'server'} refused with HTTP {status}",
            False,
            status,
        )


@pytest.mark.parametrize(
    ("status", "by_proxy", "advice"),
    [
        (200, False, "no WebSocket: check the URL"),
        (401, False, "check the API key"),
        (404, False, "check the path of the URL"),
        (426, False, "takes no WebSocket at this URL"),
        (403, True, "NO_PROXY"),
        (407, True, "http://USER:PASSWORD@HOST:PORT"),
    ],
)
def test_scenario_65_statuses_with_advice(status: int, by_proxy: bool, advice: str) -> None:
    assert advice in status_reason(status, "", by_proxy=by_proxy).text


def test_scenario_65_the_answer_of_a_proxy_of_http_1_0() -> None:
    error = caused(InvalidProxyMessage("no"), ValueError("expected HTTP/1.1: HTTP/1.0 407 Authentication Required"))
    failure = connect_failure(error, URL, None, PROXY)
    assert (failure.status, failure.lasting) == (407, True)
    busy = caused(InvalidProxyMessage("no"), ValueError("expected HTTP/1.1: HTTP/1.0 503 Busy"))
    assert not connect_failure(busy, URL, None, PROXY).lasting


def test_scenario_65_a_redirect_to_two_places() -> None:
    headers = Headers()
    headers["Location"], headers["location"] = "/a", "/b"
    failure = connect_failure(InvalidStatus(Response(307, "", headers)), URL, None)
    assert (failure.status, failure.lasting) == (307, True)
