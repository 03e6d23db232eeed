"""Fixtures of the tests of conversations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..support.clients import no_thread_left


@pytest.fixture(autouse=True)
def _no_loop_left() -> Iterator[None]:
    """Each test ends its runs and closes its senders, or the background loop would go on for the tests behind."""
    with no_thread_left():
        yield
