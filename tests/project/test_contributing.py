"""CONTRIBUTING.md is true: its files and rooms exist, and its commands find tests."""

from __future__ import annotations

import argparse
import configparser
import re
import shlex

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "rxresponses"


def section(title: str) -> str:
    """Return the text below a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


ROWS = [line.split(" | ") for line in section("The rooms").splitlines() if line.startswith("| ")][1:]
FILES = re.findall(r"`([\w/]+\.py)`", section("The rooms").split("### Where a rule stands")[1])
COMMANDS = re.findall(r"\| `(.*)` \|$", section("Running things"), re.MULTILINE)
PATHS = sorted({path for path in re.findall(r"`((?:rxresponses|tests|\.ci)/[\w./]*)`", PAGE) if "NAME" not in path})


def test_every_room_has_its_row() -> None:
    named = {name for row in ROWS for name in re.findall(r"`(\w+)/`", row[0])}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert named == rooms


@pytest.mark.parametrize("file", FILES)
def test_a_file_with_a_rule_is_there(file: str) -> None:
    assert (PACKAGE / file).is_file()


@pytest.mark.parametrize(
    "room", ["structured", "protocol", "pool", "net", "recording", "conversations", "marbles", "inspector", "batch"]
)
def test_every_module_that_holds_a_rule_is_named(room: str) -> None:
    modules = {f"{room}/{path.name}" for path in (PACKAGE / room).glob("*.py")} - {f"{room}/__init__.py"}
    # A request as the rules see it, the timer that asks them, and the socket below them decide nothing.
    assert modules - set(FILES) <= {"protocol/request.py", "net/request.py", "net/request_timer.py"} | {
        *("net/transport.py", "batch/progress.py")
    }


@pytest.mark.parametrize(("name", "path"), re.findall(r"`(\w+)` in `([\w/]+\.py)`", PAGE))
def test_a_name_is_where_the_page_says(name: str, path: str) -> None:
    assert re.search(rf"^(class {name}\b|{name} = |{name}: )", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`(\w+\.py)`", section("How to change and add")))))
def test_a_file_of_a_recipe_exists(file: str) -> None:
    assert list(PACKAGE.rglob(file))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python -m pytest")])
def test_a_command_finds_tests(command: str, pytestconfig: pytest.Config) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-k", default="")
    parser.add_argument("-m")
    parser.add_argument("-p")
    parser.add_argument("paths", nargs="*", default=["tests"])
    arguments, options = parser.parse_known_args(shlex.split(command)[3:])
    for option in options:
        assert pytestconfig.getoption(option) is not None
    files = [file for path in arguments.paths for file in (ROOT / path, *(ROOT / path).rglob("*.py")) if file.is_file()]
    names = [
        name
        for file in files
        for name in re.findall(r"def (test_\w+)|class (Test\w+)|^(Test\w+) =", file.read_text(), re.M)
    ]
    assert [name for match in names for name in match if name and arguments.k in name]


def test_the_other_commands_are_of_the_extra_dev_or_of_the_checkout() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    programs = {name.split("[")[0] for name in config["options.extras_require"]["dev"].split()}
    others = [part for command in COMMANDS for part in command.split(" && ") if not part.startswith("python -m pytest")]
    assert others
    for command in others:
        words = command.split()
        if words[0] == "bash":
            assert (ROOT / words[1]).is_file()
        elif words[:2] == ["python", "-m"]:
            assert (ROOT / words[2].replace(".", "/") / "__main__.py").is_file()
        else:
            assert {"lint-imports": "import-linter", "sphinx-build": "sphinx"}.get(words[0], words[0]) in programs


def test_the_glossary_and_the_recipes_are_complete() -> None:
    assert section("Glossary").count("\n| ") >= 10
    recipes = re.findall(r"^\*\*(.+)\*\*$", section("How to change and add"), re.MULTILINE)
    assert [re.sub(r"^an? ", "", recipe.lower()).split()[0] for recipe in recipes] == [
        *("rule", "event", "conversation", "operator", "text", "fault", "page", "option", "command")
    ]
    for lines in re.split(r"^\*\*.+\*\*$", section("How to change and add"), flags=re.MULTILINE)[1:]:
        assert re.findall(r"^(\d)\. ", lines, re.MULTILINE) == list("12345")


def test_the_readme_leads_to_the_page() -> None:
    assert "CONTRIBUTING.md" in (ROOT / "README.md").read_text(encoding="utf-8")
