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
    holds up the others for no longer than 0.05 seconds.  The time counts from when another one finds the gate open,
    since a busy loop has all of them come late.
    """

    def __init__(self) -> None:
        self._waiting: dict[Asker, None] = {}
        self._missed: tuple[Asker, float] | None = None  # whose turn it is, and when another one came instead

    def join(self, asker: Asker) -> None:
        """Note that a request of an asker waits; an asker that waits already keeps its place."""
        self._waiting.setdefault(asker, None)

    def leave(self, asker: Asker) -> None:
        """Note that no request of an asker waits any more."""
        self._waiting.pop(asker, None)
        if self._missed is not None and self._missed[0] is asker:
            self._missed = None

    def turn_at(self, asker: Asker, now: float) -> float:
        """Return when an asker may pass the gate, which is open: `now` or before if it may pass now."""
        first = next(iter(self._waiting), asker)
        if first is asker:
            return now
        if self._missed is None:
            self._missed = first, now
        gives_way_at = self._missed[1] + _GRACE
        if gives_way_at <= now:
            self.leave(first)
        return gives_way_at

    def tell_first(self, asker: Asker) -> None:
        """Let the first asker ask again, unless it is this one: the gate may open earlier than it was told."""
        first = next(iter(self._waiting), asker)
        if first is not asker:
            first.changed()
