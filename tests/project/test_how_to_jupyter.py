"""The page about Jupyter: its cells run one after the other on one loop, as in a notebook, and show what it says."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from itertools import pairwise
from types import CodeType
from typing import Any

import pytest

from rxresponses.testing import ResponsesServer
from tests.support.pages import ANSWERS
from tests.support.paths import ROOT

pytestmark = pytest.mark.full

PAGE = (ROOT / "docs/how-to/jupyter.md").read_text(encoding="utf-8")
CELL = re.compile(r"^```\{code-block\} python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


def compiled(tree: list[ast.stmt]) -> CodeType:
    module = ast.Module(body=tree, type_ignores=[])
    code: CodeType = compile(module, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


async def run_cell(code: str, names: dict[str, Any]) -> Any:
    """Run a cell as IPython does, and return the value of the expression at its end."""
    tree = ast.parse(code).body
    if isinstance(tree[-1], ast.Expr):
        kept = ast.Assign([ast.Name("_", ast.Store())], tree[-1].value)
        tree[-1] = ast.fix_missing_locations(ast.copy_location(kept, tree[-1]))
    names["_"] = None
    made = eval(compiled(tree), names)
    if inspect.iscoroutine(made):
        await made
    return names["_"]


async def run_cells(names: dict[str, Any]) -> list[tuple[Any, str]]:
    return [(await run_cell(code, names), output) for code, output in CELL.findall(PAGE)]


def test_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython", reason="needs IPython, of the extra `docs`")
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    monkeypatch.delenv("VIRTUAL_ENV", raising=False)  # IPython warns if another environment runs the tests
    InteractiveShell.instance()  # `display` prints where there is none
    with ResponsesServer(script=ANSWERS) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        with capture_output() as captured:
            values = asyncio.run(run_cells({}))
    assert len(values) > 5
    for value, output in values:
        if output:
            assert repr(value) == output.rstrip()
    shown = [output.data["text/markdown"] for output in captured.outputs if "text/markdown" in output.data]
    story = "Once upon a time there was a lighthouse. It stood at the end of the world. Its keeper wrote letters."
    growing = shown[1 : shown.index(story) + 1]
    assert len(growing) > 1  # it grows while it streams
    assert all(later.startswith(earlier) for earlier, later in pairwise(growing))
    assert shown[-3:] == ["Hello, world", "", "Goodbye"]
