"""The names that a user sees on `rxresponses.`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from rlcompleter import Completer

import pytest

import rxresponses

SUBMODULES = ["events", "models", "testing"]  # those of which the README speaks
if importlib.util.find_spec("opentelemetry"):
    SUBMODULES.append("telemetry")


def test_scenario_72_tab_completion_shows_public_names_only() -> None:
    for name in SUBMODULES:
        importlib.import_module(f"rxresponses.{name}")
    shown = {name for name in dir(rxresponses) if not name.startswith("__")}
    assert shown == {*rxresponses.__all__, *SUBMODULES}
    completer = Completer({"rxresponses": rxresponses})
    completed = {completer.complete("rxresponses.", number) for number in range(len(shown) + 10)}
    assert "rxresponses.ResponsesWebSocket(" in completed
    assert not {name for name in completed if name and name.startswith(("rxresponses.net", "rxresponses.pool"))}


def test_scenario_72_each_name_that_is_shown_is_there() -> None:
    program = "import rxresponses; print(all(hasattr(rxresponses, name) for name in dir(rxresponses)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "True\n"


@pytest.mark.parametrize("name", ["operators", "testing"])
def test_scenario_77_tab_completion_on_a_module_shows_public_names_only(name: str) -> None:
    module = importlib.import_module(f"rxresponses.{name}")
    importlib.import_module("rxresponses.testing.server")  # which the package does not show
    assert {shown for shown in dir(module) if not shown.startswith("__")} == set(module.__all__)
    assert all(hasattr(module, shown) for shown in dir(module))
    program = f"from rxresponses.{name} import *; print(sorted(name for name in dir() if name[0] != '_'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == repr(sorted(module.__all__))
