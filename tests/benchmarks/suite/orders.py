"""What a client orders of the server of the suite, as the text of its request.

All clients can send a text, whatever else their interfaces allow.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Order:
    """One response.  Its deltas begin when `together` requests of the same `run` have arrived, on any connections."""

    deltas: int
    together: int = 1
    run: str = ""
    rate: float = 0.0
    """Deltas a second, each with the time at which it was written; 0 means as fast as the client reads."""
    hold: bool = False
    """The response stays in flight after its deltas."""

    def __str__(self) -> str:
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))


def parse(text: str) -> Order:
    """Return the order in a text; words without `=` are not for the server."""
    given = dict(word.split("=", 1) for word in text.split() if "=" in word)
    return Order(
        deltas=int(given["deltas"]),
        together=int(given.get("together", 1)),
        run=given.get("run", ""),
        rate=float(given.get("rate", 0)),
        hold=given.get("hold") == "True",
    )
