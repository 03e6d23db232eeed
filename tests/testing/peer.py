"""A client of one session without sockets: a test sends frames, takes events, and sets the time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rxresponses.testing.faults import Fault
from rxresponses.testing.history import IdGenerator, StoredResponses
from rxresponses.testing.journal import Journal
from rxresponses.testing.model import ScriptedModel
from rxresponses.testing.plan import FaultPlan
from rxresponses.testing.replies import Close, Part, Stall
from rxresponses.testing.request import Request
from rxresponses.testing.session import Limits, Session

Event = dict[str, Any]

OPENING = ["created", "in_progress"]
MESSAGE = ["output_item.added", "content_part.added", "output_text.delta", "output_text.done"]
MESSAGE += ["content_part.done", "output_item.done"]
"""The types of the events of a message with one delta."""

TOOLS = [
    {"type": "web_search"},
    {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    {"type": "function", "name": "g"},
]


class Peer:
    """A session with a scripted model, and its client.

    Args:
        model: the model, by default a new one.
        storage: the stored responses of the server.
        faults: the faults of the server.
        checks: whether requests are refused as the service refuses them.
        journal: the record of what the session does.
        limits: the fields of `Limits`.
    """

    def __init__(
        self,
        model: ScriptedModel | None = None,
        storage: StoredResponses | None = None,
        *,
        faults: Iterable[Fault] = (),
        checks: bool = True,
        journal: Journal | None = None,
        **limits: Any,
    ) -> None:
        self.model = model if model is not None else ScriptedModel()
        self.now = 0.0
        self.closed: Close | None = None
        self.stalled: Stall | None = None
        self.journal = journal if journal is not None else Journal()
        self.session = Session(
            now=0.0,
            model=self.model,
            storage=storage,
            ids=IdGenerator("0"),
            limits=Limits(**limits),
            clock=lambda: 1_700_000_000.0 + self.now,
            journal=self.journal,
            plan=FaultPlan(faults),
            checks=checks,
        )

    @property
    def outcomes(self) -> list[str | None]:
        """The outcomes of the requests so far."""
        return [exchange.outcome for exchange in self.journal.exchanges]

    def send(self, frame: str | bytes) -> None:
        self.session.receive(frame, self.now)

    def create(self, **body: Any) -> None:
        self.send(json.dumps({"type": "response.create", "model": "m", "input": "hi", **body}))

    def steer(self, response_id: object, input: object = "more", **extra: Any) -> None:
        self.send(json.dumps({"type": "response.steer", "previous_response_id": response_id, "input": input, **extra}))

    def step(self) -> list[Event]:
        """Return the events of one step."""
        events = []
        for output in self.session.step(self.now):
            if isinstance(output, Close):
                self.closed = output
            elif isinstance(output, Stall):
                self.stalled = output
            else:
                events.append(json.loads(output))
        return events

    def drain(self) -> list[Event]:
        """Step as long as there is something to do now, and return the events."""
        events = []
        while (due := self.session.due(self.now)) is not None and due <= self.now:
            events += self.step()
        return events

    def ask(self, **body: Any) -> list[Event]:
        """Create a response and return all its events."""
        self.create(**body)
        return self.drain()

    def refused(self, **body: Any) -> Event:
        """Create a response that is refused, and return its error event."""
        (event,) = self.ask(**body)
        assert event["type"] == "error"
        return event


def types(events: list[Event]) -> list[str]:
    """Return the types without their common prefix."""
    return [event["type"].removeprefix("response.") for event in events]


def text_of(events: list[Event]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def response_id(events: list[Event]) -> str:
    """Return the id of the response that was created first among `events`."""
    return str(next(event["response"]["id"] for event in events if event["type"] == "response.created"))


def answer(*parts: Part | str, **body: Any) -> list[Event]:
    """Return the events of a response with these parts, also to a request that the service would refuse."""
    peer = Peer(checks=False)
    peer.model.reply(parts)
    return peer.ask(**body)


def conversation(request: Request) -> str:
    """Reply with the conversation."""
    return request.conversation


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"type": "message", "role": "user", "content": text}
