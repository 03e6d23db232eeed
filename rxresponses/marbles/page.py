"""Makes the page of a diagram: one HTML file that needs nothing else, neither a network nor another file."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from ..redaction import shortened
from .breaks import Breaks
from .diagram import SIGNS, Diagram, Row
from .families import FAMILIES, is_piece
from .shapes import STYLE, palette, shape_of

_LONGEST_STRING = 20_000  # characters of a string in an event; images come as strings of millions
_KEPT_END = 200
_SCRIPTS = ("drawing.js", "controls.js", "filters.js")  # parts of one function
_LIVE_SCRIPTS = (*_SCRIPTS, "live.js")
_DIGITS = 3  # decimals of a second, if that tells all events apart


def page_of(diagram: Diagram) -> str:
    """Return a diagram as a page of HTML that can be zoomed and filtered, and that shows each event as JSON.

    A browser that opens the page asks nobody for anything, and runs no script but that of the page.  Strings of more
    than 20,000 characters in events, such as images, are shortened.
    """
    about = f"{diagram.summary}. {diagram.remark}" if diagram.remark else diagram.summary
    return _page(diagram.title or "Marble diagram", about, _data(diagram), _SCRIPTS)


def live_page(title: str, about: str, socket_origin: str) -> str:
    """Return a page that draws what it gets from a WebSocket at `events` beside its own address: see `live.py`.

    `socket_origin` is the only origin to which the page may connect, such as `ws://127.0.0.1:8000`.
    """
    data: dict[str, Any] = dict.fromkeys(("begin", "end", "origin", "drawn"), 0)
    data |= {name: [] for name in ("breaks", "types", "families", "pieces", "rows")}
    data |= {"isLive": True, "hasTimes": True, "digits": _DIGITS, "order": list(FAMILIES), "frames": {}}
    data["signs"] = {**SIGNS, "open": "still running"}
    return _page(title, about, data, _LIVE_SCRIPTS, socket_origin)


def live_policy(socket_origin: str) -> str:
    """Return what the page says of itself, as a header: no other page may show it in a frame, either."""
    return f"{_policy(_LIVE_SCRIPTS, socket_origin)}; frame-ancestors 'none'"


def _page(title: str, about: str, data: Any, scripts: tuple[str, ...], socket_origin: str | None = None) -> str:
    return Template(_file("page.html")).substitute(
        policy=_policy(scripts, socket_origin),
        title=escape(title),
        about=escape(about),
        style=_style(),
        shapes="".join(f'<g id="rxm-{name}">{shape_of(name)}</g>' for name in FAMILIES),
        data=embedded_json(data),
        script=_script(scripts),
    )


def _policy(scripts: tuple[str, ...], socket_origin: str | None) -> str:
    own = f"script-src '{_hash(_script(scripts))}'; style-src '{_hash(_style())}'"
    socket = "" if socket_origin is None else f"; connect-src {socket_origin}"
    return f"default-src 'none'; {own}; img-src data:; base-uri 'none'; form-action 'none'{socket}"


def embedded_json(data: Any) -> str:
    """Return JSON that may stand inside a `script` element: no text in it can end the element, or begin a comment."""
    text = json.dumps(data, separators=(",", ":"))  # in ASCII, so U+2028 and lone surrogates are escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(diagram: Diagram) -> dict[str, Any]:
    types = list(dict.fromkeys((marble.kind, marble.family) for row in diagram.rows for marble in row.marbles))
    numbers = {kind: number for number, kind in enumerate(types)}
    wanted = {marble.record for row in diagram.rows for marble in row.marbles}
    wanted.update(row.record for row in diagram.rows if row.record is not None)
    return {
        "origin": diagram.breaks.place(diagram.begin),
        "begin": diagram.breaks.place(diagram.begin),
        "end": diagram.breaks.place(diagram.end),
        "breaks": diagram.breaks.spans,
        "drawn": diagram.breaks.drawn,
        "hasTimes": diagram.has_times,
        "digits": _digits(diagram),
        "order": list(FAMILIES),
        "signs": SIGNS,
        "types": [kind for kind, _ in types],
        "families": [family for _, family in types],
        "pieces": [family == "value" or is_piece(kind) for kind, family in types],
        "rows": [_row(row, numbers, diagram.breaks) for row in diagram.rows],
        "frames": {index: shortened_frame(diagram.frames[index]) for index in sorted(wanted)},
    }


def row_head(row: Row, breaks: Breaks) -> dict[str, Any]:
    """Return what the page is told of a line, but for its marbles."""
    return {
        "kind": row.kind,
        "name": row.name,
        "lane": row.lane,
        "laneName": row.lane_name,
        "sentAt": row.begin,
        "begin": breaks.place(row.begin),
        "end": breaks.place(row.ending.at),
        "sign": row.ending.sign,
        "endText": row.ending.text,
        "note": row.note,
        "facts": row.facts,
        "marks": [(breaks.place(mark.at), mark.sign) for mark in row.marks],
        "firstText": None if row.first_text is None else breaks.place(row.first_text),
        "request": row.record,
    }


def _row(row: Row, numbers: dict[tuple[str, str], int], breaks: Breaks) -> dict[str, Any]:
    return {
        **row_head(row, breaks),
        "at": [marble.at for marble in row.marbles],
        "place": [breaks.place(marble.at) for marble in row.marbles] if breaks.spans else None,
        "type": [numbers[marble.kind, marble.family] for marble in row.marbles],
        "text": [marble.text for marble in row.marbles],
        "record": [marble.record for marble in row.marbles],
    }


def _digits(diagram: Diagram) -> int:
    """Return how many decimals of a second are shown: six, if three cannot tell a line's events apart."""
    span = diagram.end - diagram.begin
    return _DIGITS if diagram.count == 0 or span / diagram.count > 0.002 else 6


def shortened_frame(data: Any) -> Any:
    """Return a frame without the middle of its longest strings."""
    if isinstance(data, str):
        return shortened(data, _LONGEST_STRING, _KEPT_END)
    if isinstance(data, dict):
        return {name: shortened_frame(value) for name, value in data.items()}
    return [shortened_frame(item) for item in data] if isinstance(data, list) else data


@functools.cache
def _script(names: tuple[str, ...]) -> str:
    return f'"use strict";\n(() => {{\n{"".join(map(_file, names))}}})();\n'


@functools.cache
def _style() -> str:
    return f"{palette(':root')}{STYLE}{_file('page.css')}"


@functools.cache
def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
