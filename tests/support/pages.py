"""Pages of Markdown: their blocks of code, and the server that the programs in them ask."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rxresponses.testing import Failure, Fault, FunctionCall, Json, ResponsesServer, Text, When
from tests.support.paths import ROOT

ANSWERS = ROOT / "docs/how-to/answers.yaml"
"""The answers that a reader can give to the programs of `docs/how-to`."""


@dataclass(frozen=True)
class Block:
    """A block of code; `note` is the comment right above it, `output` the block of text right below it."""

    language: str
    title: str  # the nearest heading or bold phrase above
    code: str
    note: str = ""
    output: str | None = None


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page in order.  The text right below a program is its output, and no block of its own."""
    blocks: list[Block] = []
    title, language, code, note = "", None, "", ""
    follows = False  # whether nothing stands between the latest block and this line
    for line in page.splitlines():
        if language is not None:
            if line == "```":
                if language == "text" and follows and blocks and blocks[-1].language == "python":
                    block = blocks.pop()
                    blocks.append(Block(block.language, block.title, block.code, block.note, code))
                else:
                    blocks.append(Block(language, title, code, note))
                    follows = True
                language, code, note = None, "", ""
            else:
                code += line + "\n"
        elif line.startswith("```"):
            language = line[3:]
        elif line.startswith("<!--"):
            note = line.removeprefix("<!--").removesuffix("-->").strip()
        elif line.strip():
            follows, note = False, ""
            if found := re.match(r"#+ (.*)|\*\*(.*?)\*\*", line):
                title = found[1] or found[2]
    if language is not None:
        raise ValueError(f"the block below {title!r} has no end")
    return blocks


def environment(**more: str) -> dict[str, str]:
    """Return this environment without the key and the URL of a service, so that no program asks one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")} | more


@contextmanager
def answering() -> Iterator[ResponsesServer]:
    """Run a server that answers the programs of the pages."""
    with ResponsesServer(script=ANSWERS) as server:
        server.on("^Say hello$", Text(deltas=["Hello", ", ", "world"]))
        server.on("^Say goodbye$", "Goodbye")
        server.on("story", "Once upon a time")
        server.on("just say hello", "Hello!")
        server.on("^Knock", "Who is there?")
        lunch = [FunctionCall("get_weather", {"city": "Lisbon"}), FunctionCall("book_table", {"restaurant": "Ramiro"})]
        server.on("^Lunch", lunch)
        server.on("^Plan a lunch", FunctionCall("get_weather", {"city": "Lisbon"}))
        server.on(When(message="^Plan a lunch", tool="get_weather"), Json({"place": "Ramiro", "outside": True}))
        server.on(When(tool="get_weather", output="clear"), "It is sunny, and you have a table.")
        server.on("^Invoice 17", Json({"number": "17", "total": 4.5}))
        cities = [{"name": "Rome", "country": "Italy"}, {"name": "Oslo", "country": "Norway"}]
        server.on("^Two cities", Json(cities))
        server.on("capital of France", "Paris")
        server.fault(Fault(Failure("rate_limit_exceeded", after=0), match="^Knock", times=1))
        yield server
