"""The branches of a chat: conversations by name, of which one goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_FIRST = "main"


class BranchError(Exception):
    """There is no branch of this name, or there is one already."""


class Branches(Generic[T]):
    """The conversations of a chat.  The first is called `main`."""

    def __init__(self, first: T) -> None:
        self._conversations = {_FIRST: first}
        self.name = _FIRST
        """The branch that goes on."""

    @property
    def names(self) -> list[str]:
        """The names, in the order in which the branches came."""
        return list(self._conversations)

    @property
    def current(self) -> T:
        """The conversation that goes on."""
        return self._conversations[self.name]

    def add(self, name: str, make: Callable[[], T]) -> None:
        """Add a branch and go to it; `make` is not called if there is one of this name already."""
        if not name or any(character.isspace() for character in name):
            raise BranchError("the name of a branch is one word")
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
        """Return a name that no branch has: the wish as one word, with a number if that is taken."""
        wish = "-".join(wish.split()) or "branch"
        name, number = wish, 2
        while name in self._conversations:
            name, number = f"{wish}-{number}", number + 1
        return name
