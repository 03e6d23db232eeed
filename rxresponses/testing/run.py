"""One response on its way: its steps, in order, with what was planned to happen in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answer import Answer, Event
from .history import Turn
from .journal import Exchange
from .model import Script
from .replies import Delay, Disturbance, Failure, Gate, Hold, Intervention, Raw
from .request import Request
from .transcript import TERMINAL, Frame, Recording
from .wire import JSON

Wait = float
"""Go on this many seconds after the start of the response."""

Step = Event | Frame | Disturbance | Delay | Gate | Wait


@dataclass(frozen=True)
class Steer:
    """An accepted steering submission."""

    id: str
    input: Any
    target: str
    lane: str | None = None

    @property
    def identity(self) -> JSON:
        """What steering events say about it."""
        return {"id": self.id, "previous_response_id": self.target}


@dataclass
class Run:
    """A response that is being sent."""

    response_id: str
    lane: str | None
    """The named lane it runs on, `None` for the default one."""

    exchange: Exchange
    request: Request
    parent: Turn | None
    answer: Answer
    steps: Iterator[Step]
    started: float
    due: float
    """When the next step may be taken."""

    gate: Gate | None = None
    """What the next step waits for besides."""

    sequence: int = 0
    ended: bool = False
    """Whether its terminal event was sent."""

    steers: list[Steer] = field(default_factory=list)

    successor_of: Sequence[Steer] = ()
    """The steers that it answers, if it is the successor of a steered response."""

    @property
    def blocked(self) -> bool:
        """Whether it waits for a gate."""
        return self.gate is not None and not self.gate.is_open

    def next_number(self) -> int:
        """Return the next sequence number."""
        self.sequence += 1
        return self.sequence - 1


def start(
    answer: Answer,
    script: Script,
    request: Request,
    parent: Turn | None,
    now: float,
    *,
    lane: str | None,
    exchange: Exchange,
) -> Run:
    """Return the run that sends what `script` says."""
    outputs = script.outputs
    steps: Iterator[Step]
    if isinstance(outputs, Recording):
        frames: Sequence[Frame] = outputs.frames
        steps = _timed(outputs)
    else:
        # Beside other outputs raw frames are part of a response; by themselves they are all there is.
        frames = [Frame.exactly(frame) for output in outputs if isinstance(output, Raw) for frame in output.frames]
        only_raw = bool(outputs) and all(isinstance(output, Raw) for output in outputs)
        steps = iter(frames) if only_raw else answer.events(outputs)
        frames = frames if only_raw else ()
    answer.response |= _first_response(frames)
    return Run(
        response_id=answer.response["id"],
        lane=lane,
        exchange=exchange,
        request=request,
        parent=parent,
        answer=answer,
        steps=_intervene(steps, script.interventions, answer),
        started=now,
        due=now,
    )


def _timed(recording: Recording) -> Iterator[Step]:
    for frame in recording.frames:
        if recording.speed is not None:
            yield frame.offset / recording.speed
        yield frame


def _first_response(frames: Sequence[Frame]) -> JSON:
    """Return the response object that recorded frames speak of first, empty if they have none."""
    for frame in frames:
        response = frame.event.get("response")
        if isinstance(response, dict) and isinstance(response.get("id"), str):
            return response
    return {}


def _intervene(steps: Iterator[Step], interventions: Sequence[Intervention], answer: Answer) -> Iterator[Step]:
    """Yield `steps`, and each intervention after as many events as it says.

    An intervention that lies behind the end is not lost: a failure takes the place of the terminal event,
    the others follow it.
    """
    waiting = sorted(interventions, key=lambda one: one.after)
    failure = next((one for one in waiting if isinstance(one, Failure)), None)
    sent = 0
    while True:
        while waiting and waiting[0].after <= sent:
            one = waiting.pop(0)
            if isinstance(one, Failure):
                yield from answer.failure(one, created=sent > 0)
                return
            yield one.gate if isinstance(one, Hold) else one
        step = next(steps, None)
        if failure is not None and (step is None or _is_terminal(step)):
            yield from answer.failure(failure, created=sent > 0)
            return
        if step is None:
            break
        yield step
        sent += not isinstance(step, Wait)
    for one in waiting:
        assert not isinstance(one, Failure)  # it has ended the loop above
        yield one.gate if isinstance(one, Hold) else one


def _is_terminal(step: Step) -> bool:
    event = step.event if isinstance(step, Frame) else step
    return isinstance(event, dict) and event.get("type") in TERMINAL
