"""A mapping that keeps its latest entries, up to a number and up to a size in bytes."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Latest(Generic[K, V]):
    """Keeps the entries that were added last.

    Args:
        number: how many entries are kept, `None` for any number.
        size: how many bytes all entries together may have, `None` for any size.  The latest entry is always kept.
    """

    def __init__(self, number: int | None = None, size: int | None = None) -> None:
        self._number = number
        self._most = size
        self._size = 0  # bytes
        self._entries: dict[K, tuple[V, int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def values(self) -> list[V]:
        """Return the values, oldest first."""
        return [value for value, _ in self._entries.values()]

    def get(self, key: K) -> V | None:
        """Return the value of `key`, `None` if there is none."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None else None

    def add(self, key: K, value: V, size: int = 0) -> None:
        """Keep a value of `size` bytes, in place of an earlier value of `key`, and forget what is too old for that."""
        if key in self._entries:
            self._size -= self._entries.pop(key)[1]
        self._entries[key] = (value, size)
        self._size += size
        while self._is_full():
            oldest = next(iter(self._entries))
            self._size -= self._entries.pop(oldest)[1]

    def _is_full(self) -> bool:
        if self._number is not None and len(self._entries) > self._number:
            return True
        return self._most is not None and self._size > self._most and len(self._entries) > 1
