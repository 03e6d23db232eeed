"""A socket and the embedded server over real connections, with random faults, requests and threads.

Hypothesis draws the faults of the server, the requests with their lanes, threads and observers, and when
a request is disposed, steered or a socket closed.  The order in which the threads run is not drawn, so only
what must hold in every order is checked: each observer sees the Rx grammar and only its own events; the
server's journal shows that each request was sent as often as it should; the `delivery` of each error is true;
and at the end every observer has got a terminal notification, and no task, thread or file is left.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rxresponses import (
    BufferOverflowError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    ConnectionState,
    RequestError,
    ResponsesWebSocket,
    ResponseTimeoutError,
    SocketClosedError,
)
from rxresponses.testing import DropStreamIds, Expire, Fault, Hold, IgnoreSteer, ResponsesServer, Stall
from rxresponses.testing.journal import Exchange
from rxresponses.testing.replies import Reply
from rxresponses.testing.request import Request
from tests.effort import examples

from ..support.checks import (
    AT_THE_END,
    WAIT,
    AsyncioProgram,
    CheckedObserver,
    CheckedSocket,
    ErrorLog,
    Monitor,
    ObserverFailure,
    T,
    open_files,
)
from .fuzz_plans import CLOSES, INJECTIONS, REQUESTS, THREADS, PlannedRequest, echo, faults, options

STEPS = 30


class SocketMachine(RuleBasedStateMachine):
    """Drives sockets and server together.

    A draw depends only on earlier draws, never on how far the threads have come.
    """

    @initialize(options=options(), plan=st.lists(faults(), max_size=4), watch_events=st.booleans())
    def start(self, options: ConnectionOptions, plan: list[Fault], watch_events: bool) -> None:
        self.files = open_files()
        self.monitor = Monitor()
        self.log = ErrorLog().__enter__()
        self.server = ResponsesServer().__enter__()
        self.server.on("", self.answer)
        self.gate = self.server.gate()
        self.may_hang = False  # whether a response may wait for ever, without another fault
        self.options = options
        self.loop = AsyncioProgram()
        self.foreign = ThreadPoolExecutor(1, "fuzz foreign")
        self.watch_events = watch_events
        self.watches: list[CheckedSocket] = []
        self.socket = self.open()
        self.creates: list[CheckedObserver] = []
        self.steers: list[CheckedObserver] = []
        self.extras: list[CheckedObserver] = []  # of requests that observers send, in no order
        self.asked: dict[str, PlannedRequest] = {}
        self.sockets: dict[str, ResponsesWebSocket] = {}
        self.targets: dict[str, str] = {}
        self.never: set[str] = set()  # the requests that were disposed before they could be sent
        for fault in plan:
            self.plan(fault)

    def open(self) -> ResponsesWebSocket:
        socket = ResponsesWebSocket(self.server.url, options=self.options)
        watch = CheckedSocket(self.monitor, socket)
        if self.watch_events:
            watch.watch_events()
        self.watches.append(watch)
        return socket

    def run_on(self, thread: str, act: Callable[[], T]) -> T:
        if thread == "loop":
            return self.loop.call(act)
        return self.foreign.submit(act).result(WAIT) if thread == "foreign" else act()

    def observer(self, pick: int) -> CheckedObserver | None:
        observers = [*self.creates, *self.steers]
        return observers[pick % len(observers)] if observers else None

    # Requests.

    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=4), events=st.sampled_from([0, 0, 1, 3, 20]))
    def request(self, requests: list[PlannedRequest], events: int) -> None:
        for planned in requests:
            self.await_events(self.send(planned), events)
            if planned.action == "close" and planned.at % 2:
                self.socket = self.open()

    def send(self, planned: PlannedRequest) -> CheckedObserver:
        before = self.observer(planned.parent) if planned.parent is not None else None
        previous = before.response_ids[-1] if before is not None and before.response_ids else None
        if previous in self.targets.values():
            previous = None  # the response could not be distinguished from a late successor
        tag = f"#{len(self.creates)}"
        observer = CheckedObserver(self.monitor, tag, planned.thread, self.action(planned), planned.at)
        self.creates.append(observer)
        self.asked[tag] = planned
        self.sockets[tag] = self.socket
        source = self.socket.send_request(self.create(planned, tag, previous), stream_id=planned.lane)
        self.run_on(planned.thread, partial(observer.subscribe, source, raw=planned.raw and planned.thread != "loop"))
        return observer

    def create(self, planned: PlannedRequest, tag: str, previous: str | None) -> dict[str, Any]:
        chain = {} if previous is None else {"previous_response_id": previous}
        return {"model": "m", "input": tag, **planned.fields, **chain}

    def answer(self, request: Request) -> Reply:
        meta = request.body["metadata"]
        hold = (
            meta["late"] or meta["hold"] if request.number == 0 else meta["hold"]
        )  # a successor has no request of its own
        return [*echo(request), Hold(self.gate, after=int(hold))] if hold else echo(request)

    def action(self, planned: PlannedRequest) -> Callable[[CheckedObserver], None]:
        socket = self.socket

        def dispose(observer: CheckedObserver) -> None:
            observer.dispose()
            observer.silent = True

        def throw(observer: CheckedObserver) -> None:
            observer.raised = True
            raise ObserverFailure(observer.tag)

        def close(observer: CheckedObserver) -> None:
            socket.close()

        def again(observer: CheckedObserver) -> None:
            another = CheckedObserver(self.monitor, f"{observer.tag}+", observer.thread)
            self.extras.append(another)
            self.asked[another.tag] = planned
            source = socket.send_request(self.create(planned, another.tag, None), stream_id=planned.lane)
            another.subscribe(source, raw=False)

        return {"dispose": dispose, "raise": throw, "close": close, "again": again}.get(
            planned.action, lambda observer: None
        )

    @rule(
        pick=st.integers(0, 99),
        threads=st.lists(st.sampled_from(THREADS), min_size=1, max_size=3),
        planned=REQUESTS,
        late=st.booleans(),
    )
    def steer(self, pick: int, threads: list[str], planned: PlannedRequest, late: bool) -> None:
        """Steer a response that runs, most of the time; else one that has ended, or an unknown one."""
        target = self.observer(pick)
        if pick % 4:
            planned = replace(
                planned, lane=f"steered{pick % 3}", kind="text", hold=pick % 4 + 1, late=late, action="nothing"
            )
            target = self.send(planned)
            self.await_events(target, 1)
        target_id = target.response_ids[-1] if target is not None and target.response_ids else "resp_unknown"
        for thread in threads:
            tag = f"#s{len(self.steers)}"
            observer = CheckedObserver(self.monitor, tag, thread)
            self.steers.append(observer)
            self.targets[tag] = target_id
            source = self.socket.steer(target_id, tag)
            self.run_on(thread, partial(observer.subscribe, source, raw=False))
            self.await_events(observer, pick % 3)
        if late and self.options.steer_timeout is not None:
            self.open_gate()  # the response ends; its successor does not begin before the next gate opens
            steers = self.steers[-len(threads) :]
            self.monitor.wait(lambda: all(one.settled for one in steers), 2 * self.options.steer_timeout)
            self.await_events(self.send(replace(planned, hold=None)), pick % 2)

    @rule(pick=st.integers(0, 99), thread=st.sampled_from(THREADS))
    def dispose(self, pick: int, thread: str) -> None:
        observer = self.observer(pick)
        if observer is None:
            return

        def act() -> None:
            observer.dispose()
            if thread == observer.thread == "loop":
                observer.silent = True

        self.run_on(thread, act)
        if observer in self.creates and self.has_to_wait(observer):
            self.never.add(observer.tag)

    def has_to_wait(self, observer: CheckedObserver) -> bool:
        """Whether an older request holds the lane of this request, now and since this one was made."""
        lane = self.asked[observer.tag].lane
        older = self.creates[: self.creates.index(observer)]
        return any(
            self.asked[one.tag].lane == lane
            and self.sockets[one.tag] is self.sockets[observer.tag]
            and one.thread != "loop"  # another loop delivers with a delay
            and one.events
            and not (one.ended or one.disposed or one.raised)
            for one in older
        )

    @rule(pick=st.integers(0, 99), events=st.integers(0, 12))
    def wait(self, pick: int, events: int) -> None:
        """Wait a while for events."""
        observer = self.observer(pick)
        if observer is not None:
            self.await_events(observer, events)

    def await_events(self, observer: CheckedObserver, count: int) -> None:
        self.monitor.wait(lambda: observer.ended or observer.disposed or len(observer.events) >= count, 0.03)

    @rule(thread=st.sampled_from(THREADS), reopen=st.sampled_from([True] * 5 + [False]))
    def close(self, thread: str, reopen: bool) -> None:
        self.run_on(thread, self.socket.close)
        if reopen:
            self.socket = self.open()

    @rule()
    def end_loop(self) -> None:
        """End the asyncio program, as `asyncio.run` does, and start another."""
        self.loop.close()
        for observer in (*self.creates, *self.steers, *self.extras):
            observer.orphaned |= observer.thread == "loop"
        self.loop = AsyncioProgram()

    # The server.

    @rule()
    def open_gate(self) -> None:
        self.gate.open()
        self.gate = self.server.gate()

    @rule(fault=faults())
    def plan(self, fault: Fault) -> None:
        if isinstance(fault.what, Hold):
            fault = replace(fault, what=replace(fault.what, gate=self.gate))
        if isinstance(fault.what, DropStreamIds) and self.options.lanes:
            return  # the option says that the server has lanes
        # No event comes any more, and without `steer_timeout` no limit ends the wait.
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
        if hasattr(self, "monitor"):
            assert not self.monitor.problems, self.monitor.problems

    # The end.

    def teardown(self) -> None:
        if not hasattr(self, "monitor"):
            return
        try:
            self.let_go()
        finally:
            for watch in self.watches:
                watch.socket.close()
            self.monitor.wait(lambda: all(watch.ends for watch in self.watches), WAIT)
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

    def open_observers(self) -> list[CheckedObserver]:
        return [
            one
            for one in (*self.creates, *self.steers, *self.extras)
            if not (one.ended or one.disposed or one.orphaned)
        ]

    def let_go(self) -> None:
        """Let the server finish its responses: then every observer must get an end, without closing the socket."""
        self.server.clear_faults()
        self.gate.open()
        deadline = time.monotonic() + WAIT
        while not self.monitor.wait(lambda: not self.open_observers(), 0.2 if self.may_hang else WAIT):
            assert time.monotonic() < deadline, f"not ended: {self.open_observers()}"
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
            assert isinstance(error, ObserverFailure), (record.getMessage(), error)
            reported[str(error)] += 1
        raised = [one for one in self.creates if one.raised]
        late = {one.tag for one in raised if self.asked[one.tag].at == AT_THE_END}
        assert all(count == 1 for count in reported.values()), reported
        # An error raised from `on_error` of a closed socket may also reach the caller of `subscribe`.
        assert {one.tag for one in raised} - late <= reported.keys() <= {one.tag for one in raised}, (reported, raised)
        for observer in raised:
            delivered = isinstance(observer.error, ObserverFailure) or observer.disposed or observer.tag in late
            assert delivered, f"{observer} raised, and did not get its error"

    def check_watches(self) -> None:
        heard = {id(event) for watch in self.watches for event in watch.kept}
        for watch in self.watches:
            assert watch.states[0] is ConnectionState.IDLE
            assert watch.states[-1] is ConnectionState.CLOSED
            assert watch.ends == 1
        if self.watch_events:
            for observer in (*self.creates, *self.steers, *self.extras):
                assert heard.issuperset(map(id, observer.events)), (
                    f"{observer} got an event that the socket did not show"
                )

    def check_requests(self) -> None:
        exchanges: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in self.server.exchanges:
            exchanges[exchange.message["input"]].append(exchange)
        for observer in (*self.creates, *self.extras):
            found = exchanges[observer.tag]
            assert len(found) <= 1, f"{observer} was sent {len(found)} times"
            if observer.tag in self.never:
                assert not found, f"{observer} was sent though it was disposed before"
            self.check_stream(observer, found[0] if found else None)
        for one, other in self.neighbours(exchanges):
            assert one < other, f"request {other} overtook {one} on its lane"

    def neighbours(self, exchanges: dict[str, list[Exchange]]) -> Iterator[tuple[int, int]]:
        """Requests of one lane and connection, by their positions in the order of subscribing."""
        last: dict[tuple[int, str | None], int] = {}
        numbered = (
            (found[0].number, position) for position, one in enumerate(self.creates) if (found := exchanges[one.tag])
        )
        for _, position in sorted(numbered):
            tag = self.creates[position].tag
            key = exchanges[tag][0].connection, self.asked[tag].lane
            if key in last:
                yield last[key], position
            last[key] = position

    def check_stream(self, observer: CheckedObserver, exchange: Exchange | None) -> None:
        about = f"{observer}: {[event.type for event in observer.events]}, {exchange}"
        whole = self.asked[observer.tag].text.replace("#", observer.tag)
        if exchange is None:
            assert not observer.events, about
        else:
            assert len(observer.events) <= exchange.events or exchange.outcome == "refused", about
            assert set(observer.response_ids) <= {exchange.response_id}, about
            assert whole.startswith(observer.text), about
        assert not any(event.is_terminal for event in observer.events[:-1]), about
        assert not observer.events or observer.events[0].type in ("response.created", "error"), about
        numbers = [event.sequence_number for event in observer.events if event.sequence_number is not None]
        assert numbers == sorted(set(numbers)), about
        if observer.completed:
            assert exchange is not None, about
            self.check_ending(observer, exchange, whole, about)
        elif observer.error is not None and not isinstance(observer.error, ObserverFailure):
            self.check_error(observer, exchange, about)

    def check_ending(self, observer: CheckedObserver, exchange: Exchange, whole: str, about: str) -> None:
        last = observer.events[-1]
        outcomes = {
            "response.completed": ("completed",),
            "response.incomplete": ("incomplete",),
            "error": ("refused", "failed"),
            "response.failed": ("failed",),
        }
        assert exchange.outcome in outcomes[last.type], about
        if exchange.outcome in ("completed", "incomplete"):
            assert len(observer.events) == exchange.events, about
        if exchange.outcome == "completed":
            assert observer.text == whole, about

    def check_error(self, observer: CheckedObserver, exchange: Exchange | None, about: str) -> None:
        error = observer.error
        kinds: tuple[type[Exception], ...] = (ConnectionLostError, ConnectFailedError, SocketClosedError)
        if self.options.max_buffered_bytes < 2**20 and observer.thread == "loop":
            kinds += (BufferOverflowError,)
        assert isinstance(error, (*kinds, ResponseTimeoutError)), about
        assert isinstance(error, RequestError), about
        if error.delivery == "not_sent":
            assert exchange is None, about
        elif error.delivery == "unknown":
            assert not observer.events, about
        else:
            assert error.delivery == "started", about
            assert exchange is not None, about
            assert observer.events, about
        if error.response_id is not None:
            assert exchange is not None, about
            assert error.response_id == exchange.response_id, about
        assert error.stream_id == self.asked[observer.tag].lane, about

    def check_steers(self) -> None:
        sent: dict[str, int] = defaultdict(int)
        for received in self.server.journal:
            message = json.loads(received.frame)
            if message["type"] == "response.steer":
                sent[message["input"]] += 1
        own_words = {one.tag: one.text for one in self.steers}
        for observer in self.steers:
            about = f"{observer}: {[event.type for event in observer.events]}, sent {sent[observer.tag]} times"
            assert sent[observer.tag] <= 1, about
            if observer.events:
                assert sent[observer.tag] == 1, about
                assert observer.events[0].type.startswith(("response.steer.", "error")), about
            if isinstance(observer.error, RequestError):
                assert (observer.error.delivery == "not_sent") <= (sent[observer.tag] == 0), about
            # One response answers all accepted steers of a response.
            fellows = {tag for tag, target in self.targets.items() if target == self.targets[observer.tag]}
            assert set(own_words[observer.tag].split()) <= fellows, about


TestSocketMachine = SocketMachine.TestCase
TestSocketMachine.settings = settings(
    max_examples=examples(60),
    stateful_step_count=STEPS,
    phases=[Phase.explicit, Phase.generate],  # threads do not repeat what they did: shrinking would find nothing
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
