"""`partial_output`: the answer so far, as it grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..net.observable import EventObservable
from ..structured.answer import AnswerType, read_answer
from ..structured.partial_json import NOTHING, PartialJson
from ..wire.events import ServerEvent
from ._answers import Answers
from ._arguments import makes_operator

T = TypeVar("T")
X = TypeVar("X")


@overload
def partial_output(  # type: ignore[overload-overlap]  # a list is an object too: the first form that fits counts
    answer_type: type[list[X]], *, validate: Literal[False] = False
) -> Callable[[Observable[ServerEvent]], Observable[list[Any]]]: ...


@overload
def partial_output(
    answer_type: type[object], *, validate: Literal[False] = False
) -> Callable[[Observable[ServerEvent]], Observable[dict[str, Any]]]: ...


@overload
def partial_output(
    answer_type: type[T], *, validate: Literal[True]
) -> Callable[[Observable[ServerEvent]], Observable[T]]: ...


@overload
def partial_output(
    answer_type: Any, *, validate: bool = False
) -> Callable[[Observable[ServerEvent]], Observable[Any]]: ...


@makes_operator
def partial_output(answer_type: Any, *, validate: bool = False) -> Callable[[Observable[ServerEvent]], Observable[Any]]:
    """Emit the answer so far, each time it grows.

    Marble::

        events:                --created--'{"city": "Ro'----'me", "days": 1'----'2}'----------------------completed|
        partial_output(Place): -----------{"city": "Ro"}----{"city": "Rome"}----{"city": "Rome", "days": 12}-------|

    The emitted values are plain JSON data: dictionaries, lists, texts, numbers.  Texts, lists and objects are there
    from their first character on.  Numbers, `true`, `false` and `null` are there when they are whole, because `1` may
    become `12`; so are members of enums and of `Literal`, dates, ids and other texts with a format.  Parts that have
    not begun are absent.  The data are not validated; `parse_output` validates the whole answer.

    With `validate=True`, values of the type are emitted: each time, the largest part of the answer so far that fits the
    type.  So nothing is emitted before all fields without a default are there, and the last object of a list is left
    out until it fits.  The whole answer must fit.

    An emitted value never changes.  Parts of it that are whole are shared by the values that follow, so do not change
    them.  The time is linear in the length of the answer.  Therefore not every piece of a long answer is emitted on its
    own: one in ten when a list has 5,000 elements or a text has 300 kB, and with `validate=True` one in ten at 4 kB.
    The whole answer is always emitted.

    Which text is the answer, the types, and all endings are those of `parse_output`, but without `validate=True` an
    answer that does not fit the type is no error.  Runs on the source's thread.  Disposing disposes the source.
    """
    answer = AnswerType(answer_type)
    growing = None if validate else answer.growing()

    def operator(source: Observable[ServerEvent]) -> Observable[Any]:
        def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
            answers = Answers(observer, "partial_output")
            json: PartialJson | None = None  # `None` if the text is no JSON
            shown: Any = NOTHING  # the JSON data of what was emitted last
            latest: Any = NOTHING  # what was emitted last

            def on_begin() -> None:
                nonlocal json, shown, latest
                json, shown, latest = PartialJson(is_read_whole=validate, growing=growing), NOTHING, NOTHING

            def on_piece(piece: str) -> None:
                nonlocal json
                if json is None:
                    return
                try:
                    is_due = json.feed(piece)
                except DecodeError:
                    json = None  # the end of the response says whether that is an error
                    return
                if is_due and validate:
                    show_fitting(json)
                elif is_due and (data := answer.unwrap(json.value())) is not NOTHING:
                    show(data, data)

            def show(data: Any, value: Any) -> None:
                nonlocal shown, latest
                is_same = validate and _are_equal(value, latest)  # such as a default that is given now
                shown, latest = data, value
                if not is_same:
                    observer.on_next(value)

            def show_fitting(json: PartialJson) -> None:
                for depth in range(max(json.depth, 1), 0, -1):
                    data = answer.unwrap(json.value(depth))
                    if data == shown:
                        return
                    try:
                        value = answer.convert(data, has_null=json.has_null)
                    except Exception:  # a part of an answer may break any rule
                        continue
                    show(data, value)
                    return

            def on_answer(text: str) -> None:
                try:
                    data = answer.unwrap(read_answer(text))
                    value = answer.convert(data) if validate else data
                except Exception as error:
                    answers.fail(error, text)
                    return
                if data is not NOTHING and data != shown:
                    show(data, value)

            answers.on_begin, answers.on_piece, answers.on_answer = on_begin, on_piece, on_answer
            return answers.subscribe(source, scheduler)

        return EventObservable(subscribe)

    return operator


def _are_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # classes of the program compare as they like
        return False
