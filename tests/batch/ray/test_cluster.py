from __future__ import annotations

import socket

import pytest

from rxresponses import ConfigurationError
from rxresponses.batch.ray.cluster import _check_reachable, first_line


class TestAddress:
    def test_nothing_listens_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            _check_reachable(f"127.0.0.1:{listener.getsockname()[1]}")
        for address in ("127.0.0.1:1", "[::1]:1", "127.0.0.1:99999"):
            with pytest.raises(ConfigurationError, match="cannot connect to the Ray cluster"):
                _check_reachable(address)

    @pytest.mark.parametrize("address", ["auto", "nonsense", "ray://127.0.0.1:1", "host:port"])
    def test_what_ray_itself_judges_at_once(self, address: str) -> None:
        _check_reachable(address)


class TestFirstLine:
    def test_of_a_lost_process(self) -> None:
        assert first_line(RuntimeError("\n  The actor died.\n\tclass_name: Worker\n")) == "The actor died."

    def test_of_an_actor_that_could_not_be_made(self) -> None:
        text = "The actor died because of an error raised in its creation task, ray::Worker.__init__() (pid=7)\n"
        text += "  File \"worker.py\", line 7\nModuleNotFoundError: No module named 'rxresponses'\n\n"
        assert first_line(RuntimeError(text)) == "ModuleNotFoundError: No module named 'rxresponses'"

    def test_without_a_text(self) -> None:
        assert first_line(RuntimeError()) == "RuntimeError"
