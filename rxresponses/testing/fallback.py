"""The embedded server as a fallback, for programs that run with and without an API key."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_EVENT_INTERVAL = 0.03  # seconds between two events: slow enough that the text is seen to stream


def is_embedded(url: str | None = None) -> bool:
    """Return whether `url_or_embedded_server(url)` would start the embedded server."""
    return not (url or os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"))


def url_or_embedded_server(url: str | None = None) -> AbstractContextManager[str | None]:
    """Provide the URL for a `ResponsesWebSocket` or a `ResponsesClient`, with or without an API key.

    If `url`, `OPENAI_BASE_URL` or `OPENAI_API_KEY` is set, the context gives back `url` unchanged; `None`
    then means the default URL of the client.  If none of them is set, the context runs a `ResponsesServer`
    on a thread of its own, gives its URL, and says so on standard error.  This server remembers the latest
    1,000 requests and responses, and at most 16 MiB of each.
    """
    # No frame of this module has a URL among its variables when the program's block raises: its query may be secret.
    return _embedded_server() if is_embedded(url) else nullcontext(url)


@contextmanager
def _embedded_server() -> Iterator[str]:
    from .server import REMEMBER, REMEMBER_BYTES, ResponsesServer

    with ResponsesServer(event_interval=_EVENT_INTERVAL, remember=REMEMBER, remember_bytes=REMEMBER_BYTES) as server:
        print(
            f"OPENAI_API_KEY is not set: the embedded test server ({server.url}) answers, not a model",
            file=sys.stderr,
            flush=True,
        )
        yield server.url
