"""`replay`: the events of a recording as an Observable."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable

from ..errors import FrameError
from ..net.clock import Clock, clock_for
from ..net.loops import running_loop
from ..net.observable import EventObservable
from ..net.run_check import check_run
from ..raised import as_exception
from ..scalars import plain_scalar
from ..wire.codec import binary_message, decode, undecodable
from ..wire.events.base import ServerEvent
from .errors import error_from
from .file import load_recording
from .format import EndRecord, EventRecord, Record, Recording, RequestRecord

_LOGGER = logging.getLogger("rxresponses.recording")
_LONGEST_WAIT = 1e8  # seconds, which every timer takes: more than three years
_AT_ONCE = 100  # events that are due and are emitted in one turn of a loop, so that others have theirs


def replay(
    recording: Recording | str | os.PathLike[str],
    *,
    speed: float = 1.0,
    request: str | None = None,
    scheduler: SchedulerBase | None = None,
) -> Observable[ServerEvent]:
    """Emit the events of a recording again, at the times when they came.

    Marble::

        recorded:        request--created--"He"----"llo"--completed|
        replay(path):           --created--"He"----"llo"--completed|
        replay(path, speed=2):  -created-"He"--"llo"-completed|

    `recording` is the path of a file that `record` has written, or of one with one event a line, or what
    `load_recording` has read.  `request` is the name of a request in it, such as `r1`; by default all events are
    emitted, in the order in which they came, those that belong to no request included.  The events are equal to those
    recorded, `raw` included, but for secrets, and for texts if these were hidden.  Those that this library has made
    itself, such as `ToolCallStartedEvent`, are each an `UnknownEvent` of the same `type`.

    Times count from the moment when the request was written; with all requests, from that of the first.  `speed` is
    how many times as fast: 2.0 halves all times, and `math.inf` emits everything without waiting, as it is for a file
    without times.

    A stream that ended with an error of this library ends there with an error of the same class, if it is the only
    request or the chosen one; any other error becomes a `RequestError` with its text.  Of several requests, errors are
    not replayed.  A stream whose end is not recorded, or that was disposed, completes after its last event.

    Cold: each subscription begins anew.  Runs on `scheduler`, else on that of the subscription if it suits timers, else
    on the running asyncio loop, else on a thread.  Nothing is emitted inside of `subscribe`, but with a `scheduler`
    that runs there; `ImmediateScheduler`, which never waits, needs a `speed` of `math.inf`.  Can be disposed at any
    time.

    A torn last line, as after a crash, is left out, and the logger `rxresponses.recording` says so.

    Raises `OSError` if the file cannot be read, `TypeError` if `speed` is no number, and `ValueError` if the file is no
    recording, if it has nothing to replay, if there is no such request, or if `speed` is not positive.
    """
    rate = plain_scalar(speed)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise TypeError(f"`speed` must be a number, not {speed!r}")
    if not rate > 0:
        raise ValueError(f"`speed` must be positive, not {speed!r}")
    name = ""
    if not isinstance(recording, Recording):
        name = f"{os.fsdecode(recording)}: "
        recording = load_recording(recording)
    if not any(_belongs(record, None) for record in recording.records):
        raise ValueError(f"{name}nothing to replay: {recording.why_empty or 'no request and no event was recorded'}")
    if recording.torn is not None:
        _LOGGER.warning("%sthe last line is torn, as after a crash, and is left out", name)
    names = recording.requests
    if request is not None and request not in names:
        known = f"its requests are {', '.join(names[:20])}" if names else "it has no request"
        raise ValueError(f"the recording has no request {request!r}: {known}")
    only = request if request is not None else names[0] if len(names) == 1 else None
    steps = _steps(recording, request, only)

    def subscribe(observer: ObserverBase[ServerEvent], inherited: SchedulerBase | None = None) -> DisposableBase:
        if running_loop() is not None:
            check_run(observer)
        return _Replay(steps, rate, clock_for(scheduler, inherited), observer).start()

    return EventObservable(subscribe)


@dataclass(frozen=True)
class _Step:
    """One notification: an event, or the end."""

    t: float
    notify: Callable[[ObserverBase[ServerEvent]], object]


def _steps(recording: Recording, request: str | None, only: str | None) -> Sequence[_Step]:
    """Return what is emitted of a recording, with seconds since the beginning, and the end as the last step."""
    chosen = [record for record in recording.records if _belongs(record, request)]
    begin = next((record.t for record in chosen if isinstance(record, RequestRecord)), None)
    steps: list[_Step] = []
    end = _Step(0.0, _complete)
    latest = 0.0
    for record in chosen:
        if begin is None:
            begin = record.t
        latest = max(latest, record.t - begin)  # a file that was changed by hand may go back in time
        if isinstance(record, EventRecord):
            steps.append(_Step(latest, partial(_emit, record.raw.encode("utf-8", "surrogateescape"), record.binary)))
        elif isinstance(record, EndRecord) and record.request == only and record.how == "error":
            end = _Step(latest, partial(_fail, dict(record.error or {})))
            break  # events of a response that its subscriber gave up may follow
    return [*steps, _Step(latest, end.notify)]


def _belongs(record: Record, request: str | None) -> bool:
    if not isinstance(record, (RequestRecord, EventRecord, EndRecord)):
        return False
    return request is None or record.request == request


def _emit(frame: bytes, is_binary: bool, observer: ObserverBase[ServerEvent]) -> None:
    try:
        event = binary_message(frame) if is_binary else decode(frame)
    except FrameError as error:
        event = undecodable(frame, error)
    observer.on_next(event)


def _fail(error: dict[str, object], observer: ObserverBase[ServerEvent]) -> None:
    observer.on_error(error_from(error))


def _complete(observer: ObserverBase[ServerEvent]) -> None:
    observer.on_completed()


class _Replay:
    """One subscription: it emits what is due, and waits for the next step on the clock."""

    def __init__(self, steps: Sequence[_Step], speed: float, clock: Clock, observer: ObserverBase[ServerEvent]) -> None:
        self._steps = steps
        self._speed = speed
        self._clock = clock
        self._observer = observer
        self._next = 0
        self._is_disposed = False
        self._timer = SerialDisposable()
        self._begin = 0.0

    def start(self) -> DisposableBase:
        self._begin = self._clock.now()
        self._wait()
        return CompositeDisposable(self._timer, Disposable(self._dispose))

    def _dispose(self) -> None:
        self._is_disposed = True

    def _delay(self) -> float:
        """Return the seconds until the next step; not more than 0 if it is due."""
        t = self._steps[self._next].t
        due = 0.0 if math.isinf(self._speed) else min(t / self._speed, _LONGEST_WAIT)
        return due - (self._clock.now() - self._begin)

    def _wait(self) -> None:
        self._timer.disposable = self._clock.start(max(0.0, self._delay()), self._run)

    def _run(self) -> None:
        for _ in range(_AT_ONCE):
            if self._is_disposed:
                return
            step = self._steps[self._next]
            self._next += 1
            try:
                step.notify(self._observer)
            except BaseException as error:
                self._is_disposed = True
                self._observer.on_error(as_exception(error))  # `run` and `await` would otherwise wait for ever
                return
            if self._next == len(self._steps) or self._is_disposed:
                return
            if self._delay() > 0:
                break
        self._wait()
