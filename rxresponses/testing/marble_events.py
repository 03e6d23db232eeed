"""From a marble diagram to the events of a response, with the frame of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .generator import EventGenerator, new_response
from .history import IdGenerator
from .jsontext import JSON
from .marble_text import EVENTS, Frames, Token, parse
from .outputs import FunctionCall, Output, Text
from .replies import Failure

_CREATED = 1_750_000_000  # seconds: the time of day that all responses of marble diagrams have
_FIRST = ("c", "q", "p")
_ENDINGS = ("C", "F", "N", "E")


@dataclass
class _Planned:
    """An output of the response, and the frames in which its parts come."""

    output: Output
    frames: list[int]
    texts: list[str] = field(default_factory=list)


def response_events(text: str | Frames, body: JSON | None = None, salt: str = "") -> list[tuple[int, JSON]]:
    """Return the events of a response as JSON, each with its frame; signs for ends and errors of the stream are none.

    The first text of a message brings the events that add its item and its part with it, and the terminal event those
    that end them, as the service sends them.  `{name {"argument": 1}}` is a whole call of a function.

    Raises `ValueError` for a letter that stands for no event, and for anything but the end of the stream behind the
    terminal event.
    """
    frames = parse(text) if isinstance(text, str) else text
    first: list[tuple[int, str]] = []
    outputs: list[_Planned] = []
    ending: tuple[int, str] | None = None
    for frame, tokens in enumerate(frames):
        for token in tokens:
            if token.kind in ("completed", "error"):
                continue
            if ending is not None:
                raise token.wrong(f"{token} stands behind the terminal event {ending[1]}")
            if token.kind == "text":
                if not outputs or not outputs[-1].texts:
                    outputs.append(_Planned(Text(), []))
                outputs[-1].frames.append(frame)
                outputs[-1].texts.append(token.text)
            elif token.kind == "braces":
                outputs.append(_Planned(_call(token), [frame]))
            elif token.text in _ENDINGS:
                ending = frame, token.text
            elif token.text in _FIRST:
                first.append((frame, token.text))
            else:
                raise token.wrong(f"{token} stands for no event; these do: {', '.join(EVENTS)}")
    return list(_numbered(_events(first, outputs, ending, body or {}, salt)))


def _call(token: Token) -> FunctionCall:
    name, _, arguments = token.text.strip().partition(" ")
    if not name:
        raise token.wrong("{} needs the name of a function, and its arguments as JSON behind a space")
    return FunctionCall(name, arguments.strip() or "{}")


def _events(
    first: list[tuple[int, str]], outputs: list[_Planned], ending: tuple[int, str] | None, body: JSON, salt: str
) -> Iterator[tuple[int, JSON]]:
    ids = IdGenerator(salt)
    response = new_response(body, ids.new("resp"), _CREATED)
    cut = "max_output_tokens" if ending is not None and ending[1] == "N" else None
    generator = EventGenerator(response, ids=ids, clock=lambda: float(_CREATED), cut=cut)
    events: Iterator[Any] = generator.events(
        [Text(deltas=planned.texts) if planned.texts else planned.output for planned in outputs]
    )
    created = next(events)
    next(events)  # in progress
    for frame, letter in first:
        status = "queued" if letter == "q" else "in_progress"
        yield frame, {"type": EVENTS[letter], "response": {**created["response"], "status": status}}
    ends = [*(planned.frames[0] for planned in outputs[1:]), None if ending is None else ending[0]]
    for planned, end in zip(outputs, ends, strict=True) if outputs else ():
        yield from _placed(events, planned, end)
    if ending is None:
        return
    if ending[1] in "CN":
        yield ending[0], next(events)
    else:
        error, failed = generator.failure(Failure(), created=True)
        yield ending[0], error if ending[1] == "E" else failed


def _placed(events: Iterator[Any], planned: _Planned, end: int | None) -> Iterator[tuple[int, JSON]]:
    """Yield the events of one output with their frames; those that end a message come with what follows it."""
    deltas = 0
    kind = ""
    while kind != "response.output_item.done":
        event = next(events)
        kind = event["type"]
        frame: int | None = planned.frames[min(deltas, len(planned.frames) - 1)]
        if planned.texts and kind == "response.output_text.delta":
            deltas += 1
        elif planned.texts and deltas == len(planned.texts):
            frame = end
        if frame is not None:
            yield frame, event


def _numbered(events: Iterator[tuple[int, JSON]]) -> Iterator[tuple[int, JSON]]:
    for number, (frame, event) in enumerate(events):
        yield frame, {**event, "sequence_number": number}
