from __future__ import annotations

from typing import NoReturn

import pytest

from rxresponses import ObserverExitError
from rxresponses.raised import as_exception, named_text, text_of


class WithoutText(SystemExit):
    def __repr__(self) -> NoReturn:
        raise KeyboardInterrupt

    __str__ = __repr__


def test_the_text_of_an_exception() -> None:
    assert text_of(ValueError("x")) == "x"
    assert text_of(ValueError("x"), repr) == "ValueError('x')"


def test_the_name_and_the_text_of_an_exception() -> None:
    assert named_text(ValueError("x")) == "ValueError: x"
    assert named_text(TimeoutError()) == "TimeoutError"


def test_scenario_57_an_exception_whose_text_raises() -> None:
    raised = WithoutText()
    assert text_of(raised) == text_of(raised, repr) == "WithoutText without a text"
    error = as_exception(raised, "a tool")
    assert isinstance(error, ObserverExitError)
    assert str(error).startswith("a tool raised WithoutText without a text, so its stream was ended")
    assert error.__cause__ is raised


def test_an_error_ends_the_stream_itself() -> None:
    error = ValueError("x")
    assert as_exception(error) is error
    assert error.__cause__ is None


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_scenario_57_the_end_of_an_iterator_is_another_error(kind: type[Exception]) -> None:
    raised = kind()
    error = as_exception(raised)
    assert isinstance(error, RuntimeError)
    assert str(error) == f"an observer raised {kind.__name__}, so its stream was ended"
    assert error.__cause__ is raised
