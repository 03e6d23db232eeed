"""Keeps napoleon from reading `Hot: each event …`, the first line of a property, as a type and a description."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def keep_first_line(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Put an empty comment before the docstring of a property or attribute, since napoleon looks at the first line."""
    if what in ("property", "attribute", "data"):
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the function, to be called before that of napoleon."""
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
