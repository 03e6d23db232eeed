"""How long a client takes to be imported, and a program with it until its request is sent and its first text printed.

    python -m tests.benchmarks.suite.peers.startup rxresponses|openai PYTHON URL TIMES

The text of the answer is the time at which the server has received the request.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from ..orders import Order

IMPORT = """
import time
start = time.process_time()  # the time of this process, whatever else the machine does
{}
print((time.process_time() - start) * 1000)
"""
IMPORTS = {
    "rxresponses": "from rxresponses import ResponseCreate, ResponsesWebSocket, operators",
    "openai": "from openai import OpenAI",
}
ENVIRON = {**os.environ, "OPENAI_API_KEY": "bench"}


def run(command: Sequence[str]) -> str:
    return subprocess.run(command, env=ENVIRON, check=True, stdout=subprocess.PIPE, text=True).stdout


def asked(command: Sequence[str]) -> tuple[float, float]:
    """Start a program that asks; return the milliseconds until the server has its request, and until its first text."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    begin = time.monotonic_ns()
    with subprocess.Popen(command, env=ENVIRON, stdin=nothing, stdout=pipe, bufsize=0) as process:
        assert process.stdout is not None
        text, printed = b"", 0
        while piece := process.stdout.read(1000):
            printed = printed or time.monotonic_ns()
            text += piece
    stamp = re.search(rb"\d{20}", text)
    if process.returncode or stamp is None:
        raise SystemExit(f"Error: {command} has printed {text!r} and ended with {process.returncode}")
    return (int(stamp[0]) - begin) / 1e6, (printed - begin) / 1e6


def main(client: str, python: str, url: str, times: int) -> dict[str, float]:
    prompt = str(Order(deltas=1, rate=1000.0))
    ask = ["rxresponses", "ask", "--url", url] if client == "rxresponses" else [f"{__package__}.ask_openai", url]
    command = [python, "-m", *ask, prompt]
    run([python, "-c", IMPORT.format(IMPORTS[client])])
    asked(command)  # the first time, modules are compiled
    imports, requests, texts = [], [], []
    for _ in range(times):
        imports.append(float(run([python, "-c", IMPORT.format(IMPORTS[client])])))
        request, text = asked(command)
        requests.append(request)
        texts.append(text)
    figures = {"import": imports, "request": requests, "text": texts}
    return {name: statistics.median(values) for name, values in figures.items()}


if __name__ == "__main__":
    client, python, url, times = sys.argv[1:]
    print(json.dumps(main(client, python, url, int(times))))
