"""This library: each event typed, routed, and sent through a pipeline.

python -m tests.benchmarks.suite.peers.blast_rxresponses URL DELTAS RESPONSES [PIPELINE [LOOP]] [compressed]
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

from reactivex import Observable
from reactivex import operators as ops

from rxresponses import ConnectionOptions, ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from tests.support.certificates import VALID, trusting

from ..orders import Order
from .rates import Clock, shown


def pipeline(name: str, clock: Clock) -> list[Any]:
    """Return the operators; the clock ticks for each event, or for each text."""
    if name == "text_deltas":
        return [rops.text_deltas(), ops.do_action(clock.tick)]
    if name == "accumulate_text":
        return [rops.timeout_on_terminal(30), rops.accumulate_text(), ops.do_action(clock.tick)]
    assert name == "three operators"
    return [
        ops.do_action(clock.tick),
        rops.filter_by_type("response.output_text.delta"),
        ops.map(lambda event: event.delta),
    ]


class Program:
    def __init__(self, url: str, deltas: int, name: str = "three operators") -> None:
        tls = trusting(VALID) if url.startswith("wss:") else None
        options = ConnectionOptions(ssl=tls, compression="compressed" in sys.argv)
        self.socket = ResponsesWebSocket(url, api_key="bench", options=options)
        self.clocks: list[Clock] = []
        self._deltas = deltas
        self._name = name

    def answer(self) -> Observable[Any]:
        self.clocks.append(Clock())
        events = self.socket.send_request(ResponseCreate(model="bench", input=str(Order(self._deltas))))
        return events.pipe(*pipeline(self._name, self.clocks[-1]))

    def stop(self) -> None:
        """Stop the clock of a response that has just ended."""
        self.clocks[-1].stop(self._deltas + (2 if self._name == "three operators" else 0))


def main(url: str, deltas: int, responses: int, name: str = "three operators", loop: str = "thread") -> None:
    async def run() -> Program:
        program = Program(url, deltas, name)
        async with program.socket:
            for _ in range(responses):
                await program.answer()
                program.stop()
        return program

    if loop == "thread":
        program = Program(url, deltas, name)
        with program.socket:
            for _ in range(responses):
                program.answer().run()
                program.stop()
    else:
        program = (importlib.import_module("uvloop") if loop == "uvloop" else asyncio).run(run())
    print(shown(program.clocks))


if __name__ == "__main__":
    url, deltas, responses, *words = sys.argv[1:]
    main(url, int(deltas), int(responses), *(word for word in words if word != "compressed"))
