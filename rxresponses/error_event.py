"""What an error shows of the event that it was made of; `wire/` has the classes of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class ErrorEvent(Protocol):
    """The event of an error: an interface, which `ServerEvent` fulfils.

    `isinstance(error.event, ResponseErrorEvent)` tells which event it is, also to a type checker.
    """

    @property
    def type(self) -> str:
        """The type of the event, such as `response.failed`."""

    @property
    def stream_id(self) -> str | None:
        """The name of the lane, `None` for the default lane."""

    @property
    def raw(self) -> bytes | str | None:
        """The frame as received, `None` for an event that was built by hand."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """The fields that the class of the event does not have."""

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return the event as plain JSON data."""
