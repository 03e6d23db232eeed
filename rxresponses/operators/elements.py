"""`elements`: each element of a list in the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import ConfigurationError, DecodeError
from ..net.observable import EventObservable
from ..structured.answer import AnswerType, list_in, read_answer
from ..structured.partial_json import PartialJson
from ..wire.events import ServerEvent
from ._answers import Answers
from ._arguments import makes_operator

T = TypeVar("T")


@overload
def elements(
    element_type: type[T], *, at: str | Sequence[str] | None = None
) -> Callable[[Observable[ServerEvent]], Observable[T]]: ...


@overload
def elements(
    element_type: Any, *, at: str | Sequence[str] | None = None
) -> Callable[[Observable[ServerEvent]], Observable[Any]]: ...


@makes_operator
def elements(
    element_type: Any, *, at: str | Sequence[str] | None = None
) -> Callable[[Observable[ServerEvent]], Observable[Any]]:
    """Emit each element of a list in the answer once, as soon as it is whole.

    Marble::

        events:          --created--'[{"city": "Rome"}'----', {"city": "Os'----'lo"}]'----completed|
        elements(Place): -----------Place("Rome")------------------------------Place("Oslo")-------|

    Each element is validated as a value of `element_type`.  Ask for the list with `text_format=list[Place]`, or for an
    object that has the list as a member.  `at` is the name of this member in JSON, or, for a list farther inside, the
    sequence of the names on the way to the list.  Without `at`, the list is the answer itself, or the first list that
    is a member of the answer.

    Which text is the answer, the types, and all endings are those of `parse_output`.  An element that does not fit ends
    the stream with `OutputParseError` at once, and so does an answer without the list at its end; a list that is `null`
    has no elements.  Runs on the source's thread.  Disposing disposes the source.  The time is linear in the length of
    the answer.
    """
    path = _path(at)
    answer = AnswerType(element_type)

    def operator(source: Observable[ServerEvent]) -> Observable[Any]:
        def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
            answers = Answers(observer, "elements")
            parser: PartialJson | None = None  # `None` if the text is no JSON
            count = 0  # of elements that were emitted

            def on_begin() -> None:
                nonlocal parser, count
                parser, count = PartialJson(path), 0

            def on_piece(piece: str) -> None:
                nonlocal parser
                if parser is None:
                    return
                try:
                    parser.feed(piece)
                except DecodeError:
                    parser = None  # the end of the response says whether that is an error
                    return
                if parser.watched is not None:
                    emit(parser.watched)

            def emit(found: list[Any]) -> None:
                nonlocal count
                while count < len(found):
                    data = found[count]
                    count += 1
                    try:
                        value = answer.convert(data)
                    except Exception as error:  # also from code of the type, such as a validator
                        answers.fail(error, json.dumps(data))
                        return
                    observer.on_next(value)

            def on_answer(text: str) -> None:
                try:
                    found = list_in(read_answer(text), path)
                except DecodeError as error:
                    answers.fail(error, text)
                else:
                    emit(found)

            answers.on_begin, answers.on_piece, answers.on_answer = on_begin, on_piece, on_answer
            return answers.subscribe(source, scheduler)

        return EventObservable(subscribe)

    return operator


def _path(at: object) -> tuple[str, ...] | None:
    if at is None:
        return None
    names: list[object] = [at] if isinstance(at, str) or not isinstance(at, Sequence) else list(at)
    path = tuple(name for name in names if isinstance(name, str))
    if not path or len(path) < len(names):
        raise ConfigurationError(f"`at` must be the name of a member, or a sequence of such names, not {at!r}")
    return path
