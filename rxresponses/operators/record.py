"""`record`: write the events of a stream to a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from ..net.observable import EventObservable
from ..recording.errors import error_fields
from ..recording.format import Contents
from ..recording.recorder import Existing, Recorder
from ..recording.tape import Ended, Tape, Undecodable
from ..wire.codec import encode, is_binary_message
from ..wire.events import ServerEvent
from ..wire.events.base import secrets_of
from ._arguments import makes_operator, no_event

E = TypeVar("E", bound=ServerEvent)


@makes_operator
def record(
    path: str | os.PathLike[str] | Recorder,
    *,
    contents: Contents = "full",
    max_bytes: int | None = None,
    existing: Existing = "refuse",
) -> Callable[[Observable[E]], Observable[E]]:
    """Write each event to a file with its time, and pass it on; `replay` emits them again.

    Marble::

        events:       --created--"He"--"llo"--completed|
        record(path): --created--"He"--"llo"--completed|      and the file is whole just before the end

    The file is a recording of one stream, without its request; `record` of a socket or client writes requests too.
    `contents="redacted"` replaces each text by as many `x`; credentials are hidden in any case.  At `max_bytes` the
    recording says in its last line that it stops, and the stream goes on.  An existing file is refused, with
    `FileExistsError`, unless `existing="overwrite"`.  For several subscriptions in one file, as with `ops.retry`, pass
    a `Recorder`, which stays open; each subscription is then a request of its own.  The call raises `ValueError` for a
    `Recorder` that is closed.

    Runs on the source's thread; the file is written on another one.  Disposing disposes the source and ends the
    recording.  If the file cannot be created, the source is not subscribed to, and the stream ends with the `OSError`;
    if it cannot be written later, the stream goes on (see `Recorder.error`).
    """

    if isinstance(path, Recorder):
        path.check_not_closed()

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], scheduler: SchedulerBase | None = None) -> DisposableBase:
            if isinstance(path, Recorder):
                stream = _Stream(path, closes=False)
            else:
                try:
                    recorder = Recorder(path, contents=contents, max_bytes=max_bytes, existing=existing)
                except Exception as error:
                    observer.on_error(error)
                    return Disposable()
                stream = _Stream(recorder, closes=True)

            def on_next(event: E) -> None:
                try:
                    raw = event.raw
                except AttributeError:
                    raise no_event("record", event) from None
                stream.note(event, raw)
                observer.on_next(event)

            def on_error(error: Exception) -> None:
                stream.end("error", error)
                observer.on_error(error)

            def on_completed() -> None:
                stream.end("completed")
                observer.on_completed()

            subscription = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
            return CompositeDisposable(subscription, Disposable(lambda: stream.end("disposed")))

        return EventObservable(subscribe)

    return operator


class _Stream:
    """One subscription; it stands for the request, whose lane is that of the events."""

    def __init__(self, recorder: Recorder, *, closes: bool) -> None:
        self.stream_id: str | None = None
        self._recorder = recorder
        self._closes = closes
        self._tape = recorder.add(Tape())
        self._has_ended = False

    def note(self, event: ServerEvent, raw: bytes | str | None) -> None:
        if raw is None:  # made by the program, or by this library
            raw = encode(event)
        elif isinstance(raw, str):
            raw = raw.encode("utf-8", "surrogatepass")
        secrets = secrets_of(event)
        if secrets is not None:
            self._tape.secrets = secrets
        if self.stream_id is None:
            self.stream_id = event.stream_id
        if self._recorder.is_open:
            if event.type == "":  # its frame may be no JSON object
                self._tape.note(Undecodable(raw, is_binary_message(event), self))
            else:
                self._tape.received(self, raw)

    def end(self, how: str, error: Exception | None = None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._recorder.is_open:
            self._tape.note(Ended(self, how, None if error is None else error_fields(error)))
        self._tape.is_closed = True
        if self._closes:
            self._recorder.close()
