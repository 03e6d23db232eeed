"""Runs the clients, in rounds, so that a change of the machine's load reaches all of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from tests.support.paths import ROOT

from .clients import Client, Plan
from .results import Part

PATIENCE = 300.0  # seconds for one client in one round
Item = TypeVar("Item")


def environment() -> dict[str, str]:
    """Return the environment of the programs: this checkout, no keys, and bytecode, as the Python of a user has it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "COVERAGE_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}


@contextlib.contextmanager
def serving(environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run the server, and return its URLs by transport."""
    command = [sys.executable, "-m", f"{__package__}.server"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def in_turn(items: Sequence[Item], round_number: int) -> Sequence[Item]:
    """Return the items in the order of a round: each second round goes backwards."""
    return items if round_number % 2 == 0 else items[::-1]


def measure(plan: Plan, rounds: int, run: Callable[[Client], Mapping[str, float]]) -> Part:
    """Run all clients of a part, round by round.  One that fails is an error in its rows, and the others go on."""
    part = plan.empty()
    for number in range(rounds):
        for client in in_turn(plan.clients, number):
            if client.missing is not None:
                continue
            rows = {key: part.row(name) for key, name in client.rows.items()}
            try:
                figures = run(client)
                values: dict[str, float | None] = {key: float(figures[key]) for key in rows}
                error = None
            except Exception as failure:
                values, error = dict.fromkeys(rows), f"{type(failure).__name__}: {failure}"
            for key, row in rows.items():
                row.values.append(values[key])
                row.errors += [] if error is None else [error]
    return part


class ClientError(Exception):
    """A client has ended with an error."""


def run_client(client: Client, environ: Mapping[str, str]) -> Mapping[str, float]:
    """Run a client in a process of its own, and return its figures."""
    script = client.script.read_text(encoding="utf-8") if client.script else ""
    done = subprocess.run(
        client.command,
        cwd=client.folder or ROOT,
        env=environ,
        input=script,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise ClientError(last_error(done.stderr) or f"exit code {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def last_error(text: str) -> str:
    """Return the line that names the error: Python's last one, or that of Node above its stack."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line.partition(":")[0] and not line.startswith("at ")]
    return (named or lines or [""])[-1][:200]
