"""What the page of a running program costs the program."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from reactivex import operators as ops

from rxresponses import ResponsesClient, serve_inspector

STREAMS, PAUSE = 100, 0.02  # seconds between two events of a stream
WINDOW, ROUNDS = 0.8, 3
SHARE = 0.08  # of a core; measured: 0.012 to 0.022, where the streams alone take 0.07

SERVER = f"""
import sys
from rxresponses.testing import ResponsesServer, Text
with ResponsesServer(event_interval={PAUSE}) as server:
    server.on("", Text(deltas=[f" word{{n}}" for n in range(2000)]))
    print(server.url, flush=True)
    sys.stdin.read()
"""
PAGE = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1], origin=sys.argv[2], max_size=None, proxy=None) as page:
    print("open", flush=True)
    for _ in page:
        page.send("")
"""


def start(code: str, *args: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_100_streams_with_50_events_a_second() -> None:
    """Processor time for an event, with and without a page, in turn; times 5,000 events, it is a share of a core."""
    seen = 0

    def count(_: object) -> None:
        nonlocal seen
        seen += 1

    def cost() -> float:
        events, begin = seen, time.process_time()
        time.sleep(WINDOW)
        return (time.process_time() - begin) / (seen - events)

    server, url = start(SERVER)
    try:
        with ResponsesClient(url) as client:
            request = client.send_request({"model": "m", "input": "Hi"})
            streams = [request.pipe(ops.repeat()).subscribe(count) for _ in range(STREAMS)]
            time.sleep(WINDOW)  # all of them have begun
            alone, more = [], []
            for _ in range(ROUNDS):
                alone.append(cost())
                with serve_inspector(client, announce=False) as inspector:
                    base = inspector.url.removeprefix("http://")
                    page, _ = start(PAGE, f"ws://{base}events", f"http://{base.partition('/')[0]}")
                    more.append(cost() - alone[-1])
                    page.kill()
                    page.communicate()
            for stream in streams:
                stream.dispose()
    finally:
        server.communicate("")
    share = statistics.median(more) * STREAMS / PAUSE
    without = statistics.median(alone) * STREAMS / PAUSE
    print(json.dumps({"share of a core": round(share, 4), "of the streams alone": round(without, 4)}))
    assert share < SHARE
