"""The names that a user sees on `rxresponses.`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from rlcompleter import Completer

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
