"""A real WebSocket server that answers as the model in `server_habits` says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from .server_habits import JSON, Answer, Habits, tagged


@dataclass
class Case:
    """What the server does in one example.

    `answers` are those of the requests, by number.  `lanes` are the lanes of the requests, if the test chooses them.
    `at_first` is the number of requests that the server waits for before it answers.  `trace` is what it received and
    sent, for people.
    """

    habits: Habits
    answers: list[Answer]
    seed: int
    lanes: list[str | None] = field(default_factory=list)
    at_first: int = 1
    trace: list[str] = field(default_factory=list)
    received: set[int] = field(default_factory=set)


class ModelServer:
    """A server on the running loop; `case` is what it does now."""

    def __init__(self) -> None:
        self.url = ""
        self.case: Case

    async def handle(self, connection: ServerConnection) -> None:
        """Serve a connection as the case of its beginning says."""
        session = _Session(self.case, connection)
        speaker = asyncio.ensure_future(session.speak())
        with contextlib.suppress(ConnectionClosed):
            await session.listen()
        speaker.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await speaker


class _Session:
    """One connection: answers side by side where the server has lanes, else one by one."""

    def __init__(self, case: Case, connection: ServerConnection) -> None:
        self.case = case
        self.connection = connection
        self.queues: defaultdict[str | None, deque[Answer]] = defaultdict(deque)
        self.lanes: dict[int, str | None] = {}  # of the answers
        self.random = random.Random(case.seed)
        self.arrived = asyncio.Event()

    async def listen(self) -> None:
        """Take requests."""
        async for message in self.connection:
            request = json.loads(message)
            number, lane = int(request["input"]), request.get("stream_id")
            self.case.received.add(number)
            self.case.trace.append(f"> request {number} on {lane}")
            self.lanes[number] = lane
            answer = replace(self.case.answers[number])
            self.queues[lane if self.case.habits.echoes else None].append(answer)
            self.arrived.set()

    async def until_arrived(self, count: int) -> None:
        """Wait until so many requests have come on this connection."""
        while len(self.lanes) < count:
            self.arrived.clear()
            await self.arrived.wait()

    async def speak(self) -> None:
        """Send one frame after another, of any answer that may speak."""
        await self.until_arrived(self.case.at_first)
        while True:
            while not (running := [queue for queue in self.queues.values() if queue]):
                await self.until_arrived(len(self.lanes) + 1)
            queue = self.random.choice(running)
            answer = queue[0]
            if answer.sent < len(answer.frames):
                await self.send(answer, answer.frames[answer.sent])
                answer.sent += 1
            elif answer.close is not None:
                code, reason = answer.close
                self.case.trace.append(f"< close {code} {reason}")
                await self.connection.close(code, reason)
                return
            if answer.sent == len(answer.frames) and answer.close is None:
                queue.popleft()
                await self.ended(answer)
            if self.random.random() < 0.5:
                await asyncio.sleep(0)  # a request may arrive

    async def send(self, answer: Answer, frame: JSON | str) -> None:
        """Send a frame on the lane of an answer."""
        text = tagged(frame, self.lanes[answer.number], echoes=self.case.habits.echoes)
        self.case.trace.append(f"< {answer.number}: {text}")
        await self.connection.send(text)

    async def ended(self, answer: Answer) -> None:
        """Send the late events of an ended response: at once, or when the next request is here."""
        lane = self.lanes[answer.number]
        follows = self.case.lanes.count(lane) > list(self.lanes.values()).count(lane)
        follows = follows if self.case.at_first > 1 else len(self.lanes) < len(self.case.lanes)
        may_wait = self.case.at_first > 1 or not any(self.queues.values())
        if follows and may_wait and self.random.random() < 0.5:
            await self.until_arrived(len(self.lanes) + 1)
        for stray in answer.strays:
            await self.send(answer, stray)


@contextlib.asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """Run a server on the running loop."""
    model = ModelServer()
    async with serve(model.handle, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1, compression=None) as server:
        model.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1"
        yield model
