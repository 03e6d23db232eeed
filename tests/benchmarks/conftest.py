"""The figures that the benchmarks have measured, printed at the end of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_figures: list[str] = []


@pytest.fixture
def figure() -> Callable[[str], None]:
    """A function that prints a line of figures, at once and again in the summary."""

    def note(line: str) -> None:
        print(f"\n{line}")
        _figures.append(line)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
