"""`parse_output`: the answer as a value of a Python type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..structured.answer import AnswerType
from ..wire.events import ServerEvent
from ._answers import Answers
from ._arguments import makes_operator

T = TypeVar("T")


@overload
def parse_output(answer_type: type[T]) -> Callable[[Observable[ServerEvent]], Observable[T]]: ...


@overload
def parse_output(answer_type: Any) -> Callable[[Observable[ServerEvent]], Observable[Any]]: ...


@makes_operator
def parse_output(answer_type: Any) -> Callable[[Observable[ServerEvent]], Observable[Any]]:
    """Emit the answer as a value of a type, once, when the response ends.

    Marble::

        events:              --created--'{"city": '--'"Rome"}'--completed|
        parse_output(Place): -----------------------------------Place----|

    Ask for the type with the same type in the request: `ResponseCreate(…, text_format=Place)`.  It is a dataclass, a
    `TypedDict`, a `msgspec.Struct`, a pydantic model, or any other type that has a JSON schema, such as `list[Place]`
    or `Place | None`; the call raises `ConfigurationError` for a type without a schema.

    The answer is the text of the last message.  Commentary, which a model says between its tool calls, is no answer.  A
    response emits nothing if it has no text, such as a warm-up, if it calls functions of the program, or if it ended
    early because it was steered.  Servers without strict schemas may put the JSON into a Markdown fence.  Of several
    responses in a row, each emits its answer.  Without an answer, `.run()` and `await` raise `NoValueError`.

    Runs on the source's thread.  Disposing disposes the source.  A refusal becomes `on_error(ResponseRefusedError)`,
    and a response that was cut short becomes `on_error(ResponseIncompleteError)`, with the reason and the text so far.
    So does a run of tools that ends at its `max_tokens`, before the model has answered.
    A text that is no JSON or does not fit the type becomes `on_error(OutputParseError)`, which has the text, the reason
    and the path.  So does a `ValueError` that code of the type raises, such as a `field_validator` of pydantic or
    `__post_init__` of a dataclass: it says that the value does not fit.  pydantic adds `AssertionError`, and the other
    types add `TypeError`.  Any other exception of such code is passed to `on_error` as it is.
    `response.failed`, `error` and `response.steer.failed` become `on_error(ResponseFailedError)`, and
    `response.steer.pending` becomes `on_error(SteerPendingError)`.
    """
    answer = AnswerType(answer_type)

    def operator(source: Observable[ServerEvent]) -> Observable[Any]:
        def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
            answers = Answers(observer, "parse_output")

            def on_answer(text: str) -> None:
                try:
                    value = answer.read(text)
                except Exception as error:  # also from code of the type, such as a validator
                    answers.fail(error, text)
                else:
                    observer.on_next(value)

            answers.on_answer = on_answer
            return answers.subscribe(source, scheduler)

        return EventObservable(subscribe)

    return operator
