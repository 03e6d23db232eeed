from __future__ import annotations

from typing import Any

import pytest

from rxresponses.testing.faults import RefuseUpgrade
from rxresponses.testing.handshake import check_upgrade


def error_of(refusal: RefuseUpgrade) -> dict[str, Any]:
    assert isinstance(refusal.content, dict)
    error = refusal.content["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses?model=gpt-4o&x=1"])
@pytest.mark.parametrize("authorization", [None, "Bearer anything", "Basic x"])
def test_without_a_key_every_client_is_accepted(path: str, authorization: str | None) -> None:
    assert check_upgrade(path, authorization, None) is None


@pytest.mark.parametrize("path", ["/", "/v1/responses/", "/v1/realtime", "/responses"])
def test_an_upgrade_on_another_path_is_refused(path: str) -> None:
    refusal = check_upgrade(path, "Bearer secret", "secret")

    assert refusal is not None
    assert refusal.status == 404
    assert error_of(refusal)["message"] == f"Invalid URL (GET {path})"


@pytest.mark.parametrize("authorization", ["Bearer secret", "bearer secret", "Bearer  secret "])
def test_the_right_key_is_accepted(authorization: str) -> None:
    assert check_upgrade("/v1/responses", authorization, "secret") is None


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, None),
        ("", None),
        ("secret", None),
        ("Bearer ", None),
        ("Basic secret", None),
        ("Bearer wrong", "invalid_api_key"),
    ],
)
def test_a_wrong_key_is_refused(authorization: str | None, code: str | None) -> None:
    refusal = check_upgrade("/v1/responses", authorization, "secret")

    assert refusal is not None
    assert refusal.status == 401
    assert error_of(refusal)["code"] == code
    assert "secret" not in str(refusal.body)
