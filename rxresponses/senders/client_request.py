"""Requests and steers of a client: what was asked for, and how far it has come."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import TypeAlias

from msgspec import UNSET
from reactivex.abc import ObserverBase

from ..errors import Delivery, InvalidRequestError, ObserverExitError, PreviousResponseLostError
from ..limits.admission import Admission
from ..limits.estimate import RequestSize, text_bytes
from ..net.connection import Connection
from ..net.request import ConnectionRequest, ConnectionSteer
from ..net.timing import Timings
from ..pool.lanes import PoolRequest
from ..raised import text_of
from ..wire.events.base import ServerEvent
from ..wire.ids import id_key
from ..wire.requests import InputItem, ResponseCreate, user_message
from ..wire.requests.create import on_lane
from ..wire.requests.input_items import without_unstored_reasoning
from .client_admission import priced_size
from .request_fields import request_fields

History: TypeAlias = "Sequence[InputItem] | Callable[[], Sequence[InputItem]]"
"""The items of a conversation so far, or a function that returns them."""


class ClientRequest(PoolRequest):
    """A request of one subscription on its way through a client."""

    __slots__ = ("cancelled", "connection_request", "create", "frame", "history", "observer", "timings")

    def __init__(
        self,
        create: ResponseCreate,
        frame: bytes,
        observer: ObserverBase[ServerEvent],
        *,
        stream_id: str | None = None,
        parent_id: str | None = None,
        stores: bool = True,
        route: str | None = None,
        answered_calls: frozenset[str] | None = None,
        history: History | None = None,
        size: RequestSize | None = None,
    ) -> None:
        super().__init__(
            stream_id=stream_id,
            parent_id=parent_id,
            stores=stores,
            route=route,
            answered_calls=answered_calls,
            has_history=history is not None,
            size=size,
        )
        self.create = create
        self.frame = frame  # without `stream_id`
        self.history = history
        self.observer = observer
        self.cancelled = False  # disposed, or its observer has got an error
        self.timings: Timings | None = None
        self.connection_request: ConnectionRequest | None = None  # of the latest try

    @property
    def delivery(self) -> Delivery:
        """How much of the request the server can have seen."""
        return "not_sent" if self.connection_request is None else self.connection_request.delivery

    @property
    def response_id(self) -> str | None:
        """The id of the response, once it is known."""
        return None if self.connection_request is None else self.connection_request.response_id

    def take_back(self) -> None:
        """Note that the request is on no connection any more, and waits for its next try."""
        self.connection_request = None
        if self.timings is not None:
            self.timings.mark_unsent()


class ClientSteer:
    """A steer of one subscription on its way through a client."""

    __slots__ = (
        *("cancelled", "connection", "connection_steer", "frame", "observer", "stream_id", "target_id", "timings"),
    )

    def __init__(self, frame: bytes, target_id: str, observer: ObserverBase[ServerEvent]) -> None:
        self.frame = frame
        self.target_id = id_key(target_id)
        self.observer = observer
        self.stream_id: str | None = None
        self.cancelled = False  # disposed, or its observer has got an error
        self.timings: Timings | None = None
        self.connection_steer: ConnectionSteer | None = None  # once it is on the connection of its target
        self.connection: Connection | None = None

    @property
    def delivery(self) -> Delivery:
        """How much of the steer the server can have seen."""
        return "not_sent" if self.connection_steer is None else self.connection_steer.delivery

    @property
    def response_id(self) -> str | None:
        """The id of the response that follows from the steer, once it is known."""
        return None if self.connection_steer is None else self.connection_steer.response_id


class PreparedRequest:
    """What all subscriptions and tries of a request have in common: it is checked and encoded once."""

    def __init__(
        self,
        create: ResponseCreate,
        history: History | None,
        encode: Callable[[ResponseCreate], bytes],
        admission: Admission | None,
    ) -> None:
        self.fields = request_fields(create)
        self.create = on_lane(create, UNSET)
        self.frame = encode(self.create)
        self.history = check_history(history)
        self._answered = answered_calls(self.create)
        self._size = None if admission is None else priced_size(admission, self.create, text_bytes(self.frame))

    def history_here(self) -> History | None:
        """Return the history for a subscription that is made now: a function is called in its context."""
        history = self.history
        return partial(copy_context().run, history) if callable(history) else history

    def request(self, observer: ObserverBase[ServerEvent], history: History | None, *, by_model: bool) -> ClientRequest:
        """Return the request of a subscription; with `by_model` it needs a connection for its model."""
        fields = self.fields
        made = ClientRequest(
            self.create,
            self.frame,
            observer,
            stream_id=fields.stream_id,
            parent_id=fields.parent_id,
            stores=fields.stores,
            route=fields.model if by_model else None,
            answered_calls=self._answered,
            history=history,
            size=self._size,
        )
        made.sends_history = fields.parent_id is None and bool(history)
        return made


def no_target_error(steer: ClientSteer, where: str) -> PreviousResponseLostError:
    """Return the error of a steer whose target does not run in any such place of its sender."""
    return PreviousResponseLostError(
        f"the response {steer.target_id!r} runs on no {where}, so it cannot be steered; nothing was sent: send the "
        "input as a request of its own",
        previous_response_id=steer.target_id,
    )


def answered_calls(create: ResponseCreate) -> frozenset[str] | None:
    """Return the ids of the calls for which the input has outputs, `None` if only the server knows.

    Only the server knows the item for which an `item_reference` stands.
    """
    if not isinstance(create.input, (list, tuple)):
        return frozenset()
    ids = set()
    for item in create.input:
        kind, call_id = _field(item, "type"), _field(item, "call_id")
        if kind == "item_reference":
            return None
        if isinstance(kind, str) and kind.endswith("_output") and isinstance(call_id, str):
            ids.add(id_key(call_id))
    return frozenset(ids)


def check_history(history: History | None) -> History | None:
    """Return a copy of the history, or the function that returns it; raise `InvalidRequestError` for anything else."""
    if history is None or (callable(history) and not inspect.iscoroutinefunction(history)):
        return history
    if not isinstance(history, (list, tuple)):
        kind = "a coroutine function" if inspect.iscoroutinefunction(history) else type(history).__name__
        raise InvalidRequestError(
            f"`history` must be a list of items, or a plain function that returns one, not {kind}", field="history"
        )
    return tuple(history)


class HistoryExitError(InvalidRequestError, ObserverExitError):
    """The `history` function raised an exception that is no `Exception`, such as `SystemExit`."""


def history_exit_error(raised: BaseException) -> HistoryExitError:
    """Return the error of a request whose `history` function raised an exception that is no `Exception`."""
    error = HistoryExitError(
        f"the `history` function raised {text_of(raised, repr)}; nothing was sent", field="history"
    )
    error.__cause__ = raised
    return error


def with_history(request: ClientRequest) -> ResponseCreate:
    """Return a request with the whole conversation as its input, in place of `previous_response_id`.

    If a parent is lost, its reasoning items are lost too, even if this request is to be stored.

    Raises what the `history` function raises, and `InvalidRequestError` if that returns no list.
    """
    history = request.history() if callable(request.history) else request.history
    if not isinstance(history, (list, tuple)):
        raise InvalidRequestError(
            f"the `history` function must return a list of items, not {type(history).__name__}", field="history"
        )
    if request.parent_id is not None:
        history = without_unstored_reasoning(history)
    own = request.create.input
    if own is UNSET or own is None:
        own = ()
    elif isinstance(own, str):
        own = (user_message(own),)
    assert not isinstance(own, type(UNSET))
    return dataclasses.replace(request.create, input=[*history, *own], previous_response_id=UNSET)


def _field(item: InputItem, name: str) -> object:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
