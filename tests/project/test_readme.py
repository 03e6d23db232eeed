"""The README is true: each block of code runs, and prints what a reader may expect."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx

import rxresponses
from rxresponses import ResponseCreate, ResponsesClient, ResponsesWebSocket
from rxresponses.testing import Hold, ResponsesServer, Text
from tests.support.pages import Block, answering, blocks_of, environment
from tests.support.paths import ROOT
from tests.support.scripts import Ended, Script, run_scripts

README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = blocks_of(README)
PROGRAMS = [block for block in BLOCKS if block.language == "python"]
INSTALL = re.compile(r"^pip install \S+ && ")
COMMANDS = [line for block in BLOCKS if block.language == "bash" for line in block.code.splitlines()]


# Each program of the README, by title: what it prints, given what the server above answers, and how many
# requests that takes.


def stream(lines: list[str], requests: int) -> None:
    assert lines == ["Hello", "Hello, ", "Hello, world"]
    assert requests == 1


def loop(lines: list[str], requests: int) -> None:
    assert lines == ["Hello, world", "Hello|, |world|"]
    assert requests == 2


def agent(lines: list[str], requests: int) -> None:
    assert lines == ["It is sunny, and you have a table."]
    assert requests == 2


def typed(lines: list[str], requests: int) -> None:
    assert lines == ["17 4.5"]
    assert requests == 1


CHECKS: dict[str, Callable[[list[str], int], None]] = {
    "A pipeline": stream,
    "With asyncio, and in a notebook": loop,
    "A tool": agent,
    "A typed answer": typed,
}
LONGEST = {"A tool": 20, "A typed answer": 15}
"""Programs that pass the strict type checkers, and have fewer lines of code than this."""
MOST_LINES = 200
SCRIPTS = [block for block in PROGRAMS if "def test_" not in block.code]
TESTS = [block for block in PROGRAMS if "def test_" in block.code]


def test_each_program_has_its_check() -> None:
    assert [block.title for block in SCRIPTS] == list(CHECKS)
    assert [block.title for block in TESTS] == ["A test"]
    assert {block.language for block in BLOCKS} == {"python", "bash"}
    assert README.count("\n") < MOST_LINES


def test_each_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_names_in_the_table_of_classes_are_public() -> None:
    (table,) = re.findall(r"^\| You have \| Take \|\n(.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    names = re.findall(r"\| `(\w+)", table)
    assert names == ["ResponsesClient", "Conversation", "run_tools", "fallback", "ResponsesFleet", "ResponsesWebSocket"]
    assert set(names) <= set(rxresponses.__all__)


def started(server: ResponsesServer) -> int:
    return sum(exchange.started is not None for exchange in server.exchanges)


@pytest.mark.parametrize(("kind", "at_once"), [(ResponsesClient, 3), (ResponsesWebSocket, 1)])
def test_a_client_runs_requests_side_by_side_and_a_default_lane_one_by_one(kind: type[Any], at_once: int) -> None:
    with ResponsesServer() as server, kind(server.url) as sender:
        gate = server.gate()
        server.on("", [Text("Hello"), Hold(gate)])
        asked = [sender.send_request(ResponseCreate(model="gpt-5.2", input=f"{n}")) for n in range(3)]
        done = threading.Event()
        rx.merge(*asked).subscribe(on_completed=done.set)
        server.wait_until(lambda: started(server) == at_once)
        assert len(server.requests) == at_once
        gate.open()
        assert done.wait(30)
        assert len(server.requests) == 3


@pytest.mark.parametrize("title", LONGEST)
def test_what_takes_few_lines(title: str) -> None:
    (code,) = (block.code for block in SCRIPTS if block.title == title)
    assert sum(bool(line.strip()) for line in code.splitlines()) < LONGEST[title]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Ended, int]]:
    """Return how the programs have ended, by title, and how many requests each has sent to a server of its own."""
    scripts = []
    with ExitStack() as stack:
        servers = [stack.enter_context(answering()) for _ in SCRIPTS]
        for block, server in zip(SCRIPTS, servers, strict=True):
            script = tmp_path_factory.mktemp("program") / "script.py"
            script.write_text(block.code, encoding="utf-8")
            settings = environment(OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-test")
            scripts.append(Script(str(script), str(script.parent), settings))
        programs = run_scripts(scripts)
        requests = [len(server.requests) for server in servers]
    return dict(zip(CHECKS, zip(programs, requests, strict=True), strict=True))


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.title)
def test_program(block: Block, ended: dict[str, tuple[Ended, int]]) -> None:
    program, requests = ended[block.title]
    assert (program.code, program.errors) == (0, "")
    CHECKS[block.title](program.lines, requests)


@pytest.mark.parametrize("block", TESTS, ids=lambda block: block.title)
def test_test(block: Block, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(block.code, encoding="utf-8")
    # It is a test: with another answer it fails.
    broken = block.code.replace('"bonjour"\n', '"salut"\n')
    assert broken != block.code
    (tmp_path / "test_broken.py").write_text(broken, encoding="utf-8")
    # The fixture comes with the installed package; a source tree has to name its plugin.
    plugin = [] if _is_installed() else ["-p", "rxresponses.testing.plugin"]
    program = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-rA", *plugin],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment(),
    )
    assert program.returncode == 1, program.stdout + program.stderr
    results = re.findall(r"^(PASSED|FAILED|ERROR) (test_\w+\.py)::", program.stdout, re.MULTILINE)
    assert sorted(results) == [("FAILED", "test_broken.py"), ("PASSED", "test_mine.py")]


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return any(plugin.value == "rxresponses.testing.plugin" for plugin in entry_points(group="pytest11"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    (folder / "prompts.jsonl").write_text('"Why is the sky blue?"\n{"custom_id": "a", "body": {"input": "Hi"}}\n')
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Callable[..., list[str]]:
    """Run all commands at the same time, because the server takes its time; return the output of one."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    tools = folder / "bin"
    tools.mkdir()
    for name, command in (("rxresponses", "-m rxresponses"), ("python", "")):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)

    def start(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [bash, "-e", "-o", "pipefail", "-c", INSTALL.sub("", command)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            env=environment(PATH=f"{tools}{os.pathsep}{os.environ['PATH']}"),
        )

    commands = [command for command in COMMANDS if not command.endswith("pytest")]
    with ThreadPoolExecutor(len(commands)) as executor:
        programs = dict(zip(commands, executor.map(start, commands), strict=True))

    def run(command: str, *notes: str) -> list[str]:
        program = programs[command]
        assert program.returncode == 0, program.stderr
        errors = program.stderr.splitlines()
        assert [line for line in errors if not line.startswith("OPENAI_API_KEY is not set")] == list(notes)
        assert len(errors) == 1 + len(notes)
        return program.stdout.splitlines()

    return run


class TestCommands:
    """The commands as they stand, in a shell, without a key."""

    def test_there_are_these(self) -> None:
        assert COMMANDS == [
            'pip install ".[cli]" && rxresponses ask "Why is the sky blue?"',
            'pip install -e ".[test]" && python -m pytest',
            'rxresponses ask --record session.jsonl "Why is the sky blue?" '
            "&& rxresponses marbles session.jsonl -o session.html",
            "rxresponses batch prompts.jsonl -o results.jsonl --concurrency 64",
        ]

    def test_the_first(self, run: Callable[[str], list[str]]) -> None:
        install, command = COMMANDS[0].split(" && ")
        assert "cli" in _extras()
        assert install == 'pip install ".[cli]"'
        assert command.startswith("rxresponses ")
        (line,) = run(COMMANDS[0])
        assert line.endswith("You asked: Why is the sky blue?")

    def test_the_picture(self, run: Callable[[str], list[str]], folder: Path) -> None:
        (line,) = run(COMMANDS[2])
        assert line.endswith("You asked: Why is the sky blue?")
        page = (folder / "session.html").read_text(encoding="utf-8")
        assert page.lower().startswith("<!doctype html>")
        assert "response.completed" in page

    def test_batch(self, run: Callable[..., list[str]], folder: Path) -> None:
        assert run(COMMANDS[3], "2 of 2 answered, 0 failed: results.jsonl") == []
        lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        assert {line["line"]: line.get("custom_id") for line in lines} == {1: None, 2: "a"}
        assert all(line["response"]["status"] == "completed" for line in lines)

    def test_both_installations_are_what_the_ci_runs(self) -> None:
        assert {"test", "docs"} <= set(_extras())
        patterns = re.findall(r"grep -E '(.*)' README\.md", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
        matches = [[line for line in README.splitlines() if re.search(pattern, line)] for pattern in patterns]
        assert matches == [[COMMANDS[0]], [COMMANDS[1]]]


def _extras() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return list(config["options.extras_require"])


def test_scenario_72_the_programs_pass_a_type_checker(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy")
    (tmp_path / "strict").mkdir()
    for number, block in enumerate(PROGRAMS):
        folder = tmp_path / "strict" if block.title in LONGEST else tmp_path
        (folder / f"program_{number}.py").write_text(block.code, encoding="utf-8")
    (tmp_path / "delivery.py").write_text(
        "from rxresponses import RequestError\n\ndef of(error: RequestError) -> str:\n    return error.delivery\n",
        encoding="utf-8",
    )
    (tmp_path / "timeouts.py").write_text(
        "from reactivex import Observable\n"
        "from reactivex import operators as ops\n"
        "from rxresponses import ServerEvent, operators as rops\n\n"
        "def of(events: Observable[ServerEvent]) -> Observable[str]:\n"
        "    limited = events.pipe(rops.first_event_timeout(9), rops.idle_timeout(9), rops.timeout_on_terminal(9))\n"
        "    limited.pipe(rops.timeout_on_terminal(9, events), rops.collect_text())\n"
        "    return events.pipe(\n"
        "        rops.first_event_timeout(9), rops.idle_timeout(9), rops.accumulate_text(), ops.do_action(print)\n"
        "    )\n",
        encoding="utf-8",
    )
    for options in (["."], ["--strict", "strict"]):
        checked = subprocess.run(
            [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir=cache", *options],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=environment(MYPYPATH=str(ROOT)),
        )
        assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
