"""Where and with what a report was measured."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.support.paths import ROOT

OWN = ("rxresponses", "websockets", "reactivex", "msgspec", "uvloop")
PEERS = ("openai", "websockets", "pydantic")
NODE = ("openai", "ws", "zod")

_PROGRAM = """
import importlib.metadata, json, sys
def version(name):
    try: return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError: return None
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def machine() -> dict[str, str]:
    """Return the processor, the number of its cores, the system, and how busy it was before."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = {
        "processor": _processor(),
        "cores": f"{cores} {'core' if cores == 1 else 'cores'}",
        "system": f"{platform.system()} {platform.release()}",
    }
    if hasattr(os, "getloadavg"):
        found["load"] = f"load {os.getloadavg()[0]:.1f} at the start"
    return found


def versions(peer_python: str, node_dir: Path | None) -> dict[str, str]:
    """Return the versions of all that takes part, without those that are missing."""
    found: dict[str, str | None] = {"Python": platform.python_version()}
    found |= {name: own_version(name) for name in OWN}
    found["commit"] = _commit()
    theirs = python_versions(peer_python)
    found["openai (Python)"] = theirs.get("openai")
    if theirs.get("websockets") != found["websockets"]:
        found["websockets of openai"] = theirs.get("websockets")
    found["pydantic"] = theirs.get("pydantic")
    found["Node"] = node_version()
    found |= {f"{name} (Node)" if name == "openai" else name: text for name, text in node_versions(node_dir).items()}
    return {name: text for name, text in found.items() if text is not None}


def own_version(name: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def python_versions(python: str) -> dict[str, str | None]:
    """Return the versions of the peers that another Python has; nothing if it cannot be run."""
    output = _output([python, "-c", _PROGRAM, *PEERS])
    found: dict[str, str | None] = json.loads(output) if output else {}
    return found


def node_version() -> str | None:
    """Return the version of Node, or `None` if it is not there."""
    return _output(["node", "--version"]) if shutil.which("node") else None


def node_versions(folder: Path | None) -> dict[str, str | None]:
    """Return the versions of the packages of Node in a folder."""
    found: dict[str, str | None] = {}
    for name in NODE:
        package = folder / "node_modules" / name / "package.json" if folder is not None else None
        known = package is not None and package.is_file()
        found[name] = json.loads(package.read_text(encoding="utf-8"))["version"] if package and known else None
    return found


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    if names.exists():
        for line in names.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    return _output(["git", "describe", "--always", "--dirty"]) if shutil.which("git") else None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    except (OSError, subprocess.SubprocessError):
        print(f"could not run {command[0]}", file=sys.stderr)
        return None
    return done.stdout.strip() or None
