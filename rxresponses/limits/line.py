"""`Line`: the order in which several askers, such as the clients of a fleet, are let through one gate."""

from __future__ import annotations

from typing import Protocol

# Seconds for which the others wait for the asker whose turn it is.
_GRACE = 0.05


class Asker(Protocol):
    """Whoever asks a gate that others ask too."""

    def changed(self) -> None:
        """Ask again soon: a request that waits may begin earlier than it was told."""


class Line:
    """The askers whose requests wait for a gate, the one that has waited longest first.

    An asker that does not come when it is its turn, because its server has it pause for example, loses its place: so it
    holds up the others for no longer than 0.05 seconds.
    """

    def __init__(self) -> None:
        self._waiting: dict[Asker, None] = {}

    def join(self, asker: Asker) -> None:
        """Note that a request of an asker waits; an asker that waits already keeps its place."""
        self._waiting.setdefault(asker, None)

    def leave(self, asker: Asker) -> None:
        """Note that no request of an asker waits any more."""
        self._waiting.pop(asker, None)

    def turn_at(self, asker: Asker, ready_at: float, now: float) -> float:
        """Return when an asker may pass a gate that is open since `ready_at`: `now` or before if it may pass now."""
        first = next(iter(self._waiting), asker)
        if first is asker:
            return now
        if now < ready_at + _GRACE:
            return ready_at + _GRACE
        del self._waiting[first]
        return now

    def tell_first(self, asker: Asker) -> None:
        """Let the first asker ask again, unless it is this one: the gate may open earlier than it was told."""
        first = next(iter(self._waiting), asker)
        if first is not asker:
            first.changed()
