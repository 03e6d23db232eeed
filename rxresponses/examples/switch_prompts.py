"""Cancel the running answer when a new prompt comes, as a search box does while its user types."""

import asyncio
from itertools import cycle

import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxresponses import ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server

TYPED = ["Why is", "Why is the sky", "Why is the sky blue?"]
PAUSE = 0.25  # seconds between two prompts: too short for an answer


async def main() -> None:
    with url_or_embedded_server() as url:
        async with ResponsesWebSocket(url) as socket:
            # A cancelled response runs to its end at the server and keeps its lane until then, so the next prompt
            # takes another lane.
            lanes = cycle([socket.lane(name) for name in ("a", "b", "c")])

            def ask(number: int) -> Observable[str]:
                print(f"> {TYPED[number]}")
                request = ResponseCreate(model="gpt-5.2", input=TYPED[number])
                return next(lanes).send_request(request).pipe(rops.accumulate_text())

            # The keyboard and the socket share one loop, so no text of an old answer comes after the next prompt.
            keyboard = AsyncIOScheduler(asyncio.get_running_loop())
            await reactivex.interval(PAUSE, keyboard).pipe(
                ops.take(len(TYPED)),
                ops.map(ask),
                ops.switch_latest(),
                ops.do_action(print),
            )


if __name__ == "__main__":
    asyncio.run(main())
