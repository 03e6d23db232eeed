"""Fixtures of the tests of a batch."""

from __future__ import annotations

import pytest


class Clock:
    """A clock set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands."""
    return Clock()
