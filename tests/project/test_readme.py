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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

import rxresponses
from rxresponses import ResponsesWebSocket, ServerEvent
from rxresponses import operators as rops
from rxresponses.testing import ResponsesServer
from tests.support.pages import Block, answering, blocks_of, environment
from tests.support.paths import ROOT
from tests.support.scripts import Ended, Script, run_scripts

README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = blocks_of(README)
PROGRAMS = [block for block in BLOCKS if block.language == "python"]
COMMANDS = [line for block in BLOCKS if block.language == "bash" for line in block.code.splitlines()]


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with answering() as server:
        yield server


# Each program of the README, by title: what it prints, given what the server above answers, and how many
# requests that takes.


def stream(lines: list[str], requests: int) -> None:
    assert lines == ["Hello", "Hello, ", "Hello, world"]
    assert requests == 1


def cold(lines: list[str], requests: int) -> None:
    assert lines == ["Hello, world"] * 4
    assert requests == 3


def loop(lines: list[str], requests: int) -> None:
    assert lines == ["Hello, world", "Hello|, |world|"]
    assert requests == 2


def race(lines: list[str], requests: int) -> None:
    assert lines in (["gpt-5.2: Hello, world"], ["gpt-5.2-mini: Hello, world"])
    assert requests <= 2


def merge(lines: list[str], requests: int) -> None:
    assert sorted(lines) == ["first: Hello, world", "second: Goodbye"]
    assert requests == 2


def share(lines: list[str], requests: int) -> None:
    assert lines == ["Hello", "Hello, ", "Hello, world", "response.created ... response.completed"]
    assert requests == 1


def switch(lines: list[str], requests: int) -> None:
    assert lines[-1] == "Hello!"
    assert requests <= 2


def frames(lines: list[str], requests: int) -> None:
    assert lines[-1] == "frame: Hello, world"
    assert len(lines) <= 3
    assert requests == 1


def steering(lines: list[str], requests: int) -> None:
    accepted = {"response.steer.accepted", "response.incomplete", "response.completed"}
    too_late = {"response.completed", "response.steer.failed"}
    assert set(lines) in (accepted, too_late)
    assert requests == 1


def measure(lines: list[str], requests: int) -> None:
    assert lines[:-1] == ["Hello", "Hello, ", "Hello, world"]
    assert re.fullmatch(r"completed: first text after \d\.\d s, all after \d\.\d s", lines[-1])
    assert requests == 1


def traces(lines: list[str], requests: int) -> None:
    span = json.loads("".join(lines[:-1]))
    assert (span["name"], span["attributes"]["gen_ai.usage.output_tokens"] > 0) == ("chat gpt-5.2", True)
    assert lines[-1] == "Hello, world"
    assert requests == 1


def faults(lines: list[str], requests: int) -> None:
    assert lines == ["ConnectFailedError not_sent", "True", "ConnectionLostError started", "('lost', 3)"]
    assert requests == 0  # it has a server of its own


def agent(lines: list[str], requests: int) -> None:
    assert lines == ["It is sunny, and you have a table."]
    assert requests == 2


def chat(lines: list[str], requests: int) -> None:
    assert lines[0] == "Hello, world"
    assert sorted(lines[1:3]) == ["Goodbye", "Hello, world"]
    assert re.fullmatch(r"4 \d+", lines[3])
    assert requests == 3


def voice(lines: list[str], requests: int) -> None:
    assert lines[-1] == "(spoken) Hello!"
    assert requests in (1, 2)  # the first prompt may be cancelled before it is written


def typed(lines: list[str], requests: int) -> None:
    assert lines == ["17 4.5"]
    assert requests == 1


def failure(lines: list[str], requests: int) -> None:
    assert lines == ["previous_response_not_found 400 rejected"]
    assert requests == 1


def again(lines: list[str], requests: int) -> None:
    assert lines == ["Who is there?"]
    assert requests == 2


def another_model(lines: list[str], requests: int) -> None:
    assert lines == ["Hello, world"]
    assert requests == 1


def pool(lines: list[str], requests: int) -> None:
    assert lines == ["100 Hello, world", "True"]
    assert requests == 100


def conversation(lines: list[str], requests: int) -> None:
    assert lines == ["Goodbye"]
    assert requests == 2


CHECKS: dict[str, Callable[[list[str], int], None]] = {
    "First pipelines": stream,
    "Nothing is sent until you subscribe": cold,
    "With asyncio and without": loop,
    "Race two models": race,
    "Merge lanes": merge,
    "Share one response": share,
    "Cancel the old answer when a new prompt comes": switch,
    "Draw at 30 frames a second": frames,
    "Steer a running answer": steering,
    "Measure a response": measure,
    "Tools: an agent": agent,
    "Conversations": chat,
    "Speak an answer, and be interrupted.": voice,
    "Typed answers": typed,
    "When something goes wrong": failure,
    "Try again": again,
    "Fall back to another model": another_model,
    "One client, many sockets": pool,
    "Continuations find their response": conversation,
    "Traces and metrics": traces,
    "Fault plans": faults,
}
LONGEST = {"Tools: an agent": 20, "Conversations": 15, "Speak an answer, and be interrupted.": 20, "Typed answers": 15}
"""Programs that pass the strict type checkers, and have fewer lines of code than this."""
SCRIPTS = [block for block in PROGRAMS if "def test_" not in block.code]
TESTS = [block for block in PROGRAMS if "def test_" in block.code]


def test_each_program_has_its_check() -> None:
    assert [block.title for block in SCRIPTS] == list(CHECKS)
    assert [block.title for block in TESTS] == ["Testing your own code"]
    assert {block.language for block in BLOCKS} == {"python", "bash"}


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
    if "opentelemetry.sdk" in block.code:
        pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")
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


class TestTable:
    """Three pipelines, and each does what the table says."""

    @staticmethod
    def values(server: ResponsesServer, wanted: str) -> list[Any]:
        (pipeline,) = re.findall(rf"^\| {wanted} \| `(.*)` \|$", README, re.MULTILINE)
        (request,) = re.findall(r"^`events` stands for `(.*)`\.$", README, re.MULTILINE)
        with ResponsesWebSocket(server.url) as socket:
            public = {name: getattr(rxresponses, name) for name in rxresponses.__all__}
            names = {**public, "rops": rops, "socket": socket}
            names["events"] = eval(request, names)
            values: list[Any] = eval(pipeline, names).pipe(ops.to_list()).run()
        return values

    def test_filter(self, server: ResponsesServer) -> None:
        events = self.values(server, "only some types of events")
        assert [event.delta for event in events] == ["Hello", ", ", "world"]

    def test_accumulate(self, server: ResponsesServer) -> None:
        assert self.values(server, "the text so far, as it grows") == ["Hello", "Hello, ", "Hello, world"]

    def test_timeout(self, server: ResponsesServer) -> None:
        events = self.values(server, "a limit of 30 seconds")
        assert all(isinstance(event, ServerEvent) for event in events)
        assert events[-1].type == "response.completed"


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
            [bash, "-e", "-o", "pipefail", "-c", command.rpartition(" && ")[2]],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            env=environment(PATH=f"{tools}{os.pathsep}{os.environ['PATH']}"),
        )

    commands = COMMANDS[:-1]
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
            "python -m rxresponses.examples.agent",
            'rxresponses ask --events "Why is the sky blue?"',
            'echo "The sky is blue." | rxresponses ask --instructions "Be brief." Summarize',
            "rxresponses batch prompts.jsonl -o results.jsonl --concurrency 64",
            'pip install -e ".[test]" && python -m pytest',
        ]

    def test_the_first(self, run: Callable[[str], list[str]]) -> None:
        install, command = COMMANDS[0].split(" && ")
        assert "cli" in _extras()
        assert install == 'pip install ".[cli]"'
        assert command.startswith("rxresponses ")
        (line,) = run(COMMANDS[0])
        assert line.endswith("You asked: Why is the sky blue?")

    def test_example(self, run: Callable[[str], list[str]]) -> None:
        lines = run(COMMANDS[1])
        assert lines[0].startswith("-- ")
        assert "Your function returned" in lines[-1]

    def test_events(self, run: Callable[[str], list[str]]) -> None:
        lines = run(COMMANDS[2])
        assert "response.created" in lines[0]
        assert "response.completed" in lines[-1]

    def test_document(self, run: Callable[..., list[str]]) -> None:
        text = "\n".join(run(COMMANDS[3], "standard input is added to the prompt; </dev/null leaves it out"))
        assert "Summarize" in text
        assert "The sky is blue." in text

    def test_batch(self, run: Callable[..., list[str]], folder: Path) -> None:
        assert run(COMMANDS[4], "2 of 2 answered, 0 failed: results.jsonl") == []
        lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        assert {line["line"]: line.get("custom_id") for line in lines} == {1: None, 2: "a"}
        assert all(line["response"]["status"] == "completed" for line in lines)

    def test_both_installations_are_what_the_ci_runs(self) -> None:
        assert "test" in _extras()
        patterns = re.findall(r"grep -E '(.*)' README\.md", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
        matches = [[line for line in README.splitlines() if re.search(pattern, line)] for pattern in patterns]
        assert matches == [[COMMANDS[0]], [COMMANDS[-1]]]


def _extras() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return list(config["options.extras_require"])


def test_the_operators_named_are_all_there_are() -> None:
    for name in rops.__all__:
        assert f"{name}`" in README or f"{name}(" in README


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
    assert "a\n`RequestError`, whose `delivery`" in README
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


def test_scenario_72_the_telemetry_recipe_names_all_that_it_imports() -> None:
    (install,) = re.findall(r"With OpenTelemetry \(`pip install (.*?)`\)", README)
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = {name for name in re.split(r"[\s\"]+", install) if name and not name.startswith(".")}
    assert '".[otel]"' in install
    packages |= set(re.findall(r"^[\w-]+", config["options.extras_require"]["otel"], re.MULTILINE))
    (recipe,) = (block.code for block in PROGRAMS if block.title == "Traces and metrics")
    imported = {
        ".".join(name.split(".")[:2]) for name in re.findall(r"^from (opentelemetry\.\S+)", recipe, re.MULTILINE)
    }
    assert imported == {"opentelemetry.sdk"}
    assert packages == {"opentelemetry-api", "opentelemetry-sdk"}
