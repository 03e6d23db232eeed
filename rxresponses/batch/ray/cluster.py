"""Ray: the cluster, and the workers as actors in it.  No other module of `--on ray` imports Ray."""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from ...errors import ConfigurationError
from ..lines import Task
from .run import Call, LostError
from .running import Opened
from .worker import Worker

_PATIENCE = 10.0  # seconds for a connection to the cluster
_IN_INIT = "creation task"  # in the errors of Ray: followed by the traceback of what the actor has raised


def import_ray() -> Any:
    """Return the module `ray`; raise `ConfigurationError` if it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            f"Ray is not installed, or cannot be imported ({error}): pip install 'rxresponses[ray]'"
        ) from error
    return ray


@contextlib.contextmanager
def cluster(address: str | None, cpus: int | None = None) -> Iterator[Any]:
    """Connect to the cluster at `address`, at that of `RAY_ADDRESS`, or start one here with `cpus`; give `ray`.

    A program that is connected already stays connected.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None or address == "local":
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    else:
        options |= {"address": address}
        _check_reachable(address)
    try:
        ray.init(**options)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"cannot connect to the Ray cluster {address or 'here'}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise `ConfigurationError` if nothing listens at `HOST:PORT`: Ray itself tries for more than a minute."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return  # `auto`, a URL, or what Ray refuses at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"cannot connect to the Ray cluster {address}: {error}") from error


class RayCall:
    """A call of an actor."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray = ray
        self.reference = reference

    def result(self) -> Any:
        """Return what the actor has returned; raise `LostError` if it has ended, or else what it has raised."""
        try:
            return self._ray.get(self.reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # what the worker has raised
        except self._ray.exceptions.RayError as error:
            raise LostError(first_line(error)) from error


class RayWorkers:
    """Workers as actors, each with `cpus` of the cluster.

    There is a function of `open_runs` for each worker, which is called in its process with its name; the one that takes
    the place of a lost worker has its function.  `ended` is called here when a worker has ended.
    """

    def __init__(
        self,
        ray: Any,
        open_runs: Iterable[Callable[[str], Opened]],
        *,
        ended: Callable[[str], None] = lambda worker: None,
        cpus: float = 1.0,
    ) -> None:
        self._ray = ray
        # What a lost worker had goes to other workers by `Dispatch`, so Ray itself repeats nothing.
        self._make = ray.remote(Worker).options(
            num_cpus=cpus, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._free = deque(open_runs)
        self._ended = ended
        self._actors: dict[str, tuple[Any, Callable[[str], Opened]]] = {}

    def start(self) -> str:
        """Start a worker; return its name."""
        name, open_run = uuid4().hex, self._free.popleft()
        self._actors[name] = self._make.remote(open_run, name), open_run
        return name

    def ready(self, worker: str) -> Call:
        """Begin a call that returns when the worker can be given tasks."""
        return RayCall(self._ray, self._actors[worker][0].ready.remote())

    def exchange(self, worker: str, tasks: list[Task], wait: float, stop: bool) -> Call:
        """Begin a call of `Worker.exchange`."""
        return RayCall(self._ray, self._actors[worker][0].exchange.remote(tasks, wait, stop))

    def close(self, worker: str) -> Call:
        """Begin a call of `Worker.close`."""
        return RayCall(self._ray, self._actors[worker][0].close.remote())

    def wait(self, calls: Sequence[Call], timeout: float) -> list[Call]:
        """Return the calls that have ended; wait at most `timeout` seconds for the first of them."""
        of = {call.reference: call for call in calls if isinstance(call, RayCall)}
        references = list(of)
        self._ray.wait(references, timeout=timeout, fetch_local=False)
        ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        return [of[reference] for reference in ready]

    def end(self, worker: str) -> None:
        """End the process of a worker, if it has not ended."""
        if worker in self._actors:
            actor, open_run = self._actors.pop(worker)
            self._free.append(open_run)
            self._ray.kill(actor)
            self._ended(worker)


def first_line(error: Exception) -> str:
    """Return the first line of the text of an error of Ray, or the last one of the traceback that it may have."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(iter(reversed(lines) if _IN_INIT in str(error) else lines), type(error).__name__)
