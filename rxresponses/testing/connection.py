"""The server's end of one WebSocket connection: it moves frames between the WebSocket and the session."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.exceptions import ConnectionClosed

from .journal import Journal, Received
from .replies import Close, Expire, Inject, Stall
from .session import Session
from .websocket import BoundedWebSocket

_ABORT = 1006  # a close code that is never sent: clients report it if there was no closing handshake
_STEPS_AT_ONCE = 32  # steps of the session before the loop runs other tasks, among them that which receives frames


class AcceptedConnection:
    """One open connection.  All methods must be called on the loop of the server.

    Args:
        number: the number of the connection on the server, counted from 1.
        websocket: the WebSocket.
        session: the rules of the connection.
        journal: records the frames.
    """

    def __init__(self, number: int, websocket: BoundedWebSocket, session: Session, journal: Journal) -> None:
        self.number = number
        self._websocket = websocket
        self._session = session
        self._journal = journal
        self._changed = asyncio.Event()  # whether the session may have something to send
        self._closed = False
        self._sending = 0  # bytes that the session has given and that may not be sent yet

    async def run(self) -> None:
        """Receive and send frames until the connection is closed."""
        await asyncio.gather(self._receive(), self._send())

    def end(self) -> None:
        """Record the requests that have not ended as lost."""
        self._session.end()

    def wake(self) -> None:
        """Let the connection ask its session what to send."""
        self._changed.set()

    def intervene(self, intervention: Stall | Inject | Expire) -> None:
        """Let an intervention happen to the connection now.  Its `after` is ignored."""
        self._session.intervene(intervention)
        self._changed.set()

    async def close(self, close: Close) -> None:
        """Close the connection now, without sending first what is due."""
        if close.code == _ABORT:
            self._websocket.abort()
        else:
            await self._websocket.close(close.code, close.reason)

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    frame = await self._websocket.recv()
                    self._session.receive(frame, loop.time())
                    self._journal.add_frame(Received(self.number, frame))
                    self._websocket.set_pending(self._sending + self._session.size)
                    self._changed.set()
        finally:
            self._closed = True
            self._changed.set()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        steps = 0
        with contextlib.suppress(ConnectionClosed):
            while not self._closed:
                self._changed.clear()
                outputs = self._session.step(loop.time())
                self._sending = sum(len(output) for output in outputs if isinstance(output, (str, bytes)))
                for output in outputs:
                    if isinstance(output, Close):
                        await self.close(output)
                        return
                    if isinstance(output, Stall):
                        if not output.pongs:
                            self._websocket.stall()
                    else:
                        await self._websocket.send(output)
                due = self._session.due(loop.time())
                if due is not None and due <= loop.time():
                    steps += 1
                    if steps % _STEPS_AT_ONCE == 0:
                        await asyncio.sleep(0)  # `send` alone need not let other tasks run
                else:
                    timer = loop.call_at(due, self._changed.set) if due is not None else None
                    await self._changed.wait()
                    if timer is not None:
                        timer.cancel()
