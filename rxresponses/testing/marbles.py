r"""Marble diagrams in tests: the stream of a server as a line of text, and what a pipeline makes of it as another.

    from rxresponses.testing.marbles import assert_marbles

    def test_shouting():
        assert_marbles(
            "c-(He)-(llo)-C|",
            "--(HE)-(LLO)--|",
            rops.text_deltas(), ops.map(str.upper),
        )

Each sign is a frame of time: `-` nothing, `(text)` a text, `{…}` anything else, `|` completion, `#` an error, `[…]`
several of them at once.  A letter is an event: `c` created, `q` queued, `p` in progress, `C` completed, `F` failed,
`N` incomplete, `E` error; or a value that the test names.  Spaces stand for nothing.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reactivex import Observable
from reactivex.testing import ReactiveTest, TestScheduler

from ..codec import decode
from ..errors import ConnectionLostError
from ..events import ServerEvent
from .jsontext import encode
from .marble_events import response_events
from .marble_text import EVENTS, Frames, Token, aligned, parse
from .replies import Close, Reply
from .request import Request
from .transcript import Frame, Recording

_SUBSCRIBED = 200.0  # virtual seconds, as in all tests with RxPY's scheduler
_AFTERWARDS = 100  # frames in which a pipeline may emit what is not expected
_TOLERANCE = 1e-6  # frames
_LONGEST = 60  # characters of a value in a message
_AROUND = 20  # characters on both sides of a difference
_LETTERS = {kind: letter for letter, kind in EVENTS.items()}
_BOOKKEEPING = frozenset(
    f"response.{name}"
    for name in (
        *("output_item.added", "content_part.added", "output_text.done", "content_part.done", "output_item.done"),
        *("function_call_arguments.delta", "function_call_arguments.done"),
    )
)
"""The types of the events that begin and end items, which a diagram of a stream does not show."""

_numbers = itertools.count(1)


def marble_reply(stream: str, *, frame: float = 0.01) -> Callable[[Request], Reply]:
    """Return a reply for `ResponsesServer.reply` and `on`: a response with the events of a marble diagram.

    `frame` is the duration of a frame in seconds.  `#` aborts the connection, as a network failure does.  Each request
    gets a response with ids of its own.

    Raises `ValueError` for a diagram without a terminal event or `#`: the response would never end.
    """
    frames = parse(stream)
    signs = [token for tokens in frames for token in tokens]
    is_lost = any(token.kind == "error" for token in signs)
    if not is_lost and not any(token.kind == "letter" and token.text in "CFNE" for token in signs):
        raise ValueError(f"the stream {stream!r} has no end: neither C, F, N, E nor #")
    response_events(frames)  # raises for what is no event

    def reply(request: Request) -> Reply:
        events = response_events(frames, request.body, f"{next(_numbers):08x}")
        recording = Recording(tuple(Frame(encode(event), event, place * frame) for place, event in events), speed=1.0)
        return [recording, Close(code=1006, after=len(events))] if is_lost else recording

    return reply


def assert_marbles(
    source: str | Observable[Any],
    expected: str,
    *operators: Callable[[Any], Any],
    values: Mapping[str, Any] | None = None,
    error: type[Exception] | Exception | None = None,
    frame: float = 1.0,
) -> None:
    """Check on virtual time what a pipeline makes of a stream: the two marble diagrams stand one above the other.

    Args:
        source: the stream of a response; or an Observable, which gets the scheduler when it is subscribed to.
        expected: what comes out of the operators.  `(text)` is a string, or a text delta; `{…}` the type of an event,
            or any other value as its `repr` shows it; a letter one of `values`, or an event.  Events that begin and
            end items may be left out, as they are in `source`.
        operators: as for `pipe`.  Their timers run on virtual time if they use the scheduler of the subscription.
        values: values by letters, for `source` and for `expected`.
        error: the error that `#` stands for in `expected`: its class, or an error of the same class and text.  In
            `source`, `#` is a `ConnectionLostError`.
        frame: the seconds of virtual time of a frame.

    Raises `AssertionError`, which shows the lines one above the other, and `ValueError` for a wrong diagram.
    """
    __tracebackhide__ = True
    if not isinstance(source, (str, Observable)):
        raise TypeError(f"`source` must be a marble diagram or an Observable, not {source!r}")
    if not isinstance(expected, str):
        raise TypeError(f"`expected` must be a marble diagram, not {expected!r}")
    if not frame > 0:
        raise ValueError(f"`frame` must be more than 0 seconds, not {frame!r}")
    wanted = parse(expected)
    given = parse(source) if isinstance(source, str) else ()
    named = values or {}
    for token in itertools.chain.from_iterable(wanted):
        if token.kind == "letter" and token.text not in named and token.text not in EVENTS:
            raise token.wrong(f"{token} is none of `values`, and stands for no event; these do: {', '.join(EVENTS)}")
    scheduler = TestScheduler()
    observable = _cold(scheduler, given, named, frame) if isinstance(source, str) else source
    last = max(len(given), len(wanted)) + _AFTERWARDS
    observer = scheduler.start(
        lambda: observable.pipe(*operators),
        created=100.0,
        subscribed=_SUBSCRIBED,
        disposed=_SUBSCRIBED + (last + 0.5) * frame,
    )
    actual: list[list[Any]] = []
    between: list[str] = []
    for message in observer.messages:
        exact = (message.time - _SUBSCRIBED) / frame
        place = round(exact)
        if abs(exact - place) > _TOLERANCE:
            between.append(f"something came between two frames, at frame {exact:.3f}: choose another `frame`")
        actual += [[] for _ in range(place + 1 - len(actual))]
        actual[place].append(message.value)
    matcher = _Matcher(named, error)
    count = max(len(wanted), len(actual))
    expected_line = [*wanted, *[()] * (count - len(wanted))]
    actual_line = [*actual, *[[]] * (count - len(actual))]
    differing = [place for place in range(count) if not matcher.are_equal(expected_line[place], actual_line[place])]
    if not differing and not between:
        return
    lines = [("source", _cells(given))] if given else []
    lines.append(("expected", _cells(wanted)))
    shown = _cells(expected_line)
    for place in differing:
        shown[place] = matcher.cell(actual_line[place])
    lines.append(("actual", shown[: len(actual)]))
    details = [text for place in differing for text in matcher.details(place, expected_line[place], actual_line[place])]
    text = aligned(lines, differing)
    unexpected = next((one.exception for place in differing for one in actual_line[place] if one.kind == "E"), None)
    summary = "the pipeline emitted something else than expected"
    raise AssertionError("\n".join([summary, text, *details, *between])) from unexpected


def _cold(scheduler: TestScheduler, frames: Frames, values: Mapping[str, Any], frame: float) -> Observable[Any]:
    """Return the Observable of a marble diagram, whose frames begin when it is subscribed to."""
    events = iter(response_events(tuple(tuple(t for t in tokens if not _is_named(t, values)) for tokens in frames)))
    waiting = next(events, None)
    messages: list[Any] = []
    for place, tokens in enumerate(frames):
        at: Any = place * frame  # which RxPY calls an integer, and takes as it is
        while waiting is not None and waiting[0] == place:
            messages.append(ReactiveTest.on_next(at, decode(encode(waiting[1]))))
            waiting = next(events, None)
        for token in tokens:
            if _is_named(token, values):
                messages.append(ReactiveTest.on_next(at, values[token.text]))
            elif token.kind == "completed":
                messages.append(ReactiveTest.on_completed(at))
            elif token.kind == "error":
                lost = ConnectionLostError("the connection was lost, as the marble diagram says", delivery="started")
                messages.append(ReactiveTest.on_error(at, lost))
    return scheduler.create_cold_observable(*messages)


def _is_named(token: Token, values: Mapping[str, Any]) -> bool:
    return token.kind == "letter" and token.text in values


class _Matcher:
    """Compares the signs of a diagram with what a pipeline has emitted."""

    def __init__(self, values: Mapping[str, Any], error: type[Exception] | Exception | None) -> None:
        self._values = values
        self._error = error

    def are_equal(self, tokens: Sequence[Token], seen: Sequence[Any]) -> bool:
        """Whether a frame is as expected.  Events that begin or end an item may be left out of what is expected."""
        candidates = (seen, _without_bookkeeping(seen))
        return any(len(tokens) == len(some) and all(map(self._matches, tokens, some)) for some in candidates)

    def cell(self, seen: Sequence[Any]) -> str:
        """Return what a pipeline has emitted in a frame."""
        return _cell([self._shown(one) for one in _without_bookkeeping(seen) or seen])

    def _matches(self, token: Token, seen: Any) -> bool:
        if seen.kind == "C" or token.kind == "completed":
            return bool(seen.kind == "C" and token.kind == "completed")
        if seen.kind == "E" or token.kind == "error":
            return seen.kind == "E" and token.kind == "error" and self._is_expected(seen.exception)
        value = seen.value
        if token.kind == "text":
            return _text_of(value) == token.text
        if _is_named(token, self._values):
            return bool(self._values[token.text] == value)
        return token.text in (_type(value), _LETTERS.get(_type(value) or "")) or (
            token.kind == "braces" and token.text == repr(value)
        )

    def _is_expected(self, error: Exception) -> bool:
        wanted = self._error
        if wanted is None or isinstance(wanted, type):
            return wanted is None or isinstance(error, wanted)
        return type(error) is type(wanted) and str(error) == str(wanted)

    def _shown(self, seen: Any) -> str:
        """Return the sign for what a pipeline has emitted."""
        if seen.kind != "N":
            return "|" if seen.kind == "C" else "#"
        value = seen.value
        text = _text_of(value)
        if text is not None:
            return str(Token("text", _short(text)))
        named = next((letter for letter, wanted in self._values.items() if wanted == value), None)
        kind = _type(value)
        return named or _LETTERS.get(kind or "") or f"{{{kind or _short(repr(value))}}}"

    def details(self, place: int, tokens: Sequence[Token], seen: Sequence[Any]) -> Iterator[str]:
        """Yield what the lines do not show: errors, and the difference of texts that look alike there."""
        for one in seen:
            if one.kind == "E":
                wanted = self._error
                name = wanted.__name__ if isinstance(wanted, type) else "" if wanted is None else repr(wanted)
                yield f"# is {one.exception!r}" + (f", expected {name}" if name else "")
        for token, one in zip(tokens, _without_bookkeeping(seen), strict=False):
            text = _text_of(one.value) if one.kind == "N" else None
            if token.kind == "text" and text is not None and text != token.text and _look_alike(text, token.text):
                yield f"frame {place}: {_difference(token.text, text)}"


def _type(value: Any) -> str | None:
    """Return the type of an event, `None` for any other value."""
    return value.type if isinstance(value, ServerEvent) else None


def _text_of(value: Any) -> str | None:
    """Return a text, or that which an event brings; `None` for any other value."""
    if isinstance(value, str):
        return value
    return str(value.delta) if _type(value) == "response.output_text.delta" else None


def _without_bookkeeping(seen: Sequence[Any]) -> list[Any]:
    return [one for one in seen if one.kind != "N" or _type(one.value) not in _BOOKKEEPING]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST * 3 // 4]}…{text[-_LONGEST // 4 :]}"


def _look_alike(one: str, other: str) -> bool:
    """Whether a reader cannot tell two texts apart in a message: long ones, or an `é` as one character and as two."""
    return max(len(one), len(other)) > _LONGEST or _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


def _difference(expected: str, actual: str) -> str:
    pairs = zip(expected, actual, strict=False)
    shared = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(expected), len(actual)))
    begin, end = max(0, shared - _AROUND), shared + _AROUND
    shown = [
        ascii(("…" if begin else "") + text[begin:end] + ("…" if end < len(text) else "")).replace(r"\u2026", "…")
        for text in (expected, actual)
    ]
    return f"the texts differ at character {shared + 1}: expected {shown[0]}, not {shown[1]}"


def _cells(frames: Sequence[Sequence[Token]]) -> list[str]:
    return [_cell([str(replace(token, text=_short(token.text))) for token in tokens]) for tokens in frames]


def _cell(texts: Sequence[str]) -> str:
    return "-" if not texts else texts[0] if len(texts) == 1 else f"[{''.join(texts)}]"
