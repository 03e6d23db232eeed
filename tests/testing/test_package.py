from __future__ import annotations

import subprocess
import sys

import pytest

import rxresponses.testing as testing
from rxresponses.testing import *  # noqa: F403 - mypy must see the names that this brings


def test_every_name_is_there() -> None:
    names = [name for name in dir(testing) if name[0].isupper() and name != "TYPE_CHECKING" and name != "Any"]

    assert "ResponsesServer" in names
    for name in names:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = testing.Nonsense  # type: ignore[attr-defined]


def test_a_star_import_brings_the_public_names_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec("from rxresponses.testing import *", names)
    names.pop("__builtins__")

    assert sorted(names) == sorted(testing.__all__) == sorted(testing._MODULES)
    assert isinstance(Text("Hello"), testing.Text)  # noqa: F405
    assert all(names[name] is getattr(testing, name) for name in names)
    public = [name for name in dir(testing) if not name.startswith("__")]
    assert public == sorted(testing.__all__)


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    code = (
        "import sys, pytest, importlib.util as u\n"
        "before = set(sys.modules)\n"
        "import rxresponses\n"
        "library = set(sys.modules)\n"
        "import rxresponses.testing.plugin\n"
        "print(*sorted(set(sys.modules) - library))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.split() == ["rxresponses.testing", "rxresponses.testing.plugin"]
