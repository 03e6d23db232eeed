"""Scripts in processes of their own that have imported the package already, some of them at a time.

Most of the time that a short script takes is that of its imports.  So one process imports the package, and forks for
each script.
"""

from __future__ import annotations

import gc
import json
import os
import re
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

AT_ONCE = 8
PATIENCE = 120  # seconds until all scripts have ended


@dataclass(frozen=True)
class Script:
    """A file or a module to run, with its environment; `folder` is where it runs, and where its output is kept."""

    target: str
    folder: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Ended:
    """What a script has left: its exit code, the lines of its output, and its errors."""

    code: int
    lines: list[str]
    errors: str


def run_scripts(scripts: list[Script]) -> list[Ended]:
    """Run scripts as `python -W error` does, and return how they ended."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", __name__],
        input=json.dumps([asdict(script) for script in scripts]),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [
        Ended(code, *_output(Path(script.folder)))
        for script, code in zip(scripts, json.loads(done.stdout), strict=True)
    ]


def _output(folder: Path) -> tuple[list[str], str]:
    out, err = ((folder / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
    return out.splitlines(), err


def _main() -> None:
    """Fork for each script; return in the first process when all have ended, and in the others with their script."""
    import rxresponses
    from rxresponses import operators, testing

    for package in (rxresponses, testing, operators):
        for name in package.__all__:
            getattr(package, name)  # which imports its module
    scripts = [Script(**script) for script in json.load(sys.stdin)]
    for name in _modules_of_several(scripts):
        import_module(name)
    gc.freeze()  # what is here already is not looked at, and so not copied, by each script

    codes: dict[int, int | None] = {}
    for script in scripts:
        if list(codes.values()).count(None) == AT_ONCE:
            _wait(codes)
        pid = os.fork()
        if pid == 0:
            return _run(script)
        codes[pid] = None
    while None in codes.values():
        _wait(codes)
    return print(json.dumps(list(codes.values())))


def _modules_of_several(scripts: list[Script]) -> list[str]:
    """Return the names of the modules that more than one script imports, such as the official SDK."""
    texts = [Path(script.target).read_text(encoding="utf-8") for script in scripts if script.target.endswith(".py")]
    names = Counter(name for text in texts for name in set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)))
    return sorted(name for name, count in names.items() if count > 1)


def _wait(codes: dict[int, int | None]) -> None:
    pid, status = os.wait()
    codes[pid] = os.waitstatus_to_exitcode(status)


def _run(script: Script) -> None:
    os.chdir(script.folder)
    os.environ.clear()
    os.environ.update(script.environment)
    for descriptor, name in enumerate((os.devnull, "stdout", "stderr")):
        file = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv = [script.target]
    sys.path[0] = script.folder
    if script.target.endswith(".py"):
        runpy.run_path(script.target, run_name="__main__")
    else:
        runpy.run_module(script.target, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
