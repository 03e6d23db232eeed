"""Requests on their way through a client: what is asked for, and how far it has come."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from msgspec import UNSET
from reactivex.abc import ObserverBase

from ..errors import Delivery, InvalidRequestError
from ..net.connection import Connection
from ..net.request import ConnectionRequest, ConnectionSteer
from ..net.timing import Timings
from ..pool.lanes import PoolRequest
from ..wire.events.base import ServerEvent
from ..wire.requests import InputItem, ResponseCreate, user_message

History: TypeAlias = "Sequence[InputItem] | Callable[[], Sequence[InputItem]]"
"""The items of a conversation so far, or a function that returns them."""


class ClientRequest(PoolRequest):
    """A request on its way through a client, for one subscription."""

    __slots__ = ("cancelled", "create", "frame", "history", "observer", "sent", "timings")

    def __init__(
        self,
        create: ResponseCreate,
        frame: bytes,
        observer: ObserverBase[ServerEvent],
        *,
        lane: str | None = None,
        parent: str | None = None,
        stores: bool = True,
        route: str | None = None,
        answers: frozenset[str] | None = None,
        history: History | None = None,
    ) -> None:
        super().__init__(
            lane=lane, parent=parent, stores=stores, route=route, answers=answers, has_history=history is not None
        )
        self.create = create
        self.frame = frame  # without a lane
        self.history = history
        self.observer = observer
        self.cancelled = False  # nobody waits for it
        self.timings: Timings | None = None
        self.sent: ConnectionRequest | None = None  # what is on a connection for it, the latest try

    @property
    def stream_id(self) -> str | None:
        """The lane that its sender named."""
        return self.lane

    @property
    def delivery(self) -> Delivery:
        """What the server can have seen of it."""
        return "not_sent" if self.sent is None else self.sent.delivery

    @property
    def response_id(self) -> str | None:
        """The id of its response, once it is known."""
        return None if self.sent is None else self.sent.response_id

    def take_back(self) -> None:
        """It is on no connection any more, and waits for its next try."""
        self.sent = None
        if self.timings is not None:
            self.timings.mark_unsent()


class ClientSteer:
    """A steer on its way through a client, for one subscription."""

    __slots__ = ("cancelled", "connection", "frame", "observer", "sent", "stream_id", "target_id", "timings")

    def __init__(self, frame: bytes, target_id: str, observer: ObserverBase[ServerEvent]) -> None:
        self.frame = frame
        self.target_id = target_id
        self.observer = observer
        self.stream_id: str | None = None
        self.cancelled = False  # nobody waits for it
        self.timings: Timings | None = None
        self.sent: ConnectionSteer | None = None
        self.connection: Connection | None = None

    @property
    def delivery(self) -> Delivery:
        """What the server can have seen of it."""
        return "not_sent" if self.sent is None else self.sent.delivery

    @property
    def response_id(self) -> str | None:
        """The id of the response that follows, once it is known."""
        return None if self.sent is None else self.sent.response_id


def answered_calls(create: ResponseCreate) -> frozenset[str] | None:
    """Return the ids of the calls for which the input has an output, `None` when that cannot be seen.

    What an `item_reference` stands for, only the server knows.
    """
    if not isinstance(create.input, (list, tuple)):
        return frozenset()
    ids = set()
    for item in create.input:
        kind, call_id = _field(item, "type"), _field(item, "call_id")
        if kind == "item_reference":
            return None
        if isinstance(kind, str) and kind.endswith("_output") and isinstance(call_id, str):
            ids.add(call_id)
    return frozenset(ids)


def check_history(history: History | None) -> History | None:
    """Return the history as it is now, or the function that tells it; raise `InvalidRequestError` for neither."""
    if history is None or (callable(history) and not inspect.iscoroutinefunction(history)):
        return history
    if not isinstance(history, (list, tuple)):
        raise InvalidRequestError(
            f"`history` must be a list of items, or a plain function that returns one, not {_kind(history)}",
            field="history",
        )
    return tuple(history)


def _kind(value: object) -> str:
    return "a coroutine function" if inspect.iscoroutinefunction(value) else type(value).__name__


def with_history(job: ClientRequest) -> ResponseCreate:
    """Return the request with the whole conversation as its input, instead of the response that it continues.

    Raises what the function raises that tells the history, and `InvalidRequestError` if that is no list.
    """
    history = job.history() if callable(job.history) else job.history
    if not isinstance(history, (list, tuple)):
        raise InvalidRequestError(
            f"the `history` function must return a list of items, not {type(history).__name__}", field="history"
        )
    own = job.create.input
    if own is UNSET or own is None:
        own = ()
    elif isinstance(own, str):
        own = (user_message(own),)
    assert not isinstance(own, type(UNSET))
    return dataclasses.replace(job.create, input=[*history, *own], previous_response_id=UNSET)


def _field(item: InputItem, name: str) -> object:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
