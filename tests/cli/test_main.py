"""The command line as a whole: its exit codes, and what it loads."""

from __future__ import annotations

import configparser
import errno
import os
import subprocess
import sys

import pytest

from rxresponses.cli.main import main
from rxresponses.testing import Hold, ResponsesServer, Text
from tests.support.paths import ROOT
from tests.support.streams import Unwritable

from .conftest import Ask
from .programs import PATIENCE, Start, usage_error


class TestEnds:
    def test_a_full_disk(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", Unwritable(errno.ENOSPC))
        code, _, err = ask()
        assert code == 1
        assert err == f"rxresponses: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n"

    def test_a_closed_pipe(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", Unwritable(errno.EPIPE))
        assert ask() == (0, "", "")

    def test_standard_streams_closed_from_the_start(self, server: ResponsesServer) -> None:
        command = f'exec "{sys.executable}" -m rxresponses ask --url {server.url}'
        program = subprocess.run(f"{command} Hi >&-", shell=True, stderr=subprocess.PIPE, timeout=PATIENCE)
        assert (program.returncode, program.stderr) == (0, b"")
        program = subprocess.run(f"{command} - <&-", shell=True, stderr=subprocess.PIPE, timeout=PATIENCE)
        assert program.returncode == 2
        assert b"the prompt is empty" in program.stderr

    def test_a_pipe_that_closes_during_the_answer(self, start: Start, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply([Text(deltas=["word "] * 1000), Hold(gate, after=5)])
        program = start("ask", "--events", "--url", server.url, "Say hello")
        program.read_until(b"response.created")
        process = program.process
        assert process.stdout is not None
        process.stdout.close()
        gate.open()
        assert process.stderr is not None
        assert (process.wait(PATIENCE), process.stderr.read()) == (0, b"")


class TestProgram:
    def test_version(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.metadata.version", lambda name: f"1.2.3 of {name}")
        with pytest.raises(SystemExit) as end:
            main(["--version"])
        assert end.value.code == 0
        assert capsys.readouterr().out == "rxresponses 1.2.3 of rxresponses\n"

    def test_version_of_a_source_tree(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from importlib.metadata import PackageNotFoundError

        def no_version(name: str) -> str:
            raise PackageNotFoundError(name)

        monkeypatch.setattr("importlib.metadata.version", no_version)
        with pytest.raises(SystemExit):
            main(["--version"])
        assert capsys.readouterr().out == "rxresponses (not installed)\n"

    def test_runs_as_a_module(self, start: Start) -> None:
        code, out, err = start("--version").end()
        assert (code, err) == (0, "")
        assert out.startswith("rxresponses ")

    def test_is_the_console_script(self) -> None:
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        scripts = config["options.entry_points"]["console_scripts"].split("\n")
        assert "rxresponses = rxresponses.cli.main:program" in scripts

    def test_help_and_wrong_usage_load_only_what_they_need(self) -> None:
        usages = [
            ["--help"],
            ["ask", "--help"],
            ["chat", "--help"],
            ["batch", "--help"],
            ["serve", "--help"],
            ["ask", "--timeout", "soon"],
        ]
        code = (
            "import contextlib, sys; from rxresponses.cli.main import main\n"
            "others = ('rich', 'rxresponses.testing', 'rxresponses.batch', 'rxresponses.cli.screen', 'asyncio')\n"
            f"for args in {usages}:\n"
            "    with contextlib.suppress(SystemExit): main(args)\n"
            "    print('loaded', args, [name for name in others if name in sys.modules])"
        )
        command = [sys.executable, "-c", code]
        out = subprocess.run(command, capture_output=True, check=True, text=True, timeout=PATIENCE).stdout
        loaded = [line for line in out.splitlines() if line.startswith("loaded ")]
        assert loaded == [f"loaded {args} []" for args in usages]

    @pytest.mark.parametrize(("args", "said"), [([], "COMMAND"), (["tell"], "invalid choice")])
    def test_wrong_usage(self, capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
        assert said in usage_error(capsys, *args)
