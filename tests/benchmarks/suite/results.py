"""What was measured: a figure of each client in each round, and ratios of figures of the same round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The minimum, the median and the maximum of some values."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of the values, or `None` if there are none."""
        known = list(values)
        return cls(min(known), statistics.median(known), max(known)) if known else None


@dataclass
class Row:
    """The figures of a client, one for each round; `None` where the client has failed."""

    name: str
    values: list[float | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    missing: str | None = None
    """Why the client could not be started here."""

    @property
    def spread(self) -> Spread | None:
        return Spread.of(value for value in self.values if value is not None)

    @property
    def trouble(self) -> str:
        """What there is to say besides the figures."""
        if self.missing is not None:
            return f"missing: {self.missing}"
        if not self.errors:
            return ""
        return f"FAILED in {len(self.errors)} of {len(self.values)} rounds: {self.errors[0]}"


@dataclass(frozen=True)
class Ratio:
    """The figure of one row divided by that of another, round by round."""

    name: str
    of: str
    by: str


@dataclass
class Part:
    """A part of the suite, with its rows and the ratios that it is about."""

    key: str
    title: str
    unit: str
    rows: list[Row]
    ratios: Sequence[Ratio]
    more_is_better: bool = True

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def values_of(self, ratio: Ratio) -> list[float]:
        """Return the ratio in each round in which both clients have a figure."""
        pairs = zip(self.row(ratio.of).values, self.row(ratio.by).values, strict=False)
        return [of / by for of, by in pairs if of is not None and by]

    def spread_of(self, ratio: Ratio) -> Spread | None:
        return Spread.of(self.values_of(ratio))

    def trouble_of(self, ratio: Ratio) -> str:
        """Why the ratio lacks rounds, or all of them."""
        rows = [self.row(ratio.of), self.row(ratio.by)]
        return "; ".join(f"{row.name} {row.trouble.partition(':')[0]}" for row in rows if row.trouble)


@dataclass
class Report:
    """All parts, with where, when and with which versions they were measured."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, Any]
    parts: list[Part]

    @property
    def has_failed(self) -> bool:
        return any(row.errors for part in self.parts for row in part.rows)

    def part(self, key: str) -> Part | None:
        return next((part for part in self.parts if part.key == key), None)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON, with the spreads for readers."""
        data = asdict(self)
        for shown, part in zip(data["parts"], self.parts, strict=True):
            for row in shown["rows"]:
                row["spread"] = _plain(part.row(row["name"]).spread)
            for ratio in shown["ratios"]:
                ratio["spread"] = _plain(part.spread_of(Ratio(ratio["name"], ratio["of"], ratio["by"])))
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Report:
        """Return the report in what `to_json` has returned."""
        parts = []
        for part in data["parts"]:
            rows = [Row(row["name"], row["values"], row["errors"], row["missing"]) for row in part["rows"]]
            ratios = [Ratio(ratio["name"], ratio["of"], ratio["by"]) for ratio in part["ratios"]]
            parts.append(Part(part["key"], part["title"], part["unit"], rows, ratios, part["more_is_better"]))
        return cls(data["date"], data["machine"], data["versions"], data["settings"], parts)


def _plain(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else asdict(spread)
