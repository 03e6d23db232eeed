"""List the faults and misuses by number, with the tests that show the required behaviour.

    python -m pytest --scenarios

runs only the tests whose names carry a number (`test_scenario_08_...`) and prints number, test and
result, one line each; a number without a test is shown as missing, and fails the run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

NUMBERS = range(1, 79)
"""The scenarios, and from 57 on the kinds of faults that users of comparable software reported."""
_NUMBER = re.compile(r"test_scenario_(\d+)")


def missing(names: Iterable[str]) -> list[int]:
    """Return the numbers that no test among these names carries."""
    found = {int(match[1]) for match in map(_NUMBER.search, names) if match is not None}
    return sorted(set(NUMBERS) - found)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--scenarios", action="store_true", help="run the numbered scenarios and list them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With the option, keep only what carries a number."""
    if config.getoption("--scenarios"):
        config.hook.pytest_deselected(items=[item for item in items if not _NUMBER.search(item.name)])
        items[:] = [item for item in items if _NUMBER.search(item.name)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With the option, fail for want of a test."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not session.config.getoption("--scenarios"):
        return  # a worker of pytest-xdist knows only its share
    names = [item.name for item in session.items] or [report.nodeid for _, report in _reports(reporter)]
    if missing(names):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With the option, print the list."""
    if not config.getoption("--scenarios"):
        return
    results: dict[int, dict[str, str]] = defaultdict(dict)
    for outcome, report in _reports(terminalreporter):
        found = _NUMBER.search(report.nodeid)
        if found is not None:
            test = report.nodeid.partition("[")[0]  # the parametrised ones together
            before = results[int(found[1])].get(test, outcome)
            results[int(found[1])][test] = outcome if before == "passed" else before
    terminalreporter.section("scenarios")
    for number in NUMBERS:
        for test, outcome in sorted(results[number].items()) or [("-", "missing")]:
            terminalreporter.write_line(f"{number:3}  {outcome:8} {test}")


def _reports(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, pytest.TestReport]]:
    """Yield the outcome and the report of each test, from whichever process ran it."""
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in reporter.stats.get(outcome, ()):
            if isinstance(report, pytest.TestReport):
                yield outcome, report
