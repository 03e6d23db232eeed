"""The pytest plugin: the fixture `responses_server`.

pytest imports this at its start in every environment that has the package, so the server itself is
imported only when the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import ResponsesServer


@pytest.fixture
def responses_server() -> Iterator[ResponsesServer]:
    """A `ResponsesServer` that listens on a free local port for the time of one test."""
    from .server import ResponsesServer

    with ResponsesServer() as server:
        yield server
