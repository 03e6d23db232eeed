"""Plays a recording back: which recorded request a request is, and what is said if it is none.

What counts is the content of a request: the model, the input, the tools, the response that it continues and so on.
What does not count is the order of keys, fields that are `None`, `metadata`, the lane, and how the request is sent.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..recording.format import EndRecord, EventRecord, RequestRecord
from ..recording.format import Recording as Session
from ..recording.redacting import redacted, without_tool_secrets
from ..redaction import HIDDEN, shortened
from .items import normalize_input
from .jsontext import JSON
from .refusal import RequestError
from .replies import Close, Reply, SteerHold
from .request import Request
from .steered import steered_responses
from .transcript import TERMINAL, Frame, Recording

Match = Literal["strict", "lenient"]

_NOT_CONTENT = frozenset({"type", "stream_id", "metadata", "stream", "background", "event_id", "stream_options"})
_ENDINGS = (*TERMINAL, "error")
_MOST_DIFFERENCES = 5
_LONGEST_VALUE = 80  # characters
_ABSENT = object()


@dataclass
class _Exchange:
    """A recorded request, and the answer that was recorded."""

    name: str
    body: JSON | None
    """The request without what does not count; `None` where only the answer is recorded."""

    answer: list[Recording | Close | SteerHold]
    played: int = 0


@dataclass
class Playback:
    """The exchanges of a recording, and which of them have been played.

    Usable from any thread.
    """

    name: str
    """The name of the recording, for messages."""

    exchanges: Sequence[_Exchange]
    match: Match = "strict"
    hides_texts: bool = False
    """Whether the recording has `x` in place of texts: then requests are compared in this form."""

    missing: list[str] = field(default_factory=list)
    """What was said of the requests that had no recorded answer."""

    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, session: Session, name: str, *, match: Match = "strict", speed: float | None = None) -> Playback:
        """Return the playback of a recording.

        Raises:
            ValueError: if `match` or `speed` is wrong, or if there is no answer in the recording.
        """
        if match not in ("strict", "lenient"):
            raise ValueError(f"match must be 'strict' or 'lenient', not {match!r}")
        if speed is not None and not speed > 0:
            raise ValueError(f"speed must be positive or None, not {speed!r}")
        exchanges = list(_exchanges(session, speed))
        if not exchanges:
            why = "" if session.why_empty is None else f": {session.why_empty}"
            raise ValueError(f"{name}: the recording has no answer to a request{why}")
        return cls(name, exchanges, match, session.header.contents == "redacted")

    @property
    def unplayed(self) -> list[str]:
        """The names of the recorded requests that were not asked yet, such as `r2`."""
        with self._lock:
            return [exchange.name for exchange in self.exchanges if not exchange.played]

    def reply(self, request: Request) -> Reply:
        """Return the recorded answer to a request.

        Raises:
            RequestError: if there is none.  The message says what differs from the nearest recorded request.
        """
        body = _content(request.body)
        if self.hides_texts:
            body = redacted(body)
        with self._lock:
            exchange = self._find(body)
            if exchange is None:
                self.missing.append(self._problem(body))
                raise RequestError(self.missing[-1], code="no_recorded_response", status=404)
            exchange.played += 1
        # A new gate each time.
        return [SteerHold(after=part.after) if isinstance(part, SteerHold) else part for part in exchange.answer]

    def _find(self, body: JSON) -> _Exchange | None:
        """Return the exchange to play: of those that fit, the first that was not played yet."""
        fitting = [exchange for exchange in self.exchanges if _fits(exchange, body)]
        fresh = next((exchange for exchange in fitting if not exchange.played), None)
        if fresh is not None or self.match == "strict":
            return fresh
        shape = _shape(body)
        similar = [other for other in self.exchanges if other.body is None or _shape(other.body) == shape]
        fresh = next((exchange for exchange in similar if not exchange.played), None)
        return fresh or next(reversed([*similar, *fitting]), None)

    def _problem(self, body: JSON) -> str:
        beginning = f"{f'The recording {self.name}' if self.name else 'The recording'} has no answer to this request"
        recorded = [exchange for exchange in self.exchanges if exchange.body is not None]
        if not recorded:
            return f"{beginning}: its {len(self.exchanges)} answers have been played."
        compared = [(list(_differences(exchange.body, body)), exchange) for exchange in recorded]
        differences, nearest = min(compared, key=lambda pair: len(pair[0]))
        if not differences:
            times = sum(not found for found, _ in compared)
            counted = "once" if times == 1 else f"{times} times"
            return f"{beginning} any more: it was recorded {counted} ({nearest.name}), and played as often."
        shown = "; ".join(differences[:_MOST_DIFFERENCES])
        more = len(differences) - _MOST_DIFFERENCES
        rest = f"; and {more} more differences" if more > 0 else ""
        return f"{beginning}. The nearest recorded request, {nearest.name}, differs in: {shown}{rest}."


def _exchanges(session: Session, speed: float | None) -> Iterator[_Exchange]:
    requests = {record.request: record for record in session.records if isinstance(record, RequestRecord)}
    ends = {record.request: record for record in session.records if isinstance(record, EndRecord)}
    events: dict[str, list[EventRecord]] = {}
    answer: Sequence[EventRecord]
    for event in session.events():
        if event.request is not None and event.frame is not None:
            events.setdefault(event.request, []).append(event)
    steers = steered_responses(session, requests, events)
    for name in session.requests:
        request, answer = requests.get(name), events.get(name, [])
        if request is None and requests:
            continue  # it was sent before the recording began, so the answer may lack its beginning
        if name in steers.successors:
            request, answer = steers.successors[name]
        elif request is not None and request.frame.get("type") == "response.steer":
            continue  # the server answers it by itself
        begin = request.t if request is not None else answer[0].t if answer else 0.0
        frames = tuple(Frame(each.raw, each.frame or {}, max(0.0, each.t - begin)) for each in answer)
        replies: list[Recording | Close | SteerHold] = [Recording(frames, speed)] if frames else []
        replies += [SteerHold(after=count) for count in steers.holds.get(name, ())]
        end = ends.get(name)
        lost = _loss(end, len(frames))
        if end is None and frames and not any(frame.event.get("type") in _ENDINGS for frame in frames):
            lost = Close(1011, "the recording ends here", after=len(frames))  # otherwise its client waits for ever
        if lost is not None:
            replies = [*(replies or [Recording((), speed)]), lost]
        if replies:
            yield _Exchange(name, None if request is None else _content(request.frame), replies)


def _loss(end: EndRecord | None, count: int) -> Close | None:
    """Return how the connection ended if that ended the request."""
    error = end.error if end is not None and end.how == "error" else None
    if error is None or error.get("type") not in ("ConnectionLostError", "MessageTooBigError", "PongTimeoutError"):
        return None
    attributes = error.get("attributes")
    code = attributes.get("close_code") if isinstance(attributes, dict) else None
    try:
        return Close(code if isinstance(code, int) else 1006, after=count)
    except ValueError:  # no code with which a connection can be closed
        return Close(1006, after=count)


def _content(frame: JSON) -> JSON:
    body = {name: value for name, value in frame.items() if name not in _NOT_CONTENT and value is not None}
    body = without_tool_secrets(body)
    given = body.get("input")
    if isinstance(given, str) or (isinstance(given, list) and all(isinstance(item, dict) for item in given)):
        body["input"] = [_item(item) for item in normalize_input(given)]
    return body  # other inputs stay as they are: a recording may hold a request that the service has refused


def _item(item: JSON) -> JSON:
    """Return an input item in one of the forms that mean the same."""
    content = item.get("content")
    if isinstance(content, str) and item.get("role") in ("user", "system", "developer"):
        item = {**item, "content": [{"type": "input_text", "text": content}]}
    return {name: value for name, value in item.items() if value is not None}


def _fits(exchange: _Exchange, body: JSON) -> bool:
    return exchange.body is None or next(_differences(exchange.body, body), None) is None


def _shape(body: JSON) -> tuple[Any, ...]:
    """Return what makes a request similar to another: its model, tools, format, and the kind of its input."""
    tools = [(tool.get("type"), tool.get("name")) for tool in _objects(body.get("tools"))]
    (text,) = _objects([body.get("text")]) or [{}]
    (text_format,) = _objects([text.get("format")]) or [{}]
    latest = (_objects(body.get("input")) or [{}])[-1]
    return (
        *(body.get("model"), sorted(map(repr, tools)), text_format.get("type"), text_format.get("name")),
        *(latest.get("type"), "previous_response_id" in body),
    )


def _objects(value: object) -> list[JSON]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _differences(recorded: Any, sent: Any, path: str = "") -> Iterator[str]:
    """Yield the differences of two values, each with its place and both values."""
    if isinstance(recorded, dict) and isinstance(sent, dict):
        for name in {**recorded, **sent}:
            place = f"{path}.{name}" if path else name
            one, other = (_ABSENT if value.get(name) is None else value[name] for value in (recorded, sent))
            yield from _differences(one, other, place)
    elif isinstance(recorded, list) and isinstance(sent, list):
        for index in range(max(len(recorded), len(sent))):
            one, other = (value[index] if index < len(value) else _ABSENT for value in (recorded, sent))
            yield from _differences(one, other, f"{path}[{index}]")
    elif not _is_same(recorded, sent):
        yield f"{path} (recorded: {_shown(recorded)}, sent: {_shown(sent)})"


def _is_same(recorded: Any, sent: Any) -> bool:
    if isinstance(recorded, str) and isinstance(sent, str) and HIDDEN in recorded:
        pattern = ".*".join(map(re.escape, recorded.split(HIDDEN)))  # a secret stood there
        return re.fullmatch(pattern, sent, re.DOTALL) is not None
    return (type(recorded) is type(sent) and bool(recorded == sent)) or _is_same_number(recorded, sent)


def _is_same_number(recorded: Any, sent: Any) -> bool:
    numbers = (int, float)
    are_numbers = type(recorded) in numbers and type(sent) in numbers
    return are_numbers and bool(recorded == sent)


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    return shortened(json.dumps(value, ensure_ascii=False), _LONGEST_VALUE, _LONGEST_VALUE // 4)
