"""Tools, observers and key functions that raise anything, for a while: all requests must end, and all loops go on.

    python -m tests.benchmarks.steady anything [SECONDS]

Programs do this by mistake: a tool calls `sys.exit()`, an observer raises `StopIteration`, a key function fails.  Here
they do it all the time, at once on the background loop and on a loop of the program, with sockets and with clients.  A
request hangs if neither an error nor a completion comes within `BOUND` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any, Literal, Protocol

from reactivex import Observable
from reactivex.abc import ObserverBase

from rxresponses import (
    Backoff,
    ConnectionOptions,
    PoolOptions,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    answer_calls,
)
from rxresponses import operators as rops
from rxresponses.testing import Failure, FunctionCall, ResponsesServer, Text

SECONDS = 300.0
BOUND = 30.0  # seconds; nothing takes that long
WORKERS = 4  # threads that use the background loop, and as many tasks on the program's own loop
OPTIONS = ConnectionOptions(close_timeout=0.5, ping_interval=None)
POOL = PoolOptions(max_connections=2, backoff=Backoff(initial=0.01, max_delay=0.05, max_retries=2))


class Sender(Protocol):
    """A socket or a client."""

    def send_request(self, request: dict[str, Any]) -> Observable[ServerEvent]:
        """Return the events of one response."""

    def close(self) -> None:
        """End all requests."""


class Odd(BaseException):
    """A class that no handler expects."""


class Mute(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Unhashable(ValueError):
    """An exception that is equal to all others, and has no hash."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def deep(depth: int = 0) -> int:
    """Recurse until Python stops it."""
    return deep(depth + 1) + 1


RAISED: list[Callable[[], BaseException]] = [
    lambda: SystemExit(3),
    lambda: SystemExit("good-bye"),
    KeyboardInterrupt,
    lambda: StopIteration("x"),
    StopAsyncIteration,
    GeneratorExit,
    asyncio.CancelledError,
    lambda: RecursionError("too deep"),
    MemoryError,
    Odd,
    Mute,
    Unhashable,
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
    lambda: ValueError("plain"),
]
KEYS: list[Any] = [None, "", 5, "two\nlines", b"bytes"]
PLACES = ["nothing", "tool", "async tool", "awaited tool", "on_next", "on_error", "on_completed", "key", "async key"]


class Book:
    """What was raised where, and how the requests ended."""

    def __init__(self) -> None:
        self.requests = 0
        self.raised: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.hangs: list[str] = []
        self.exits = 0  # that left a loop of the program
        self._lock = threading.Lock()

    def raises(self, place: str, make: Callable[[], BaseException]) -> BaseException:
        """Note what is raised where, and return it."""
        error = make()
        with self._lock:
            self.raised[f"{place}: {type(error).__name__}"] += 1
        return error

    def ends(self, how: str) -> None:
        """Note how a request ended."""
        with self._lock:
            self.requests += 1
            self.ended[how] += 1


class Watcher(ObserverBase[Any]):
    """An observer that raises in one of its methods, and tells when it has got its end."""

    def __init__(self, book: Book, place: str, make: Callable[[], BaseException], ended: Callable[[], None]) -> None:
        self.how = "nothing"
        self._book = book
        self._place = place
        self._make = make
        self._ended = ended

    def on_next(self, value: Any) -> None:
        self._raise("on_next")

    def on_error(self, error: Exception) -> None:
        self.how = type(error).__name__
        self._ended()
        self._raise("on_error")

    def on_completed(self) -> None:
        self.how = "completed"
        self._ended()
        self._raise("on_completed")

    def _raise(self, place: str) -> None:
        if self._place == place:
            raise self._book.raises(place, self._make)


class Trial:
    """One request, and what is to raise in it."""

    def __init__(self, book: Book, url: str, chance: random.Random) -> None:
        self.place = chance.choice(PLACES)
        self.make = chance.choice(RAISED)
        self.is_client = chance.random() < 0.5
        self._book = book
        self._url = url
        self._chance = chance

    def source(self, sender: Sender) -> Observable[Any]:
        """Return the events, or the outputs of the tools."""
        if self.place == "on_error":
            return sender.send_request({"model": "m", "input": "fail"}).pipe(rops.raise_on_failure())
        if "tool" not in self.place:
            return sender.send_request({"model": "m", "input": "hi"})
        ways: tuple[Literal["output"], Literal["raise"]] = ("output", "raise")
        on_error = self._chance.choice(ways)
        return sender.send_request({"model": "m", "input": "tool"}).pipe(
            rops.function_calls(), answer_calls({"boom": self.tool()}, on_error=on_error)
        )

    def tool(self) -> Callable[..., object]:
        """Return the tool that raises."""

        def plain() -> object:
            if self.place == "awaited tool":
                return coroutine()
            raise self._book.raises(self.place, self.make)

        async def coroutine() -> object:
            await asyncio.sleep(0)
            raise self._book.raises(self.place, self.make)

        return coroutine if self.place == "async tool" else plain

    def key(self) -> Callable[[], Any]:
        """Return a key function that fails."""
        odd = self._chance.choice(KEYS) if self._chance.random() < 0.3 else Book

        def plain() -> Any:
            if odd is not Book:
                return odd
            raise self._book.raises(self.place, self.make)

        async def coroutine() -> Any:
            await asyncio.sleep(0)
            return plain()

        return coroutine if self.place == "async key" else plain

    def own_sender(self) -> Sender | None:
        """Return a sender of its own, whose key function fails; `None` where the key is not what fails."""
        if "key" not in self.place:
            return None
        make = ResponsesClient if self.is_client else ResponsesWebSocket
        options: dict[str, Any] = {"pool": POOL} if self.is_client else {}
        return make(self._url, api_key=self.key(), options=OPTIONS, **options)

    def subscribe(self, sender: Sender, ended: Callable[[], None]) -> Watcher:
        """Subscribe; an exit may leave `subscribe` itself."""
        watcher = Watcher(self._book, self.place, self.make, ended)
        try:
            self.source(sender).subscribe(watcher)
        except BaseException as error:
            watcher.how = f"subscribe: {type(error).__name__}"
            ended()
        return watcher

    def over(self, watcher: Watcher, in_time: bool, where: str) -> None:
        """Note the end of the request."""
        if not in_time:
            kind = "client" if self.is_client else "socket"
            self._book.hangs.append(f"{kind} on {where}: {self.place} raises {self.make}")
        self._book.ends(watcher.how if in_time else "hang")


class OnBackgroundLoop:
    """Threads of a program without a loop."""

    def __init__(self, book: Book, url: str, end: float) -> None:
        self._book = book
        self._url = url
        self._end = end
        self.senders = (ResponsesWebSocket(url, options=OPTIONS), ResponsesClient(url, options=OPTIONS, pool=POOL))
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < self._end:
            trial = Trial(self._book, self._url, chance)
            own = trial.own_sender()
            ended = threading.Event()
            watcher = trial.subscribe(own or self.senders[trial.is_client], ended.set)
            trial.over(watcher, ended.wait(BOUND), "the background loop")
            if own is not None:
                own.close()

    def finish(self) -> list[str]:
        """Wait for the threads, and return what both senders still answer."""
        for thread in self._threads:
            thread.join()
        answers = [_answer(sender) for sender in self.senders]
        for sender in self.senders:
            sender.close()
        return answers


def _answer(sender: Sender) -> str:
    texts: SimpleQueue[str] = SimpleQueue()
    events = sender.send_request({"model": "m", "input": "hi"}).pipe(rops.collect_text())
    events.subscribe(texts.put, lambda error: texts.put(type(error).__name__))
    return texts.get(timeout=BOUND)


class OnOwnLoop:
    """A thread with the loop of a program.  An exit leaves the loop, as it does without this library; it runs again."""

    def __init__(self, book: Book, url: str, end: float) -> None:
        self._book = book
        self._url = url
        self._end = end
        self._answers: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> list[str]:
        """Wait for the loop, and return what both senders still answer."""
        self._thread.join()
        return self._answers

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        main = loop.create_task(self._main())
        main.add_done_callback(lambda _: loop.stop())
        while not main.done():
            try:
                loop.run_forever()
            except BaseException:
                self._book.exits += 1
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    async def _main(self) -> None:
        async with (
            ResponsesWebSocket(self._url, options=OPTIONS) as socket,
            ResponsesClient(self._url, options=OPTIONS, pool=POOL) as client,
        ):
            senders = (socket, client)
            workers = [asyncio.ensure_future(self._work(100 + number, senders)) for number in range(WORKERS)]
            await asyncio.wait(workers)
            for sender in senders:
                events = sender.send_request({"model": "m", "input": "hi"})
                self._answers.append(await asyncio.wait_for(_value(events.pipe(rops.collect_text())), BOUND))

    async def _work(self, number: int, senders: tuple[Sender, Sender]) -> None:
        chance = random.Random(number)
        while time.monotonic() < self._end:
            trial = Trial(self._book, self._url, chance)
            own = trial.own_sender()
            ended = asyncio.Event()
            watcher = trial.subscribe(own or senders[trial.is_client], ended.set)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended.wait(), BOUND)
            trial.over(watcher, ended.is_set(), "its own loop")
            if own is not None:
                own.close()
            await asyncio.sleep(0)


async def _value(source: Awaitable[str]) -> str:
    return await source


def anything(seconds: float = SECONDS) -> dict[str, Any]:
    """Run the soak, and return its figures."""
    book = Book()
    logging.disable()  # each exception is logged with its traceback
    unraisable: Counter[str] = Counter()
    sys.unraisablehook = lambda args: unraisable.update([args.exc_type.__name__])
    threading.excepthook = lambda args: unraisable.update([args.exc_type.__name__])
    begin = time.monotonic()
    with ResponsesServer(remember=100) as server:
        server.on("tool", FunctionCall("boom", "{}"))
        server.on("fail", Failure("invalid_prompt"))
        server.on("", Text(deltas=["a", "b", "c"]))
        sides = [side(book, server.url, begin + seconds) for side in (OnBackgroundLoop, OnOwnLoop)]
        for side in sides:
            side.start()
        answers = [answer for side in sides for answer in side.finish()]
    return {
        "kind": "anything",
        "seconds": round(time.monotonic() - begin, 1),
        "requests": book.requests,
        "raised": sum(book.raised.values()),
        "kinds_raised": len(book.raised),
        "by_place": Counter(place.partition(":")[0] for place in book.raised.elements()),
        "ended": book.ended,
        "exits_of_own_loop": book.exits,
        "unraisable": unraisable,
        "hangs": len(book.hangs),
        "hanging": sorted(set(book.hangs))[:10],
        "answers_at_the_end": answers,
    }
