"""The directive `marbles`, which draws the picture of an operator into a page."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from pictures import PICTURES, svg
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from rxresponses.marbles.shapes import COLOURS, STYLE


class MarblesDirective(SphinxDirective):
    """Draw the picture of the operator whose name is the argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        if name not in PICTURES:
            raise self.error(f"there is no picture of {name}")
        picture = re.sub(r"<style>.*?</style>\n", "", svg(name), flags=re.DOTALL)  # all pages have it
        # Ids of several pictures on a page must differ.
        picture = re.sub(r'(id="|href="#|labelledby=")rxm-', rf"\1rxm-{name}-", picture)
        picture = picture.replace(" rxm-desc", f" rxm-{name}-desc")
        return [nodes.raw("", f'<div class="rxm-picture" tabindex="0">\n{picture}</div>\n', format="html")]


def style() -> str:
    """Return the style of all pictures, in the colours of the page: those of furo, which a reader can switch."""
    light, dark = (";".join(f"--{name}:{pair[index]}" for name, pair in COLOURS.items()) for index in (0, 1))
    return (
        f"svg.rxm{{{light}}}\n"
        f"@media (prefers-color-scheme:dark){{body:not([data-theme=light]) svg.rxm{{{dark}}}}}\n"
        f"body[data-theme=dark] svg.rxm{{{dark}}}\n{STYLE}"
    )


def add_style(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Add the style to the pages that have pictures."""
    if doctree is not None and "rxm-picture" in context.get("body", ""):
        context["metatags"] = f"{context.get('metatags', '')}<style>\n{style()}</style>\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("marbles", MarblesDirective)
    app.connect("html-page-context", add_style)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
