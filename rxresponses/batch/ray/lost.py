"""The errors of lost processes."""

from __future__ import annotations

from ...errors import ConfigurationError, RequestError


class WorkerLostError(RequestError):
    """Several workers were lost while they had the line; nobody knows whether the server has the request."""


class GateLostError(ConfigurationError, RequestError):
    """The process with the shared limits and budget has ended.

    What was spent is not known any more, so nothing more is sent.
    """

    def __init__(self, reason: str) -> None:
        RequestError.__init__(
            self,
            f"the process with the shared limits and budget has ended ({reason}), and with it what was spent so far; "
            "nothing more is sent: start a new gate to go on",
            delivery="not_sent",
        )
