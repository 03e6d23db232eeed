"""The pytest plugin with the fixture `responses_server`.

pytest imports this module at its start in every environment where the package is installed.  Therefore
the server is imported only when a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .server import ResponsesServer


@pytest.fixture
def responses_server() -> Iterator[ResponsesServer]:
    """A `ResponsesServer` on a free local port.  It runs on a thread of its own while one test runs.

    `reply` and `on` say what it answers, `script` reads that from a file, and `fault` says what goes wrong.
    """
    from .server import ResponsesServer

    with ResponsesServer() as server:
        yield server
