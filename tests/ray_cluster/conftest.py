"""A Ray cluster on this machine for all tests of the folder, and servers for its workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rxresponses.cli.main import main
from rxresponses.testing import ResponsesServer
from rxresponses.testing.request import Request

CPUS = 8
LINES = int(os.environ.get("RXRESPONSES_RAY_LINES", "400"))  # more lines show the same, and take longer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs Ray: pip install 'rxresponses[ray]'"))


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """Start a cluster; its CPUs are only numbers, as workers mostly wait for servers."""
    import ray

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # Ray's own
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        ray.init(
            address="local",
            num_cpus=CPUS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            object_store_memory=100 * 2**20,
        )
        yield ray
        ray.shutdown()


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    """Run a server that answers each prompt with the same text each time."""
    with ResponsesServer() as server:
        server.on(lambda request: True, answer)
        yield server


def answer(request: Request) -> str:
    """Return the answer to a prompt."""
    return f"answer to {request.text}"


def kill_an_actor(name: str) -> int:
    """End the process of an actor of this class in the cluster of these tests, as the system does; return its id."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            title = (process / "cmdline").read_bytes()
            if title.startswith(f"ray::{name}".encode()) and is_descendant(int(process.name)):
                found.append(int(process.name))
    os.kill(min(found), signal.SIGKILL)
    return min(found)


def is_descendant(process: int) -> bool:
    """Whether a process was started by this one, or by one that was."""
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        if process == os.getpid():
            return True
    return False


def kill_a_worker() -> int:
    """End the process of one worker of a batch."""
    return kill_an_actor("Worker")


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Return a function that prints a line of figures."""
    return lambda line: print(f"\n{line}")


class Batch:
    """Run `rxresponses batch` in this process, which is connected to the cluster."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.requests = folder / "in.jsonl"
        self._capfd = capfd

    def ask(self, lines: int, **fields: object) -> None:
        """Write so many requests."""
        requests = ({"input": f"question {number}", **fields} for number in range(1, lines + 1))
        self.requests.write_text("".join(json.dumps(request) + "\n" for request in requests))

    def __call__(self, output: str, *more: str) -> tuple[int, str]:
        """Return the exit code and standard error."""
        code = main(["batch", str(self.requests), "-o", str(self.folder / output), *more])
        return code, self._capfd.readouterr().err

    def count(self, output: str) -> int:
        """Return how many results there are by now."""
        path = self.folder / output
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def lines(self, output: str) -> list[dict[str, Any]]:
        """Return the results in the order of their lines, without what differs from one response to the other."""
        lines = [json.loads(line) for line in (self.folder / output).read_text().splitlines()]
        for line in lines:
            response = line.get("response") or {}
            for name in ("id", "created_at", "completed_at"):
                response.pop(name, None)
            for item in response.get("output", ()):
                item.pop("id", None)
        return sorted(lines, key=lambda line: line["line"])


@pytest.fixture
def batch(tmp_path: Path, ray: Any, capfd: pytest.CaptureFixture[str]) -> Batch:
    """Return a batch on the cluster."""
    return Batch(tmp_path, capfd)
