from __future__ import annotations

import json
import logging
import re
import sys
import traceback
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from rxresponses.known_secrets import Secrets
from rxresponses.redaction import (
    discreet,
    discreet_init,
    discreet_logger,
    display,
    error_text,
    is_secret,
    linked_errors,
    shortened,
    shown_data,
    terminal_json,
    terminal_line,
    terminal_text,
)


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
        ("< %s: %s", ("Sec-WebSocket-Accept", "sk-1"), "< Sec-WebSocket-Accept: (hidden)"),
        ("< %s: %s", ("Upgrade", "WebSocket"), "< Upgrade: WebSocket"),
        ("> GET %s HTTP/1.1", ("/v1/responses?key=sk-1",), "> GET /v1/responses HTTP/1.1"),
        ("< HTTP/1.1 %d %s", (101, "Switching Protocols"), "< HTTP/1.1 101 Switching Protocols"),
        ("< HTTP/1.1 %d %s", (401, "your key is sk-1"), "< HTTP/1.1 401 Unauthorized"),
        ("< HTTP/1.1 %d %s", (999, "sk-1"), "< HTTP/1.1 999 (hidden)"),
        ("> %s", (Frame(Opcode.TEXT, b'{"key": "sk-1"}'),), "> TEXT [15 bytes]"),
        ("< %s", (Frame(Opcode.CLOSE, b"\x03\xe8sk-1"),), "< CLOSE [6 bytes]"),
        ("< %s", ("EOF",), "< EOF"),
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


class Connection:
    secrets = Secrets(["sk-very-secret"])


def test_scenario_74_the_log_of_a_connection_hides_what_the_peer_sent_back(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.LoggerAdapter(discreet_logger("rxresponses.test_redaction"), {"websocket": Connection()})
    with caplog.at_level(logging.DEBUG, "rxresponses.test_redaction"):
        logger.debug("peer says %r", "sk-very-secret")
        try:
            raise ValueError("bad sk-very-secret")
        except ValueError:
            logger.debug("! failed", exc_info=True)
    assert "peer says '(hidden)'" in caplog.text
    assert "ValueError: bad (hidden)" in caplog.text
    assert "sk-very-secret" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pa@ss@host:1/v1/x@y?q=//a@b#c", "https://host:1/v1/x@y"),
        ("host/v1#a", "host/v1"),
        ("/v1//x@y?z", "/v1//y"),
    ],
)
def test_scenario_74_a_url_is_shown_without_user_name_and_password(url: str, shown: str) -> None:
    assert display(url) == shown


def test_scenario_74_data_are_shown_without_the_credentials_of_tools() -> None:
    tool = {
        "authorization": "t",
        "headers": {"a": "b"},
        "domain_secrets": [1],
        "server_url": "https://u@h/?t",
        "x": (1,),
    }
    assert shown_data([{"tools": [tool]}, {"headers": None, "server_url": 5}]) == [
        {
            "tools": [
                {
                    "authorization": "(hidden)",
                    "headers": {"a": "(hidden)"},
                    "domain_secrets": "(hidden)",
                    "server_url": "https://h/",
                    "x": (1,),
                }
            ]
        },
        {"headers": None, "server_url": 5},
    ]


def locals_of(error: BaseException) -> str:
    """Return what an error report that has the variables of each frame shows of the frames below the test."""
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_scenario_74_an_error_of_a_discreet_function_shows_no_variables() -> None:
    def deeper(secret: str) -> None:
        local = [secret]
        raise ValueError(len(local))

    @discreet
    def outer(secret: str, *, other: str) -> None:
        copy = secret
        try:
            deeper(copy)
        except ValueError as error:
            raise LookupError(len(other)) from error

    with pytest.raises(LookupError) as caught:
        outer("sk-secret", other="sk-secret")
    shown = locals_of(caught.value)
    assert "in deeper" in shown
    assert "sk-secret" not in shown


def test_scenario_74_the_causes_of_an_error_may_form_a_circle() -> None:
    first, second, third = ValueError(1), ValueError(2), ValueError(3)
    first.__cause__, first.__context__, second.__context__ = second, third, first
    assert linked_errors(first) == [first, second, third]


def test_scenario_74_a_discreet_constructor() -> None:
    @discreet_init
    class Thing:
        def __init__(self, secret: str) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        Thing("sk-secret")
    assert "sk-secret" not in locals_of(caught.value)


@cache
def all_characters() -> tuple[str, str]:
    """Return the characters that control a terminal, and all others that begin no line and are no tab."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    harmful = "".join(controls(every))
    return harmful, every.translate(dict.fromkeys(map(ord, harmful + "\n\t\u2028\u2029")))


@pytest.mark.parametrize("show", [terminal_text, terminal_line, terminal_json])
def test_scenario_68_no_character_controls_a_terminal(show: Callable[[str], str]) -> None:
    harmful, harmless = all_characters()
    for char in harmful:
        assert not controls(show(f"a{char}b")), hex(ord(char))
    for begin in range(0, len(harmless), 256):
        text = "a".join(harmless[begin : begin + 256])
        assert show(text) == text


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


def test_a_text_that_is_shortened_twice_says_how_much_is_left_out_in_all() -> None:
    twice = shortened(shortened("b" * 500 + "m" * 10_000 + "e" * 500, 1000, 200), 300, 100)
    assert twice.startswith("b" * 200 + "… (")
    assert twice.endswith(") …" + "e" * 100)
    left_out = int(re.findall(r"\((\d+) characters left out\)", twice)[0])
    assert 0 <= left_out - (11_000 - 300) < 40  # the first note is counted too


def test_a_text_that_just_fits_is_not_shortened() -> None:
    assert shortened("x" * 10, 10, 3) == "x" * 10
    assert shortened("x" * 8 + "end", 10, 3) == "x" * 7 + "… (1 characters left out) …end"
    assert error_text("x" * 10_000) == "x" * 10_000
    assert len(error_text("x" * 10_001)) < 10_100
