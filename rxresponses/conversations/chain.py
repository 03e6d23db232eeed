"""What a conversation has said so far, and how much of it the next request has to send.

A request that continues the latest response sends its new items only.  It must send everything if the server does not
have that response, or not with this history, or if anything but the input is different from the latest request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from ..errors import DecodeError, InvalidRequestError
from ..wire.models import Response
from ..wire.requests import InputItem, ResponseCreate
from ..wire.requests.input_items import without_unstored_reasoning
from ..wire.requests.sent import plain_json
from .items import ANSWERS, OpenCall, as_input, calls_open_after, is_cut, item_field, item_type
from .settings import OWN_FIELDS, digest_of, digests_of, included, model_of, refuse_own_fields, stores

ENCRYPTED_REASONING = "reasoning.encrypted_content"
"""What `include` asks for, so that a client that stores nothing at the server can send the model's reasoning back."""


class _Piece(NamedTuple):
    """Items that were sent or received together, and all pieces before them.

    A fork shares the pieces of its parent, so a turn costs the memory of its own items only.
    """

    before: _Piece | None
    start: int  # the number of items before
    items: tuple[InputItem, ...]
    is_output: bool = False
    stored: bool = True  # whether the server has stored the items
    cut: bool = False  # whether the response is incomplete

    @property
    def end(self) -> int:
        return self.start + len(self.items)


@dataclass(frozen=True, eq=False, repr=False)
class Chain:
    """A conversation: its items as sent and received, and the response that the next request can continue.

    Chains are immutable and share their items: `after` returns the chain after one more response.  `Chain()` is a
    conversation that has not begun.
    """

    parent_id: str | None = None
    """The response that the next request continues, `None` if the next request has to send everything."""

    root_id: str | None = None
    """The response before the first item, whose history only the server knows; `None` for a whole conversation."""

    stored: bool = True
    """Whether the server has stored the parent, so that any connection can continue it."""

    digests: Mapping[str, str] = field(default_factory=dict)
    """The settings of the latest request, each by its digest."""

    why: str | None = None
    """Why there is no parent, `None` for a conversation that has not begun."""

    unsent: tuple[InputItem, ...] = ()
    """Items that were put behind the history, and that go with the next request."""

    held: tuple[InputItem, ...] = ()
    """Items that the server adds itself when the parent is continued: the input of steers that wait."""

    plain_models: frozenset[str] = frozenset()
    """Models that refused to be asked for encrypted reasoning."""

    open_calls: tuple[OpenCall, ...] = ()
    """The calls that the next request has to answer, unless `unsent` does."""

    response: Response | None = None
    """The latest response, `None` before the first one, and in a chain that was read from JSON."""

    _last: _Piece | None = None
    _lost: int = 0  # the number of items, from the first, of which the server has forgotten what it had stored

    def __repr__(self) -> str:
        return f"<Chain of {len(self)} items, parent {self.parent_id!r}>"

    def __len__(self) -> int:
        """Return the number of items, without those that were not sent."""
        return 0 if self._last is None else self._last.end

    @property
    def items(self) -> tuple[InputItem, ...]:
        """The items of the conversation, oldest first, with those that are still to be sent."""
        return (*self._known(), *self.unsent)

    # The next request.

    def request(self, settings: Mapping[str, Any], new_items: Sequence[InputItem]) -> tuple[ResponseCreate, str | None]:
        """Return the next request, and why it sends everything; `None` if it does not, or if nothing came before.

        `settings` are the fields of the request but for its input.  Raises `InvalidRequestError` for a setting that
        does not belong there, and for a call of the latest response that `new_items` do not answer.
        """
        self._check_answers(new_items)
        reason = self._reason(settings)
        if self.parent_id is None or reason is not None:
            return self.full_request(settings, new_items), reason
        return self._create(settings, [*self.unsent, *new_items], previous_response_id=self.parent_id), None

    def full_request(self, settings: Mapping[str, Any], new_items: Sequence[InputItem]) -> ResponseCreate:
        """Return the next request with everything that the server may be sent again.

        Left out is what a server would refuse: reasoning that it would have to look up where it has stored nothing, and
        the calls at which an incomplete response was cut, which nothing can answer.
        """
        items = [item for piece in self._pieces() for item in self._sendable(piece)]
        root = {} if self.root_id is None else {"previous_response_id": self.root_id}
        return self._create(settings, [*items, *self.held, *self.unsent, *new_items], **root)

    def _create(self, settings: Mapping[str, Any], items: Sequence[InputItem], **fields: Any) -> ResponseCreate:
        refuse_own_fields(settings)
        settings = {name: value for name, value in settings.items() if name not in OWN_FIELDS}
        if self.asks_for_reasoning(settings):
            settings["include"] = [*included(settings), ENCRYPTED_REASONING]
        return ResponseCreate(**settings, input=as_input(items) if items else UNSET, **fields)

    def stored_reasoning(self) -> list[str]:
        """Return the ids of the reasoning in a full request that the server has to look up."""
        items = [item for piece in self._pieces() if piece.is_output for item in self._sendable(piece)]
        readable = {id(item) for item in without_unstored_reasoning(items)}
        return [str(item_id) for item in items if id(item) not in readable and (item_id := item_field(item, "id"))]

    def asks_for_reasoning(self, settings: Mapping[str, Any]) -> bool:
        """Whether requests with these settings ask for encrypted reasoning although their `include` does not."""
        return (
            not stores(settings)
            and model_of(settings) not in self.plain_models
            and ENCRYPTED_REASONING not in included(settings)
        )

    def _reason(self, settings: Mapping[str, Any]) -> str | None:
        if self.parent_id is None:
            return self.why
        digests = digests_of(settings)
        changed = sorted(name for name in digests.keys() | self.digests if digests.get(name) != self.digests.get(name))
        return f"settings have changed: {', '.join(changed)}" if changed else None

    def _check_answers(self, new_items: Sequence[InputItem]) -> None:
        missing = calls_open_after((*self.unsent, *new_items), self.open_calls)
        # Only the server knows the content of an `item_reference`: it may be an output.
        if missing and not any(item_type(item) == "item_reference" for item in new_items):
            needed = ", ".join(f"`{kind}` for {call_id!r}" for kind, call_id in missing[:10])
            count = "the output of 1 call" if len(missing) == 1 else f"the outputs of {len(missing)} calls"
            raise InvalidRequestError(
                f"the conversation waits for {count}, which the input does not have; nothing was sent: add {needed}",
                field="input",
            )

    def _sendable(self, piece: _Piece) -> Sequence[InputItem]:
        if not piece.is_output:
            return piece.items
        items: Sequence[InputItem] = piece.items
        if not piece.stored or piece.end <= self._lost:
            items = without_unstored_reasoning(items)
        if piece.cut:
            items = [item for item in items if not (item_type(item) in ANSWERS and is_cut(item))]
            # A server takes reasoning only together with the item that follows from it.
            while items and item_type(items[-1]) == "reasoning":
                items = items[:-1]
        return items

    # What happened.

    def after(self, settings: Mapping[str, Any], new_items: Sequence[InputItem], response: Response) -> Chain:
        """Return the chain after a request with these settings and items got this response.

        Call it at the terminal event only: an earlier event does not tell whether the response will fail.
        A `compaction` item in the output replaces all items before it.
        """
        stored = stores(settings) and response.store is not False
        sent = (*self.held, *self.unsent, *new_items)
        output: tuple[InputItem, ...] = tuple(response.output)
        cut = response.status == "incomplete"
        begin = max((n for n, item in enumerate(output) if item_type(item) == "compaction"), default=None)
        if begin is None:
            last = _add(_add(self._last, sent, stored=stored), output, is_output=True, stored=stored, cut=cut)
            open_calls = calls_open_after((*sent, *output), self.open_calls)
        else:
            last = _add(None, output[begin:], is_output=True, stored=stored, cut=cut)
            open_calls = calls_open_after(output[begin:])
        return dataclasses.replace(
            self,
            parent_id=response.id or None,
            stored=stored,
            digests=digests_of(settings),
            why=None if response.id else "the server gave the latest response no id",
            unsent=(),
            held=(),
            open_calls=open_calls,
            response=response,
            root_id=self.root_id if begin is None else None,
            _last=last,
            _lost=0 if begin is not None else self._lost,
        )

    def without_parent(self, reason: str) -> Chain:
        """Return the chain after the server has forgotten the parent, and all that it had stored before."""
        return dataclasses.replace(self, parent_id=None, why=reason if self.items else None, _lost=len(self))

    def elsewhere(self, reason: str) -> Chain:
        """Return the chain for another sender, which cannot continue a parent that is not stored."""
        if self.parent_id is None or (self.stored and not self.held):
            return self
        # What is stored stays stored: only the parent is lost.
        return dataclasses.replace(self, parent_id=None, why=reason)

    def without_encrypted_reasoning(self, settings: Mapping[str, Any]) -> Chain:
        """Return the chain after the model of these settings refused to be asked for encrypted reasoning."""
        return dataclasses.replace(self, plain_models=self.plain_models | {model_of(settings)})

    def with_held(self, items: Sequence[InputItem]) -> Chain:
        """Return the chain after the server took the input of a steer, which it adds to the next request itself."""
        return dataclasses.replace(self, held=(*self.held, *items))

    def edited(self, items: Sequence[InputItem]) -> Chain:
        """Return the chain with another history.

        If that begins with all items that the server has, the parent stays, and the items behind them are sent next.
        """
        known = self._known()
        if len(items) >= len(known) and all(map(_is_same, items, known)):
            return dataclasses.replace(self, unsent=tuple(items[len(known) :]))
        origins = {id(item): piece for piece in self._pieces() for item in piece.items if piece.is_output}
        last: _Piece | None = None
        for piece, run in groupby(items, lambda item: origins.get(id(item))):
            last = _add(last, tuple(run), **({} if piece is None else self._marks(piece)))
        return Chain(
            why="the history was edited" if items else None,
            plain_models=self.plain_models,
            open_calls=calls_open_after(items),
            response=self.response,
            _last=last,
        )

    # As JSON.

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, without the secrets of settings."""
        pieces = [{"items": plain_json(piece.items), **self._marks(piece)} for piece in self._pieces()]
        held = plain_json(self.held)
        return {
            "parent_id": self.parent_id,
            "root_id": self.root_id,
            "stored": self.stored,
            "digests": dict(self.digests),
            "why": self.why,
            "unsent": plain_json(self.unsent),
            "held": held,
            "plain_models": sorted(self.plain_models),
            "pieces": pieces,
            "known": digest_of([*(piece["items"] for piece in pieces), held]),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Chain:
        """Return the chain from the data of `to_dict`.

        The parent is lost if it was not stored, or if the items in the data were changed since, which a digest shows.
        Output items are objects again, and input items are plain JSON.  Raises `DecodeError` for any other data.
        """
        try:
            saved = msgspec.convert(data, _Saved)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise DecodeError(f"the data are not the saved chain of a conversation: {error}") from error
        last: _Piece | None = None
        for piece in saved.pieces:
            items = Response.from_dict({"output": piece.items}).output if piece.is_output else piece.items
            last = _add(last, tuple(items), is_output=piece.is_output, stored=piece.stored, cut=piece.cut)
        chain = cls(
            parent_id=saved.parent_id,
            root_id=saved.root_id,
            stored=saved.stored,
            digests=saved.digests,
            why=saved.why,
            unsent=tuple(saved.unsent),
            held=tuple(saved.held),
            plain_models=frozenset(saved.plain_models),
            _last=last,
        )
        chain = dataclasses.replace(chain, open_calls=calls_open_after(chain._known()))
        if chain.parent_id is None:
            return chain
        if saved.known != digest_of([*(piece.items for piece in saved.pieces), saved.held]):
            return dataclasses.replace(chain, parent_id=None, why="the history was edited")
        return chain.elsewhere("the conversation was restored, and its parent is lost")

    def _marks(self, piece: _Piece) -> dict[str, bool]:
        stored = piece.stored and piece.end > self._lost
        return {"is_output": piece.is_output, "stored": stored, "cut": piece.cut}

    def _known(self) -> list[InputItem]:
        """Return the items that the server has."""
        return [*(item for piece in self._pieces() for item in piece.items), *self.held]

    def _pieces(self) -> list[_Piece]:
        pieces = []
        piece = self._last
        while piece is not None:
            pieces.append(piece)
            piece = piece.before
        return pieces[::-1]


class _SavedPiece(msgspec.Struct):
    items: list[dict[str, Any]]
    is_output: bool
    stored: bool
    cut: bool


class _Saved(msgspec.Struct):
    parent_id: str | None
    root_id: str | None
    stored: bool
    digests: dict[str, str]
    why: str | None
    unsent: list[dict[str, Any]]
    held: list[dict[str, Any]]
    plain_models: list[str]
    pieces: list[_SavedPiece]
    known: str


def _add(before: _Piece | None, items: tuple[InputItem, ...], **marks: bool) -> _Piece | None:
    return _Piece(before, 0 if before is None else before.end, items, **marks) if items else before


def _is_same(mine: InputItem, its: InputItem) -> bool:
    return mine is its or plain_json(mine) == plain_json(its)
