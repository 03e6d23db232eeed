"""The processes that share a test run, and the programs that the tests start.

A run of many test files is shared by as many workers as the machine has cores (pytest-xdist).  A run of few
files stays in one process, because starting the workers would take longer than the tests.  `-n` chooses
another number, and `-p no:xdist` switches the workers off.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from pathlib import Path

import pytest

FEW = 20  # test files
MOST = 8  # workers: each of them imports all tests


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Choose the number of workers, before pytest-xdist looks at it."""
    option = config.option
    # A worker has no number of workers either.
    if not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput"):
        return
    interactive = option.usepdb or option.collectonly or option.capture == "no"
    if option.numprocesses is None and option.dist == "no" and not interactive and len(_test_files(config)) > FEW:
        option.numprocesses = min(_cores(), MOST)
        option.dist = "worksteal"


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Keep the bytecode, as most users do, also where the environment forbids it (as container images do).

    Each worker, and each program that a test starts, would compile the package and the tests again.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_collection(session: pytest.Session) -> None:
    """Let every other worker import the test files from the last one on, so that two workers compile half of them each.

    pytest rewrites the assertions of each file.  In the first run of a checkout, that takes most of the time until the
    first test.  A worker takes over what another one has compiled.
    """
    config = session.config
    if int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 2 == 0:
        return
    left_out = {*config.getini("norecursedirs")}
    for path in sorted(_test_files(config), reverse=True):
        with contextlib.suppress(Exception, pytest.skip.Exception):  # the collection reports it
            module = path.relative_to(config.rootpath).with_suffix("").parts
            if left_out.isdisjoint(module):
                importlib.import_module(".".join(module))


def pytest_collection_finish() -> None:
    """Take the tests themselves out of the garbage collector's work: they are many, and stay until the end."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _little_garbage() -> None:
    """Take what earlier files left out of the garbage collector's work: some tests collect, for each object made."""
    gc.collect()
    gc.freeze()


def _test_files(config: pytest.Config) -> list[Path]:
    """Return the test files that the command line names, alone or by their folder."""
    paths = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    return [file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path])]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
