"""Tools that raise what few functions raise, each with the name of what arrives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any


def leave() -> None:
    """Leave."""
    sys.exit(3)


async def leave_later() -> None:
    """Leave."""
    await asyncio.sleep(0)
    sys.exit(3)


def empty() -> object:
    """Raise `StopIteration`."""
    return next(iter([]))


async def empty_later() -> object:
    """Raise `RuntimeError`, as Python makes of `StopIteration`."""
    return next(iter([]))


def cancelled() -> None:
    """Raise a cancellation."""
    raise asyncio.CancelledError


async def cancelled_later() -> None:
    """Raise a cancellation."""
    raise asyncio.CancelledError


def interrupt() -> None:
    """Raise an interrupt."""
    raise KeyboardInterrupt


async def interrupt_later() -> None:
    """Raise an interrupt."""
    raise KeyboardInterrupt


async def end_generator() -> None:
    """Raise what ends a generator."""
    raise GeneratorExit


def base() -> None:
    """Raise what is no `Exception`."""
    raise BaseException("odd")


RAISERS: list[tuple[Callable[[], Any], str]] = [
    (leave, "SystemExit"),
    (leave_later, "SystemExit"),
    (empty, "StopIteration"),
    (empty_later, "RuntimeError"),
    (cancelled, "CancelledError"),
    (cancelled_later, "CancelledError"),
    (interrupt, "KeyboardInterrupt"),
    (interrupt_later, "KeyboardInterrupt"),
    (end_generator, "GeneratorExit"),
    (base, "BaseException"),
]
