"""The scripted model: which request gets which reply."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .replies import INTERVENTIONS, OUTPUTS, FunctionCall, Intervention, Output, Reasoning, Reply, Text
from .request import Request
from .schema import example
from .transcript import Recording
from .wire import encode

Match = str | Callable[[Request], bool]
"""A regular expression to search in the latest user message, or a function of the request."""


@dataclass(frozen=True)
class Script:
    """A reply worked out: what to send, and what happens on the way."""

    outputs: tuple[Output, ...] | Recording
    interventions: tuple[Intervention, ...] = ()


class ScriptedModel:
    """Answers by rule.  Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: deque[Reply] = deque()
        self._rules: list[tuple[Match, Reply]] = []

    def reply(self, *replies: Reply) -> None:
        """Give the next responses these replies, one each, in the order in which the responses start."""
        for reply in replies:
            _check(reply)
        with self._lock:
            self._next.extend(replies)

    def on(self, match: Match, reply: Reply) -> None:
        """Answer every request that matches with `reply`.  The first rule that matches wins."""
        _check(reply)
        if isinstance(match, str):
            re.compile(match)  # an error belongs to this call, not to the first request
        with self._lock:
            self._rules.append((match, reply))

    def script(self, request: Request) -> Script:
        """Return what to answer: the next reply, else that of the first matching rule, else a default one.

        Raises:
            Exception: whatever a match or reply function raises; `TypeError` if it returns no reply.
        """
        with self._lock:
            rules = list(self._rules)
            reply = self._next.popleft() if self._next else None
        if reply is None:
            reply = next((reply for match, reply in rules if matches(match, request)), default_reply)
        while callable(reply):
            reply = reply(request)
        _check(reply)
        parts = [reply] if isinstance(reply, (str, Recording, *OUTPUTS, *INTERVENTIONS)) else reply
        made = [Text(part) if isinstance(part, str) else part for part in parts]
        outputs = tuple(part for part in made if isinstance(part, OUTPUTS))
        interventions = tuple(part for part in made if isinstance(part, INTERVENTIONS))
        recording = next((part for part in made if isinstance(part, Recording)), None)
        return Script(recording or outputs or default_reply(request), interventions)


def default_reply(request: Request) -> tuple[Output, ...]:
    """Return an honest little answer: the embedded server says what it is and what it was asked."""
    name = request.forced_function
    if name is not None:
        return (FunctionCall(name, example(request.tools[name].get("parameters") or {"type": "object"})),)
    text_format = request.text_format
    if text_format["type"] == "json_schema":
        text = encode(example(text_format["schema"]))
    elif text_format["type"] == "json_object":
        text = encode({"server": "embedded test server", "asked": request.text})
    else:
        text = _sentence(request)
    if (request.body.get("reasoning") or {}).get("summary"):
        return (Reasoning("**Reading the prompt**\n\nThis server does not think; it repeats."), Text(text))
    return (Text(text),)


def _sentence(request: Request) -> str:
    outputs = request.function_outputs
    if outputs:
        return f"This is the embedded test server. Your function returned: {' and '.join(outputs.values())}"
    if request.text:
        return f"This is the embedded test server, not a model. You asked: {request.text}"
    return "This is the embedded test server, not a model. You asked nothing."


def matches(match: Match, request: Request) -> bool:
    """Return whether a rule is for `request`."""
    return bool(re.search(match, request.text)) if isinstance(match, str) else match(request)


def _check(reply: object) -> None:
    if isinstance(reply, str) or callable(reply):
        return
    parts = reply if isinstance(reply, Sequence) else [reply]
    if not all(isinstance(part, (str, Recording, *OUTPUTS, *INTERVENTIONS)) for part in parts):
        raise TypeError(f"Not a reply: {reply!r}")
    recordings = sum(isinstance(part, Recording) for part in parts)
    outputs = sum(isinstance(part, (str, *OUTPUTS)) for part in parts)
    if recordings > 1 or (recordings and outputs):
        raise TypeError("A recording is the whole of an answer: give further ones to further requests")
