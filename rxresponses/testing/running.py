"""A response that runs on a lane, and the steps in which the server sends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .generator import Event, EventGenerator
from .history import EndedResponse
from .journal import Exchange
from .jsontext import JSON
from .model import ResolvedReply
from .outputs import Output, Raw
from .replies import INTERVENTIONS, ConnectionIntervention, Delay, Failure, Gate, Hold, Intervention, Pace, SteerHold
from .request import Request
from .transcript import TERMINAL, Frame, Recording

Wait = float
"""A wait until this many seconds after the start of the response."""

Step = Event | Frame | ConnectionIntervention | Delay | Gate | Wait
"""What the session does next for a response: send something, wait for something, or disturb the connection."""

_Planned = Event | Frame | Wait | Intervention
"""A step before interventions are carried out: an intervention stands at its place among the events."""


@dataclass(frozen=True)
class Steer:
    """One `response.steer` of the client."""

    id: str
    """The id with which the server accepted the steer; empty for a steer that it does not accept."""

    input: Any
    target: str
    """The id of the response to steer."""

    lane: str | None = None
    """The lane of the target, `None` for the default lane."""

    size: int = 0
    """The size of the message, in bytes or characters of JSON."""

    @property
    def identity(self) -> JSON:
        """The fields with which events refer to an accepted steer."""
        return {"id": self.id, "previous_response_id": self.target}


@dataclass
class RunningResponse:
    """A response that the server is sending.  It occupies its lane until its last step is done."""

    response_id: str
    lane: str | None
    """The `stream_id` of the lane, `None` for the default lane."""

    exchange: Exchange
    request: Request
    parent: EndedResponse | None
    generator: EventGenerator
    steps: Iterator[Step]
    started: float
    size: int
    """The size of the input, with that of pending steers, in bytes or characters of JSON."""

    due: float
    """When the next step may be taken, unless a gate is closed."""

    interval: float | None = None
    """Seconds between two events of this response, `None` for those of the server."""

    gate: Gate | None = None
    """The gate that the next step waits for."""

    next_sequence_number: int = 0
    ended: bool = False
    """Whether the terminal event or an `error` was sent."""

    steers: list[Steer] = field(default_factory=list)
    """The accepted steers of this response."""

    steer_gates: Sequence[Gate] = ()
    """The gates that steers open, one after the other."""

    successor_of: Sequence[Steer] = ()
    """The steers that this response answers, if it is the successor of a steered response."""

    @property
    def blocked(self) -> bool:
        """Whether the next step waits for a gate that is closed."""
        return self.gate is not None and not self.gate.is_open

    def take_number(self) -> int:
        """Return the sequence number for the next event, and count it."""
        self.next_sequence_number += 1
        return self.next_sequence_number - 1


def start_response(
    generator: EventGenerator,
    reply: ResolvedReply,
    request: Request,
    parent: EndedResponse | None,
    now: float,
    *,
    lane: str | None,
    exchange: Exchange,
    size: int,
) -> RunningResponse:
    """Return a running response that answers `request` with `reply`."""
    outputs = reply.outputs
    steps: Iterator[_Planned]
    if isinstance(outputs, Recording):
        frames: Sequence[Frame] = outputs.frames
        steps = _replay(outputs)
    else:
        # Raw frames are the whole answer if there are no other outputs.  Otherwise they are a part of it.
        frames = [Frame.exactly(frame) for output in outputs if isinstance(output, Raw) for frame in output.frames]
        only_raw = bool(frames) and all(isinstance(output, (Raw, *INTERVENTIONS)) for output in outputs)
        steps = _only_raw(outputs) if only_raw else generator.events(outputs)
        frames = frames if only_raw else ()
    generator.response |= _first_response(frames)
    return RunningResponse(
        response_id=generator.response["id"],
        lane=lane,
        exchange=exchange,
        request=request,
        parent=parent,
        generator=generator,
        steps=_with_interventions(steps, reply.interventions, generator),
        started=now,
        size=size,
        due=now,
        steer_gates=[each.gate for each in reply.interventions if isinstance(each, SteerHold)],
        interval=next((setting.seconds for setting in reply.settings if isinstance(setting, Pace)), None),
    )


def _only_raw(outputs: Sequence[Output | Intervention]) -> Iterator[_Planned]:
    for output in outputs:
        if isinstance(output, Raw):
            yield from map(Frame.exactly, output.frames)
        else:
            assert isinstance(output, INTERVENTIONS)  # there is no other output
            yield output


def _replay(recording: Recording) -> Iterator[_Planned]:
    for frame in recording.frames:
        if recording.speed is not None:
            yield frame.offset / recording.speed
        yield frame


def _first_response(frames: Sequence[Frame]) -> JSON:
    """Return the first response object in `frames`, empty if there is none."""
    for frame in frames:
        response = frame.event.get("response")
        if isinstance(response, dict) and isinstance(response.get("id"), str):
            return response
    return {}


def _with_interventions(
    steps: Iterator[_Planned], interventions: Sequence[Intervention], generator: EventGenerator
) -> Iterator[Step]:
    """Yield `steps`, with each intervention after as many events as its `after` says.

    If the response has fewer events, a failure replaces the terminal event, and the other interventions
    follow it.  An intervention among the steps happens at its place.
    """
    waiting = sorted(interventions, key=_after)
    failure = next((intervention for intervention in waiting if isinstance(intervention, Failure)), None)
    sent = 0
    while True:
        while waiting and _after(waiting[0]) <= sent:
            intervention = waiting.pop(0)
            if isinstance(intervention, Failure):
                yield from generator.failure(intervention, created=sent > 0)
                return
            yield _step_of(intervention)
        step = next(steps, None)
        if failure is not None and (step is None or _is_terminal(step)):
            yield from generator.failure(failure, created=sent > 0)
            return
        if step is None:
            break
        if isinstance(step, Failure):
            yield from generator.failure(step, created=sent > 0)
            return
        if isinstance(step, INTERVENTIONS):
            yield _step_of(step)
            continue
        yield step
        sent += not isinstance(step, Wait)
    for intervention in waiting:
        assert not isinstance(intervention, Failure)  # a failure has ended the loop above
        yield _step_of(intervention)


def _step_of(intervention: Hold | Delay | ConnectionIntervention) -> Step:
    return intervention.gate if isinstance(intervention, Hold) else intervention


def _after(intervention: Intervention) -> int:
    assert intervention.after != "here"  # those are among the steps
    return intervention.after


def _is_terminal(step: _Planned) -> bool:
    event = step.event if isinstance(step, Frame) else step
    return isinstance(event, dict) and event.get("type") in TERMINAL
