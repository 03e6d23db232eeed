"""What an error shows of the input that the server waits for; `wire/` has the class."""

from __future__ import annotations

from typing import Protocol


class RequiredInput(Protocol):
    """A stub of an input item that the server waits for: an interface, which `SteerRequiredInput` fulfils."""

    @property
    def type(self) -> str:
        """The type of the input item."""

    @property
    def call_id(self) -> str | None:
        """The id of the call that the item answers."""

    @property
    def name(self) -> str | None:
        """The name of the function that was called."""

    @property
    def execution(self) -> str | None:
        """Whether the server or the client executes the call, for calls that both can execute."""

    @property
    def approval_request_id(self) -> str | None:
        """The id of the approval request that the item answers."""
