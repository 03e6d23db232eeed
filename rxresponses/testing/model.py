"""The scripted model: it chooses the reply to each request."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .jsontext import JSON, encode
from .outputs import OUTPUTS, FunctionCall, Output, Reasoning, Text, has_calls
from .playback import Playback
from .refusal import RequestError
from .replies import INTERVENTIONS, PARTS, SETTINGS, Intervention, Reply, Setting
from .request import Request
from .schema import SchemaError, example
from .transcript import Recording
from .when import Match, is_about_messages, matches

_MOST_FUNCTIONS = 100  # functions that return functions, before a reply


@dataclass(frozen=True)
class ResolvedReply:
    """A reply to one request in its final form: functions are called, and the parts are sorted."""

    outputs: tuple[Output | Intervention, ...] | Recording
    """The content of the response, with the interventions that happen at their place in it."""

    interventions: tuple[Intervention, ...] = ()
    """The interventions that happen after a number of events."""

    settings: tuple[Setting, ...] = ()


@dataclass
class _Rule:
    """The replies to the requests that match, in turn."""

    match: Match
    replies: Sequence[Reply]
    times: int | None
    """How many requests the rule still answers, `None` for any number."""

    used: int = 0

    def applies_to(self, request: Request) -> bool:
        """Return whether the rule answers `request`.

        A pattern about messages would match again when the request brings the outputs of the calls that the rule has
        made.  The calls would never end.
        """
        if self.times == 0 or not matches(self.match, request):
            return False
        return not (request.answers_calls and is_about_messages(self.match) and _has_calls(self._next))

    def take(self) -> Reply:
        """Return the reply to the next request.  The last reply is that to all further requests."""
        reply = self._next
        self.used += 1
        if self.times is not None:
            self.times -= 1
        return reply

    @property
    def _next(self) -> Reply:
        return self.replies[min(self.used, len(self.replies) - 1)]


class ScriptedModel:
    """Chooses the reply to each request from those that a test has given.

    `reply` and `on` may be called from any thread, `resolve` from that of the server only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: deque[Reply] = deque()
        self._rules: list[_Rule] = []
        self.plays = False
        """Whether answers of a recording are played: then parents of requests may be unknown to the server."""

    def reply(self, *replies: Reply) -> None:
        """Do what `ResponsesServer.reply` describes."""
        for reply in replies:
            _check_reply(reply)
        with self._lock:
            self._next.extend(replies)

    def on(self, match: Match, *replies: Reply, times: int | None = None) -> None:
        """Do what `ResponsesServer.on` describes."""
        for reply in replies:
            _check_reply(reply)
        if isinstance(match, str):
            re.compile(match)  # raises here, where the test gives the expression, and not at the first request
        elif not callable(match):
            raise TypeError(f"Not a regular expression, a function or a When: {match!r}")
        if times is not None and times < 1:
            raise ValueError(f"times must be at least 1, not {times}")
        with self._lock:
            self._rules.append(_Rule(match, replies, times))

    def play(self, playback: Playback) -> None:
        """Answer from a recording what neither the queue nor an earlier rule answers."""
        self.on("", playback.reply)
        self.plays = True

    def resolve(self, request: Request) -> ResolvedReply:
        """Return the reply to `request`: the next one in the queue, else that of the first rule that matches.

        Without either it is `default_reply`.

        Raises:
            TypeError: if a reply function returns something that is not a reply.
            Exception: what a match function or a reply function raises.
        """
        with self._lock:
            rules = list(self._rules)
            reply = self._next.popleft() if self._next else None
        if reply is None:
            reply = default_reply
            for rule in rules:  # a generator would hide a `StopIteration` of the test's function
                if rule.applies_to(request):
                    reply = rule.take()
                    break
        for _ in range(_MOST_FUNCTIONS):
            if callable(reply):
                reply = reply(request)
        if callable(reply):
            raise TypeError(f"A reply function led to {_MOST_FUNCTIONS} further functions, and to no reply")
        _check_reply(reply)
        return _sorted_parts(reply, request)


def _sorted_parts(reply: Any, request: Request) -> ResolvedReply:
    """Return a reply that `_check_reply` has accepted, in its final form."""
    parts: list[Any] = [reply] if isinstance(reply, (str, Recording, *PARTS)) else reply
    parts = [Text(part) if isinstance(part, str) else part for part in parts]
    counted = tuple(part for part in parts if isinstance(part, INTERVENTIONS) and not _is_placed(part))
    settings = tuple(part for part in parts if isinstance(part, SETTINGS))
    recording = next((part for part in parts if isinstance(part, Recording)), None)
    if recording is not None:
        return ResolvedReply(recording, counted)
    placed = tuple(part for part in parts if isinstance(part, OUTPUTS) or _is_placed(part))
    if all(isinstance(part, INTERVENTIONS) for part in placed):
        placed = (*default_reply(request), *placed)
    return ResolvedReply(placed, counted, settings)


def default_reply(request: Request) -> tuple[Output, ...]:
    """Return the answer for which no test has given a reply: it says that no model answers, and what was asked.

    It obeys the request where it can: a forced function is called, and a JSON schema is fulfilled.

    Raises:
        RequestError: for a schema that has no example, or only a very large one.
    """
    name = request.forced_function
    if name is not None:
        return (_call(name, request.tools[name].get("parameters") or {"type": "object"}),)
    text_format = request.text_format
    if text_format["type"] == "json_schema":
        text = encode(_example(text_format["schema"], "invalid_json_schema", "text.format.schema"))
    elif text_format["type"] == "json_object":
        text = encode({"server": "embedded test server", "asked": request.text})
    else:
        text = _sentence(request)
    if (request.body.get("reasoning") or {}).get("summary"):
        return (Reasoning("**Reading the prompt**\n\nThis server does not think; it repeats."), Text(text))
    return (Text(text),)


def _call(name: str, schema: JSON) -> FunctionCall:
    arguments = _example(schema, "invalid_function_parameters", "tools")
    if not isinstance(arguments, dict):
        message = f"Invalid schema for function '{name}': it has to be a schema of an object."
        raise RequestError(message, code="invalid_function_parameters", param="tools")
    return FunctionCall(name, arguments)


def _example(schema: JSON, code: str, param: str) -> Any:
    try:
        return example(schema)
    except SchemaError as error:
        message = f"The embedded test server cannot make up a value for the schema: {error}. A test can give the answer"
        raise RequestError(f"{message} by ResponsesServer.reply or .on.", code=code, param=param) from error


def _sentence(request: Request) -> str:
    outputs = request.function_outputs
    if outputs:
        return f"This is the embedded test server. Your function returned: {' and '.join(outputs.values())}"
    if request.tool_outputs:
        texts = [text for _, text in request.tool_outputs]
        return f"This is the embedded test server. Your tool returned: {' and '.join(texts)}"
    if request.text:
        return f"This is the embedded test server, not a model. You asked: {request.text}"
    return "This is the embedded test server, not a model. You asked nothing."


def _check_reply(reply: object) -> None:
    if isinstance(reply, str) or callable(reply):
        return
    parts = reply if isinstance(reply, Sequence) else [reply]
    if not all(isinstance(part, (str, Recording, *PARTS)) for part in parts):
        raise TypeError(
            f"Not a reply: {reply!r}; a reply is a text, an output such as `FunctionCall` or `Json`, a `Failure` or "
            "another intervention, or a list of these"
            + ("; for a JSON answer, write `Json({…})`" if any(isinstance(part, Mapping) for part in parts) else "")
        )
    recordings = sum(isinstance(part, Recording) for part in parts)
    others = sum(isinstance(part, (str, *OUTPUTS, *SETTINGS)) or _is_placed(part) for part in parts)
    if recordings > 1 or (recordings and others):
        raise TypeError(
            "A recording is a whole answer.  Beside it stand only interventions with a number of events as `after`"
        )


def _is_placed(part: object) -> bool:
    return isinstance(part, INTERVENTIONS) and part.after == "here"


def _has_calls(reply: Reply) -> bool:
    return any(map(has_calls, reply if isinstance(reply, Sequence) else [reply]))
