"""What code of the program has raised: its text, and the error that ends a stream."""

from __future__ import annotations

from collections.abc import Callable

from .errors import ObserverExitError


def text_of(raised: BaseException, tell: Callable[[object], str] = str) -> str:
    """Return the text of an exception; its name, if making the text raises as well."""
    try:
        return tell(raised)
    except BaseException:
        return f"{type(raised).__name__} without a text"


def named_text(raised: BaseException) -> str:
    """Return the name and the text of an exception; the name alone if there is no text, as of a `TimeoutError`."""
    text = text_of(raised)
    return f"{type(raised).__name__}: {text}" if text else type(raised).__name__


def as_exception(raised: BaseException, raiser: str = "an observer") -> Exception:
    """Return the error that ends the stream of an observer, or of another `raiser`, which raised this exception.

    `StopIteration` and `StopAsyncIteration`, which `next(iter([]))` raises, are no errors to a coroutine or a future.
    """
    error: Exception
    if isinstance(raised, (StopIteration, StopAsyncIteration)):
        error = RuntimeError(f"{raiser} raised {type(raised).__name__}, so its stream was ended")
    elif isinstance(raised, Exception):
        return raised
    else:
        error = ObserverExitError(
            f"{raiser} raised {text_of(raised, repr)}, so its stream was ended; to end the program from a callback, "
            "end the stream there, and exit where the program waits for the stream"
        )
    error.__cause__ = raised
    return error
