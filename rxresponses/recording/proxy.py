"""`RecordingProxy`: a server on this machine that passes all on to a service, and records it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
from collections import deque
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from ..known_secrets import Secrets, handshake_secrets, tool_secrets
from ..net.endpoint import endpoint
from ..raised import named_text
from ..wire.events.base import TERMINAL_TYPES
from .recorder import Recorder
from .tape import Ended, Sent, State, Tape, Undecodable

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

# Headers of one connection that mean nothing on the other.
_OF_THE_CONNECTION = frozenset({"host", "connection", "upgrade", "user-agent", "content-length", "transfer-encoding"})

_NEVER_SENT = (1005, 1015)  # codes of closes without a code


class RecordingProxy:
    """A context manager: inside of it, clients that connect to `url` talk to the service at `upstream`.

    It runs on a thread of its own.  Credentials come from the clients, go to the service, and are hidden in the
    recording.  `upstream` is the base URL of the service, `None` for the official one.
    """

    def __init__(self, upstream: str | None, recorder: Recorder) -> None:
        self._upstream = upstream
        self._recorder = recorder
        self._started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepted: dict[ServerConnection, tuple[ClientConnection, _RecordedConnection]] = {}
        self._thread = threading.Thread(target=self._run, name="rxresponses recording proxy", daemon=True)

    def __enter__(self) -> Self:
        endpoint(self._upstream)  # raises for what is no URL
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # a second call: the loop is closed
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self._started.result()}/v1"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                self._started.set_exception(error)  # it could not start

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"max_size": None, "ping_interval": None, "close_timeout": 1}
        async with serve(self._handle, "127.0.0.1", 0, process_request=self._connect, **options) as server:
            self._started.set_result(next(iter(server.sockets)).getsockname()[1])
            await self._stop.wait()

    async def _connect(self, client: ServerConnection, request: Request) -> Response | None:
        """Connect to the service before the client's handshake is answered; a refusal goes to the client."""
        model = dict(parse_qsl(urlsplit(request.path).query)).get("model")
        url = endpoint(self._upstream, model)
        headers = [
            (name, value)
            for name, value in request.headers.raw_items()
            if name.lower() not in _OF_THE_CONNECTION and not name.lower().startswith("sec-websocket-")
        ]
        secrets = Secrets(handshake_secrets(dict(headers), url))
        tape = self._recorder.add(Tape(self._recorder.next_connection(), secrets))
        tape.note(State("connecting"))
        try:
            service = await connect(url, additional_headers=headers, max_size=None, ping_interval=None, close_timeout=1)
        except InvalidStatus as refused:
            tape.note(State("closed", None, f"HTTP {refused.response.status_code}"))
            kept = ("retry-after", "content-type", "x-request-id")
            answer = client.respond(HTTPStatus(refused.response.status_code), "")
            answer.body = bytes(refused.response.body or b"")
            del answer.headers["Content-Length"]
            del answer.headers["Content-Type"]
            answer.headers["Content-Length"] = str(len(answer.body))
            for name, value in refused.response.headers.raw_items():
                if name.lower() in kept:
                    answer.headers[name] = value
            return answer
        except Exception as error:
            text = secrets.hide(f"no connection to the service: {named_text(error)}")
            tape.note(State("closed", None, text))
            return client.respond(HTTPStatus.BAD_GATEWAY, f"{text}\n")
        tape.note(State("open"))
        self._accepted[client] = service, _RecordedConnection(tape)
        return None

    async def _handle(self, client: ServerConnection) -> None:
        service, recorded = self._accepted.pop(client)
        up = asyncio.create_task(_pass_on(client, service, recorded.sent))
        down = asyncio.create_task(_pass_on(service, client, recorded.received))
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        lost = service.close_code is not None
        ended, other = (service, client) if lost else (client, service)
        recorded.end(ended.close_code or 1006, ended.close_reason or "", lost=lost)
        await _close(other, like=ended)
        await asyncio.wait({up, down})


async def _close(connection: ClientConnection | ServerConnection, *, like: ClientConnection | ServerConnection) -> None:
    if like.close_code in (None, 1006):
        connection.transport.abort()
    else:
        code = like.close_code if like.close_code not in _NEVER_SENT else 1000
        await connection.close(code or 1000, like.close_reason or "")


async def _pass_on(source: Any, target: Any, note: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in source:
            note(message)
            await target.send(message)


class _Asked:
    """A request on the connection."""

    def __init__(self, stream_id: str | None) -> None:
        self.stream_id = stream_id


class _RecordedConnection:
    """Notes what passes by, and which request each event belongs to."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._waiting: deque[_Asked] = deque()  # those whose response has not ended
        self._owners: dict[str, _Asked] = {}  # by the id of the response

    def sent(self, message: bytes | str) -> None:
        data = _object(message)
        if data is None or isinstance(message, bytes):
            return  # no request
        lane = data.get("stream_id")
        asked = _Asked(lane if isinstance(lane, str) else None)
        self._tape.secrets.add_tokens(tool_secrets(data.get("tools")))
        self._tape.note(Sent(asked, message.encode()))
        if data.get("type") == "response.create":
            self._waiting.append(asked)

    def received(self, message: bytes | str) -> None:
        data = _object(message)
        frame = message if isinstance(message, bytes) else message.encode()
        if data is None or isinstance(message, bytes):
            self._tape.note(Undecodable(frame, isinstance(message, bytes)))
            return
        asked = self._owner(data)
        self._tape.received(asked, frame)
        if asked is not None and asked in self._waiting and data.get("type") in TERMINAL_TYPES:
            self._waiting.remove(asked)
            self._tape.note(Ended(asked, "completed"))

    def _owner(self, data: dict[str, Any]) -> _Asked | None:
        response = data.get("response")
        response_id = response.get("id") if isinstance(response, dict) else None
        if isinstance(response_id, str) and response_id in self._owners:
            return self._owners[response_id]
        lane = data.get("stream_id")
        on_lane = (asked for asked in self._waiting if asked.stream_id == lane)
        # A server without lanes answers the oldest request, whatever its lane.
        asked = next(on_lane, self._waiting[0] if self._waiting and lane is None else None)
        if asked is not None and isinstance(response_id, str):
            self._owners[response_id] = asked
        return asked

    def end(self, code: int, reason: str, *, lost: bool) -> None:
        """Note the end of the connection, which the service has ended if it is `lost`, else the client."""
        self._tape.note(State("closed", code, reason or None))
        message = f"the connection to the service was closed with code {code}"
        error = {"type": "ConnectionLostError", "message": message, "delivery": "started"}
        error_with_code = {**error, "attributes": {"close_code": code}}
        for asked in self._waiting:
            self._tape.note(Ended(asked, "error", error_with_code) if lost else Ended(asked, "disposed"))
        self._tape.is_closed = True


def _object(frame: bytes | str) -> dict[str, Any] | None:
    try:
        data = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
