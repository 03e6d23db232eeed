"""How much a test run does: a tenth of the examples of each property by default, all of them with `--full`.

    python -m pytest --full
    python -m pytest --full --examples 50

The numbers in the tests are those of the full run, of which `--examples` takes so many percent.  Only the full run has
the tests with the mark `full`, such as those of the programs of the documentation: they take a process of their own, or
seconds.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import settings

FULL = 100  # examples of a property that states no number of its own
QUICK = FULL // 10

_first_seed = 0

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("quick", max_examples=QUICK, deadline=None)


def examples(full: int) -> int:
    """Return how many of these examples (or lines, or requests) this run takes."""
    return max(1, full * settings().max_examples // FULL)


def first_seed() -> int:
    """Return the first seed for a test that draws by itself: that of the run (`--hypothesis-seed=N`), or 0."""
    return _first_seed


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addoption("--full", action="store_true", help="take all examples of the property tests, not a tenth of them")
    parser.addoption("--examples", type=int, default=FULL, metavar="PERCENT", help="with --full, take so many of them")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the profile, before any test is imported."""
    config.addinivalue_line("markers", "full: runs only with --full")
    global _first_seed
    with contextlib.suppress(TypeError, ValueError):  # there is none, or it is no number
        _first_seed = int(config.getoption("--hypothesis-seed", None))
    settings.register_profile("full", max_examples=max(1, FULL * config.getoption("--examples") // 100), deadline=None)
    settings.load_profile("full" if config.getoption("--full") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that only the full run has."""
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if not item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=left_out)
