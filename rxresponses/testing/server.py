"""The embedded server, as a test uses it: what it answers, what goes wrong, and what it received."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..redaction import discreet
from .faults import Fault
from .history import IdGenerator, StoredResponses
from .journal import Condition, Exchange, Journal, Received, Upgrade
from .jsontext import JSON
from .lifetime import RunnableServer
from .listener import Listener
from .log import ServerLog
from .model import ScriptedModel
from .plan import FaultPlan
from .replies import CONNECTION_INTERVENTIONS, Close, ConnectionIntervention, Gate, Reply
from .script import read_script
from .script_file import load_script
from .session import Limits, Session
from .transcript import Recording
from .when import Match

# For a server that runs for a long time, and whose records nobody reads: `remember` and `remember_bytes`.
REMEMBER, REMEMBER_BYTES = 1_000, 16 * 2**20


class ResponsesServer(RunnableServer):
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
    ) -> None:
        self._host = host
        self._limits = Limits(max_active, max_lanes, max_age, event_interval, remember, remember_bytes)
        self._model = ScriptedModel()
        self._ids = IdGenerator()
        self._storage = StoredResponses(remember, remember_bytes)
        self._plan = FaultPlan(faults)
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
        super().__init__(listener, journal)
        self._checks = checks
        if script is not None:
            self.script(script)

    def __repr__(self) -> str:
        if not hasattr(self, "_listener"):  # the constructor raised
            return "<ResponsesServer half made>"
        if self._listener.closed:
            return "<ResponsesServer closed>"
        return f"<ResponsesServer {self.url if self._listener.started.done() else 'not started'}>"

    # What the server answers

    def reply(self, *replies: Reply) -> None:
        """Queue replies for the next responses.  Each response takes one when it starts.

        Each reply is one of these:

        - a string: the text of the answer;
        - an output, the content of the response: `Text`, `Json`, `Refusal`, `Reasoning`, `FunctionCall`,
          `CustomToolCall`, `McpApprovalRequest`, `ShellCall`, `LocalShellCall`, `ApplyPatchCall`, any other `Item`,
          `Interleaved` (several outputs at once, such as parallel calls), or `Raw` frames;
        - an intervention, which happens after as many events of the response as its `after` says, or at its place
          among the outputs with `after="here"`: `Failure`, `Delay`, `Hold`, `Close`, `Stall`, `Inject`, `Expire`;
        - a setting of the response: `Usage` (numbers of tokens), `Incomplete` (the model was cut off), `Pace` (the
          time between two events);
        - a sequence of these, such as `[Reasoning("Two cities."), FunctionCall("weather", {"city": "Paris"})]`.
          Without an output in it, the content is the answer that the server makes up;
        - a `Recording`: a recorded response.  Only interventions may stand beside it;
        - a function.  The server calls it with the `Request`, on its own thread; it returns one of the other forms.

        Raises:
            TypeError: for an argument that is not a reply.
        """
        self._model.reply(*replies)

    def on(self, match: Match, reply: Reply, *later: Reply, times: int | None = None) -> None:
        """Answer each request that matches with `reply`.

        Replies queued by `reply` or `replay` come first.  If several rules match, the first of them applies.  If no
        rule matches, the server makes up an answer, which says that no model answers and repeats the question, or the
        outputs of the calls.

        An agent with one tool needs one rule: `server.on("weather", FunctionCall("weather", {"city": "Paris"}))`.  A
        pattern about messages whose reply is a call does not apply to a request that brings the output of a call: the
        same call would follow again and again.  Such a request goes to the next rule that matches, for example
        `server.on(When(tool="weather", output="rain"), "Take an umbrella.")`.

        Args:
            match: a regular expression, which is searched in the text of the latest user message, in its first 100,000
                characters (`""` matches every request); a `When`, which also looks at outputs of calls, the model
                and the instructions; or a function that receives the `Request` and returns whether it matches.  The
                server calls the function on its own thread.
            reply: the answer, in one of the forms that `reply` describes.
            later: the answers to the second request that matches, to the third, and so on.  The last answer is that
                to all further ones.
            times: how many requests the rule answers.  Then the rules after it have their turn.

        Raises:
            TypeError: if `match` is nothing that can match, or an answer is not a reply.
            ValueError: if `times` is less than 1.
            re.error: if `match` is not a valid regular expression.
        """
        self._model.on(match, reply, *later, times=times)

    def script(self, source: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        """Add the rules and faults of a script, a file of JSON or, if PyYAML is installed, of YAML.

        A script in YAML::

            rules:                            # the first rule that matches answers
              - match: weather                # a regular expression, as in `on`
                reply:
                  - reasoning: The user wants to know the weather.
                  - function_call: {name: weather, arguments: {city: Paris}}
              - match: {tool: weather, output: {contains: rain}}
                reply: Take an umbrella.
              - match: {message: {exact: Hello}, model: ^gpt-5}
                replies: [Hello!, Hello again!]   # in turn, as the replies of `on`
                times: 2
            default: [I do not know., pace: 0.05]
            faults:
              - close: {code: 1006, after: 3}     # as `Fault(Close(1006, after=3), request=2)`
                request: 2

        A reply is a text, a part, or a list of these.  The parts are the classes that `reply` takes, with their names
        in lower case and underscores (`function_call`, `refusal`, `delay`), and with their arguments; a single value
        is the first argument.  A condition is a regular expression, `{exact: …}` or `{contains: …}`.  The faults are
        the classes that `Fault` takes, with the arguments of `Fault` beside them.

        Args:
            source: the path of the file, or its content as a mapping.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if something in the script is wrong.  The error names the place, and what is expected there.
        """
        read = read_script(dict(source)) if isinstance(source, Mapping) else load_script(source)
        for rule in read.rules:
            self._model.on(rule.match, *rule.replies, times=rule.times)
        self._plan.add(*read.faults)

    def replay(
        self, source: str | os.PathLike[str] | Iterable[Mapping[str, Any] | str], *, speed: float | None = None
    ) -> int:
        """Queue the recorded responses of a transcript, each as the reply to one request.

        The events are sent as recorded.  On a named lane each gets the `stream_id` of the request.

        Args:
            source: the path of a JSON Lines file, or the events as mappings or as lines.  A line of the form
                `{"offset": seconds, "event": {...}}` carries the time of its event.
            speed: 1.0 keeps the recorded times, 2.0 is twice as fast, `None` sends as fast as the client reads.

        Returns:
            The number of responses in the transcript.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if a line is not an event, or `speed` is not positive.
        """
        recordings = Recording.load(source, speed=speed)
        self._model.reply(*recordings)
        return len(recordings)

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
