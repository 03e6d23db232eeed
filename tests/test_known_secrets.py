"""Secrets are hidden in a text, in whatever form a peer sends them back."""

from __future__ import annotations

import base64
import copy
import html
import json
import pickle
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rxresponses.known_secrets import LONGEST, Secrets, handshake_secrets, header_secrets, tool_secrets, url_secrets

from .effort import examples

SECRET = "sk-Ab12/cd34+ef56=gh78"
AWKWARD = "a\"b'c<d>&e/f\\g é😀\u2028 100%h;i"


def quoted_lower(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def quoted_upper(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def encoded(text: str, around: str = "") -> str:
    return base64.b64encode(f"{around}{text}{around}".encode()).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "quote": urllib.parse.quote,
    "quote all": lambda text: urllib.parse.quote(text, safe=""),
    "quote_plus": urllib.parse.quote_plus,
    "quote twice": lambda text: urllib.parse.quote(urllib.parse.quote(text)),
    "each byte, lower case": quoted_lower,
    "each byte, upper case": quoted_upper,
    "JSON": json.dumps,
    "JSON without escapes": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON with \\/": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON, each character": lambda text: "".join(f"\\u{ord(char):04X}" for char in text if ord(char) < 0x10000),
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda text: repr(text.encode()),
    "HTML": html.escape,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "HTML, decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, hexadecimal": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "base64": encoded,
    "base64 in a pair": lambda text: encoded(text, "u:"),
    "base64 in a longer text": lambda text: encoded(text, "u"),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, quoted": lambda text: urllib.parse.quote(encoded(text), safe=""),
    "base64 in lines": lambda text: base64.encodebytes(b"x" * 50 + text.encode()).decode(),
    "broken lines": lambda text: "\r\n\t".join((text[:5], text[5:11], text[11:])),
    "broken lines in JSON": lambda text: json.dumps("\n".join((text[:9], text[9:]))),
    "hexadecimal": lambda text: text.encode().hex(),
    "UTF-8 read as Latin-1": lambda text: text.encode().decode("latin-1"),
}


def leaks(text: str, secret: str) -> bool:
    """Whether a text shows five characters of a secret in a row."""
    return any(secret[at : at + 5] in text for at in range(len(secret) - 4))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [SECRET, "sk-proj-0123456789abcdefgh", AWKWARD])
def test_scenario_74_a_secret_is_hidden_in_each_form(secret: str, form: str) -> None:
    if form == "JSON, each character":
        secret = secret.replace("😀", "")  # it has no form of four digits
    hidden = Secrets([secret]).hide(f"you sent [{FORMS[form](secret)}], which is wrong")
    assert hidden.startswith("you sent [")
    assert hidden.endswith("], which is wrong")
    assert "(hidden)" in hidden
    for _ in range(3):
        assert not leaks(hidden.lower(), secret.lower())
        hidden = urllib.parse.unquote(html.unescape(hidden))


PRINTABLE = st.characters(exclude_categories=("Cc", "Cs", "Cn"))


@given(
    st.text(PRINTABLE, min_size=8, max_size=60).filter(lambda text: len(set(text)) >= 4), st.sampled_from(sorted(FORMS))
)
@example("000Â\xa0001", "ascii")  # quoted, two of its characters look like one in UTF-8
@settings(max_examples=examples(300))
def test_scenario_74_any_text_is_hidden_in_each_form(secret: str, form: str) -> None:
    if form in ("upper case", "lower case", "JSON, each character", "UTF-8 read as Latin-1") and not secret.isascii():
        return  # the case of some letters cannot be told back
    assert "(hidden)" in Secrets([secret]).hide(f"<{FORMS[form](secret)}>")


@given(st.text(max_size=80), st.text(min_size=8, max_size=20))
@settings(max_examples=examples(300))
def test_scenario_74_only_secrets_are_hidden(text: str, secret: str) -> None:
    if not leaks(text.lower(), secret.lower()):
        assert Secrets([secret]).hide(text) is text
    assert Secrets().hide(text) is text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Bearer {SECRET}", "Bearer (hidden)"),
        (f"{SECRET}{SECRET}", "(hidden)"),
        (f"{SECRET} and {SECRET}.", "(hidden) and (hidden)."),
        (f"cut off here: {SECRET[:9]}", "cut off here: (hidden)"),
        (f"the first half {SECRET[:14]}…", "the first half (hidden)…"),
        (f"the second half …{SECRET[8:]}", "the second half …(hidden)"),
        ("the model sk-Ab is unknown", "the model sk-Ab is unknown"),
        ("100% of &c; and C:\\x or \\u and %4", "100% of &c; and C:\\x or \\u and %4"),
        ("\\U00110000 %ff", "\\U00110000 %ff"),
        ("", ""),
    ],
)
def test_scenario_74_what_is_hidden_of_a_text(text: str, shown: str) -> None:
    assert Secrets([SECRET]).hide(text) == shown


def test_scenario_74_the_rest_of_a_quoted_text_stays_as_it_is() -> None:
    text = f'"a\\"b %20 {urllib.parse.quote(SECRET, safe="")} &amp; \\n {json.dumps(SECRET)} %41" &lt;'
    assert Secrets([SECRET]).hide(text) == '"a\\"b %20 (hidden) &amp; \\n "(hidden)" %41" &lt;'


@pytest.mark.parametrize(
    "trivial", ["", "a", "abc", "test", "none", "EMPTY", "sk-1234", "x" * 40, "--------", "abab" * 9]
)
def test_scenario_74_a_trivial_value_does_not_make_texts_unreadable(trivial: str) -> None:
    text = f"a test: none of these abc texts are EMPTY, {trivial}"
    assert Secrets([trivial]).hide(text) is text


def test_scenario_74_json_without_secrets() -> None:
    known = Secrets([SECRET])
    data: dict[str, Any] = {
        "type": "error",
        "error": {"message": f"wrong: {SECRET}", "param": None, "list": [1, SECRET, [SECRET]], f"x {SECRET}": 2.5},
        "last": [{"a": "b"}],
    }
    hidden = known.hide_json(data)
    assert hidden == {
        "type": "error",
        "error": {
            "message": "wrong: (hidden)",
            "param": None,
            "list": [1, "(hidden)", ["(hidden)"]],
            "x (hidden)": 2.5,
        },
        "last": [{"a": "b"}],
    }
    assert hidden["last"] is data["last"]
    assert known.hide_json(hidden) is hidden


def test_scenario_74_words_of_the_protocol_stay_in_json() -> None:
    data = {"type": "response.failed", "response": {"type": "response", "status": "response"}}
    hidden = Secrets(["response", "response.failed"]).hide_json(data)
    assert hidden == {"type": "response.failed", "response": {"type": "response", "status": "(hidden)"}}
    assert Secrets([SECRET]).hide_json({"type": SECRET}) == {"type": "(hidden)"}


def test_scenario_74_json_may_be_nested_deeply() -> None:
    data: Any = SECRET
    for _ in range(5000):
        data = [data]
    assert SECRET not in str(Secrets([SECRET]).hide_json(data))


def test_scenario_74_bytes_without_secrets() -> None:
    known = Secrets([AWKWARD])
    assert known.hide_bytes(b"\xff" + AWKWARD.encode() + b"\xfe") == b"\xff(hidden)\xfe"
    data = b"\x00\xff"
    assert known.hide_bytes(data) is data


def test_scenario_74_secrets_show_nothing_of_themselves() -> None:
    known = Secrets([SECRET], within=Secrets(["another-secret"]))
    assert known.hide("another-secret") == "(hidden)"
    assert repr(known) == "<Secrets>"
    assert b"sk-Ab" not in pickle.dumps(known)
    assert pickle.loads(pickle.dumps(known)).hide(SECRET) == SECRET
    assert copy.copy(known) is copy.deepcopy(known) is known


def test_scenario_74_the_latest_tokens_of_requests_are_known() -> None:
    known = Secrets(["key-for-good"])
    for number in range(300):
        known.add_tokens(["token-of-old", f"token-{number}-of-many"])
    for secret in ("key-for-good", "token-of-old", "token-299-of-many", "token-50-of-many"):
        assert known.hide(f"x {secret}") == "x (hidden)", secret
    assert len(known._tokens) == 256
    known.add_tokens(f"other-{number}" for number in range(1000))
    assert known.hide("token-of-old") == "token-of-old"


def test_scenario_74_secrets_may_be_added_while_others_are_hidden() -> None:
    known = Secrets([SECRET])
    texts: set[str] = set()

    def add() -> None:
        for number in range(600):
            known.add_tokens([f"token-{number:05}"])

    adding = threading.Thread(target=add)
    adding.start()
    while adding.is_alive():
        texts.add(known.hide(f"a {SECRET} b"))
    adding.join()
    assert texts <= {"a (hidden) b"}


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ({"Authorization": f"Bearer {SECRET}"}, {SECRET}),
        ({"authorization": f"Basic {encoded('user-name:' + SECRET)}"}, {SECRET, "user-name", f"user-name:{SECRET}"}),
        ({"Proxy-Authorization": "Basic bm8gY29sb24="}, {"bm8gY29sb24="}),
        ({"Cookie": 'session=abcdefgh; other="12345678"; flag'}, {"abcdefgh", "12345678", "session=abcdefgh"}),
        ({"api-key": SECRET, "X-Any": "some words here"}, {SECRET, "some words here"}),
    ],
)
def test_scenario_74_the_secrets_of_headers(headers: dict[str, str], secrets: set[str]) -> None:
    assert secrets <= set(header_secrets(headers))


def test_scenario_74_headers_that_are_no_secrets() -> None:
    headers = {"User-Agent": "my-program/1.0", "Host": "api.example.com", "OpenAI-Organization": "org-12345678"}
    assert set(header_secrets(headers)) == set()


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (f"https://us%65r:p%40ss@host/v1?key={urllib.parse.quote_plus(SECRET)}", {SECRET, "p@ss", "p%40ss", "user"}),
        ("https://host/v1?model=gpt-4.1&api-version=2025-01-01&sig=abc", {"abc", "sig=abc"}),
        ("http://[", set()),
        ("user-name:pass-word@proxy:80", {"user-name:pass-word", "pass-word"}),
        ("https://host/v1", set()),
    ],
)
def test_scenario_74_the_secrets_of_a_url(url: str, secrets: set[str]) -> None:
    found = set(filter(None, url_secrets(url)))
    assert secrets <= found
    assert not {"gpt-4.1", "2025-01-01", "host"} & found


def test_scenario_74_a_text_of_any_length_takes_bounded_time() -> None:
    hidden = Secrets([SECRET]).hide(f"{SECRET} " + "x" * LONGEST)
    assert hidden.startswith("(hidden) xxx")
    assert hidden.endswith(f"xxx… ({len(SECRET) + 1} characters left out)")


def test_scenario_74_secrets_that_are_there_count() -> None:
    assert not Secrets(["short"], within=Secrets())
    assert Secrets([SECRET])
    assert Secrets(within=Secrets([SECRET]))


def test_scenario_74_the_secrets_of_tools() -> None:
    tools = [
        {
            "type": "mcp",
            "authorization": "token-1",
            "headers": {"X-Key": "token-2", "n": 5},
            "server_url": "http://h/?token-3",
        },
        {
            "type": "shell",
            "environment": {"network_policy": {"domain_secrets": [{"name": "n", "value": "token-4"}, {}, 5]}},
        },
        {
            "type": "namespace",
            "tools": ({"headers": None, "authorization": 5, "domain_secrets": "x", "server_url": None},),
        },
    ]
    assert set(filter(None, tool_secrets(tools))) == {f"token-{number}" for number in range(1, 5)}


def test_the_schemas_of_functions_hold_no_secrets() -> None:
    properties = {"headers": {"type": "array", "description": "What to send along."}, "server_url": "http://h/?word"}
    schema = {"type": "object", "properties": properties}
    assert not list(tool_secrets({"type": "function", "parameters": schema, "output_schema": schema}))
    assert list(tool_secrets({"type": "other", "parameters": schema}))


def test_scenario_74_the_secrets_of_a_handshake() -> None:
    found = set(handshake_secrets({"api-key": SECRET}, "ws://h/?a=query", "http://user:pass@proxy"))
    assert {SECRET, "query", "pass"} <= found
