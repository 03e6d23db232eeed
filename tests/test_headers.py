from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any

import pytest

from rxresponses.headers import Headers

HEADERS = Headers([("Retry-After", "5"), ("x-request-id", "req_1")])


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_names_are_found_in_any_case(name: str) -> None:
    assert HEADERS[name] == HEADERS.get(name) == "5"
    assert name in HEADERS


def test_missing_names() -> None:
    assert "Date" not in HEADERS
    assert HEADERS.get("Date") is None
    with pytest.raises(KeyError, match="date"):
        HEADERS["Date"]
    assert not Headers()
    assert len(HEADERS) == 2


def test_iterating_gives_the_spelling_of_the_server() -> None:
    assert list(HEADERS) == ["Retry-After", "x-request-id"]
    assert dict(HEADERS) == {"Retry-After": "5", "x-request-id": "req_1"}


@pytest.mark.parametrize("second", ["Vary", "vary"])
def test_a_field_that_came_twice_keeps_both_values(second: str) -> None:
    assert dict(Headers([("Vary", "a"), (second, "b")])) == {"Vary": "a, b"}
    assert dict(Headers([("Vary", ""), (second, "b")])) == {"Vary": ", b"}


def test_headers_are_made_of_mappings_and_of_headers() -> None:
    assert dict(Headers({"A": "1"})) == dict(Headers(Headers({"A": "1"}))) == {"A": "1"}


SAME = {"retry-after": "5", "X-Request-Id": "req_1"}


@pytest.mark.parametrize("same", [SAME, Headers(SAME)])
def test_equality_ignores_case(same: Any) -> None:
    headers = HEADERS
    assert headers == same
    assert same == headers


@pytest.mark.parametrize("other", [Headers(), {**SAME, "retry-after": "6"}, [("retry-after", "5")], {5: "5"}, None])
def test_other_headers_are_not_equal(other: Any) -> None:
    headers = HEADERS
    assert headers != other
    assert other != headers


def test_headers_are_read_only() -> None:
    assert not isinstance(HEADERS, MutableMapping)
    assert not isinstance(HEADERS, Hashable)
    given = {"A": "1"}
    headers = Headers(given)
    given["A"] = "2"
    assert headers["a"] == "1"


def test_no_value_is_in_the_repr() -> None:
    assert repr(Headers({"Set-Cookie": "secret", "Date": "now"})) == "<Headers: Set-Cookie, Date>"
    assert repr(Headers()) == "<Headers: none>"


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, *(lambda one, n=n: pickle.loads(pickle.dumps(one, n)) for n in range(6))]
)
def test_copies(clone: Callable[[Headers], Headers]) -> None:
    assert dict(clone(HEADERS)) == dict(HEADERS)
    assert clone(HEADERS)["retry-after"] == "5"
