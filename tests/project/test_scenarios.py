"""Each of the numbered faults and misuses has a test, and its list says so."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT, TESTS

from ..scenarios import NUMBERS, missing

_NAME = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)


def test_every_number_has_a_test() -> None:
    names = [name for path in TESTS.rglob("test_*.py") for name in _NAME.findall(path.read_text(encoding="utf-8"))]
    assert missing(names) == []


def test_what_is_missing() -> None:
    names = [f"test_scenario_{number:02}_and_so_on" for number in NUMBERS]
    assert missing(names[:6] + names[7:-1]) == [7, NUMBERS[-1]]
    assert missing(["test_scenarios", "test_5"]) == list(NUMBERS)


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.full
def test_the_list_of_some_fails_for_the_others(workers: str) -> None:
    pytest.importorskip("xdist", reason="needs pytest-xdist")
    options = ["--scenarios", "-q", "-p", "no:cacheprovider", "-n", workers]
    command = [sys.executable, "-m", "pytest", *options, "tests/conversations/test_answer_calls.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert re.search(r"^ 36  passed .*test_answer_calls\.py::", done.stdout, re.MULTILINE)
    assert re.search(r"^ 37  missing  -$", done.stdout, re.MULTILINE)
    assert done.returncode == 1, done.stdout
