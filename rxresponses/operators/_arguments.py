"""The check that a function which makes an operator is called before `pipe` gets the operator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from reactivex import Observable

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
