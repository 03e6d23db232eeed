"""What each worker needs to make its client and its run, in a form that can be sent to it."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConfigurationError
from ...limits.admission import Admission
from ...net.credentials import ApiKey
from ...options import ConnectionOptions, PoolOptions
from ...senders.client import ResponsesClient
from ...senders.client_admission import GivenLimits
from ...senders.fleet import ResponsesFleet
from ..answer_schema import AnswerSchema
from ..batch import BACKOFF
from ..outcomes import Outcome
from ..run import Run
from .gate import SharedGate
from .running import Opened


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """The service and the connections to it.  `concurrency` is the number of requests in flight of one client.

    `url` is one, or several of a fleet; it and `api_key` default to the environment of the worker.  `connection` are
    fields of `ConnectionOptions`, without `ssl`, which cannot be sent to another process: `ca_file` is the path of the
    certificates there.
    """

    url: str | Sequence[str] | None = field(default=None, repr=False)  # its query may be secret
    api_key: ApiKey | None = field(default=None, repr=False)
    concurrency: int = 16
    ca_file: str | None = None
    connection: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def client(self, admission: Admission | None = None) -> ResponsesClient | ResponsesFleet:
        """Make the client, with an admission of its own; raise `ConfigurationError` for what cannot be used."""
        more: dict[str, Any] = {}
        if self.ca_file is not None:
            try:
                more["ssl"] = ssl.create_default_context(cafile=self.ca_file)
            except (OSError, ValueError) as error:  # `ssl.SSLError` is an `OSError`
                raise ConfigurationError(f"cannot read the certificates in {self.ca_file}: {error}") from error
        # A client opens only the connections that it needs: one for 16 requests, if the server knows lanes.
        options: dict[str, Any] = {
            "api_key": self.api_key,
            "options": ConnectionOptions(**self.connection, **more),
            "pool": PoolOptions(max_connections=self.concurrency, max_queued=self.concurrency, backoff=BACKOFF),
            "limits": None if admission is None else GivenLimits(admission=admission),
        }
        if self.url is None or isinstance(self.url, str):
            return ResponsesClient(self.url, **options)
        return ResponsesFleet(self.url, **options)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The client of a worker, and its run: the fields are those of `Run`, but for `gate`, which all workers share."""

    client: ClientSettings
    timeout: float | None = None
    failing: tuple[Outcome, ...] = ()
    schema: AnswerSchema | None = None
    schema_retries: int = 0
    gate: SharedGate | None = None

    def with_concurrency(self, concurrency: int) -> RunSettings:
        """Return these settings with so many requests in flight."""
        return dataclasses.replace(self, client=dataclasses.replace(self.client, concurrency=concurrency))

    def __call__(self, worker: str) -> Opened:
        """Make both, in the process of the worker of this name."""
        admission = None if self.gate is None else self.gate.admission(worker)
        client = self.client.client(admission)
        run = Run(
            client,
            concurrency=self.client.concurrency,
            timeout=self.timeout,
            failing=self.failing,
            schema=self.schema,
            schema_retries=self.schema_retries,
        )
        return Opened(client, run) if admission is None else Opened(client, run, admission.close)
