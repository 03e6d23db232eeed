"""Counting Python calls: a measure of work that no other program on the machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


def count_calls(act: Callable[[], object]) -> int:
    """Call a function, and return how many Python functions were called meanwhile, this one included."""
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(before)
    return calls
