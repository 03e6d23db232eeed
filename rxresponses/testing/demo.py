"""An answer without an account: the embedded server stands in where no key and no URL is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_EVENT_INTERVAL = 0.03  # seconds: slow enough to be seen streaming, fast enough not to bore


def is_embedded(url: str | None = None) -> bool:
    """Whether the embedded server stands in: with neither `url` nor `OPENAI_BASE_URL` nor `OPENAI_API_KEY`."""
    return not (url or os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"))


@contextmanager
def url_or_embedded_server(url: str | None = None) -> Iterator[str | None]:
    """Give the URL for a `ResponsesWebSocket`: yours, or that of a server started for the occasion.

    With `url`, `OPENAI_BASE_URL` or `OPENAI_API_KEY` it is `url` unchanged.  With none of them an
    embedded server runs as long as the context, and standard error says so.
    """
    if not is_embedded(url):
        yield url
        return
    from . import ResponsesServer

    with ResponsesServer(event_interval=_EVENT_INTERVAL) as server:
        print(
            f"OPENAI_API_KEY is not set: the embedded test server ({server.url}) answers, not a model",
            file=sys.stderr,
            flush=True,
        )
        yield server.url
