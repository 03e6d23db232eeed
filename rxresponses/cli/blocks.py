"""Where the last block of a Markdown text begins: the blocks before it no longer change when the text goes on."""

from __future__ import annotations

from markdown_it import MarkdownIt

_parse = MarkdownIt().enable("strikethrough").enable("table").parse  # as rich reads a text


def begin_of_last_block(text: str) -> int:
    """Return the position in the text at which its last block begins, or its incomplete line if that comes first."""
    whole = text[: text.rfind("\n") + 1]  # how an incomplete line begins does not tell yet what it is
    begins = [token.map[0] for token in _parse(whole) if token.level == 0 and token.map is not None]
    position = 0
    for _ in range(begins[-1] if begins else 0):
        position = whole.index("\n", position) + 1
    return position
