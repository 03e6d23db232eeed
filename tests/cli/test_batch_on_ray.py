"""`rxresponses batch --on ray` as far as it needs no Ray; `tests/ray_cluster` has the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rxresponses.testing import ResponsesServer

from .conftest import Batch
from .programs import usage_error


class TestOnRay:
    def test_without_ray(self, batch: Batch, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        batch.ask("one")
        code, err = batch("--on", "ray")
        assert code == 2
        assert "Ray is not installed" in err
        assert "pip install 'rxresponses[ray]'" in err
        assert server.requests == []

    @pytest.mark.parametrize("argument", [("--address", "auto"), ("--workers", "2")])
    def test_arguments_that_are_only_for_ray(self, batch: Batch, argument: tuple[str, str]) -> None:
        batch.ask("one")
        code, err = batch(*argument)
        assert code == 2
        assert "add --on ray" in err
        assert not batch.results.exists()

    def test_another_engine(self, batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
        assert "invalid choice: 'dask'" in usage_error(capsys, *batch.arguments, "--on", "dask")

    def test_the_embedded_server_is_on_this_machine_only(
        self, batch: Batch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from rxresponses.cli.main import main

        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
        batch.ask("one")
        code = main([*batch.arguments[:-2], "--on", "ray", "--address", "10.0.0.1:6379"])
        assert code == 2
        assert "answers on this machine only" in capsys.readouterr().err

    def test_one_process_imports_nothing_of_it(self, batch: Batch) -> None:
        batch.ask("one")
        program = (
            "import sys; from rxresponses.cli.main import main; main(sys.argv[1:]); "
            "print(*[name for name in sys.modules if 'ray' in name.split('.')])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *batch.arguments], check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == ""
