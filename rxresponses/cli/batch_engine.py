"""What sends the requests of `rxresponses batch`: this process, or the workers of a Ray cluster."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ..batch.batch import Batch
from ..errors import ConfigurationError
from ..testing.fallback import is_embedded
from .arguments import connection_fields


def check_engine(args: argparse.Namespace) -> None:
    """Raise `ConfigurationError` for arguments that do not fit together, before any file is opened."""
    if args.on is None and (args.address is not None or args.workers is not None):
        raise ConfigurationError("--address and --workers are for a Ray cluster: add --on ray")
    if args.address is not None and is_embedded((args.url or [None])[0]):
        raise ConfigurationError(
            "the embedded test server answers on this machine only: give --url, or set OPENAI_API_KEY"
        )


def make_batch(args: argparse.Namespace, *files: Any, url: str | list[str] | None, **options: Any) -> Batch:
    """Return the batch that the arguments ask for; the others are those of `Batch`."""
    if args.on is None:
        return Batch(*files, url=url, **options)
    from ..batch.ray.batch import RayBatch
    from ..batch.ray.settings import ClientSettings

    client = ClientSettings(
        # The environment of the workers may be another one.
        url=url or os.environ.get("OPENAI_BASE_URL"),
        api_key=os.environ.get("OPENAI_API_KEY"),
        ca_file=args.ca_file,
        connection=connection_fields(args),
    )
    return RayBatch(*files, url=url, address=args.address, workers=args.workers, client=client, **options)
