"""The ids that a server makes, kept in bounded memory however long they are."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

LONGEST_ID = 1024
"""How many characters of an id are kept.  Ids of real services have 20 to 600."""

_KEPT_BEGIN = 64  # characters of an id that is too long

MOST_CHARACTERS = 2**23
"""How many characters the ids of one `LatestIds` have together: 8,388,608, which is 65,536 ids of 128 characters."""


def id_key(whole: str) -> str:
    """Return an id as it is kept and compared: an id of more than `LONGEST_ID` characters as its begin and its hash."""
    if len(whole) <= LONGEST_ID:
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{whole[:_KEPT_BEGIN]}… (SHA-256 {digest})"


class LatestIds(Generic[T]):
    """The latest ids, each with a value: at most `most` of them, of at most `MOST_CHARACTERS` characters together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, T] = OrderedDict()
        self._characters = 0

    def __contains__(self, response_id: object) -> bool:
        return response_id in self._values

    def __getitem__(self, response_id: str) -> T:
        return self._values[response_id]

    def get(self, response_id: str, default: T) -> T:
        """Return the value of an id, `default` for an id that is not there."""
        return self._values.get(response_id, default)

    def add(self, response_id: str, value: T) -> None:
        """Add an id as the latest one, or give it another value; the oldest ids may have to go."""
        self.discard(response_id)
        self._values[response_id] = value
        self._characters += len(response_id)
        while len(self._values) > self._most or self._characters > MOST_CHARACTERS:
            oldest, _ = self._values.popitem(last=False)
            self._characters -= len(oldest)

    def discard(self, response_id: str) -> None:
        """Remove an id, if it is there."""
        if response_id in self._values:
            del self._values[response_id]
            self._characters -= len(response_id)

    def clear(self) -> None:
        """Remove all ids."""
        self._values.clear()
        self._characters = 0
