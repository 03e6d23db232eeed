"""A browser for all tests of this folder, and pages in it.

    python -m pytest -p no:xdist tests/browser

Without Chromium the tests are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rxresponses.marbles.page import page_of
from rxresponses.marbles.rows import diagram_of
from rxresponses.marbles.svg import svg_of
from rxresponses.recording.format import Recording

from .chromium import Chromium, Page, program

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser."""
    if program() is None:
        pytest.skip("Chromium is not installed here (Debian: apt-get install chromium)")
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def show(browser: Chromium, tmp_path: Path) -> Iterator[Open]:
    """Open the page of a recording; at the end, no page may have had a problem."""
    pages: list[Page] = []

    def show(recording: Recording, **size: int) -> Page:
        file = tmp_path / f"page_{len(pages)}.html"
        file.write_bytes(page_of(diagram_of(recording, title="A session")).encode())
        page = Page(browser, file, **size)  # type: ignore[arg-type]
        pages.append(page)
        page.wait("document.querySelector('#rows').dataset.ready && document.querySelector('.item, .row.connection')")
        return page

    yield show
    for page in pages:
        page.call("Page.bringToFront")  # the browser draws no other tab
        page.settle()
        assert page.problems == []
        page.close()


@pytest.fixture
def picture(browser: Chromium, tmp_path: Path) -> Iterator[Open]:
    """Open the SVG file of a recording."""
    pages: list[Page] = []

    def show(recording: Recording, **size: int) -> Page:
        file = tmp_path / f"picture_{len(pages)}.svg"
        file.write_bytes(svg_of(diagram_of(recording, title="A session")).encode())
        pages.append(Page(browser, file, **size))  # type: ignore[arg-type]
        return pages[-1]

    yield show
    for page in pages:
        assert page.problems == []
        page.close()
