"""`sentences`: the output text, sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reactivex import Observable, Observer
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..net.observable import EventObservable
from ..scalars import plain_scalar
from ..wire.assembly_item import is_of_phase
from ..wire.events import ServerEvent
from ..wire.failures import response_of
from ..wire.fields import response_id_of
from ..wire.models import ResponseOutputMessage, ResponseOutputText
from ..wire.output_text import TextReader
from ._arguments import makes_operator
from ._results import read_results

_MOST = 100_000  # characters of a sentence: that many may be copied for each delta
_PART_ENDS = frozenset({"response.output_text.done", "response.content_part.done", "response.output_item.done"})
_Place = tuple[object, object]
_NOWHERE: _Place = (None, None)


@makes_operator
def sentences(
    *, max_length: int = 500, strip: bool = False, code: bool = True, phase: str | None = None
) -> Callable[[Observable[ServerEvent | str]], Observable[str]]:
    """Emit each sentence of the output text as soon as it is whole, to be spoken or translated.

    Marble::

        events:      --created--"Hello"--"."--" How"--" are you?"--completed|
        sentences(): -------------------------"Hello. "------------"How are you?"|

    A sentence leaves with the first character that shows that it has ended: mostly the first letter of the next word.
    `"".join` of the sentences is the text of `text_deltas`: white space goes with the sentence before it.  With
    `strip=True` the sentences come without white space around them.  Where the text is cut depends on the text alone,
    not on its deltas.

    - No sentence ends in abbreviations (`Dr.`, `e.g.`, `z. B.`), initials, numbers, versions, times, URLs, names of
      files and code in a line, nor at a mark behind which the sentence goes on with a small letter.  In doubt, two
      sentences stay together.  Behind what may be the end, such as `U.S.`, a sentence ends before a word that often
      begins one.
    - Quotes, brackets and emoji behind a mark belong to its sentence.  The marks of Chinese, Japanese, Hindi, Arabic
      and others are known.
    - A line ends a sentence too, unless the next line goes on with a small letter.  So headings, items of lists and
      rows of tables are sentences; marks within headings and rows end none.  What has no letter and no digit, such as
      a rule of dashes, goes with the sentence behind it.
    - A block of code between fences (three backquotes) is a sentence of its own; with `code=False` it is left out.
    - A sentence has at most `max_length` characters.  A longer one, code included, is cut behind a clause or a line,
      else between words, and else between characters as readers see them.

    Each output item and each content part has sentences of its own: what is left of its text comes at its end.  `phase`
    selects messages as that of `text_deltas` does.  An incomplete response ends its last sentence as a completed one
    does.  If another response begins before the terminal event, as behind `ask_latest`, the sentence that was cut off
    is dropped.  A source of `str`, such as `text_deltas()` or a text of your own, is read as one part.

    Runs on the source's thread; the steps for a delta do not depend on the length of the text.  Disposing disposes the
    source.  `response.failed`, `error` and `response.steer.failed` become `on_error(ResponseFailedError)`, and
    `response.steer.pending` becomes `on_error(SteerPendingError)`; the text that is left comes before an error.
    A `max_length` that is no integer from 1 to 100,000 raises `TypeError` or `ValueError` at the call.
    """
    limit = plain_scalar(max_length)
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"max_length must be an integer, not {max_length!r}")
    from ._sentence_ends import SentenceCutter  # here, because its expressions take long to compile

    if not 1 <= limit <= _MOST:
        raise ValueError(f"max_length must be from 1 to {_MOST}, not {limit}")

    def operator(source: Observable[ServerEvent | str]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader(phase)
            cutter = SentenceCutter(limit, code=code)
            place = _NOWHERE  # that of the part to which the text in `cutter` belongs
            response_id: str | None = None
            has_text = False  # the running response

            def emit(found: Iterable[str]) -> None:
                for sentence in found:
                    if not strip:
                        observer.on_next(sentence)
                    elif stripped := sentence.strip():
                        observer.on_next(stripped)

            def on_event(event: ServerEvent) -> None:
                nonlocal cutter, has_text, place, response_id
                piece = text.read(event)
                if event.type == "response.created" and response_id_of(event) != response_id:
                    response_id, has_text = response_id_of(event), False
                    cutter, place, piece = SentenceCutter(limit, code=code), _NOWHERE, ""
                here = _place_of(event)
                is_here = here in (place, (place[0], None))
                if piece:
                    if not is_here:
                        emit(cutter.flush())
                    has_text = True
                    place, is_here = here, True
                    emit(cutter.feed(piece))
                if event.type in _PART_ENDS and is_here:
                    emit(cutter.flush())

            def on_piece(piece: str) -> None:
                emit(cutter.feed(piece))

            def on_result(event: ServerEvent) -> None:
                nonlocal has_text, place, response_id
                rest = text.finish(event)
                if isinstance(rest, DecodeError):
                    observer.on_error(rest)
                    return
                for piece in [rest] if has_text else _parts_of(event, rest, phase):
                    emit(cutter.feed(piece))
                    emit(cutter.flush())
                has_text, place, response_id = False, _NOWHERE, None

            def end() -> None:
                emit(cutter.feed(text.flush()))
                emit(cutter.flush())

            def on_error(error: Exception) -> None:
                end()
                observer.on_error(error)

            def on_completed() -> None:
                end()
                observer.on_completed()

            failing: Observer[str] = Observer(on_error=on_error)
            on_other = read_results(failing, on_event=on_event, on_result=on_result, operator="sentences")
            read = text.reader(on_other, on_piece)

            def on_next(value: ServerEvent | str) -> None:
                if isinstance(value, str):
                    emit(cutter.feed(value))
                else:
                    read(value)

            return source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

        return EventObservable(subscribe)

    return operator


def _place_of(event: ServerEvent) -> _Place:
    """Return the place of the part that an event is about: its item, and its number there."""
    index = getattr(event, "output_index", None)
    return getattr(event, "item_id", None) if index is None else index, getattr(event, "content_index", None)


def _parts_of(event: ServerEvent, text: str, phase: str | None) -> list[str]:
    """Return the parts of a text that only the terminal event has; the text, if they are not all of it."""
    output = getattr(response_of(event), "output", ())
    messages = [item for item in output if isinstance(item, ResponseOutputMessage)]
    counted = [message for message in messages if phase is None or is_of_phase(message, phase)]
    parts = [part.text for message in counted for part in message.content if isinstance(part, ResponseOutputText)]
    return parts if "".join(parts) == text else [text]
