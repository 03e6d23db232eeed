"""Each example as a reader runs it: a program, no key, the embedded server."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from rxresponses import examples
from tests.support.scripts import Ended, Script, run_scripts

FOLDER = Path(examples.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
SERVER = "This is the embedded test server, not a model. You asked: "

Check = Callable[[list[str]], None]


def agent(lines: list[str]) -> None:
    called, answer = lines
    assert re.fullmatch(r"-- get_weather took \d+\.\d s", called)
    assert answer.endswith('Your function returned: {"city": "Lisbon", "celsius": 21, "sky": "clear"}')


def asyncio_loop(lines: list[str]) -> None:
    word = f"{SERVER}One word for blue?"
    assert lines == [f"{SERVER}Say hello.", repr([word, word]), f"{SERVER}Tell a story in one sentence."]


def function_call(lines: list[str]) -> None:
    call, answer = lines
    assert call == 'the model calls get_weather({"city":"Lisbon"})'
    assert answer.endswith('Your function returned: {"city": "Lisbon", "celsius": 21, "sky": "clear"}')


def merge_lanes(lines: list[str]) -> None:
    for lane, colour in (("sky", "blue"), ("grass", "green"), ("snow", "white")):
        pieces = [line.split(": ", 1)[1] for line in lines if line.startswith(f"{lane:>5}: ")]
        assert "".join(piece[1:-1] for piece in pieces) == f"{SERVER}Why is the {lane} {colour}?"
    # Side by side: each answer has begun before any has ended.
    begun = {line.split(": ", 1)[0] for line in lines[: len(lines) // 2]}
    assert len(begun) == 3


def race_models(lines: list[str]) -> None:
    (line,) = lines
    assert re.fullmatch(rf"gpt-5\.2(-mini)? was first: {SERVER}Name three uses of a paper clip\.", line)


def share_response(lines: list[str]) -> None:
    assert lines[-1] == f"{SERVER}Say hello to the log."
    assert all(later.startswith(earlier) for earlier, later in pairwise(lines))


def stream_text(lines: list[str]) -> None:
    text, cost = lines
    assert text == f"{SERVER}Explain in two sentences why the sky is blue."
    assert re.fullmatch(r"-- [1-9]\d* tokens", cost)


def switch_prompts(lines: list[str]) -> None:
    prompts = [line for line in lines if line.startswith("> ")]
    assert prompts == ["> Why is", "> Why is the sky", "> Why is the sky blue?"]
    answer = lines[lines.index(prompts[-1]) + 1 :]
    assert answer[0] == "This"  # nothing of the dropped answers comes after the prompt that dropped them
    assert all(later.startswith(earlier) for earlier, later in pairwise(answer))
    assert answer[-1] == f"{SERVER}Why is the sky blue?"


def timeout(lines: list[str]) -> None:
    text, failure, second_choice = lines
    assert f"{SERVER}Tell a long story".startswith(text[:20])
    assert re.match(r"-- no terminal event within 0\.3 s[;,]", failure)  # ",": no event came at all
    assert second_choice == f"-- second choice: {SERVER}A haiku about a clock, please."


def typed_answer(lines: list[str]) -> None:
    parts = [f"so far: Recipe(title='title', minutes=1, steps={steps})" for steps in ([], [""], ["steps"])]
    assert lines == [*parts, "title: 1 min, 1 step(s)"]


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        agent,
        asyncio_loop,
        function_call,
        merge_lanes,
        race_models,
        share_response,
        stream_text,
        switch_prompts,
        timeout,
        typed_answer,
    )
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Return how the examples have ended.  They run at the same time, because the server takes its time."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    scripts = [
        Script(f"rxresponses.examples.{name}", str(tmp_path_factory.mktemp(name)), environment) for name in MODULES
    ]
    return dict(zip(MODULES, run_scripts(scripts), strict=True))


@pytest.mark.parametrize("name", MODULES)
def test_runs(name: str, ended: dict[str, Ended]) -> None:
    program = ended[name]
    assert program.code == 0, program.errors
    notice, *log = program.errors.splitlines()
    assert notice.startswith("OPENAI_API_KEY is not set")
    if name == "share_response":
        assert log[0] == "  0 response.created"
        assert log[-1].endswith(" response.completed")
    else:
        assert log == []
    CHECKS[name](program.lines)


def test_every_check_has_its_example() -> None:
    assert sorted(CHECKS) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_is_short_and_says_what_it_shows(name: str) -> None:
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
    assert re.fullmatch(r'"""[A-Z].*\."""', lines[0])
