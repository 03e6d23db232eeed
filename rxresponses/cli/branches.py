"""The branches of a chat: conversations by name, one of which is the current one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_FIRST = "main"


class BranchError(Exception):
    """A command names a branch that does not exist, or that exists already."""


class Branches(Generic[T]):
    """The conversations of a chat.  The first is called `main`."""

    def __init__(self, first: T) -> None:
        self._conversations = {_FIRST: first}
        self.name = _FIRST
        """The name of the current branch."""

    @property
    def names(self) -> list[str]:
        """The names of the branches, in the order in which they were made."""
        return list(self._conversations)

    @property
    def current(self) -> T:
        """The conversation of the current branch, which gets the next message."""
        return self._conversations[self.name]

    def add(self, name: str, make: Callable[[], T]) -> None:
        """Add a branch and go to it; `make` is not called if there is a branch of this name already."""
        if not name or any(character.isspace() for character in name):
            raise BranchError("the name of a branch must be one word: no branch was made")
        if name in self._conversations:
            raise BranchError(f"there is a branch {name} already: /branch {name} goes there")
        self._conversations[name] = make()
        self.name = name

    def go_to(self, name: str) -> None:
        """Go to another branch."""
        if name not in self._conversations:
            raise BranchError(f"there is no branch {name}; there are: {', '.join(self.names)}")
        self.name = name

    def free_name(self, wish: str = "branch") -> str:
        """Return a name that no branch has: `wish` as one word, with a number if that name is taken."""
        wish = "-".join(wish.split()) or "branch"
        name, number = wish, 2
        while name in self._conversations:
            name, number = f"{wish}-{number}", number + 1
        return name
