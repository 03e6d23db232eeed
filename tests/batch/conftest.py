"""Fixtures of the tests of a batch."""

from __future__ import annotations

import pytest


class Clock:
    """A clock in seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock whose time only the test changes."""
    return Clock()
