"""The mistakes in a pipeline that are told apart: an operator without parentheses, and one that gets no events."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from reactivex import Observable

from ..wire.events import ServerEvent

P = ParamSpec("P")
R = TypeVar("R")


def makes_operator(make: Callable[P, R]) -> Callable[P, R]:
    """Make a function raise `TypeError` for an Observable as its first argument.

    `pipe` passes the Observable on to a function whose parentheses were forgotten.
    """

    @functools.wraps(make)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if args and isinstance(args[0], Observable):
            needed = [
                name
                for name, parameter in inspect.signature(make).parameters.items()
                if parameter.default is parameter.empty
            ]
            raise TypeError(
                f"`{make.__name__}` was called with an Observable, as `pipe` does when the parentheses are missing: "
                f"write `events.pipe({make.__name__}({', '.join(needed)}))`"
            )
        return make(*args, **kwargs)

    return checked


def no_event(operator: str, value: object) -> TypeError:
    """Return the error of an operator that got something else than an event, as behind another reducing operator.

    Operators look for it where `value` lacks an attribute of events, so that an event costs no check.
    """
    kind = type(value).__name__
    return TypeError(
        f"`{operator}` takes the events of a response, and got {'an' if kind[:1] in 'AEIOaeio' else 'a'} {kind}: put "
        f"`{operator}` directly behind `send_request`, before operators that emit anything else than events"
    )


def check_event(operator: str, value: object) -> None:
    """Raise the error of `no_event` for what is no event."""
    if not isinstance(value, ServerEvent):
        raise no_event(operator, value)
