"""Embedded servers and a fleet of them, for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from rxresponses import ConnectionOptions, FleetMemberState, FleetState, ResponsesFleet
from rxresponses.testing import ResponsesServer

from .clients import fast_retries
from .recorder import Recorder

WITH_LANES = ConnectionOptions(lanes=True)


class OneServerFleet(ResponsesFleet):
    """A fleet that is made as a client is, for tests of what all senders have in common."""

    def __init__(self, url: str = "", **settings: Any) -> None:
        super().__init__([url] if url else [], **settings)


@contextmanager
def servers(count: int = 3, **settings: Any) -> Iterator[list[ResponsesServer]]:
    """Run embedded servers; those that a test stops itself must be started by the test."""
    with ExitStack() as stack:
        yield [stack.enter_context(ResponsesServer(**settings)) for _ in range(count)]


def fleet_of(several: Sequence[ResponsesServer], **settings: Any) -> ResponsesFleet:
    """Return a fleet of these servers that tries again after milliseconds."""
    settings = {"options": WITH_LANES, "pool": fast_retries(), **settings}
    return ResponsesFleet([server.url for server in several], **settings)


def received(several: Sequence[ResponsesServer]) -> list[int]:
    """Return how many requests each server has received."""
    return [len(server.requests) for server in several]


def counts(several: Sequence[ResponsesServer]) -> Counter[str]:
    """Return how often each input arrived anywhere."""
    return Counter(str(request["input"]) for server in several for request in server.requests)


def until_fleet(states: Recorder[FleetState], condition: Callable[[FleetState], bool]) -> FleetState:
    """Wait until a condition holds for the latest state, and return it."""
    states.wait(lambda: bool(states.values) and condition(states.values[-1]))
    return states.values[-1]


def member_of(state: FleetState, server_url: str) -> FleetMemberState:
    """Return the row of a server."""
    port = server_url.split(":")[2].split("/")[0]
    return next(row for row in state.members if f":{port}/" in row.url)
