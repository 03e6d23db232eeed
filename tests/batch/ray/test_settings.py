from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rxresponses import ConfigurationError
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
