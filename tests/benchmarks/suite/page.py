"""The page of a report for the docs, and the short table in it for the README."""

from __future__ import annotations

from .clients import BARE, NODE_OPENAI, OPENAI, OWN, ZOD
from .results import Part, Ratio, Report
from .table import number, table

COMMAND = "python -m tests.benchmarks --node-dir DIR --output docs"

# What a user asks, the part that answers, and the rows of the ratio; one row stands for itself.
SUMMARY = (
    ("Rate of one response / that of `ws` + zod on Node", "throughput", OWN, ZOD),
    ("… / that of the official Node client", "throughput", OWN, NODE_OPENAI),
    ("… / that of a bare `websockets` loop with `json.loads`", "throughput", OWN, BARE),
    ("… / that of the official Python client", "throughput", OWN, OPENAI),
    ("Rate of 2,000 streams together / that of one stream", "scaling", f"{OWN}, 2,000 streams", f"{OWN}, 1 stream"),
    ("Latency of 100 paced streams, p50 / that of the bare loop", "latency", f"{OWN}, p50", f"{BARE}, p50"),
    ("… p99 / that of the bare loop", "latency", f"{OWN}, p99", f"{BARE}, p99"),
    ("Rate over TLS / without TLS", "transports", f"{OWN}, TLS", f"{OWN}, plain"),
    ("Rate with compression / without", "transports", f"{OWN}, compressed", f"{OWN}, plain"),
    ("Rate with `uvloop` / with the loop of asyncio", "transports", f"{OWN}, uvloop", f"{OWN}, plain"),
    (
        "`ask` until its first text / a program with the official client",
        *("startup", f"{OWN}, until the first text", "openai, until the first text"),
    ),
    ("Memory of a response in flight, in bytes", "memory", f"{OWN}, a response in flight", ""),
)


def summary(report: Report) -> str:
    """Return the short table, in Markdown."""
    lines = [f"| | Median of {report.settings['rounds']} rounds | Minimum to maximum |", "|---|---|---|"]
    for question, key, of, by in SUMMARY:
        part = report.part(key)
        if part is not None and (columns := _columns(part, of, by)):
            lines.append(f"| {question} | {columns} |")
    return "\n".join(lines)


def page(report: Report) -> str:
    """Return the page, in Markdown."""
    return f"""\
# Speed

![{alternative(report)}](speed.svg)

{summary(report)}

`{COMMAND}` has written this page.
DIR is a folder in which `npm install openai ws zod` was run. Each client runs in a process of its own, against one
server on the same machine, in rounds whose order alternates; a ratio is that of two figures of the same round.

```text
{table(report)}
```
"""


def alternative(report: Report) -> str:
    """Return what the picture shows, for readers who do not see it."""
    ratios = []
    for peer in (ZOD, NODE_OPENAI, BARE, OPENAI):
        part = report.part("throughput")
        spread = part.spread_of(Ratio("", OWN, peer)) if part is not None else None
        if spread is not None:
            ratios.append(f"{spread.median:.2f} times the rate of {peer}")
    return f"{OWN} in a picture: {', '.join(ratios)}" if ratios else f"The speed of {OWN} in a picture"


def _columns(part: Part, of: str, by: str) -> str | None:
    names = {row.name for row in part.rows}
    if not {of, by} - {""} <= names:
        return None
    spread = part.spread_of(Ratio("", of, by)) if by else part.row(of).spread
    if spread is None:
        return None
    shown = [number(value, ratio=bool(by)) for value in (spread.median, spread.low, spread.high)]
    return f"{shown[0]} | {shown[1]} to {shown[2]}"
