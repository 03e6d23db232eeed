"""The floor: the receive loop of `websockets` and `json.loads`, without types, routing or Rx.

python -m tests.benchmarks.suite.peers.blast_websockets URL DELTAS RESPONSES [asyncio|uvloop] [compressed]
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys

from websockets.asyncio.client import connect

from tests.support.certificates import VALID, trusting

from ..orders import Order
from .rates import Clock, shown


async def main(url: str, deltas: int, responses: int, *, compressed: bool = False) -> list[Clock]:
    tls = trusting(VALID) if url.startswith("wss:") else None
    compression = "deflate" if compressed else None
    request = json.dumps({"type": "response.create", "model": "bench", "input": str(Order(deltas))})
    clocks = []
    async with connect(f"{url}/responses", compression=compression, max_size=None, ssl=tls) as connection:
        for _ in range(responses):
            clock = Clock()
            await connection.send(request)
            async for message in connection:
                event = json.loads(message)
                clock.tick()
                if event["type"] == "response.completed":
                    break
            clock.stop(deltas + 2)
            clocks.append(clock)
    return clocks


if __name__ == "__main__":
    work = main(sys.argv[1], *map(int, sys.argv[2:4]), compressed="compressed" in sys.argv)
    print(shown((importlib.import_module("uvloop") if "uvloop" in sys.argv else asyncio).run(work)))
