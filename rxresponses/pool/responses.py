"""Where the responses are: which lane runs or holds a response, and what became of those that no lane holds."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import PreviousResponseLostError
from ..wire.ids import LatestIds
from .lanes import HeldResponse, PoolLane

# How many responses that no lane holds are remembered, to answer their continuations without a guess.  Long ids make
# it fewer, by `LatestIds`.
_REMEMBERED = 65_536
# How many unstored responses a socket remembers; each of its connections holds the latest response of a lane.
_REMEMBERED_BY_SOCKET = 1024


class ResponseLocations:
    """The lanes that run or hold responses, by response id."""

    def __init__(self) -> None:
        self._lanes: dict[str, PoolLane] = {}
        self._lost: LatestIds[None] = LatestIds(_REMEMBERED)
        self._stored: LatestIds[None] = LatestIds(_REMEMBERED)

    def lane_of(self, response_id: str) -> PoolLane | None:
        """Return the lane that runs or holds a response."""
        return self._lanes.get(response_id)

    def is_lost(self, response_id: str) -> bool:
        """Whether it is known that no lane holds a response and that the server has not stored it."""
        return response_id in self._lost

    def is_stored(self, response_id: str, *, guess: bool) -> bool:
        """Whether the server can load a response that no lane holds; `guess` is returned for an unknown one."""
        return response_id in self._stored or (guess and response_id not in self._lost)

    def start(self, lane: PoolLane, response_id: str, *, stores: bool) -> None:
        """Note that a lane runs a response from now on."""
        self.stop(lane)
        lane.running_response_id, lane.running_stores = response_id, stores
        self._lanes[response_id] = lane

    def stop(self, lane: PoolLane) -> None:
        """Note that the response on a lane has ended; unless `hold` follows, no lane has it any more."""
        response_id, lane.running_response_id = lane.running_response_id, None
        if response_id is not None and self._forget(lane, response_id):
            self.mark_unheld(response_id, stored=lane.running_stores)

    def hold(self, lane: PoolLane, held: HeldResponse) -> None:
        """Note that a lane holds this response from now on, in place of the one before."""
        self.drop(lane)
        lane.held = held
        self._lanes[held.response_id] = lane
        self._lost.discard(held.response_id)

    def drop(self, lane: PoolLane) -> None:
        """Note that a lane holds no response any more."""
        held, lane.held = lane.held, None
        if held is not None and self._forget(lane, held.response_id):
            self.mark_unheld(held.response_id, stored=held.stored)

    def mark_unheld(self, response_id: str, *, stored: bool) -> None:
        """Note that no lane holds a response: it is stored, or else lost."""
        if stored:
            self._stored.add(response_id, None)
        else:
            self.mark_lost(response_id)

    def mark_lost(self, response_id: str) -> None:
        """Note that a response cannot be continued."""
        self._stored.discard(response_id)
        self._lost.add(response_id, None)

    def _forget(self, lane: PoolLane, response_id: str) -> bool:
        """Forget that a response is on a lane; return whether it was."""
        if self._lanes.get(response_id) is not lane:
            return False
        del self._lanes[response_id]
        return True


class UnstoredResponses:
    """The latest responses of a socket that are not stored, each with the number of the connection that held it.

    Such a response is lost when its connection is lost.
    """

    def __init__(self) -> None:
        self._connections: LatestIds[int] = LatestIds(_REMEMBERED_BY_SOCKET)

    def hold(self, response_id: str, connection: int) -> None:
        """Note that a connection holds a response."""
        self._connections.add(response_id, connection)

    def holds(self, response_id: str, connection: int) -> bool:
        """Whether a connection holds a response, or has held it."""
        return self._connections.get(response_id, -1) == connection

    def ended(
        self, response_ids: Iterable[str], connection: int, *, stores: bool, target_ids: Iterable[str] = ()
    ) -> None:
        """Note that a request or a steer of `target_ids` has ended; its responses are held unless they are stored.

        The response to a steer is stored if the steered response is.
        """
        if not stores or any(self.holds(target_id, connection) for target_id in target_ids):
            for response_id in response_ids:
                self.hold(response_id, connection)

    def is_lost(self, response_id: str, connection: int) -> bool:
        """Whether a response cannot be continued on this connection, because another one held it."""
        return self._connections.get(response_id, connection) != connection


def lost_error(response_id: str, stream_id: str | None, *advice: str) -> PreviousResponseLostError:
    """Return the error of a request that continues a lost response; `advice` is added to the usual advice."""
    todo = ", ".join(["send the whole history as input, without previous_response_id", *advice])
    return PreviousResponseLostError(
        f"the response {response_id!r}, which this request continues, is lost: it was not stored (`store=False`), and "
        f"the connection that held it is gone or has moved on; nothing was sent: {todo}",
        previous_response_id=response_id,
        stream_id=stream_id,
    )
