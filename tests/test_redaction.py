from __future__ import annotations

import json
import logging
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses.redaction import discreet_logger, display, is_secret, terminal_json, terminal_line, terminal_text


def controls(text: str) -> list[str]:
    """Return the characters of a text that control a terminal."""
    bidirectional = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
    return [
        char
        for char in text
        if (unicodedata.category(char) == "Cc" and char not in "\n\t")
        or unicodedata.bidirectional(char) in bidirectional
        or char in "\u061c\u200e\u200f"
    ]


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


@pytest.mark.parametrize("show", [terminal_text, terminal_line, terminal_json])
def test_scenario_68_no_character_controls_a_terminal(show: Callable[[str], str]) -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if controls(char):
            assert not controls(show(f"a{char}b")), hex(code)
        elif char not in "\n\t\u2028\u2029":
            assert show(f"a{char}b") == f"a{char}b"


def test_scenario_68_a_line_is_one_line_of_bounded_length() -> None:
    assert terminal_line("a\r\nb\nc\td\u2028e\x85f") == "a b c d e f"
    assert terminal_line("x" * 2000) == "x" * 2000
    cut = terminal_line("a" * 10_000 + "b" * 500)
    assert cut == "a" * 1500 + "… (8500 characters left out) …" + "b" * 500
    assert terminal_line("abcdef", 4, 1) == "abc… (2 characters left out) …f"


def test_scenario_68_escaped_json_is_the_same_value() -> None:
    text = '{"a": "\x9b\x7f\u202e\u00e9"}'
    assert json.loads(terminal_json(text)) == json.loads(text)
    assert terminal_json(text) == '{"a": "\\u009b\\u007f\\u202e\u00e9"}'
