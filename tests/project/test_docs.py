"""The pages below `docs/` are true: each program in them runs, and prints what the page says."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest
from reactivex import operators as ops

import rxresponses
from rxresponses import (
    ConnectionOptions,
    ResponseCreate,
    ResponsesClient,
    ResponsesError,
    operators,
    testing,
)
from rxresponses.testing import ResponsesServer
from rxresponses.testing.marbles import assert_marbles
from tests.support.pages import Block, answering, blocks_of, environment
from tests.support.paths import ROOT
from tests.support.scripts import Ended, Script, run_scripts

DOCS = ROOT / "docs"
PAGES = {
    str(path.relative_to(DOCS)): blocks_of(path.read_text(encoding="utf-8")) for path in sorted(DOCS.rglob("*.md"))
}
PROGRAMS = {
    name: programs
    for name, blocks in PAGES.items()
    if (programs := [block for block in blocks if block.language == "python"])
}
NOTES = ("not run: ", "needs: ")


def left_out(block: Block) -> bool:
    """Whether a program cannot run here; its page says why, or which module it needs."""
    if block.note.startswith("needs: "):
        return not all(map(_is_there, block.note[7:].split(", ")))
    return block.note.startswith("not run: ")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that holds it
        return False


@pytest.mark.full
@pytest.mark.parametrize("page", PROGRAMS)
def test_the_programs_of_a_page(page: str, tmp_path: Path) -> None:
    blocks = [block for block in PROGRAMS[page] if not left_out(block)]
    scripts = [block for block in blocks if "def test_" not in block.code]
    tests = [block for block in blocks if "def test_" in block.code]
    with ExitStack() as stack:
        for script, ended in zip(scripts, run(scripts, tmp_path, stack), strict=True):
            where = f"{page}: {script.title}"
            assert (where, ended.code, ended.errors) == (where, 0, "")
            if script.output is not None:
                assert [line.rstrip() for line in ended.lines] == script.output.splitlines(), where
    if tests:
        run_tests(tests, tmp_path)


def run(blocks: list[Block], folder: Path, stack: ExitStack) -> list[Ended]:
    """Run programs, each with a server of its own."""
    scripts = []
    for number, block in enumerate(blocks):
        place = folder / f"program_{number}"
        place.mkdir()
        (place / "script.py").write_text(block.code, encoding="utf-8")
        server = stack.enter_context(answering())
        settings = environment(OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-test")
        scripts.append(Script(str(place / "script.py"), str(place), settings))
    return run_scripts(scripts) if scripts else []


def run_tests(blocks: list[Block], folder: Path) -> None:
    """Run tests, as a reader would: each block is a file."""
    place = folder / "tests"
    place.mkdir()
    for number, block in enumerate(blocks):
        (place / f"test_{number}.py").write_text(block.code, encoding="utf-8")
    # The fixture comes with the installed package; a source tree has to name its plugin.
    name = "rxresponses.testing.plugin"
    installed = any(plugin.value == name for plugin in entry_points(group="pytest11"))
    with answering() as server:  # a service to record from
        program = subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", "-rA", "-q", *([] if installed else ["-p", name])],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=place,
            env=environment(OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-test"),
        )
    assert program.returncode == 0, program.stdout + program.stderr
    passed = set(re.findall(r"^PASSED test_(\d+)\.py::", program.stdout, re.MULTILINE))
    assert passed == {str(number) for number in range(len(blocks))}, program.stdout


def test_the_table_of_errors_is_the_tree_of_the_classes() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:— )*)`(\w+)` \|", page.split("## The tree")[1], re.MULTILINE)
    public = [getattr(rxresponses, name) for name in rxresponses.__all__]
    errors = {
        error.__name__: error for error in public if isinstance(error, type) and issubclass(error, ResponsesError)
    }
    assert {name for _, name in rows} == set(errors)
    bases: list[str] = []
    for dashes, name in rows:
        bases[len(dashes) // 2 :] = [name]
        parents = [parent.__name__ for parent in errors[name].__bases__ if issubclass(parent, ResponsesError)]
        assert bases[:-1][-1:] == [parent for parent in parents if parent != "DecodeError" or name == "FrameError"]


@pytest.mark.parametrize("page", PROGRAMS)
def test_each_program_compiles_and_what_does_not_run_has_a_reason(page: str) -> None:
    for block in PROGRAMS[page]:
        compile(block.code, f"{page}: {block.title}", "exec")
        assert not block.note or (block.note.startswith(NOTES) and len(block.note) > 10)


def test_the_languages_of_all_blocks_are_known() -> None:
    known = {"python", "text", "bash", "json", "yaml", "toml"}
    languages = {block.language for blocks in PAGES.values() for block in blocks}
    assert {name for name in languages if not name.startswith("{")} <= known


def test_every_public_name_has_its_place_in_the_reference() -> None:
    pages = [DOCS / "operators.md", *sorted((DOCS / "reference").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    documented = re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)$", text, re.MULTILINE)
    assert len(documented) == len(set(documented))
    expected = {
        f"{module.__name__}.{name}"
        for module in (rxresponses, testing, operators)
        for name in module.__all__
        if callable(value := getattr(module, name)) and not hasattr(value, "__args__")  # an alias of types is no class
    }
    assert expected <= set(documented)
    for name in documented:
        module, _, attribute = name.rpartition(".")
        if module != "rxresponses.telemetry" or find_spec("opentelemetry"):
            assert hasattr(import_module(module), attribute)


def test_every_type_with_several_forms_has_a_row_with_its_forms() -> None:
    page = (DOCS / "reference/types.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    types = {
        name: value
        for module in (rxresponses, testing)
        for name in module.__all__
        if hasattr(value := getattr(module, name), "__args__")
    }
    assert set(rows) == set(types)
    for name, value in types.items():
        forms = {form.__name__ for form in value.__args__ if isinstance(form, type)}
        if "UnknownItem" in forms and "such as" not in rows[name]:  # an example is enough where there are many
            assert set(re.findall(r"`(\w+)`", rows[name])) == forms, name


@pytest.mark.parametrize(
    ("row", "reply"),
    [
        ("a text, `Text`, `Json`", "Hello"),
        ("a text, `Text`, `Json`", testing.Json({"a": 1})),
        ("`Refusal`", testing.Refusal("No.")),
        ("`Reasoning`", testing.Reasoning("Hm.")),
        ("`FunctionCall`", testing.FunctionCall("f", {"a": 1})),
    ],
)
def test_the_events_before_the_first_delta_are_those_of_the_page(row: str, reply: testing.Reply) -> None:
    page = (DOCS / "testing.md").read_text(encoding="utf-8")
    (cells,) = re.findall(rf"^\| {re.escape(row)} \| (.*) \| (\d) \|$", page, re.MULTILINE)
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    request = ResponseCreate(model="gpt-5.2", input="Hi", tools=[tool])
    with ResponsesServer() as server, ResponsesClient(server.url) as client:
        server.reply(reply)
        events = client.send_request(request).pipe(ops.to_list()).run()
    types = [event.type.removeprefix("response.") for event in events]
    first = next(place for place, name in enumerate(types) if name.endswith(".delta"))
    assert cells == (", ".join(types[:first]), str(first + 1))


def test_the_message_of_a_marble_test_is_that_of_the_page() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_marbles("c-(He)-(llo)-C|", "--(HE)-(llo)--|", operators.text_deltas(), ops.map(str.upper))
    assert f"```text\n{caught.value}\n```" in (DOCS / "testing.md").read_text(encoding="utf-8")


def test_the_handshake_sends_the_headers_of_the_page_and_no_others() -> None:
    page = (DOCS / "security.md").read_text(encoding="utf-8")
    table = page.split("## What the handshake sends")[1].split("\n\n")[1]
    cells = [cell for row in table.splitlines() for cell in row.split("|")[1:2]] + table.splitlines()[-1:]
    named = {name.lower() for cell in cells for name in re.findall(r"`([A-Z][\w-]+)", cell)}
    options = ConnectionOptions(organization="org-1", project="proj_1")
    with ResponsesServer() as server:
        with ResponsesClient(server.url, api_key="sk-test-12345", options=options) as client:
            client.send_request({"model": "gpt-5.2", "input": "Say hello"}).run()
        sent = server.upgrades[0].headers
    assert {name for name in sent if not name.startswith("sec-websocket-")} == named - {"sec-websocket-"}
    assert sent["authorization"] == "Bearer sk-test-12345"
    assert sent["user-agent"].startswith("rxresponses/")


def test_scenario_72_the_page_about_telemetry_names_all_that_it_imports() -> None:
    page = (DOCS / "telemetry.md").read_text(encoding="utf-8")
    (install,) = re.findall(r"With OpenTelemetry \(`pip install (.*?)`\)", page)
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extra = re.findall(r"^[\w-]+", config["options.extras_require"]["otel"], re.MULTILINE)
    assert '".[otel]"' in install
    (recipe,) = PROGRAMS["telemetry.md"]
    imported = {".".join(name.split(".")[:2]) for name in re.findall(r"^from (opentelemetry\.\S+)", recipe.code, re.M)}
    assert imported == {"opentelemetry.sdk"}
    assert {"opentelemetry-sdk", *extra} <= {*install.split(), "opentelemetry-api"}
