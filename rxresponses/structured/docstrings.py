"""The descriptions of a function and of its parameters from a docstring in the style of Google, NumPy or Sphinx."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_PARAMETERS = {"args", "arguments", "attributes", "keyword args", "keyword arguments", "other parameters"} | {
    *("parameters", "params")
}
_OTHERS = {"examples", "example", "note", "notes", "raises", "references", "return", "returns", "see also"} | {
    *("todo", "usage", "warning", "warnings", "warns", "yield", "yields", "receives", "methods")
}
_GOOGLE_SECTION = re.compile(r"([A-Za-z][A-Za-z ]*):\s*$")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:(?:\s+(.*))?$")
_NUMPY_ENTRY = re.compile(r"((?:\*{0,2}\w+)(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX_FIELD = re.compile(r":(\w+)((?:\s+[^:\s]+)*)\s*:(?:\s+(.*))?$")
_SPHINX_PARAMETERS = {"param", "parameter", "arg", "argument", "key", "keyword", "ivar", "cvar", "var"}


@dataclass(frozen=True)
class Docstring:
    """The description, and the descriptions of the parameters (or attributes) by name."""

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_docstring(text: str | None) -> Docstring:
    """Read a docstring.  Sections other than those of parameters, such as `Returns`, are left out."""
    if not text or not text.strip():
        return Docstring()
    description: list[str] = []
    parameters: dict[str, str] = {}
    first, *rest = inspect.cleandoc(text).splitlines()
    if _GOOGLE_SECTION.match(first) and rest and not rest[0].startswith(" "):
        rest = [f"    {line}" for line in rest]  # `cleandoc` ignores the indent of the first line
    for section, lines in _sections([first, *rest]):
        if section == "":
            description += lines
        elif section == "google":
            parameters.update(_entries(lines, _GOOGLE_ENTRY))
        elif section == "numpy":
            parameters.update(_entries(lines, _NUMPY_ENTRY))
        elif section.startswith("sphinx "):
            parameters[section[7:]] = _joined(lines)
    described = {name: words for name, words in parameters.items() if words}
    return Docstring("\n".join(description).strip(), described)


def _sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Return the parts of a docstring: "" is text, "google" and "numpy" are parameters, "sphinx x" is parameter x."""
    section, found = "", list[str]()
    position = 0
    while position < len(lines):
        line = lines[position]
        following = lines[position + 1] if position + 1 < len(lines) else ""
        start: str | None = None
        rest: list[str] = []
        if _is_underline(following, line) and (kind := _kind(line)):
            start = "numpy" if kind == "parameters" else "numpy other"
            position += 1
        elif (match := _GOOGLE_SECTION.match(line)) and (kind := _kind(match[1])):
            start = "google" if kind == "parameters" else "other"
        elif match := _SPHINX_FIELD.match(line):
            words = match[2].split()
            is_parameter = match[1] in _SPHINX_PARAMETERS and words
            start = f"sphinx {words[-1].lstrip('*')}" if is_parameter else "other"
            rest = [match[3] or ""]
        elif section not in ("", "numpy", "numpy other") and line.strip() and not line[0].isspace():
            start, rest = "", [line]  # text at the margin ends a section whose lines are indented
        if start is None:
            found.append(line)
        else:
            yield section, found
            section, found = start, rest
        position += 1
    yield section, found


def _is_underline(line: str, title: str) -> bool:
    return len(line.strip()) >= 3 and set(line.strip()) <= {"-", "="} and bool(title.strip())


def _kind(title: str) -> str | None:
    name = title.strip().lower()
    return "parameters" if name in _PARAMETERS else "other" if name in _OTHERS else None


def _entries(lines: list[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Return the names in a section and what is said of them: lines that are indented deeper go on."""
    names: list[str] = []
    words: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        match = None if line[:1].isspace() else pattern.match(line)
        if match is None:
            words.append(line)
            continue
        yield from ((name, _joined(words)) for name in names)
        names = [name.strip().lstrip("*") for name in match[1].split(",")]
        words = [match[2] or ""] if pattern is _GOOGLE_ENTRY else []
    yield from ((name, _joined(words)) for name in names)


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
