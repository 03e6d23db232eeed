"""Who may see the page of an inspector."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from rxresponses.inspector.access import Access, Refusal

ACCESS = Access(8000, "t0ken")
OWN = "127.0.0.1:8000"


@pytest.mark.parametrize("host", [OWN, "localhost:8000", "LocalHost:8000"])
def test_the_page(host: str) -> None:
    assert ACCESS.answer("/t0ken/", [host], []) == "page"
    assert ACCESS.answer("/t0ken/", [host], ["https://evil.example"]) == "page"  # a link; the answer is not readable


@pytest.mark.parametrize("host", [OWN, "localhost:8000"])
def test_the_events_are_for_the_page_itself(host: str) -> None:
    assert ACCESS.answer("/t0ken/events", [host], [f"http://{host}"]) == "events"


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["evil.example"],
        ["evil.example:8000"],
        ["127.0.0.1"],
        ["127.0.0.1:8001"],
        [OWN, OWN],
        [f"{OWN}.evil.example"],
    ],
)
@pytest.mark.parametrize("path", ["/t0ken/", "/t0ken/events", "/"])
def test_another_host_is_refused(path: str, hosts: list[str]) -> None:
    answer = ACCESS.answer(path, hosts, [f"http://{host}" for host in hosts])
    assert isinstance(answer, Refusal)
    assert answer.status == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "path",
    ["/", "", "/t0ken", "/t0ke/", "/T0KEN/", "/t0ken/?", "/t0ken/event", "/t0ken//", "/events", "/tökén/", "/\udcff"],
)
def test_another_path_is_refused(path: str) -> None:
    answer = ACCESS.answer(path, [OWN], [f"http://{OWN}"])
    assert isinstance(answer, Refusal)
    assert answer.status == HTTPStatus.NOT_FOUND
    assert "t0ken" not in answer.text


@pytest.mark.parametrize(
    "origins",
    [
        [],
        ["null"],
        ["https://evil.example"],
        ["http://127.0.0.1:8001"],
        ["http://localhost:8000"],  # not the host of the request
        [f"https://{OWN}"],
        [f"http://{OWN}", "https://evil.example"],
    ],
)
def test_another_origin_is_refused(origins: list[str]) -> None:
    answer = ACCESS.answer("/t0ken/events", [OWN], origins)
    assert isinstance(answer, Refusal)
    assert answer.status == HTTPStatus.FORBIDDEN
