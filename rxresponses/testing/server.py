"""The embedded server, as a test uses it: what it answers, what goes wrong, and what it received."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..recording.format import Recording as RecordedSession
from ..redaction import discreet
from .answering import AnsweringServer
from .faults import Fault
from .history import IdGenerator, StoredResponses
from .journal import Condition, Exchange, Journal, Received, Upgrade
from .jsontext import JSON
from .lifetime import RunnableServer
from .listener import Listener
from .log import ServerLog
from .plan import FaultPlan
from .playback import Match as PlaybackMatch
from .replies import CONNECTION_INTERVENTIONS, Close, ConnectionIntervention, Gate
from .session import Limits, Session

# For a server that runs for a long time, and whose records nobody reads: `remember` and `remember_bytes`.
REMEMBER, REMEMBER_BYTES = 1_000, 16 * 2**20


class ResponsesServer(AnsweringServer, RunnableServer):
    """A server for the Responses API over WebSocket, with a scripted model behind it.

    A server is used once, as a context manager: `with` runs it on a thread of its own, `async with` on the
    running loop.  It listens at `url` inside the context, and closes all connections at the end of it.
    Methods and properties may be used from any thread.

    Args:
        host: the address to listen on.
        port: the port to listen on, 0 for any free port.
        api_key: the bearer token that clients must send; `None` accepts every client.
        event_interval: seconds between two events of a response, so that a person sees the text stream.
            Replays have their recorded timing instead.
        max_age: seconds after which a connection is closed with `websocket_connection_limit_reached`.
        max_active: how many responses run at once on a connection.  Further requests wait.
        max_lanes: how many different named lanes a client may use in the life of a connection.
        max_size: the size of the largest message that is accepted, in bytes.  A larger one closes the
            connection with code 1009.
        allow_origins: the origins of the web pages that may connect, such as `http://localhost:3000`; `*` allows
            all of them.  Pages of the server's own origin may always connect, and so may all programs that send
            no `Origin`.  Other upgrades are refused with status 403.
        faults: what goes wrong.  `fault` adds more.
        script: rules and faults from a file or a mapping, as `script` describes them.
        checks: whether requests are refused as the service refuses them, so that a typo fails in a test: unknown
            fields, names of tools, schemas (strict ones too), formats of items and of their parts, values out of
            range, calls without an output, and outputs without a call.  `False` makes a lenient server.
        log: called with a line of JSON for each connection, each message of a client and the outcome of each request,
            on the server's thread.  The lines show no credentials, and nothing that controls a terminal.
        remember: how many frames, requests, upgrades, stored responses, and, for each connection, ended
            responses the server keeps, the latest of each.  `None` keeps all, so that a test sees every
            request.  That needs more and more memory in a test that runs for hours.
        recording: a recording to play back, as `play` does, the path of its file or what `load_recording` has read.
            `checks` are off then, because the service has judged the recorded requests.
        match: as in `play`.
        remember_bytes: how many bytes of JSON the server keeps of each of these; the latest one is always kept.
            A request whose conversation would be larger is refused with `context_length_exceeded`.  `None`
            keeps all.  In memory, JSON needs a multiple of its bytes.
    """

    @discreet
    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        event_interval: float = 0.0,
        max_age: float | None = None,
        max_active: int = 16,
        max_lanes: int = 32,
        max_size: int | None = 64 * 2**20,
        allow_origins: Sequence[str] = (),
        faults: Iterable[Fault] = (),
        script: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        checks: bool = True,
        log: Callable[[str], object] | None = None,
        remember: int | None = None,
        remember_bytes: int | None = None,
        recording: str | os.PathLike[str] | RecordedSession | None = None,
        match: PlaybackMatch = "strict",
    ) -> None:
        self._host = host
        self._limits = Limits(max_active, max_lanes, max_age, event_interval, remember, remember_bytes)
        self._ids = IdGenerator()
        self._storage = StoredResponses(remember, remember_bytes)
        AnsweringServer.__init__(self, FaultPlan(faults))
        journal = Journal(remember, remember_bytes, ServerLog(log) if log is not None else None)
        listener = Listener(
            host,
            port,
            api_key=api_key,
            allow_origins=allow_origins,
            max_size=max_size,
            journal=journal,
            plan=self._plan,
            new_session=self._new_session,
        )
        RunnableServer.__init__(self, listener, journal)
        self._checks = checks and recording is None
        if script is not None:
            self.script(script)
        if recording is not None:
            self.play(recording, match=match)

    def __repr__(self) -> str:
        if not hasattr(self, "_listener"):  # the constructor raised
            return "<ResponsesServer half made>"
        if self._listener.closed:
            return "<ResponsesServer closed>"
        return f"<ResponsesServer {self.url if self._listener.started.done() else 'not started'}>"

    def gate(self) -> Gate:
        """Return a closed gate.  Responses with `Hold(gate)` wait until `gate.open()` is called."""
        return Gate(partial(self._listener.call_soon, self._listener.wake_all))

    # What goes wrong

    def fault(self, *faults: Fault) -> None:
        """Let these faults happen from now on, besides those that the server has.

        Upgrades, connections and responses that have begun are not affected.

        Raises:
            TypeError: for an argument that is not a `Fault`.
        """
        self._plan.add(*faults)

    def clear_faults(self) -> None:
        """Remove all faults.  Upgrades, connections and responses that have begun keep theirs."""
        self._plan.clear()

    def disturb(self, what: ConnectionIntervention, *, connection: int | None = None) -> None:
        """Let something happen now to all open connections.  Returns without waiting for it.

        Args:
            what: a `Close`, an `Expire`, a `Stall` or an `Inject`.  Its `after` is ignored.
            connection: only the connection with this number, counted from 1.

        Raises:
            TypeError: if `what` is something else.
        """
        if not isinstance(what, CONNECTION_INTERVENTIONS):
            raise TypeError(f"Not a Close, Expire, Stall or Inject: {what!r}")
        self._listener.call_soon(partial(self._listener.intervene, what, connection))

    def close_connections(self, code: int = 1001, reason: str = "") -> None:
        """Close all open connections.  Returns without waiting for it.

        With code 1006 the transport is aborted without a closing handshake.
        """
        self.disturb(Close(code, reason))

    def drop(self) -> None:
        """Abort all open connections without a closing handshake, as a network failure would."""
        self.disturb(Close(1006))

    # What the server did

    @property
    def port(self) -> int:
        """The port that the server listens on.

        Raises:
            RuntimeError: before the server was started.
        """
        if not self._listener.started.done():
            raise RuntimeError("The server was not started: use it as a context manager")
        return self._listener.port

    @property
    def url(self) -> str:
        """The base URL, as clients of the API take it: `http://HOST:PORT/v1`.

        Raises:
            RuntimeError: before the server was started.
        """
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/v1"

    @property
    def connections(self) -> int:
        """The number of connections that are open now."""
        return self._listener.connections

    @property
    def accepted(self) -> int:
        """The number of connections that were ever opened."""
        return self._listener.accepted

    @property
    def journal(self) -> list[Received]:
        """All frames received so far, in order of arrival, the invalid ones too."""
        return self._journal.frames

    @property
    def exchanges(self) -> list[Exchange]:
        """The `response.create` messages received so far, in order of arrival, each with what became of it.

        The list is a copy: it does not change when the server continues.
        """
        return self._journal.exchanges

    @property
    def upgrades(self) -> list[Upgrade]:
        """The attempts to open a connection so far, in order of arrival, the refused ones too.  The list is a copy."""
        return self._journal.upgrades

    @property
    def requests(self) -> list[JSON]:
        """The `response.create` messages received so far, in order of arrival."""
        messages = [received.message for received in self.journal]
        return [
            message for message in messages if isinstance(message, dict) and message.get("type") == "response.create"
        ]

    def wait_until(self, condition: Condition, *, timeout: float = 5.0) -> None:
        """Block until `condition` holds.

        The condition is evaluated on this thread, at first and whenever a frame arrives, an upgrade arrives or
        is answered, a connection opens or closes, a response ends, or a response reaches an intervention.

        Args:
            condition: a function without arguments, such as `lambda: len(server.requests) == 2`.
            timeout: how long to wait, in seconds.

        Raises:
            TimeoutError: if the condition does not hold within `timeout` seconds.
            RuntimeError: on the loop of the server, which would be blocked.  Await `until` there.
        """
        if self._listener.is_on_running_loop:
            raise RuntimeError("wait_until would block the server's own loop: await until() instead")
        self._journal.wait_until(condition, timeout)

    async def until(self, condition: Condition, *, timeout: float = 5.0) -> None:
        """Wait until `condition` holds, like `wait_until`, on any loop and without blocking it."""
        await self._journal.until(condition, timeout)

    def _new_session(self, number: int, now: float) -> Session:
        return Session(
            now=now,
            model=self._model,
            storage=self._storage,
            ids=self._ids,
            limits=self._limits,
            number=number,
            journal=self._journal,
            plan=self._plan,
            checks=self._checks,
        )
