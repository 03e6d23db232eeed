"""Socket and embedded server together, over real connections, with whatever can go wrong at random.

Hypothesis draws what the server does to whom, who subscribes where and on which lane, who disposes,
raises, steers or closes, and when.  What the threads make of it is not drawn, so only what must hold
in every outcome is checked: for each subscriber the Rx grammar and that all it got is its own; for
each request that it was sent as often as it should, by the server's own books; for each error that
its verdict is true; and that in the end everyone was told, and no task, thread or file is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from reactivex import Observable
from reactivex.abc import ObserverBase
from reactivex.disposable import SingleAssignmentDisposable

from rxresponses import (
    BufferOverflowError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    ConnectionState,
    RequestError,
    ResponsesWebSocket,
    ResponseTimeoutError,
    ServerEvent,
    SocketClosedError,
)
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
    ResponsesServer,
    Stall,
    Text,
)
from rxresponses.testing.journal import Exchange
from rxresponses.testing.replies import Part, Reply
from rxresponses.testing.request import Request
from rxresponses.testing.transcript import Recording
from tests.effort import examples

STEPS = 30
WAIT = 30.0  # seconds after which something hangs; nothing takes that long when all is well

AT_THE_END = 0  # not at the nth event
LANES: list[str | None] = [None, "a", "b", "c"]
PLACES = ["main", "foreign", "loop"]
STATES = {
    ConnectionState.IDLE: {ConnectionState.CONNECTING, ConnectionState.CLOSING, ConnectionState.CLOSED},
    ConnectionState.CONNECTING: {ConnectionState.OPEN, ConnectionState.IDLE, ConnectionState.CLOSING},
    ConnectionState.OPEN: {ConnectionState.IDLE, ConnectionState.CLOSING},
    ConnectionState.CLOSING: {ConnectionState.CLOSED},
    ConnectionState.CLOSED: set(),
}
T = TypeVar("T")


class Boom(Exception):
    """What the raising observers raise."""


class Table:
    """What all subscribers of one run share: what went wrong, and waiting for one of them."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.changed = threading.Condition()

    def object(self, problem: str) -> None:
        """Note a problem: raised in an observer, it would be the observer's own."""
        self.problems.append(problem)

    def tell(self) -> None:
        """Let those who wait look again."""
        with self.changed:
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds, and return whether it does."""
        with self.changed:
            return self.changed.wait_for(condition, seconds)


class Probe(ObserverBase[ServerEvent]):
    """A subscriber that looks closely, and at one of its events may do something."""

    def __init__(
        self, table: Table, tag: str, place: str, act: Callable[[Probe], None] = lambda probe: None, at: int = 0
    ) -> None:
        self.table = table
        self.tag = tag
        self.place = place
        self.events: list[ServerEvent] = []
        self.error: Exception | None = None
        self.completed = False
        self.raised = False
        self.orphan = False  # the loop where it would be told has ended
        self.disposed = False  # by anyone; what was on its way on another thread may still come
        self.gone = False  # `dispose` has returned on the delivery thread
        self.subscription = SingleAssignmentDisposable()
        self._act = act
        self._at = at
        self._subscribed = threading.Event()
        self._thread = 0  # inside a notification
        self._threads: set[int] = set()
        self._home: int | None = None  # the thread of the loop on which it was subscribed
        self._late = 0

    def subscribe(self, source: Observable[ServerEvent], *, raw: bool) -> None:
        """Subscribe; `raw` without the guard of `Observable.subscribe`, which hides what comes after the end."""
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            self._home = threading.get_ident()
        assert source._subscribe is not None
        with contextlib.suppress(Boom):  # from `on_error`, when the socket is closed already
            self.subscription.disposable = source._subscribe(self, None) if raw else source.subscribe(self)
        self._subscribed.set()

    def dispose(self) -> None:
        """Dispose, from wherever this is called."""
        self.subscription.dispose()
        self.disposed = True

    @property
    def ended(self) -> bool:
        """Whether a terminal notification came."""
        return self.completed or self.error is not None

    @property
    def settled(self) -> bool:
        """Whether nothing more need come."""
        return self.ended or self.disposed or self.orphan

    @property
    def text(self) -> str:
        """The text of all deltas received."""
        return "".join(getattr(event, "delta", "") for event in self.events if "output_text" in event.type)

    @property
    def response_ids(self) -> list[str]:
        """The ids of the responses it heard of, in order."""
        ids = [event.response.id for event in self.events if hasattr(event, "response")]
        return list(dict.fromkeys(ids))

    def on_next(self, value: ServerEvent) -> None:
        with self._notified(f"on_next({value.type})"):
            self.events.append(value)
            self.table.tell()
            if len(self.events) == self._at:
                self._subscribed.wait(WAIT)
                self._act(self)

    def on_error(self, error: Exception) -> None:
        with self._notified(f"on_error({error!r})"):
            self.error = error
            self._end()

    def on_completed(self) -> None:
        with self._notified("on_completed"):
            self.completed = True
            self._end()

    def _end(self) -> None:
        self.table.tell()
        if self._at == AT_THE_END and not self.raised:
            self._act(self)

    @contextlib.contextmanager
    def _notified(self, what: str) -> Iterator[None]:
        here = threading.get_ident()
        before, self._thread = self._thread, here
        if before not in (0, here):
            self.table.object(f"{self}: {what} while another thread is inside a notification")
        if self.ended:
            self.table.object(f"{self}: {what} after its end")
        if self.gone:
            self.table.object(f"{self}: {what} after dispose returned on the delivery thread")
        if self.disposed:
            self._late += 1  # what another thread had begun when dispose returned
            if self._late > 1:
                self.table.object(f"{self}: {what} long after dispose")
        self._threads.add(here)
        if self._home not in (None, here):
            self.table.object(f"{self}: {what} not on the loop where it was subscribed")
        if len(self._threads) > 1 and not isinstance(self.error, SocketClosedError) and "SocketClosed" not in what:
            self.table.object(f"{self}: {what} on a second thread")
        try:
            yield
        finally:
            self._thread = before

    def __repr__(self) -> str:
        end = "completed" if self.completed else repr(self.error)
        return f"<{self.tag} on {self.place}, {len(self.events)} events, {end}>"


@dataclass
class Watch:
    """The hot sources of one socket."""

    table: Table
    socket: ResponsesWebSocket
    closed_at: float | None = None

    def __post_init__(self) -> None:
        self.states: list[ConnectionState] = []
        self.events: set[int] = set()
        self.kept: list[ServerEvent] = []
        self.ends = 0
        self.socket.state.subscribe(self._state, on_completed=self._end)

    def watch_events(self) -> None:
        """Keep all events as well."""
        self.socket.events.subscribe(self.kept.append)

    def _state(self, state: ConnectionState) -> None:
        if self.states and state not in STATES[self.states[-1]]:
            self.table.object(f"{state} after {self.states}")
        self.states.append(state)

    def _end(self) -> None:
        self.ends += 1
        self.table.tell()


class LoopThread:
    """An asyncio program beside the test."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self.left: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fuzz loop")
        self._thread.start()
        self._ready.wait(WAIT)

    def call(self, act: Callable[[], T]) -> T:
        """Do something on the loop, and wait for it."""

        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT)

    def close(self) -> None:
        """End the program, and look what it leaves."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        self.left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


class Log(logging.Handler):
    """What asyncio and the package report: raising observers, and nothing else."""

    NAMES = ("asyncio", "rxresponses")

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "rxresponses.testing":  # that is the other side
            self.records.append(record)

    def __enter__(self) -> Log:
        for name in self.NAMES:
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.NAMES:
            logging.getLogger(name).removeHandler(self)


def open_files() -> int | None:
    """How many file descriptors this process has, where that can be seen."""
    with contextlib.suppress(OSError):
        return len(list(Path("/proc/self/fd").iterdir()))
    return None


def echo(request: Request) -> list[str | Part | Recording]:
    """Answer with the request's own input, over and over, so that every delta tells whose it is."""
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
    """One fault of any kind; a `Hold` gets its gate later."""
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
    """Options: half of them in such a hurry that requests time out."""
    clocks: dict[str, Any] = {"ping_interval": None, "steer_timeout": None}
    if draw(st.booleans()):
        names = ("queue_timeout", "first_event_timeout", "idle_timeout", "steer_timeout", "ping_interval")
        clocks = {name: draw(st.sampled_from([None, 0.01, 0.05])) for name in names}
    return ConnectionOptions(
        close_timeout=0.2,
        ping_timeout=0.1,
        max_active=draw(st.sampled_from([1, 2, 16])),
        max_buffered_bytes=draw(st.sampled_from([3_000, 2**24])),
        lanes=draw(st.sampled_from([None, None, True, False])),
        on_dispose=draw(st.sampled_from(["drain", "drain", "close"])),
        **clocks,
    )


@dataclass(frozen=True)
class Ask:
    """A request to come: what is asked, who subscribes where, and what they do at their nth event."""

    lane: str | None
    kind: str  # of answer
    words: int
    hold: int | None  # after how many events the server waits for the gate
    late: bool  # if steered, the response that follows waits for the gate before it begins
    limit: int | None
    generate: bool | None
    parent: int | None
    place: str
    raw: bool
    deed: str
    at: int

    @property
    def fields(self) -> dict[str, Any]:
        """What the request says besides its input."""
        meta = {"kind": self.kind, "words": str(self.words), "hold": "" if self.hold is None else str(self.hold)}
        meta["late"] = "0" if self.late else ""
        generate = {} if self.generate is None else {"generate": self.generate}
        return {"metadata": meta, "max_output_tokens": self.limit, **generate}

    @property
    def text(self) -> str:
        """What the whole answer to `#` would be."""
        return "" if self.generate is False or self.kind == "call" else "# " * self.words


ASKS = st.builds(
    Ask,
    lane=st.sampled_from(LANES),
    kind=st.sampled_from(["text", "text", "text", "new", "call"]),
    words=st.integers(0, 8),
    hold=st.sampled_from([None, None, 0, 2, 5]),
    late=st.just(False),
    limit=st.sampled_from([None, None, 1, 3]),
    generate=st.sampled_from([None, None, None, False]),
    parent=st.one_of(st.none(), st.none(), st.integers(0, 99)),
    place=st.sampled_from(PLACES),
    raw=st.booleans(),
    deed=st.sampled_from(["dispose", "dispose", "raise", "raise", "close", "again", *["nothing"] * 10]),
    at=st.integers(AT_THE_END, 8),
)


class SocketMachine(RuleBasedStateMachine):
    """Drive sockets and server together.

    Whatever is drawn depends on what was drawn before only, never on how far threads have come.
    """

    @initialize(options=options(), plan=st.lists(faults(), max_size=4), watch_events=st.booleans())
    def start(self, options: ConnectionOptions, plan: list[Fault], watch_events: bool) -> None:
        self.files = open_files()
        self.table = Table()
        self.log = Log().__enter__()
        self.server = ResponsesServer().__enter__()
        self.server.on("", self.answer)
        self.gate = self.server.gate()
        self.may_hang = False  # without another fault
        self.options = options
        self.loop = LoopThread()
        self.foreign = ThreadPoolExecutor(1, "fuzz foreign")
        self.watch_events = watch_events
        self.watches: list[Watch] = []
        self.socket = self.open()
        self.creates: list[Probe] = []
        self.steers: list[Probe] = []
        self.extras: list[Probe] = []  # subscribed by observers, in no order
        self.asked: dict[str, Ask] = {}
        self.sockets: dict[str, ResponsesWebSocket] = {}
        self.targets: dict[str, str] = {}
        self.never: set[str] = set()  # disposed at a time when they could not have been sent
        for fault in plan:
            self.plan(fault)

    def open(self) -> ResponsesWebSocket:
        socket = ResponsesWebSocket(self.server.url, options=self.options)
        watch = Watch(self.table, socket)
        if self.watch_events:
            watch.watch_events()
        self.watches.append(watch)
        return socket

    def at(self, place: str, act: Callable[[], T]) -> T:
        if place == "loop":
            return self.loop.call(act)
        return self.foreign.submit(act).result(WAIT) if place == "foreign" else act()

    def probe(self, pick: int) -> Probe | None:
        probes = [*self.creates, *self.steers]
        return probes[pick % len(probes)] if probes else None

    # What subscribers do.

    @rule(asks=st.lists(ASKS, min_size=1, max_size=4), events=st.sampled_from([0, 0, 1, 3, 20]))
    def request(self, asks: list[Ask], events: int) -> None:
        for ask in asks:
            self.await_events(self.send(ask), events)
            if ask.deed == "close" and ask.at % 2:
                self.socket = self.open()

    def send(self, ask: Ask) -> Probe:
        before = self.probe(ask.parent) if ask.parent is not None else None
        previous = before.response_ids[-1] if before is not None and before.response_ids else None
        if previous in self.targets.values():
            previous = None  # nothing would tell the answer from a late one to the steer
        tag = f"#{len(self.creates)}"
        probe = Probe(self.table, tag, ask.place, self.deed(ask), ask.at)
        self.creates.append(probe)
        self.asked[tag] = ask
        self.sockets[tag] = self.socket
        source = self.socket.send_request(self.create(ask, tag, previous), stream_id=ask.lane)
        self.at(ask.place, partial(probe.subscribe, source, raw=ask.raw and ask.place != "loop"))
        return probe

    def create(self, ask: Ask, tag: str, previous: str | None) -> dict[str, Any]:
        chain = {} if previous is None else {"previous_response_id": previous}
        return {"model": "m", "input": tag, **ask.fields, **chain}

    def answer(self, request: Request) -> Reply:
        meta = request.body["metadata"]
        hold = meta["late"] or meta["hold"] if request.number == 0 else meta["hold"]  # nobody asked: it answers steers
        return [*echo(request), Hold(self.gate, after=int(hold))] if hold else echo(request)

    def deed(self, ask: Ask) -> Callable[[Probe], None]:
        socket = self.socket

        def dispose(probe: Probe) -> None:
            probe.dispose()
            probe.gone = True

        def throw(probe: Probe) -> None:
            probe.raised = True
            raise Boom(probe.tag)

        def close(probe: Probe) -> None:
            socket.close()

        def again(probe: Probe) -> None:
            another = Probe(self.table, f"{probe.tag}+", probe.place)
            self.extras.append(another)
            self.asked[another.tag] = ask
            source = socket.send_request(self.create(ask, another.tag, None), stream_id=ask.lane)
            another.subscribe(source, raw=False)

        return {"dispose": dispose, "raise": throw, "close": close, "again": again}.get(ask.deed, lambda probe: None)

    @rule(
        pick=st.integers(0, 99),
        places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=3),
        ask=ASKS,
        late=st.booleans(),
    )
    def steer(self, pick: int, places: list[str], ask: Ask, late: bool) -> None:
        """Steer a response that runs now, mostly; or one that has ended, or that nobody knows."""
        target = self.probe(pick)
        if pick % 4:
            ask = replace(ask, lane=f"steered{pick % 3}", kind="text", hold=pick % 4 + 1, late=late, deed="nothing")
            target = self.send(ask)
            self.await_events(target, 1)
        target_id = target.response_ids[-1] if target is not None and target.response_ids else "resp_unknown"
        for place in places:
            tag = f"#s{len(self.steers)}"
            probe = Probe(self.table, tag, place)
            self.steers.append(probe)
            self.targets[tag] = target_id
            source = self.socket.steer(target_id, tag)
            self.at(place, partial(probe.subscribe, source, raw=False))
            self.await_events(probe, pick % 3)
        if late and self.options.steer_timeout is not None:
            self.open_gate()  # the response ends; the one that follows does not begin before the next gate opens
            steers = self.steers[-len(places) :]
            self.table.wait(lambda: all(one.settled for one in steers), 2 * self.options.steer_timeout)
            self.await_events(self.send(replace(ask, hold=None)), pick % 2)

    @rule(pick=st.integers(0, 99), place=st.sampled_from(PLACES))
    def dispose(self, pick: int, place: str) -> None:
        probe = self.probe(pick)
        if probe is None:
            return

        def act() -> None:
            probe.dispose()
            if place == probe.place == "loop":
                probe.gone = True

        self.at(place, act)
        if probe in self.creates and self.has_to_wait(probe):
            self.never.add(probe.tag)

    def has_to_wait(self, probe: Probe) -> bool:
        """Whether an older request holds the lane of this one, now and therefore ever since."""
        lane = self.asked[probe.tag].lane
        older = self.creates[: self.creates.index(probe)]
        return any(
            self.asked[one.tag].lane == lane
            and self.sockets[one.tag] is self.sockets[probe.tag]
            and one.place != "loop"  # what goes to another loop is told with a delay
            and one.events
            and not (one.ended or one.disposed or one.raised)
            for one in older
        )

    @rule(pick=st.integers(0, 99), events=st.integers(0, 12))
    def wait(self, pick: int, events: int) -> None:
        """Let things go on for a while."""
        probe = self.probe(pick)
        if probe is not None:
            self.await_events(probe, events)

    def await_events(self, probe: Probe, count: int) -> None:
        self.table.wait(lambda: probe.ended or probe.disposed or len(probe.events) >= count, 0.03)

    @rule(place=st.sampled_from(PLACES), reopen=st.sampled_from([True] * 5 + [False]))
    def close(self, place: str, reopen: bool) -> None:
        self.at(place, self.socket.close)
        if reopen:
            self.socket = self.open()

    @rule()
    def end_loop(self) -> None:
        """End the asyncio program, as `asyncio.run` does, and start another one."""
        self.loop.close()
        for probe in (*self.creates, *self.steers, *self.extras):
            probe.orphan |= probe.place == "loop"
        self.loop = LoopThread()

    # What the server does.

    @rule()
    def open_gate(self) -> None:
        self.gate.open()
        self.gate = self.server.gate()

    @rule(fault=faults())
    def plan(self, fault: Fault) -> None:
        if isinstance(fault.what, Hold):
            fault = replace(fault, what=replace(fault.what, gate=self.gate))
        if isinstance(fault.what, DropStreamIds) and self.options.lanes:
            return  # the program has promised that this does not happen
        # Nothing comes any more, and in one case nobody counts the seconds.
        self.may_hang |= isinstance(fault.what, (Stall, IgnoreSteer))
        self.server.fault(fault)

    @rule()
    def forget_plans(self) -> None:
        self.server.clear_faults()

    @rule(what=st.one_of(CLOSES, CLOSES, INJECTIONS, st.builds(Expire)))
    def disturb(self, what: Any) -> None:
        self.server.disturb(what)

    @invariant()
    def no_problems(self) -> None:
        if hasattr(self, "table"):
            assert not self.table.problems, self.table.problems

    # The end.

    def teardown(self) -> None:
        if not hasattr(self, "table"):
            return
        try:
            self.let_go()
        finally:
            for watch in self.watches:
                watch.socket.close()
            self.table.wait(lambda: all(watch.ends for watch in self.watches), WAIT)
            self.loop.close()
            self.foreign.shutdown()
            self.server.__exit__()
            self.log.__exit__()
        self.check_leaks()
        self.no_problems()
        self.check_log()
        self.check_watches()
        self.check_requests()
        self.check_steers()

    def open_probes(self) -> list[Probe]:
        return [
            one for one in (*self.creates, *self.steers, *self.extras) if not (one.ended or one.disposed or one.orphan)
        ]

    def let_go(self) -> None:
        """Let the server finish what it can: then everyone has to be told, without a close of the socket."""
        self.server.clear_faults()
        self.gate.open()
        deadline = time.monotonic() + WAIT
        while not self.table.wait(lambda: not self.open_probes(), 0.2 if self.may_hang else WAIT):
            assert time.monotonic() < deadline, f"not ended: {self.open_probes()}"
            self.server.drop()

    def check_leaks(self) -> None:
        assert not self.loop.left, self.loop.left
        for thread in threading.enumerate():
            if thread.name == "rxresponses":
                thread.join(WAIT)
                assert not thread.is_alive()
        files = open_files()
        assert files is None or self.files is None or files <= self.files, f"{files} files, {self.files} before"

    def check_log(self) -> None:
        reported: dict[str, int] = defaultdict(int)
        for record in self.log.records:
            error = record.exc_info[1] if record.exc_info else None
            assert isinstance(error, Boom), (record.getMessage(), error)
            reported[str(error)] += 1
        raised = [one for one in self.creates if one.raised]
        late = {one.tag for one in raised if self.asked[one.tag].at == AT_THE_END}
        assert all(count == 1 for count in reported.values()), reported
        # What is raised at the end may also go to whoever subscribes at a closed socket.
        assert {one.tag for one in raised} - late <= reported.keys() <= {one.tag for one in raised}, (reported, raised)
        for probe in raised:
            told = isinstance(probe.error, Boom) or probe.disposed or probe.tag in late
            assert told, f"{probe} raised, and was not told"

    def check_watches(self) -> None:
        heard = {id(event) for watch in self.watches for event in watch.kept}
        for watch in self.watches:
            assert watch.states[0] is ConnectionState.IDLE
            assert watch.states[-1] is ConnectionState.CLOSED
            assert watch.ends == 1
        if self.watch_events:
            for probe in (*self.creates, *self.steers, *self.extras):
                assert heard.issuperset(map(id, probe.events)), f"{probe} got what the socket did not"

    def check_requests(self) -> None:
        exchanges: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in self.server.exchanges:
            exchanges[exchange.message["input"]].append(exchange)
        for probe in (*self.creates, *self.extras):
            found = exchanges[probe.tag]
            assert len(found) <= 1, f"{probe} was sent {len(found)} times"
            if probe.tag in self.never:
                assert not found, f"{probe} was sent though it was disposed before"
            self.check_stream(probe, found[0] if found else None)
        for one, other in self.neighbours(exchanges):
            assert one < other, f"request {other} overtook {one} on its lane"

    def neighbours(self, exchanges: dict[str, list[Exchange]]) -> Iterator[tuple[int, int]]:
        """Requests of one lane and connection, by their places in the order of subscribing."""
        last: dict[tuple[int, str | None], int] = {}
        numbered = ((found[0].number, place) for place, one in enumerate(self.creates) if (found := exchanges[one.tag]))
        for _, place in sorted(numbered):
            tag = self.creates[place].tag
            key = exchanges[tag][0].connection, self.asked[tag].lane
            if key in last:
                yield last[key], place
            last[key] = place

    def check_stream(self, probe: Probe, exchange: Exchange | None) -> None:
        told = f"{probe}: {[event.type for event in probe.events]}, {exchange}"
        whole = self.asked[probe.tag].text.replace("#", probe.tag)
        if exchange is None:
            assert not probe.events, told
        else:
            assert len(probe.events) <= exchange.events or exchange.outcome == "refused", told
            assert set(probe.response_ids) <= {exchange.response_id}, told
            assert whole.startswith(probe.text), told
        assert not any(event.is_terminal for event in probe.events[:-1]), told
        assert not probe.events or probe.events[0].type in ("response.created", "error"), told
        numbers = [event.sequence_number for event in probe.events if event.sequence_number is not None]
        assert numbers == sorted(set(numbers)), told
        if probe.completed:
            assert exchange is not None, told
            self.check_ending(probe, exchange, whole, told)
        elif probe.error is not None and not isinstance(probe.error, Boom):
            self.check_error(probe, exchange, told)

    def check_ending(self, probe: Probe, exchange: Exchange, whole: str, told: str) -> None:
        last = probe.events[-1]
        outcomes = {
            "response.completed": ("completed",),
            "response.incomplete": ("incomplete",),
            "error": ("refused", "failed"),
            "response.failed": ("failed",),
        }
        assert exchange.outcome in outcomes[last.type], told
        if exchange.outcome in ("completed", "incomplete"):
            assert len(probe.events) == exchange.events, told
        if exchange.outcome == "completed":
            assert probe.text == whole, told

    def check_error(self, probe: Probe, exchange: Exchange | None, told: str) -> None:
        error = probe.error
        kinds: tuple[type[Exception], ...] = (ConnectionLostError, ConnectFailedError, SocketClosedError)
        if self.options.max_buffered_bytes < 2**20 and probe.place == "loop":
            kinds += (BufferOverflowError,)
        assert isinstance(error, (*kinds, ResponseTimeoutError)), told
        assert isinstance(error, RequestError), told
        if error.delivery == "not_sent":
            assert exchange is None, told
        elif error.delivery == "unknown":
            assert not probe.events, told
        else:
            assert error.delivery == "started", told
            assert exchange is not None, told
            assert probe.events, told
        if error.response_id is not None:
            assert exchange is not None, told
            assert error.response_id == exchange.response_id, told
        assert error.stream_id == self.asked[probe.tag].lane, told

    def check_steers(self) -> None:
        sent: dict[str, int] = defaultdict(int)
        for received in self.server.journal:
            message = json.loads(received.frame)
            if message["type"] == "response.steer":
                sent[message["input"]] += 1
        own_words = {one.tag: one.text for one in self.steers}
        for probe in self.steers:
            told = f"{probe}: {[event.type for event in probe.events]}, sent {sent[probe.tag]} times"
            assert sent[probe.tag] <= 1, told
            if probe.events:
                assert sent[probe.tag] == 1, told
                assert probe.events[0].type.startswith(("response.steer.", "error")), told
            if isinstance(probe.error, RequestError):
                assert (probe.error.delivery == "not_sent") <= (sent[probe.tag] == 0), told
            # One response answers all the steers of its target that were accepted.
            fellows = {tag for tag, target in self.targets.items() if target == self.targets[probe.tag]}
            assert set(own_words[probe.tag].split()) <= fellows, told


TestSocketMachine = SocketMachine.TestCase
TestSocketMachine.settings = settings(
    max_examples=examples(60),
    stateful_step_count=STEPS,
    phases=[Phase.explicit, Phase.generate],  # threads do not repeat what they did: shrinking would find nothing
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
