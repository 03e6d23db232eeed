from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.structured.docstrings import Docstring, read_docstring

GOOGLE = """Look up the weather.

    It may take a while:
    some seconds.

    Args:
        city (str): Where to look,
            for example Oslo: the capital.
        days: How many days.
        *rest (list[tuple[int, str]]):
            All the rest.
        undescribed

    Returns:
        str: A text.

    Example:
        weather("Oslo")
    """
NUMPY = """Look up the weather.

    Parameters
    ----------
    city : str
        Where to look,

        for example Oslo.
    days, hours : int, optional
        How long.
    **rest
        All the rest.
    undescribed : int

    Returns
    -------
    str
        A text.

    Notes
    -----
    None.
    """
SPHINX = """Look up the weather.

    :param city: Where to look,
        for example Oslo.
    :param int days: How many days.
    :type city: str
    :arg rest:
        All the rest.
    :raises ValueError: never
    :return: A text,
        of course.

    A last word.
    """


def test_google() -> None:
    doc = read_docstring(GOOGLE)
    assert doc.description == "Look up the weather.\n\nIt may take a while:\nsome seconds."
    assert doc.parameters == {
        "city": "Where to look, for example Oslo: the capital.",
        "days": "How many days.",
        "rest": "All the rest. undescribed",
    }


def test_numpy() -> None:
    doc = read_docstring(NUMPY)
    assert doc.description == "Look up the weather."
    assert doc.parameters == {
        "city": "Where to look, for example Oslo.",
        "days": "How long.",
        "hours": "How long.",
        "rest": "All the rest.",
    }


def test_sphinx() -> None:
    doc = read_docstring(SPHINX)
    assert doc.description == "Look up the weather.\n\nA last word."
    assert doc.parameters == {
        "city": "Where to look, for example Oslo.",
        "days": "How many days.",
        "rest": "All the rest.",
    }


@pytest.mark.parametrize("text", [None, "", " \n "])
def test_no_docstring(text: str | None) -> None:
    assert read_docstring(text) == Docstring("", {})


@pytest.mark.parametrize(
    ("text", "description", "parameters"),
    [
        ("One line.", "One line.", {}),
        ("Arguments are welcome: yes.", "Arguments are welcome: yes.", {}),
        ("Sum up.\nArgs:\n  x: the text\nBack at the margin.", "Sum up.\nBack at the margin.", {"x": "the text"}),
        ("Args:\n  x: the text", "", {"x": "the text"}),
        ("Sum up.\n\nAttributes:\n  x: the text\n\n  y: more", "Sum up.", {"x": "the text", "y": "more"}),
        ("Sum up.\n\nSome title\n----------\nText.", "Sum up.\n\nSome title\n----------\nText.", {}),
        ("Sum up.\n\nSteps:\n  1. read", "Sum up.\n\nSteps:\n  1. read", {}),
        ("Sum up.\n\n:meta private:", "Sum up.", {}),
        ("Sum up.\n\n:param: nameless", "Sum up.", {}),
        ("Sum up.\n\nReturns\nto the margin.", "Sum up.\n\nReturns\nto the margin.", {}),
        ("Sum up.\n\nParameters\n--\nx : int", "Sum up.\n\nParameters\n--\nx : int", {}),
        ("See :func:`other` for more.", "See :func:`other` for more.", {}),
        ("Sum up.\n\nKeyword Args:\n  x: the text\nRaises:\n  ValueError: never", "Sum up.", {"x": "the text"}),
        ("Parameters\n----------\nx\n    the text\n", "", {"x": "the text"}),
    ],
)
def test_corners(text: str, description: str, parameters: dict[str, str]) -> None:
    assert read_docstring(text) == Docstring(description, parameters)


@given(st.text("ab:*()-,= \n", max_size=60).map(lambda text: text.replace("a", "Args").replace("b", "x")))
def test_any_text_is_read(text: str) -> None:
    assert isinstance(read_docstring(text), Docstring)


@given(st.lists(st.sampled_from([*GOOGLE.splitlines(), *NUMPY.splitlines(), *SPHINX.splitlines()])))
def test_any_mixture_of_styles_is_read(lines: list[str]) -> None:
    assert isinstance(read_docstring("\n".join(lines)), Docstring)
