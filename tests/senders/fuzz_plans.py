"""What the fuzzer of a socket draws: faults of the server, options, and requests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis.strategies as st

from rxresponses import ConnectionOptions
from rxresponses.testing import (
    Close,
    Delay,
    DelayUpgrade,
    DropStreamIds,
    Expire,
    Failure,
    Fault,
    FunctionCall,
    Hold,
    IgnoreSteer,
    Inject,
    Raw,
    RefuseConcurrent,
    RefuseUpgrade,
    ReorderLanes,
    Stall,
    Text,
)
from rxresponses.testing.replies import Part
from rxresponses.testing.request import Request
from rxresponses.testing.transcript import Recording

from ..support.checks import AT_THE_END

LANES: list[str | None] = [None, "a", "b", "c"]
THREADS = ["main", "foreign", "loop"]


def echo(request: Request) -> list[str | Part | Recording]:
    """Answer with the input of the request in each delta, so that a delta shows to which request it belongs."""
    meta = request.body["metadata"]
    if meta["kind"] == "call":
        return [FunctionCall(request.text.strip("#"), "{}")]
    text = Text(deltas=[f"{request.text} "] * int(meta["words"]))
    if meta["kind"] == "new" and request.stream_id is not None:
        return [Raw([{"type": "response.never_heard_of", "stream_id": request.stream_id}]), text]
    return [text]


FRAMES: list[dict[str, Any] | str | bytes] = [
    "{broken",
    "null",
    "[1]",
    b"\x00\xff",
    {"type": "response.never_heard_of", "stream_id": "nobody"},
    {"type": "response.output_text.delta", "delta": "stray", "stream_id": "nobody"},
    {"type": "response.completed", "response": {"id": "nobodys"}, "stream_id": "nobody"},
    {"type": "response.output_text.delta", "delta": 5, "stream_id": 7},
    {"no": "type", "stream_id": "nobody"},
]
CODES = st.sampled_from([1000, 1001, 1006, 1011, 1012])
AFTER = st.integers(0, 9)
CLOSES = st.builds(Close, CODES, after=AFTER)
INJECTIONS = st.builds(Inject, st.sampled_from(FRAMES), after=AFTER)
HARMLESS = st.one_of(
    st.builds(Failure, st.sampled_from(["server_error", "rate_limit_exceeded"]), after=AFTER),
    st.builds(Delay, st.sampled_from([0.0, 0.001, 0.005]), after=AFTER),
    INJECTIONS,
)
TRAITS: st.SearchStrategy[Any] = st.sampled_from(
    [ReorderLanes(), ReorderLanes("newest"), RefuseConcurrent(), IgnoreSteer(), DropStreamIds()]
)
UPGRADES: st.SearchStrategy[Any] = st.one_of(
    st.builds(RefuseUpgrade, st.sampled_from([401, 404, 429, 500, 503])), st.builds(DelayUpgrade, st.just(0.003))
)


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Draw a fault of any kind; a `Hold` gets its gate later."""
    chance = draw(st.sampled_from([0.1, 0.3, 1.0]))
    choose = partial(
        Fault,
        connection=draw(st.sampled_from([None, None, 1, 2])),
        probability=chance,
        seed=draw(st.integers(0, 9)),
    )
    times = draw(st.sampled_from([1, 1, 2]))
    where = draw(st.sampled_from(["request", "request", "request", "connection", "upgrade", "opening"]))
    if where == "connection":
        return choose(draw(TRAITS))
    if where == "upgrade":
        return choose(draw(UPGRADES), times=times)
    disturbances: st.SearchStrategy[Any] = st.one_of(CLOSES, INJECTIONS, st.builds(Expire, after=AFTER))
    if draw(st.integers(0, 9)) == 0:
        disturbances = st.builds(Stall, after=AFTER, pongs=st.booleans())
    if where == "opening":
        return choose(draw(disturbances), request=0, times=times)
    what = draw(st.one_of(disturbances, HARMLESS, HARMLESS, st.builds(Hold, after=AFTER)))
    request = draw(st.sampled_from([None, None, 1, 2, 5]))
    return choose(what, request=request, times=None if chance < 1 else times)


@st.composite
def options(draw: st.DrawFn) -> ConnectionOptions:
    """Draw options; half of them have limits so short that requests time out."""
    timeouts: dict[str, Any] = {"ping_interval": None, "steer_timeout": None}
    if draw(st.booleans()):
        names = ("queue_timeout", "first_event_timeout", "idle_timeout", "steer_timeout", "ping_interval")
        timeouts = {name: draw(st.sampled_from([None, 0.01, 0.05])) for name in names}
    return ConnectionOptions(
        close_timeout=0.2,
        ping_timeout=0.1,
        max_active=draw(st.sampled_from([1, 2, 16])),
        max_buffered_bytes=draw(st.sampled_from([3_000, 2**24])),
        lanes=draw(st.sampled_from([None, None, True, False])),
        on_dispose=draw(st.sampled_from(["drain", "drain", "close"])),
        **timeouts,
    )


@dataclass(frozen=True)
class PlannedRequest:
    """A request to send: its fields, the thread that subscribes, and what the observer does at an event."""

    lane: str | None
    kind: str  # of answer
    words: int
    hold: int | None  # the number of events after which the server waits for the gate
    late: bool  # whether the successor, if this is steered, waits for the gate before it begins
    limit: int | None
    generate: bool | None
    parent: int | None
    thread: str
    raw: bool
    action: str
    at: int

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the request besides its input."""
        meta = {"kind": self.kind, "words": str(self.words), "hold": "" if self.hold is None else str(self.hold)}
        meta["late"] = "0" if self.late else ""
        generate = {} if self.generate is None else {"generate": self.generate}
        return {"metadata": meta, "max_output_tokens": self.limit, **generate}

    @property
    def text(self) -> str:
        """The text of the whole answer to the input `#`."""
        return "" if self.generate is False or self.kind == "call" else "# " * self.words


REQUESTS = st.builds(
    PlannedRequest,
    lane=st.sampled_from(LANES),
    kind=st.sampled_from(["text", "text", "text", "new", "call"]),
    words=st.integers(0, 8),
    hold=st.sampled_from([None, None, 0, 2, 5]),
    late=st.just(False),
    limit=st.sampled_from([None, None, 1, 3]),
    generate=st.sampled_from([None, None, None, False]),
    parent=st.one_of(st.none(), st.none(), st.integers(0, 99)),
    thread=st.sampled_from(THREADS),
    raw=st.booleans(),
    action=st.sampled_from(["dispose", "dispose", "raise", "raise", "close", "again", *["nothing"] * 10]),
    at=st.integers(AT_THE_END, 8),
)
