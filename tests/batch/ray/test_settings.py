from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rxresponses import ConfigurationError
from rxresponses.batch.ray.batch import shares_of
from rxresponses.batch.ray.settings import ClientSettings, RunSettings


class TestClientSettings:
    def test_secrets_are_not_shown(self) -> None:
        settings = ClientSettings(
            url="wss://example.com/?key=hidden", api_key="hidden", connection={"headers": {"x-key": "hidden"}}
        )
        assert "hidden" not in repr(RunSettings(client=settings))
        assert pickle.loads(pickle.dumps(settings)) == settings

    def test_certificates_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "ca").write_text("nothing")
        with pytest.raises(ConfigurationError, match="cannot read the certificates in"):
            ClientSettings(url="wss://example.com", api_key="key", ca_file=str(tmp_path / "ca")).client()

    def test_a_client_has_a_connection_for_each_request_at_most(self) -> None:
        with ClientSettings(url="wss://example.com", api_key="key", concurrency=7).client() as client:
            assert client._pool_options.max_connections == 7


def test_the_workers_have_all_that_may_be_in_flight_and_no_more() -> None:
    assert shares_of(10, 4) == [3, 3, 2, 2]
    assert shares_of(12, 3) == [4, 4, 4]
    assert shares_of(3, 3) == [1, 1, 1]
    settings = RunSettings(client=ClientSettings(url="wss://example.com", api_key="key"), timeout=3.0)
    assert settings.with_concurrency(5).client.concurrency == 5
    assert settings.with_concurrency(16) == settings
