"""Ended responses that can be continued, and the ids of everything."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from .items import item_tokens
from .wire import JSON


class Ids:
    """Ids in the form of the service, unique for one server."""

    def __init__(self, salt: str | None = None) -> None:
        self._salt = salt if salt is not None else secrets.token_hex(16)
        self._count = 0

    def new(self, prefix: str) -> str:
        """Return the next id, such as `resp_…` for the prefix `resp`."""
        self._count += 1
        return f"{prefix}_{self._salt}{self._count:016x}"


@dataclass(frozen=True)
class Turn:
    """One response that has ended, with what came before it."""

    response_id: str
    items: Sequence[JSON]
    """Its input and its output."""

    parent: Turn | None = None
    tokens: int = field(init=False)
    """The size of the whole conversation."""

    def __post_init__(self) -> None:
        before = self.parent.tokens if self.parent is not None else 0
        object.__setattr__(self, "tokens", before + item_tokens(self.items))

    @property
    def history(self) -> list[JSON]:
        """The items of the whole conversation."""
        turns = []
        turn: Turn | None = self
        while turn is not None:
            turns.append(turn.items)
            turn = turn.parent
        return [item for items in reversed(turns) for item in items]


Storage = dict[str, Turn]
"""Responses with `store: true` by id, common to the connections of one server."""
