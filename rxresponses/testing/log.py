"""The log of a server: what it receives, and what becomes of each request, as lines of JSON."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from ..redaction import display, shortened, shown_data, terminal_json
from .journal import Exchange, Received, Upgrade
from .jsontext import JSON, encode

_LOGGER = logging.getLogger("rxresponses.testing")
_LONGEST = 20_000  # characters of a message; of a longer one, the begin and the end are shown as a text
_KEPT_END = 2_000  # characters


class ServerLog:
    """Writes a line for each connection, for each message of a client, and for the outcome of each request.

    A line is a JSON object with `time`, `event` and `connection`, and with more fields by its `event`:

    - `connection`: `path`, and the HTTP `status` of the answer, 101 if the connection was opened;
    - `request`: `request`, the number of the request, and its `message`;
    - `outcome`: `request`, `outcome`, `response_id`, how many `events` were sent, `seconds` since the request came,
      and, if there are any, the `error` and the `faults`;
    - `message`: another `message` of the client, such as `response.steer`, or the `size` of one that is not JSON.

    No credential is shown, neither of the handshake nor of tools, and no character that would control a terminal.

    Args:
        write: called with each line, without a line break, on the thread of the server.  If it raises an exception,
            nothing more is logged.
        clock: the wall time in seconds.
    """

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.time) -> None:
        self._write: Callable[[str], object] | None = write
        self._clock = clock

    def connection(self, upgrade: Upgrade) -> None:
        """Log an answered attempt to open a connection."""
        self._line("connection", upgrade.connection, path=display(upgrade.path), status=upgrade.status)

    def request(self, exchange: Exchange) -> None:
        """Log a request that has arrived."""
        self._line("request", exchange.connection, request=exchange.number, **_shown(exchange.message))

    def message(self, received: Received) -> None:
        """Log a frame that is no request."""
        message = received.message
        if not (isinstance(message, dict) and message.get("type") == "response.create"):
            shown = {"size": len(received.frame)} if message is None else _shown(message)
            self._line("message", received.connection, **shown)

    def outcome(self, exchange: Exchange, now: float) -> None:
        """Log how a request has ended, at the time `now` of the clock of `Exchange.received`."""
        fields: JSON = {
            "request": exchange.number,
            "outcome": exchange.outcome,
            "response_id": exchange.response_id,
            "events": exchange.events,
            "seconds": round(now - exchange.received, 3),
        }
        if exchange.error is not None:
            fields["error"] = exchange.error
        if exchange.faults:
            fields["faults"] = [type(fault).__name__ for fault in exchange.faults]
        self._line("outcome", exchange.connection, **fields)

    def _line(self, event: str, connection: int, **fields: Any) -> None:
        if self._write is None:
            return
        now = datetime.fromtimestamp(self._clock(), timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": now.replace("+00:00", "Z"), "event": event, "connection": connection, **fields}
        try:
            self._write(terminal_json(encode(line)).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
        except Exception:  # for example a full disk, which must not stop the server
            self._write = None
            _LOGGER.error("The log of the embedded server cannot be written, and ends here", exc_info=True)


def _shown(message: Any) -> JSON:
    shown = shown_data(message)
    text = encode(shown)
    return {"message": shown if len(text) <= _LONGEST else shortened(text, _LONGEST, _KEPT_END)}
