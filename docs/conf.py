"""Settings of the site: `sphinx-build -W -b html docs build/docs`.  Nothing is loaded from the network."""

from __future__ import annotations

import sys
from pathlib import Path

from rxresponses.version import installed_version

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "rxresponses"
copyright = "the authors of rxresponses"
version = release = installed_version()

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings", "marble_pictures"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_*"]
nitpicky = False  # annotations name classes of RxPY, whose documentation would have to be loaded

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # two public classes are called Reasoning: of a request, and of the embedded server

highlight_language = "text"  # of marble diagrams in docstrings
default_role = "code"  # `name` in a docstring is code, as in Markdown
napoleon_numpy_docstring = False
autodoc_preserve_defaults = True
autodoc_default_options = {"exclude-members": "takes_any_number"}  # for msgspec
autodoc_member_order = "bysource"
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "rxresponses"
html_copy_source = html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["rxresponses.css"]
html_theme_options = {"navigation_with_keys": True}
pygments_style = "default"
pygments_dark_style = "github-dark"
