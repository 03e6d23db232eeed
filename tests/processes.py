"""The processes that share a test run, and the programs that the tests start.

A run of many test files is shared by as many workers as the machine has cores (pytest-xdist).  A run of few
files stays in one process, because starting the workers would take longer than the tests.  `-n` chooses
another number, and `-p no:xdist` switches the workers off.
"""

from __future__ import annotations

import gc
import os
import tempfile

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
    if option.numprocesses is None and option.dist == "no" and not interactive and _files(config) > FEW:
        option.numprocesses = min(_cores(), MOST)
        option.dist = "worksteal"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let programs keep their bytecode, as those of users do, also where the environment forbids it."""
    if hasattr(config, "workerinput"):
        return  # a worker has the environment of the process that started it
    folder = tempfile.TemporaryDirectory(prefix="bytecode-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder.name


def pytest_collection_finish() -> None:
    """Take the tests themselves out of the garbage collector's work: they are many, and stay until the end."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _little_garbage() -> None:
    """Take what earlier files left out of the garbage collector's work: some tests collect, for each object made."""
    gc.collect()
    gc.freeze()


def _files(config: pytest.Config) -> int:
    """Return how many test files the command line names, alone or by their folder."""
    paths = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    return sum(sum(1 for _ in path.rglob("test_*.py")) if path.is_dir() else 1 for path in paths)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
