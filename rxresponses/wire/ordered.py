"""Members in order, of which few change from one event to the next."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
Key: TypeAlias = "tuple[int, int | Fraction]"
"""The place of a part in its list: the index that its events have and 0, or a place behind such an index."""


class Ordered(Generic[T]):
    """Members in the order of their keys, with the object and the text that each of them is built to.

    A response may have thousands of items, and an item thousands of parts.  An event that changes one of them must not
    take a step in Python for each of the others.  So what is built from a member is kept until `touch` says that the
    member changes.  A member that `build` makes `None` of is left out.
    """

    __slots__ = (
        *("_absent", "_build", "_built", "_changed", "_joined", "_joined_count", "_keys"),
        *("_members", "_text_changed", "_text_of", "_texts"),
    )

    def __init__(self, build: Callable[[T], Any], text_of: Callable[[T], str]) -> None:
        self._build = build
        self._text_of = text_of
        self._keys: list[Key] = []  # in order; the next two lists have an entry for each
        self._built: list[Any] = []
        self._texts: list[str] = []
        self._absent = 0  # entries of `_built` that are `None`
        self._members: dict[Key, T] = {}
        self._changed: dict[Key, None] = {}  # since `_built` was brought up to date
        self._text_changed: dict[Key, None] = {}  # since `_texts` was
        self._joined = ""  # the first `_joined_count` texts
        self._joined_count = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[T]:
        return (self._members[key] for key in self._keys)

    def __reversed__(self) -> Iterator[T]:
        return (self._members[key] for key in reversed(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def keys(self) -> list[Key]:
        """Return the keys in order."""
        return self._keys.copy()

    def get(self, key: Key) -> T | None:
        """Return the member with a key."""
        return self._members.get(key)

    def add(self, key: Key, member: T) -> None:
        """Add a member with a new key."""
        place = len(self._keys) if not self._keys or key > self._keys[-1] else bisect_left(self._keys, key)
        self._keys.insert(place, key)
        self._built.insert(place, None)
        self._texts.insert(place, "")
        self._absent += 1
        self._members[key] = member
        self._forget_joined(place)
        self.touch(key)

    def remove(self, key: Key) -> None:
        """Remove a member."""
        place = self._place(key)
        self._absent -= self._built[place] is None
        self._forget_joined(place - 1)  # the last text is never in it
        del self._keys[place], self._built[place], self._texts[place], self._members[key]
        self._changed.pop(key, None)
        self._text_changed.pop(key, None)

    def touch(self, key: Key) -> None:
        """Note that a member changes now."""
        self._changed[key] = self._text_changed[key] = None

    def touch_all(self) -> None:
        """Note that any member may change now."""
        for key in self._keys:
            self.touch(key)

    @property
    def count(self) -> int:
        """How many members are not left out."""
        self._bring_up_to_date()
        return len(self._keys) - self._absent

    def built(self) -> list[Any]:
        """Return what is built from the members, in order, as a new list."""
        self._bring_up_to_date()
        return [one for one in self._built if one is not None] if self._absent else self._built.copy()

    def text(self) -> str:
        """Return the texts of the members, in order, as one."""
        for key in self._text_changed:
            place = self._place(key)
            self._forget_joined(place)
            self._texts[place] = self._text_of(self._members[key])
        self._text_changed.clear()
        last = len(self._texts) - 1
        if last < 0:
            return ""
        if self._joined_count < last:
            self._joined += "".join(self._texts[self._joined_count : last])
            self._joined_count = last
        return self._joined + self._texts[last]

    def _bring_up_to_date(self) -> None:
        for key in self._changed:
            place = self._place(key)
            one = self._build(self._members[key])
            self._absent += (one is None) - (self._built[place] is None)
            self._built[place] = one
        self._changed.clear()

    def _place(self, key: Key) -> int:
        return len(self._keys) - 1 if key == self._keys[-1] else bisect_left(self._keys, key)

    def _forget_joined(self, place: int) -> None:
        if place < self._joined_count:
            self._joined, self._joined_count = "", 0
