"""`ask_latest` against a sender that answers, refuses and steers in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable, Subject
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from rxresponses import ServerEvent, SteerTimeoutError, ask_latest

from ..effort import examples
from ..support.events import accepted, completed, created, delta, incomplete
from .answers import refused_steer


class Server:
    """A sender with one lane, on which a test takes each step.

    `got` are the inputs that a response answers, `emitted` the events that were sent, with their answer.
    """

    chooses_lanes = True

    def __init__(self) -> None:
        self.got: list[str] = []
        self.responses = 0
        self.asked: list[tuple[str, ObserverBase[ServerEvent]]] = []  # that wait for the lane
        self.running: str | None = None  # the id of the response that runs
        self.streams: list[ObserverBase[ServerEvent]] = []  # which get its events
        self.steers: list[tuple[str, str, ObserverBase[ServerEvent]]] = []  # that wait for an answer
        self.accepted: list[ObserverBase[ServerEvent]] = []
        self.disposed: list[ObserverBase[ServerEvent]] = []

    def send_request(self, request: Any) -> Observable[ServerEvent]:
        return self._observable(lambda observer: self.asked.append((request.input, observer)))

    def steer(self, response_id: str, input: Any) -> Observable[ServerEvent]:
        return self._observable(lambda observer: self.steers.append((response_id, input, observer)))

    def _observable(self, submit: Callable[[ObserverBase[ServerEvent]], object]) -> Observable[ServerEvent]:
        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            submit(observer)
            return Disposable(lambda: self.disposed.append(observer))

        return Observable(subscribe)

    @property
    def is_idle(self) -> bool:
        return not (self.asked or self.steers or self.running)

    def step(self, number: int) -> None:
        """Do one of the things that a server may do now."""
        choices: list[Callable[[], None]] = []
        if self.running is None and self.asked:
            choices.append(self.begin)
        if self.running is not None:
            choices += [lambda: self.emit(delta("x")), self.end]
        if self.steers:
            choices += [self.accept, self.refuse, self.lose]
        if choices:
            choices[number % len(choices)]()

    def emit(self, event: ServerEvent) -> None:
        for stream in list(self.streams):
            stream.on_next(event)

    def begin(self) -> None:
        text, observer = self.asked.pop(0)
        if not any(observer is one for one in self.disposed):
            self.got.append(text)
        self.start([observer])

    def start(self, streams: list[ObserverBase[ServerEvent]]) -> None:
        self.responses += 1
        self.running, self.streams = f"resp_{self.responses}", streams
        self.emit(created(self.running))

    def end(self) -> None:
        ended, self.running = self.running or "", None
        streams, successors, self.accepted = self.streams, self.accepted, []
        self.emit(incomplete(id=ended, reason="steered") if successors else completed(id=ended))
        for stream in streams:
            stream.on_completed()
        if successors:
            self.start(successors)

    def accept(self) -> None:
        target, text, observer = self.steers.pop(0)
        if target != self.running:
            self.turn_down(target, text, observer)
            return
        self.got.append(text)
        self.accepted.append(observer)
        observer.on_next(accepted())

    def refuse(self) -> None:
        self.turn_down(*self.steers.pop(0))

    def turn_down(self, target: str, text: str, observer: ObserverBase[ServerEvent]) -> None:
        observer.on_next(refused_steer(target, text))
        observer.on_completed()

    def lose(self) -> None:
        _, _, observer = self.steers.pop(0)
        observer.on_error(SteerTimeoutError(1.0, delivery="not_sent"))


steps = st.lists(st.integers(-8, 5), max_size=60)
"""What happens: a number below 0 is a prompt, any other a step of the server."""


class Run:
    def __init__(self, pipeline: Callable[[Server], Any]) -> None:
        self.server = Server()
        self.prompts: Subject[str] = Subject()
        self.values: list[ServerEvent] = []
        self.ends: list[object] = []
        self.sent: list[str] = []
        self.prompts.pipe(pipeline(self.server)).subscribe(
            self.values.append, self.ends.append, lambda: self.ends.append("completed")
        )

    def play(self, numbers: list[int]) -> None:
        for number in numbers:
            if number < -3:
                self.sent.append(f"prompt {len(self.sent)}")
                self.prompts.on_next(self.sent[-1])
            else:
                self.server.step(abs(number))
        self.prompts.on_completed()
        for _ in range(10 * len(self.sent) + 10):
            self.server.step(1)  # ends what runs, refuses steers
            self.server.step(0)
        assert self.server.is_idle

    @property
    def created_ids(self) -> list[str]:
        return [event.response.id for event in self.values if event.type == "response.created"]  # type: ignore[attr-defined]


@settings(max_examples=examples(500))
@given(numbers=steps)
def test_scenario_37_each_prompt_reaches_the_model_once(numbers: list[int]) -> None:
    run = Run(lambda server: ask_latest(server, mode="steer", model="m"))
    run.play(numbers)

    assert sorted(run.server.got) == sorted(run.sent)
    assert run.ends == ["completed"]
    assert len(run.created_ids) == run.server.responses == len(set(run.created_ids))
    marks = [event.is_terminal for event in run.values if event.is_terminal or event.type == "response.created"]
    assert marks == [False, True] * run.server.responses  # one after the other


@settings(max_examples=examples(500))
@given(numbers=steps)
def test_no_event_of_a_cancelled_answer_is_emitted(numbers: list[int]) -> None:
    run = Run(lambda server: ask_latest(server, model="m"))
    begins: list[int] = []  # events so far, at each prompt
    run.prompts.subscribe(lambda _: begins.append(len(run.values)))
    run.play(numbers)

    assert run.ends == ["completed"]
    if run.sent:
        assert run.server.got[-1] == run.sent[-1]
        assert run.values[-1].is_terminal
    for begin in begins:  # behind each prompt, an answer begins, or nothing follows before the next prompt
        assert begin >= len(run.values) or run.values[begin].type == "response.created"
