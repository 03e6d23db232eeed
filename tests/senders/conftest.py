"""Fixtures of the tests of sockets and clients."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that no warning is logged: no unhandled error, and no error of a task that was never retrieved."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.records]
    assert [record for record in records if record.levelno >= logging.WARNING] == []
