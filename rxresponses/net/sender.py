"""`Sender`: the interface of a socket, a lane, a client, or an object of the program that sends requests itself."""

from __future__ import annotations

from typing import Any, Protocol

from reactivex import Observable

from ..errors import ConfigurationError
from ..wire.events.base import ServerEvent


class Sender(Protocol):
    """An object with `send_request`: a socket, a lane, a client, what `traced` returns, or an object of your own.

    Conversations, runs of tools, batches and traces take any sender.
    """

    def send_request(self, request: Any, /) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends the request once.

        The request is a `ResponseCreate` or a mapping with its fields.  `stream_id` in the request names the lane.
        """


def not_a_sender(sender: object) -> str | None:
    """Return what an object is that is no sender, `None` for a sender."""
    if isinstance(sender, type):
        return f"the class {sender.__name__}"
    return None if callable(getattr(sender, "send_request", None)) else type(sender).__name__


def check_sender(sender: object) -> None:
    """Raise `ConfigurationError` for an object that is no sender, such as a URL."""
    if (what := not_a_sender(sender)) is not None:
        raise ConfigurationError(
            f"a sender is a socket, a client, a lane, or another object with `send_request`, not {what}"
        )
