"""Use responses in an asyncio program: `await` for the last value, `async for` for all values."""

import asyncio

from reactivex import operators as ops

from rxresponses import ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.testing import url_or_embedded_server


async def main() -> None:
    with url_or_embedded_server() as url:
        # Inside a running loop the socket lives on that loop, without a thread.  Never call `.run()` here.
        async with ResponsesWebSocket(url) as socket:
            greeting = socket.send_request(ResponseCreate(model="gpt-5.2", input="Say hello."))
            print(await greeting.pipe(rops.collect_text()))

            # An Observable is cold: each subscription sends a request.  These two run side by side on two lanes.
            question = ResponseCreate(model="gpt-5.2", input="One word for blue?")
            answers = [socket.lane(name).send_request(question).pipe(rops.collect_text()) for name in ("a", "b")]
            print(await asyncio.gather(*(answer.pipe(ops.to_future()) for answer in answers)))

            # Leaving the `async with` early disposes the request.
            story = socket.send_request(ResponseCreate(model="gpt-5.2", input="Tell a story in one sentence."))
            async with story.pipe(rops.text_deltas(), rops.to_async_iterable()) as pieces:
                async for piece in pieces:
                    print(piece, end="", flush=True)
            print()


if __name__ == "__main__":
    asyncio.run(main())
