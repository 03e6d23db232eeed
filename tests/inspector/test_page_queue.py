"""What a page gets next."""

from __future__ import annotations

import asyncio

from rxresponses.inspector.page_queue import PageQueue


class Snapshots:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> bytes:
        self.count += 1
        return b"snapshot %d" % self.count


def test_a_page_gets_a_snapshot_and_then_the_updates() -> None:
    async def main() -> None:
        queue = PageQueue(Snapshots())
        queue.put(b"before")  # is in the snapshot
        assert await queue.next() == b"snapshot 1"
        queue.put(b"one")
        queue.put(b"two")
        assert [await queue.next(), await queue.next()] == [b"one", b"two"]

    asyncio.run(main())


def test_a_page_waits_for_an_update() -> None:
    async def main() -> None:
        queue = PageQueue(Snapshots())
        await queue.next()
        waiting = asyncio.ensure_future(queue.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.put(b"one")
        assert await waiting == b"one"

    asyncio.run(main())


def test_a_page_that_lags_gets_a_snapshot_in_place_of_the_updates() -> None:
    async def main() -> None:
        snapshots = Snapshots()
        queue = PageQueue(snapshots)
        await queue.next()
        for _ in range(10):
            queue.put(bytes(2**20))
        assert queue._size == 0
        assert snapshots.count == 1  # it is made when the page wants it, not before
        assert await queue.next() == b"snapshot 2"
        queue.put(b"one")
        assert await queue.next() == b"one"

    asyncio.run(main())


def test_many_small_updates_are_dropped_too() -> None:
    async def main() -> None:
        queue = PageQueue(Snapshots())
        await queue.next()
        for _ in range(100):
            queue.put(b"x")
        assert len(queue._messages) == 0
        assert await queue.next() == b"snapshot 2"

    asyncio.run(main())
