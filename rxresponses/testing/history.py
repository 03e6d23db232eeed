"""Which responses a connection can continue, and the ids of responses and items."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from .items import item_tokens
from .jsontext import JSON
from .latest import Latest
from .refusal import RequestError

_ITEMS = 100  # ids that are kept for each response, on average


class IdGenerator:
    """Makes ids in the form of the service.  They are unique on one server."""

    def __init__(self, salt: str | None = None) -> None:
        self._salt = salt if salt is not None else secrets.token_hex(16)
        self._count = 0

    def new(self, prefix: str) -> str:
        """Return the next id, such as `resp_…` for the prefix `resp`."""
        self._count += 1
        return f"{prefix}_{self._salt}{self._count:016x}"


@dataclass(frozen=True)
class EndedResponse:
    """A response that has completed or is incomplete, with the conversation before it."""

    response_id: str
    items: Sequence[JSON]
    """The input items and the output items of this response."""

    parent: EndedResponse | None = None
    """The response that this one continues."""

    own_size: int = 0
    """The size of the items, in bytes of JSON."""

    tokens: int = field(init=False)
    """The size of the whole conversation in tokens."""

    size: int = field(init=False)
    """The size of the whole conversation, in bytes of JSON."""

    def __post_init__(self) -> None:
        tokens, size = (self.parent.tokens, self.parent.size) if self.parent is not None else (0, 0)
        object.__setattr__(self, "tokens", tokens + item_tokens(self.items))
        object.__setattr__(self, "size", size + self.own_size)

    @property
    def conversation(self) -> list[JSON]:
        """The items of the whole conversation, this response included."""
        parts = []
        response: EndedResponse | None = self
        while response is not None:
            parts.append(response.items)
            response = response.parent
        return [item for items in reversed(parts) for item in items]


class StoredResponses(Latest[str, EndedResponse]):
    """The responses with `store: true` by their ids.  All connections of a server share them.

    Args:
        number: how many responses are kept, `None` for any number.
        size: how many bytes all of them together may have, `None` for any size.
    """

    def __init__(self, number: int | None = None, size: int | None = None) -> None:
        super().__init__(number, size)
        self._item_ids: Latest[str, None] = Latest(number * _ITEMS if number is not None else None)

    def add(self, key: str, value: EndedResponse, size: int = 0) -> None:
        """Keep a response, and the ids of its items."""
        super().add(key, value, size)
        for item in value.items:
            if isinstance(item.get("id"), str):
                self._item_ids.add(item["id"], None)

    def has_item(self, item_id: str) -> bool:
        """Return whether the item with this id belongs to a stored response."""
        return item_id in self._item_ids


class ConnectionHistory:
    """The ended responses that one connection knows.

    A response can be continued if it is stored on the server, or if it is held: each lane holds the response
    that ended there last.

    Args:
        stored: the stored responses of the server.
        limit: how many statuses of ended responses are kept, the latest ones; `None` keeps all.
        size: how many bytes of JSON a conversation may have, `None` for any size.
    """

    def __init__(self, stored: StoredResponses, limit: int | None = None, size: int | None = None) -> None:
        self.stored = stored
        self._most = size
        self._held: dict[str | None, EndedResponse] = {}  # by lane
        self._statuses: Latest[str, tuple[str | None, str]] = Latest(limit)  # lane and status by response id

    def load(self, response_id: str, size: int) -> EndedResponse:
        """Return the response to continue with a request of `size` bytes.

        Raises:
            RequestError: `previous_response_not_found`, or `context_length_exceeded`.
        """
        held = (response for response in self._held.values() if response.response_id == response_id)
        response = next(held, None) or self.stored.get(response_id)
        if response is None:
            message = f"Previous response with id '{response_id}' not found."
            raise RequestError(message, code="previous_response_not_found", param="previous_response_id")
        if self._most is not None and response.size + size > self._most:
            message = f"This server keeps conversations of up to {self._most} bytes. Start a new conversation."
            raise RequestError(message, code="context_length_exceeded", param="input")
        return response

    def held(self, lane: str | None) -> EndedResponse:
        """Return the response that `lane` holds."""
        return self._held[lane]

    def status(self, response_id: str) -> tuple[str | None, str]:
        """Return the lane and the status of an ended response, with the status `unknown` if it is not known."""
        return self._statuses.get(response_id) or (None, "unknown")

    def set_status(self, response_id: str, lane: str | None, status: str) -> None:
        """Keep the status with which a response ended."""
        self._statuses.add(response_id, (lane, status))

    def hold(self, lane: str | None, response: EndedResponse, *, store: bool) -> None:
        """Hold a response on its lane, and store it if its request says so."""
        self._held[lane] = response
        if store:
            self.stored.add(response.response_id, response, response.own_size)

    def evict(self, lane: str | None, response_id: object) -> bool:
        """Stop to hold the parent of a continuation that failed on the parent's own lane.

        Returns:
            Whether the parent cannot be continued any more, because it is not stored either.
        """
        held = self._held.get(lane)
        if held is None or held.response_id != response_id:
            return False
        del self._held[lane]
        return held.response_id not in self.stored
