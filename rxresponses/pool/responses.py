"""Where the responses are: which lane runs or holds one, and what is known of those that none holds any more."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from ..errors import PreviousResponseLostError
from .lanes import HeldResponse, PoolLane

T = TypeVar("T")

# Of responses that no lane holds any more, to answer their continuations with more than a guess.
_REMEMBERED = 65_536
# Of a socket, whose connections hold the latest response of a lane each.
_REMEMBERED_BY_SOCKET = 1024


class ResponseLocations:
    """The responses on the connections of a client."""

    def __init__(self) -> None:
        self._places: dict[str, PoolLane] = {}
        self._lost: OrderedDict[str, None] = OrderedDict()
        self._stored: OrderedDict[str, None] = OrderedDict()

    def place_of(self, response_id: str) -> PoolLane | None:
        """Return the lane that runs or holds a response."""
        return self._places.get(response_id)

    def is_lost(self, response_id: str) -> bool:
        """Whether it is known that no lane holds a response, and no storage does."""
        return response_id in self._lost

    def is_stored(self, response_id: str, *, guess: bool) -> bool:
        """Whether the server can load a response that no lane holds; a guess, when it was never seen."""
        return response_id in self._stored or (guess and response_id not in self._lost)

    def run(self, place: PoolLane, response_id: str, *, stores: bool) -> None:
        """A response begins on a lane."""
        self.stop(place)
        place.running_id, place.running_stores = response_id, stores
        self._places[response_id] = place

    def stop(self, place: PoolLane) -> None:
        """The response that runs on a lane is over; unless it is held then, no lane has it any more."""
        response_id, place.running_id = place.running_id, None
        if response_id is not None and self._forget(place, response_id):
            self.remember(response_id, stores=place.running_stores)

    def hold(self, place: PoolLane, held: HeldResponse) -> None:
        """A lane holds this response from here on, instead of the one before."""
        self.drop(place)
        place.held = held
        self._places[held.response_id] = place
        self._lost.pop(held.response_id, None)

    def drop(self, place: PoolLane) -> None:
        """A lane holds nothing any more."""
        held, place.held = place.held, None
        if held is not None and self._forget(place, held.response_id):
            self.remember(held.response_id, stores=held.stores)

    def remember(self, response_id: str, *, stores: bool) -> None:
        """No lane holds a response any more, or none will."""
        if stores:
            _remember(self._stored, response_id, None, _REMEMBERED)
        else:
            self.lose(response_id)

    def lose(self, response_id: str) -> None:
        """Nobody knows a response."""
        self._stored.pop(response_id, None)
        _remember(self._lost, response_id, None, _REMEMBERED)

    def _forget(self, place: PoolLane, response_id: str) -> bool:
        """Forget that a response is on a lane; return whether it was."""
        if self._places.get(response_id) is not place:
            return False
        del self._places[response_id]
        return True


class UnstoredResponses:
    """The latest responses of a socket that are not stored, and on which of its connections: they are lost with it."""

    def __init__(self) -> None:
        self._connections: OrderedDict[str, int] = OrderedDict()

    def hold(self, response_id: str, connection: int) -> None:
        """A connection holds a response."""
        _remember(self._connections, response_id, connection, _REMEMBERED_BY_SOCKET)

    def holds(self, response_id: str, connection: int) -> bool:
        """Whether a connection holds a response, or has."""
        return self._connections.get(response_id) == connection

    def is_lost(self, response_id: str, connection: int) -> bool:
        """Whether a response is lost for this connection: another one held it."""
        return self._connections.get(response_id, connection) != connection


def lost_error(response_id: str, lane: str | None, *advice: str) -> PreviousResponseLostError:
    """Return the error of a request that continues a response which is lost; more `advice` goes behind the usual."""
    todo = ", ".join(["send the whole history as input, without previous_response_id", *advice])
    return PreviousResponseLostError(
        f"the response {response_id!r}, which this request continues, is lost: it was not stored (`store=False`), and "
        f"the connection that held it is gone or has moved on; nothing was sent: {todo}",
        previous_response_id=response_id,
        stream_id=lane,
    )


def _remember(ids: OrderedDict[str, T], response_id: str, value: T, most: int) -> None:
    ids[response_id] = value
    ids.move_to_end(response_id)
    if len(ids) > most:
        ids.popitem(last=False)
