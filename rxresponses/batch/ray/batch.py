"""A batch whose requests are sent by the workers of a Ray cluster; this process alone writes the results."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import ConfigurationError
from ..batch import Batch
from ..progress import Progress
from ..run import AnyRun
from .cluster import RayWorkers, cluster
from .run import RayRun
from .settings import ClientSettings, RunSettings


class RayBatch(Batch):
    """The same as `Batch`, on `workers` workers of the Ray cluster at `address`; see `cluster`.

    `concurrency` lines are in flight on all workers together.  `workers` is by default the number of CPUs of the
    cluster, as a worker needs one.  `client` are the settings of each worker's client.
    """

    def __init__(
        self, *args: Any, address: str | None, workers: int | None, client: ClientSettings, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._address = address
        self._workers = workers
        self._client_settings = client

    @contextmanager
    def _open_run(self, progress: Progress) -> Iterator[AnyRun]:
        with cluster(self._address, self._workers) as ray:
            count = self._workers or int(ray.cluster_resources().get("CPU", 0))
            if count < 1:
                raise ConfigurationError("the Ray cluster has no CPU for a worker")
            count = min(count, self._concurrency)
            each = -(-self._concurrency // count)  # rounded up
            client = dataclasses.replace(self._client_settings, concurrency=each)
            settings = RunSettings(
                client=client,
                timeout=self._timeout,
                failing=tuple(self._failing),
                schema=self._schema,
                schema_retries=self._schema_retries,
            )
            yield RayRun(RayWorkers(ray, settings), count=count, ahead=2 * each, waits=progress.wait, note=self._note)
