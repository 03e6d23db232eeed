"""The names that the text and the tables of the pages below `docs/` mention are there."""

from __future__ import annotations

import re

import pytest
import reactivex
import reactivex.operators
import reactivex.scheduler
import reactivex.scheduler.eventloop
import reactivex.subject

import rxresponses
import rxresponses.batch.ray
import rxresponses.operators
from tests.support.paths import ROOT

PAGES = sorted((ROOT / "docs").rglob("*.md"))
HOLDERS = {"rx": reactivex, "ops": reactivex.operators, "rops": rxresponses.operators}
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def inline_code(text: str) -> list[str]:
    """Return the code within the text of a page, without its blocks."""
    return INLINE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_operators_and_functions(page: object) -> None:
    code = inline_code((ROOT / str(page)).read_text(encoding="utf-8"))
    named = [found for text in code for found in re.findall(r"\b(rx|ops|rops)\.([a-z_]+)", text)]
    assert [name for name in named if not hasattr(HOLDERS[name[0]], name[1])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_errors(page: object) -> None:
    """Every name that ends with `Error`, and is of this package, is public."""
    code = inline_code((ROOT / str(page)).read_text(encoding="utf-8"))
    named = {name for text in code for name in re.findall(r"\b[A-Z]\w+Error\b", text)}
    others = {
        "RuntimeError",
        "TimeoutError",
        "ValueError",
        "TypeError",
        "AssertionError",
        "KeyError",
        "FileExistsError",
        "OSError",
    }
    sdk = {"RateLimitError", "BadRequestError", "APIConnectionError", "APITimeoutError"}
    rx = {"SequenceContainsNoElementsError"}
    public = {*rxresponses.__all__, *rxresponses.batch.ray.__all__}
    assert named - others - sdk - rx - public == set()


def test_the_schedulers_and_subjects_for_people_from_rxjs() -> None:
    code = inline_code((ROOT / "docs/coming-from/rxjs.md").read_text(encoding="utf-8"))
    named = {name for text in code for name in re.findall(r"^[A-Z]\w+(?:Scheduler|Subject)\b", text)} - {
        "TestScheduler"
    }
    modules = (reactivex.scheduler, reactivex.scheduler.eventloop, reactivex.subject)
    assert len(named) > 6
    assert {name for name in named if not any(hasattr(module, name) for module in modules)} == set()
