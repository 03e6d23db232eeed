"""The start of an answer that websockets cannot read."""

from __future__ import annotations

import pytest

from rxresponses.net.refusal import drop_interim, is_decided, is_foreign, is_tls, refusal_in

CHUNKED = b"HTTP/1.1 401 U\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "headers", "body"),
    [
        (b"HTTP/1.0 401 Unauthorized\r\n", 401, {}, b""),
        (b"HTTP/1.0 403 No\r\nRetry-After: 3\r\n\r\nhello", 403, {"Retry-After": "3"}, b"hello"),
        (b"HTTP/1.1 401\r\n\r\nhello", 401, {}, b"hello"),
        (b"HTTP/1.1 401 U\r\nContent-Length: 50\r\n\r\nhello", 401, {"Content-Length": "50"}, b"hello"),
        (
            b"HTTP/1.1 401 U\r\nContent-Length: " + b"9" * 20 + b"\r\n\r\nhello",
            401,
            {"Content-Length": "9" * 20},
            b"hello",
        ),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 401, {"Transfer-Encoding": "chunked"}, b"hello"),
        (CHUNKED + b"5\r\nhello\r\nzz\r\n", 401, {"Transfer-Encoding": "chunked"}, b"hello"),
        (CHUNKED + b"5" * 70_000, 401, {"Transfer-Encoding": "chunked"}, b""),
        (b"HTTP/1.1 503 B\r\nX: a\r\n b\r\nY: \xe9\x01\r\n\r\n", 503, {"X": "a b", "Y": "é?"}, b""),
        (b"HTTP/1.1 401 U\r\n" + b"X: 1\r\n" * 200 + b"\r\nhello", 401, {}, b""),
        (b"HTTP/1.1 401 U\r\nX: " + b"1" * 70_000, 401, {}, b""),
        (b"HTTP/1.1 401 U\nX: 1\n\nhello", 401, {"X": "1"}, b"hello"),
        (b"HTTP/1.1 401 U\r\nContent-Length: %d\r\n\r\nhello" % 10**25, 401, {"Content-Length": f"{10**25}"}, b"hello"),
        (CHUNKED + b"f" * 30 + b"\r\nhello", 401, {"Transfer-Encoding": "chunked"}, b""),
    ],
    ids=range(14),
)
def test_scenario_65_a_refusal_has_what_has_come(
    answer: bytes, status: int, headers: dict[str, str], body: bytes
) -> None:
    refusal = refusal_in(answer)
    assert refusal is not None
    assert (refusal.status_code, dict(refusal.headers.raw_items()), refusal.body) == (status, headers, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0 40",
        b"HTTP/1.0 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 999 Denied\r\n\r\n",
        b"HTTP/2 401\r\n\r\n",
        b"220 SMTP\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
    ],
)
def test_scenario_65_other_answers_are_no_refusal(answer: bytes) -> None:
    assert refusal_in(answer) is None
    assert is_decided(answer) is is_foreign(answer)


@pytest.mark.parametrize("answer", [b"HTTP/1.0 401 U\r\nX: 1\r\n\r\n", bytearray(b"HTTP/1.1 500 E\n\nbody")])
def test_scenario_65_the_rest_of_a_refusal_is_its_body(answer: bytes) -> None:
    assert is_decided(answer)
    assert not is_decided(answer[:15])


@pytest.mark.parametrize(("answer", "foreign"), [(b"", False), (b"HTT", False), (b"HTTP/1.1 2", False), (b"HX", True)])
def test_scenario_65_an_answer_that_is_no_http(answer: bytes, foreign: bool) -> None:
    assert is_foreign(answer) is is_foreign(bytearray(answer)) is foreign


def test_scenario_65_a_tls_alert() -> None:
    assert is_tls(b"\x15\x03\x03\x00\x02\x02\x46")
    assert not is_tls(b"HTTP/1.1 400 Bad Request\r\n\r\n")


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "is_final", "rest"),
    [
        (b"", False, b""),
        (b"HTTP/1.1 10", False, b"HTTP/1.1 10"),
        (b"HTTP/1.1 101", True, b"HTTP/1.1 101"),
        (b"HTTP/1.0 401", True, b"HTTP/1.0 401"),
        (EARLY, False, b""),
        (EARLY[:-1], False, EARLY[:-1]),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY + b"HTTP/1.1 101 S", True, b"HTTP/1.1 101 S"),
        (EARLY + b"SSH", True, b"SSH"),
        (b"HTTP/1.1 102 " + b"x" * 20_000, True, b"HTTP/1.1 102 " + b"x" * 20_000),
    ],
    ids=range(9),
)
def test_scenario_65_interim_answers_come_before_the_final_answer(answer: bytes, is_final: bool, rest: bytes) -> None:
    received = bytearray(answer)
    assert (drop_interim(received), bytes(received)) == (is_final, rest)
