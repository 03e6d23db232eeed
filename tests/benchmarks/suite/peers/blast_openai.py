"""The official Python client, `client.responses.connect()`.

python -m tests.benchmarks.suite.peers.blast_openai URL DELTAS RESPONSES
"""

from __future__ import annotations

import asyncio
import sys

from openai import AsyncOpenAI

from ..orders import Order
from .rates import Clock, shown


async def main(url: str, deltas: int, responses: int) -> list[Clock]:
    client = AsyncOpenAI(api_key="bench", base_url=url.replace("ws", "http", 1))
    clocks = []
    async with client.responses.connect() as connection:
        for _ in range(responses):
            clock = Clock()
            await connection.send({"type": "response.create", "model": "bench", "input": str(Order(deltas))})
            async for event in connection:
                clock.tick()
                if event.type == "response.completed":
                    break
            clock.stop(deltas + 2)
            clocks.append(clock)
    return clocks


if __name__ == "__main__":
    print(shown(asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:4])))))
