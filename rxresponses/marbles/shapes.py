"""Colours in light and dark, and the shapes of the families: each family is known without its colour too."""

from __future__ import annotations

from .families import FAMILIES

COLOURS: dict[str, tuple[str, str]] = {
    "bg": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "dim": ("#59636e", "#9198a1"),
    "line": ("#59636e", "#7d8590"),
    "grid": ("#e4e8ec", "#21262d"),
    "box": ("#f3f5f8", "#161b22"),
    "edge": ("#d1d9e0", "#30363d"),
    "lifecycle": ("#57606a", "#9ea7b3"),
    "items": ("#4d6f1a", "#a3c95c"),
    "reasoning": ("#7a3fd1", "#bc8cff"),
    "text": ("#0969da", "#58a6ff"),
    "tools": ("#b34700", "#f0883e"),
    "audio": ("#bf3989", "#f778ba"),
    "steering": ("#0f766e", "#39c5bb"),
    "error": ("#cf222e", "#ff7b72"),
    "unknown": ("#6e7781", "#8b949e"),
    "value": ("#1a7f37", "#3fb950"),
}
"""Name → the colour on a light and on a dark page."""

STYLE = (
    """\
svg.rxm{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.rxm .bg{fill:var(--bg);stroke:var(--grid)}
.rxm text{fill:var(--ink)}
.rxm .h{font:600 15px system-ui,-apple-system,"Segoe UI",sans-serif}
.rxm .f,.rxm .c,.rxm .k{fill:var(--dim)}
.rxm .n,.rxm .o{font-weight:700}
.rxm .x{fill:var(--error)}
.rxm .s{text-anchor:start}
.rxm .e{text-anchor:end}
.rxm .m{text-anchor:middle}
.rxm .grid{stroke:var(--grid)}
.rxm .cut{fill:var(--box)}
.rxm .line,.rxm .end{stroke:var(--line);stroke-width:2;fill:none}
.rxm .wait{stroke:var(--text);stroke-width:6;opacity:.35}
.rxm .bad{stroke:var(--error);stroke-width:2.5}
.rxm .bang{stroke-width:3.6}
.rxm .box{fill:var(--box);stroke:var(--grid)}
.rxm .badge{fill:var(--dim)}
.rxm .b{fill:var(--bg);font-weight:700;font-size:9px}
.rxm-hole{fill:var(--bg)}
.rxm-on{fill:var(--bg);font:700 9px system-ui,sans-serif;text-anchor:middle}
.rxm-on.dark{fill:var(--unknown)}
"""
    + "".join(f".rxm .{name}{{fill:var(--{name})}}\n" for name in FAMILIES)
    + ".rxm .band{fill:none;stroke-width:3.4}\n"
    + "".join(f".rxm .band.{name}{{stroke:var(--{name})}}\n" for name in FAMILIES)
)
"""The rules of all elements that the SVG and the page have.

What is in a `use` has selectors without an ancestor: the copies are in trees of their own, without `.rxm` above them.
"""

_SHAPES = {
    "circle": '<circle r="7.5"/>',
    "ring": '<circle r="7.5"/><circle class="rxm-hole" r="5.5"/>',
    "rounded": '<rect x="-7.5" y="-7.5" width="15" height="15" rx="4"/>',
    "square": '<rect x="-7" y="-7" width="14" height="14"/>',
    "diamond": '<path d="M0-9L9 0L0 9L-9 0z"/>',
    "hexagon": '<path d="M-8.5 0L-4.2-7.5H4.2L8.5 0L4.2 7.5H-4.2z"/>',
    "octagon": '<path d="M-3.2-7.8H3.2L7.8-3.2V3.2L3.2 7.8H-3.2L-7.8 3.2V-3.2z"/>',
    "pentagon": '<path d="M0-8.5L8.3-2.2L5.1 7.3H-5.1L-8.3-2.2z"/>',
    "triangle": '<path d="M-6.5-8L8.5 0L-6.5 8z"/>',
}


def shape_of(family: str) -> str:
    """Return the shape of a family around the place 0, 0, with its letter in it."""
    _, letter, shape = FAMILIES[family]
    style = "rxm-on dark" if shape == "ring" else "rxm-on"
    left = "-1.5" if shape == "triangle" else "0"
    return f'{_SHAPES[shape]}<text class="{style}" x="{left}" y="3.3">{letter}</text>'


def palette(selector: str) -> str:
    """Return the rules that define the colours as variables of an element, for light and for dark pages."""
    light = ";".join(f"--{name}:{light}" for name, (light, _) in COLOURS.items())
    dark = ";".join(f"--{name}:{dark}" for name, (_, dark) in COLOURS.items())
    return f"{selector}{{{light}}}\n@media (prefers-color-scheme:dark){{{selector}{{{dark}}}}}\n"
