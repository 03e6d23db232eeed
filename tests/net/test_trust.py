"""The certificates of the system: read once, on another thread, and again when they have changed."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rxresponses import ConnectFailedError, ResponsesWebSocket
from rxresponses.net import trust

from ..support.certificates import ELSEWHERE, VALID, server_context
from ..support.clients import ask, run
from ..support.recorder import AsyncRecorder
from ..support.websocket_server import complete, websocket_server

Loaded = list[int]


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the only certificate that the system trusts."""
    file, changes = tmp_path / "trusted.pem", iter(range(10))

    def trust_only(certificate: str) -> None:
        file.write_text(certificate)
        os.utime(file, (at := 10**9 + next(changes), at))  # a file system may not tell two changes at once apart

    trust_only(VALID)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(trust, "_latest", None)
    return trust_only


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """The threads that have read the certificates of the system, one for each time."""
    threads: Loaded = []
    original = ssl.create_default_context

    def create_default_context() -> ssl.SSLContext:
        threads.append(threading.get_ident())
        return original()

    monkeypatch.setattr(ssl, "create_default_context", create_default_context)
    return threads


def errors(tmp_path: Path, *steps: Callable[[], None], together: int = 1) -> list[Exception | None]:
    """Return how requests end, each on a connection of its own over TLS: some together, and one after each step."""

    async def end(url: str) -> Exception | None:
        async with ResponsesWebSocket(url) as socket:
            recorder = await AsyncRecorder(socket.send_request(ask())).until_end()
            return next(iter(recorder.errors), None)

    found: list[Exception | None] = []

    async def main() -> None:
        async with websocket_server(complete, ssl=server_context(tmp_path)) as url:
            url = url.replace("http:", "https:")
            found.extend(await asyncio.gather(*(end(url) for _ in range(together))))
            for step in steps:
                step()
                found.append(await end(url))

    run(main())
    return found


def test_connections_share_what_was_read_once_and_not_on_their_loop(
    tmp_path: Path, trusted: Callable[[str], None], loaded: Loaded
) -> None:
    assert errors(tmp_path, lambda: None, together=3) == [None] * 4
    assert len(loaded) == 1
    assert loaded[0] != threading.get_ident()


def test_certificates_that_have_changed_are_read_again(
    tmp_path: Path, trusted: Callable[[str], None], loaded: Loaded
) -> None:
    first, refused, accepted = errors(tmp_path, lambda: trusted(ELSEWHERE), lambda: trusted(VALID))
    assert first is accepted is None
    assert isinstance(refused, ConnectFailedError)
    assert "certificate is not trusted" in str(refused)
    assert len(loaded) == 3


def test_another_file_in_the_environment_is_read(
    tmp_path: Path, trusted: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(ELSEWHERE)
    first, refused = errors(tmp_path, lambda: monkeypatch.setenv("SSL_CERT_FILE", str(other)))
    assert first is None
    assert "certificate is not trusted" in str(refused)


def test_without_certificates_nothing_is_trusted(
    tmp_path: Path, trusted: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert "certificate is not trusted" in str(errors(tmp_path)[0])


def test_a_file_that_goes_while_it_is_looked_at_is_no_file(tmp_path: Path) -> None:
    assert trust._changed(str(tmp_path)) is not None
    assert trust._changed(str(tmp_path / "gone")) is None


def test_another_class_of_contexts_is_used(
    trusted: Callable[[str], None], loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `truststore.inject_into_ssl()` sets it, at any time."""
    trust._context()
    trust._context()
    assert len(loaded) == 1
    injected = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(ssl, "create_default_context", lambda: injected)
    monkeypatch.setattr(ssl, "SSLContext", type("Injected", (ssl.SSLContext,), {}))
    assert trust._context() is injected


def test_a_function_that_replaces_the_default_one_is_called_as_long_as_it_is_there(
    trusted: Callable[[str], None], loaded: Loaded
) -> None:
    """As a program that trusts its own certificates, or a test, replaces it at any time."""
    trust._context()
    replaced = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lambda: replaced)
        assert trust._context() is replaced
        assert asyncio.run(trust.system_context()) is replaced
    assert asyncio.run(trust.system_context()) is not replaced
    assert len(loaded) == 2


def test_a_context_that_cannot_be_made_fails_the_connection(
    tmp_path: Path, trusted: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "no folder" / "keys"))
    (error,) = errors(tmp_path)
    assert isinstance(error, ConnectFailedError)
    assert "No such file" in str(error)


def test_a_process_that_was_forked_while_the_certificates_were_read_reads_them(
    trusted: Callable[[str], None], loaded: Loaded
) -> None:
    with trust._lock:  # that of the parent
        trust._forget_lock()
        trust._context()
    assert len(loaded) == 1
