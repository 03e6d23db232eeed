"""A client and the embedded server over real connections, with random faults, requests and losses.

Hypothesis draws the faults of the server, the requests with their lanes and parents, and when a request is
disposed or steered and a connection cut.  The order in which the threads run is not drawn, so only what must
hold in every order is checked: each observer gets one end and only its own events; the server's journal shows
that each request was sent once, and once more for each refusal that was not delivered; the `delivery` of each
error is true; and at the end nothing is left.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from rxresponses import (
    Backoff,
    Budget,
    ClientState,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    InvalidRequestError,
    PoolOptions,
    PreviousResponseLostError,
    RequestError,
    ResponseCreate,
    ResponsesClient,
    ResponseTimeoutError,
    ServerEvent,
    SocketClosedError,
    user_message,
)
from rxresponses.testing import (
    Close,
    Delay,
    DropStreamIds,
    Expire,
    Failure,
    Fault,
    FunctionCall,
    RefuseConcurrent,
    RefuseUpgrade,
    ReorderLanes,
    ResponsesServer,
    Text,
)
from rxresponses.testing.journal import Exchange
from rxresponses.testing.replies import Reply
from rxresponses.testing.request import Request
from tests.effort import examples

from ..support.clients import no_thread_left
from ..support.recorder import Recorder

LANES: list[str | None] = [None, None, "a", "b"]


@dataclass
class Asked:
    """A request, and the recorder of its events."""

    tag: str
    got: Recorder[ServerEvent]
    lane: str | None
    retries: int  # of the client, at most
    disposed: bool = False


@dataclass
class Step:
    """A step of the script."""

    what: str = "send"
    lane: str | None = None
    store: bool = True
    words: int = 3
    calls: bool = False
    continues: bool = False
    history: bool = False
    after: int = 0  # the number of events after which the request is disposed, steered or cut
    elsewhere: bool = False  # whether another thread takes the step
    code: int = 1006


steps = st.builds(
    Step,
    what=st.sampled_from(["send"] * 6 + ["dispose", "dispose", "steer", "cut", "expire", "wait", "wait", "prewarm"]),
    lane=st.sampled_from(LANES),
    store=st.booleans(),
    words=st.integers(0, 20),
    calls=st.sampled_from([False] * 9 + [True]),
    continues=st.booleans(),
    history=st.booleans(),
    after=st.integers(0, 6),
    elsewhere=st.booleans(),
    code=st.sampled_from([1000, 1001, 1006, 1006, 1011, 1012]),
)
seeds = st.integers(0, 100)
faults = st.one_of(
    st.builds(
        lambda seed, after: Fault(Close(1006, after=after), probability=0.1, seed=seed), seeds, st.integers(0, 9)
    ),
    st.builds(lambda seed: Fault(Failure("server_error", after=0), probability=0.2, seed=seed), seeds),
    st.builds(lambda seed: Fault(Failure("server_error", after=4), probability=0.1, seed=seed), seeds),
    st.builds(
        lambda seed: Fault(
            Failure("rate_limit_exceeded", after=0, headers={"retry-after-ms": "5"}), probability=0.1, seed=seed
        ),
        seeds,
    ),
    st.builds(lambda seed: Fault(Delay(0.01, after=3), probability=0.2, seed=seed), seeds),
    st.builds(
        lambda seed, status: Fault(RefuseUpgrade(status), probability=0.4, seed=seed),
        seeds,
        st.sampled_from([503, 429, 401]),
    ),
    st.builds(lambda seed: Fault(Expire(after=3), probability=0.05, seed=seed), seeds),
    st.builds(lambda seed: Fault(Close(1012), request=0, probability=0.3, seed=seed), seeds),
    st.sampled_from([Fault(DropStreamIds()), Fault(RefuseConcurrent()), Fault(ReorderLanes()), Fault(ReorderLanes())]),
)
options = st.builds(
    ConnectionOptions,
    lanes=st.sampled_from([None, True]),
    max_active=st.sampled_from([1, 2, 16]),
    on_dispose=st.sampled_from(["drain", "close"]),
    steer_timeout=st.just(0.5),
)
pools = st.builds(
    PoolOptions,
    max_connections=st.integers(1, 3),
    min_idle=st.integers(0, 1),
    max_age=st.sampled_from([0.05, 1.0, 3000.0]),
    close_idle_after=st.sampled_from([0.01, 60.0]),
    backoff=st.builds(
        Backoff, initial=st.just(0.001), max_delay=st.just(0.01), max_retries=st.sampled_from([0, 1, 3, 20])
    ),
)


def echo(request: Request) -> Reply:
    """Answer with the tag of the request in each delta, so that a delta shows to which request it belongs."""
    meta = request.body["metadata"]
    text = Text(deltas=[f"{request.text} "] * int(meta["words"]))
    return [text, FunctionCall("f", call_id="call")] if meta["calls"] == "yes" else text


class Run:
    """A client, the steps that are taken with it, and the checks at the end."""

    def __init__(self, server: ResponsesServer, client: ResponsesClient, retries: int) -> None:
        self.server = server
        self.client = client
        self.asked: list[Asked] = []
        self.steers: list[tuple[str, Recorder[ServerEvent]]] = []
        self.states: Recorder[ClientState] = Recorder(client.state)
        self._retries = retries
        self._foreign = ThreadPoolExecutor(1)

    def do(self, step: Step) -> None:
        """Take a step, here or on another thread."""
        if step.elsewhere:
            self._foreign.submit(self._do, step).result()
        else:
            self._do(step)

    def _do(self, step: Step) -> None:
        if step.what == "send":
            self._send(step)
        elif step.what == "prewarm":
            self.client.prewarm(1, model="m")
        elif step.what == "cut":
            self.server.close_connections(step.code)
        elif step.what == "expire":
            self.server.disturb(Expire())
        elif self.asked:
            self._do_with(self.asked[-1], step)

    def _do_with(self, asked: Asked, step: Step) -> None:
        got = asked.got
        if step.what == "wait":
            got.wait(lambda: got.ended or asked.disposed)
            return
        # The response may have fewer events.
        got.wait(lambda: len(got.values) >= step.after or got.ended or asked.disposed)
        if step.what == "dispose":
            asked.disposed = True
            got.subscription.dispose()
        elif got.values and hasattr(got.values[0], "response"):
            self.steers.append((asked.tag, Recorder(self.client.steer(got.values[0].response.id, f"{asked.tag}s"))))

    def _send(self, step: Step) -> None:
        tag = f"#{len(self.asked)}#"
        parents = [
            one.got.values[-1].response.id  # type: ignore[attr-defined]
            for one in self.asked[-4:]
            if one.got.types[-1:] == ["response.completed"]
        ]
        request = ResponseCreate(
            model="m",
            input=tag,
            store=step.store,
            metadata={"words": str(step.words), "calls": "yes" if step.calls else "no"},
            previous_response_id=parents[-1] if parents and step.continues else None,
        )
        history = [user_message("history")] if step.history else None
        source = self.client.send_request(request, stream_id=step.lane, history=history)
        self.asked.append(Asked(tag, Recorder(source), step.lane, self._retries + bool(step.history)))

    def finish(self, how: str) -> None:
        """Wait for all requests, drain the client, or close it while the requests run."""
        if how == "drain":
            assert self.client.drain().run() is True
        if how == "close":
            self.client.close()
        for asked in self.asked:
            asked.got.wait(lambda: asked.got.ended or asked.disposed)  # noqa: B023
        for _, steer in self.steers:
            steer.wait()
        self.client.close()
        assert self.states.wait().values[-1] == ClientState(closed=True)
        self._foreign.shutdown()

    def check(self) -> None:
        """Check that what each request got is what the server's journal shows."""
        books: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in self.server.exchanges:
            value = exchange.message["input"]
            books[value if isinstance(value, str) else value[-1]["content"]].append(exchange)
        for asked in self.asked:
            self._check(asked, books[asked.tag])
        for tag, steer in self.steers:
            for event in steer.values:
                text = getattr(event, "delta", "")
                assert text in ("", f"{tag}s ") or "function_call" in event.type, (tag, text)
            if steer.errors:
                assert isinstance(steer.error, RequestError)

    def check_budget(self, budget: Budget) -> None:
        """Check that each try that was sent is settled once, and that nothing stays reserved."""
        assert budget.reserved == (0.0, 0, 0)
        assert budget._callbacks == {}
        assert len(self.server.requests) <= budget.spent.requests
        ends = [
            got.values[-1] for got in (asked.got for asked in self.asked) if got.types[-1:] == ["response.completed"]
        ]
        assert sum(end.response.usage.total_tokens for end in ends) <= budget.spent.tokens  # type: ignore[attr-defined]

    def _check(self, asked: Asked, sent: list[Exchange]) -> None:
        got, last = asked.got, sent[-1] if sent else None
        about = f"{asked}: {got.types}, {got.errors}, sent {sent}"
        # A request is sent again only after a refusal, and no more often than the options allow.
        assert all(one.outcome == "refused" for one in sent[:-1]), about
        assert len(sent) <= 1 + asked.retries, about
        assert all(text == f"{asked.tag} " for text in self._texts(got)), about
        if got.completions:
            assert got.values[-1].is_terminal, about
            assert last is not None, about
            assert got.types.count("response.created") <= 1, about
        if got.errors and not asked.disposed:
            self._check_error(asked, got.error, last, about)

    def _texts(self, got: Recorder[ServerEvent]) -> list[str]:
        return [event.delta for event in got.values if event.type == "response.output_text.delta"]  # type: ignore[attr-defined]

    def _check_error(self, asked: Asked, error: Exception, last: Exchange | None, about: str) -> None:
        if isinstance(error, InvalidRequestError):
            assert "function" in str(error), about
            assert last is None, about
            return
        assert isinstance(error, RequestError), about
        kinds = (ConnectFailedError, ConnectionLostError, PreviousResponseLostError, SocketClosedError)
        assert isinstance(error, (*kinds, ResponseTimeoutError)), about
        assert error.stream_id == asked.lane, about
        if error.delivery == "not_sent":
            # The server has seen at most a request that it refused.
            assert not asked.got.values, about
            assert last is None or last.outcome == "refused", about
        elif error.delivery == "unknown":
            assert not asked.got.values, about
        else:
            assert error.delivery == "started", about
            assert asked.got.values, about
            assert last is not None, about
            assert last.outcome is not None, about


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Check that no thread is left."""
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


@pytest.mark.usefixtures("nothing_logged")
@settings(
    max_examples=examples(150),
    phases=[Phase.explicit, Phase.generate],  # threads do not repeat what they did: shrinking would find nothing
    suppress_health_check=list(HealthCheck),
)
@given(
    plan=st.lists(faults, max_size=3),
    script=st.lists(steps, min_size=1, max_size=40),
    options=options,
    pool=pools,
    end=st.sampled_from(["wait", "drain", "close"]),
)
def test_any_faults_requests_and_losses(
    plan: list[Fault], script: list[Step], options: ConnectionOptions, pool: PoolOptions, end: str
) -> None:
    if any(isinstance(fault.what, DropStreamIds) for fault in plan):
        options = replace(options, lanes=None)  # the option would promise lanes that the server does not have
    budget = Budget()
    with _quiet(), ResponsesServer(faults=plan) as server:
        server.on("", echo)
        with no_thread_left(), ResponsesClient(server.url, options=options, pool=pool, budget=budget) as client:
            run = Run(server, client, pool.backoff.max_retries)
            for step in script:
                run.do(step)
            run.finish(end)
        server.wait_until(lambda: server.connections == 0)
        run.check()
        run.check_budget(budget)
