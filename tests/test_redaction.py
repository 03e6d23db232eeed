from __future__ import annotations

import logging
from typing import Any

import pytest

from rxresponses.redaction import discreet_logger, display, is_secret


@pytest.mark.parametrize("name", ["Authorization", "api-key", "X-Token", "client_secret", "Set-Cookie", "PASSWORD"])
def test_names_of_credentials(name: str) -> None:
    assert is_secret(name)
    assert not is_secret("model")


def test_a_url_is_shown_without_its_query() -> None:
    assert display("wss://host/v1/responses?api-key=sk-1&model=m") == "wss://host/v1/responses"
    assert display("wss://host/v1/responses") == "wss://host/v1/responses"


@pytest.mark.parametrize(
    ("message", "args", "shown"),
    [
        ("> %s: %s", ("Host", "api.example"), "> Host: api.example"),
        ("> %s: %s", ("Sec-WebSocket-Key", "abc"), "> Sec-WebSocket-Key: abc"),
        ("> %s: %s", ("Authorization", "Bearer sk-1"), "> Authorization: (hidden)"),
        ("< %s: %s", ("X-Anything", "sk-1"), "< X-Anything: (hidden)"),
        ("> GET %s HTTP/1.1", ("/v1/responses?key=sk-1",), "> GET /v1/responses HTTP/1.1"),
        ("< HTTP/1.1 %d %s", (101, "Switching Protocols"), "< HTTP/1.1 101 Switching Protocols"),
        ("%(event)s", ({"event": "closed"},), "closed"),
        ("connection is OPEN", (), "connection is OPEN"),
    ],
)
def test_handshakes_are_logged_without_credentials(
    message: str, args: tuple[Any, ...], shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    logger = discreet_logger("rxresponses.test_redaction")
    with caplog.at_level(logging.DEBUG, logger.name):
        logger.debug(message, *args)
    assert [record.getMessage() for record in caplog.records] == [shown]


def test_a_logger_gets_one_filter() -> None:
    assert discreet_logger("rxresponses.test_redaction") is discreet_logger("rxresponses.test_redaction")
    assert len(logging.getLogger("rxresponses.test_redaction").filters) == 1
