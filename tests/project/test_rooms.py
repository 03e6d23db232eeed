"""The check of the import rules: it passes, and it fails when a forbidden import is added."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytest.importorskip("importlinter", reason="import-linter comes with the extra `dev`")

ORDER = "A room imports only from the rooms below it"
PURE = "do no I/O, know no Rx, start no thread and read no clock"
BATCH = "batch is a library"
SERVER = "The embedded server imports nothing of the client"
EXAMPLES = "The examples use public names only"
CIRCLES = "No modules import each other in a circle"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and of the rules, to spoil."""
    shutil.copytree(ROOT / "rxresponses", tmp_path / "rxresponses", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def check(checkout: Path) -> tuple[int, str]:
    """Run the check as `.ci/run` does; return its exit code and its report, without line breaks."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr)


def test_the_import_rules_hold(checkout: Path) -> None:
    code, report = check(checkout)
    assert code == 0, report
    for rule in (ORDER, PURE, BATCH, SERVER, EXAMPLES, CIRCLES):
        assert re.search(f"{re.escape(rule)}[^.]*KEPT", report), report


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Packages and their own modules included, which the rule in `pyproject.toml` does not compare."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("rxresponses", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "rxresponses.net.dispatch" in imports
    TopologicalSorter(imports).prepare()  # raises `CycleError`


@pytest.mark.parametrize(
    ("module", "line", "rule", "imported"),
    [
        ("wire/codec.py", "from ..protocol import protocol", ORDER, "rxresponses.wire.codec -> rxresponses.protocol"),
        ("protocol/protocol.py", "from ..pool import pool", ORDER, "rxresponses.protocol.protocol -> rxresponses.pool"),
        ("net/transport.py", "from ..pool import pool", ORDER, "rxresponses.net.transport -> rxresponses.pool"),
        ("net/transport.py", "from .. import senders", ORDER, "rxresponses.net.transport -> rxresponses.senders"),
        ("operators/usage.py", "from .. import senders", ORDER, "rxresponses.operators.usage -> rxresponses.senders"),
        ("senders/socket.py", "from .. import testing", ORDER, "rxresponses.senders.socket -> rxresponses.testing"),
        ("batch/run.py", "from .. import cli", ORDER, "rxresponses.batch.run -> rxresponses.cli"),
        ("headers.py", "from . import errors", ORDER, "rxresponses.headers -> rxresponses.errors"),
        ("wire/base.py", "import asyncio", PURE, "rxresponses.wire.base -> asyncio"),
        ("protocol/request.py", "import reactivex", PURE, "rxresponses.protocol.request -> reactivex"),
        ("protocol/steering.py", "import websockets", PURE, "rxresponses.protocol.steering -> websockets"),
        ("pool/queue.py", "import threading", PURE, "rxresponses.pool.queue -> threading"),
        ("pool/pool.py", "from time import monotonic", PURE, "rxresponses.pool.pool -> time"),
        ("batch/run.py", "import argparse", BATCH, "rxresponses.batch.run -> argparse"),
        ("testing/server.py", "from ..wire import codec", SERVER, "rxresponses.testing.server -> rxresponses.wire"),
        ("testing/plan.py", "from ..recording import replay", SERVER, "rxresponses.testing.plan -> rxresponses.recor"),
        ("examples/timeout.py", "import rxresponses.net.transport", EXAMPLES, "rxresponses.examples.timeout -> rxr"),
        ("pool/ordering.py", "from . import pool", CIRCLES, "rxresponses.pool"),
        ("wire/base.py", "def late():\n    from . import codec", CIRCLES, "rxresponses.wire"),
    ],
)
def test_a_forbidden_import_is_found(checkout: Path, module: str, line: str, rule: str, imported: str) -> None:
    path = checkout / "rxresponses" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")
    code, report = check(checkout)
    assert code == 1, report
    assert re.search(f"{re.escape(rule)}[^.]*BROKEN", report), report
    assert imported in report, report


def test_a_new_room_must_be_given_its_place(checkout: Path) -> None:
    (checkout / "rxresponses" / "attic.py").write_text('"""A module that no rule knows."""\n', encoding="utf-8")
    code, report = check(checkout)
    assert code == 1, report
    assert "rxresponses.attic" in report
