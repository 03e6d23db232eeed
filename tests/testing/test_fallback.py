from __future__ import annotations

import pytest
from websockets.sync.client import connect

from rxresponses.testing import url_or_embedded_server
from rxresponses.testing.fallback import is_embedded


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("http://127.0.0.1:1/v1", {}),
        (None, {"OPENAI_API_KEY": "secret"}),
        (None, {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}),
    ],
)
def test_a_known_service_needs_no_server(
    url: str | None, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert not is_embedded(url)
    with url_or_embedded_server(url) as given:
        assert given == url
    assert capsys.readouterr() == ("", "")


def test_without_a_service_a_server_runs_in_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    assert is_embedded()
    with url_or_embedded_server() as url:
        assert url is not None
        assert url in capsys.readouterr().err
        endpoint = url.replace("http", "ws") + "/responses"
        with connect(endpoint, max_queue=None) as connection:
            connection.send('{"type": "response.create", "model": "m", "input": "hi"}')
            assert "response.created" in str(connection.recv(timeout=10))
    with pytest.raises(OSError, match="refused"):
        connect(endpoint)
