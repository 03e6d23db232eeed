"""A client for one session, without a socket: frames in, events out, and a clock that only the test moves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rxresponses.testing.faults import Fault
from rxresponses.testing.history import IdGenerator, StoredResponses
from rxresponses.testing.journal import Journal
from rxresponses.testing.model import ScriptedModel
from rxresponses.testing.plan import FaultPlan
from rxresponses.testing.replies import Close, Stall
from rxresponses.testing.session import Limits, Session

Event = dict[str, Any]


class Peer:
    def __init__(
        self,
        model: ScriptedModel | None = None,
        storage: StoredResponses | None = None,
        *,
        faults: Iterable[Fault] = (),
        **limits: Any,
    ) -> None:
        self.model = model if model is not None else ScriptedModel()
        self.now = 0.0
        self.closed: Close | None = None
        self.stalled: Stall | None = None
        self.journal = Journal()
        self.session = Session(
            now=0.0,
            model=self.model,
            storage=storage,
            ids=IdGenerator("0"),
            limits=Limits(**limits),
            clock=lambda: 1_700_000_000.0 + self.now,
            journal=self.journal,
            plan=FaultPlan(faults),
        )

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
