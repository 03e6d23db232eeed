"""A call on another thread than the test's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def on_another_thread(act: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call a function on a new thread, wait for its end, and return what it returns or raise what it raises."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(act, *args, **options).result()
