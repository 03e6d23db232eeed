"""What a client does now, as far as it shows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..pool.lanes import PoolConnectionState
from ..pool.pool import Pool


@dataclass(frozen=True, kw_only=True)
class ClientState:
    """What a client does now.

    `open` connections take work, `connecting` ones will, `draining` ones finish theirs.  `active`
    requests run on a lane each, `queued` ones wait.  `reconnect_in` are the seconds until the next
    connection is tried that is wanted, after one failed; `paused_for` those until anything is sent after
    the server asked for fewer requests; both counted from when this state was emitted.  `connect_error`
    is why the latest connection could not be made, until one is; requests that wait may not have been
    told yet, and a connection that is only kept warm has nobody else to tell.
    """

    open: int = 0
    connecting: int = 0
    draining: int = 0
    active: int = 0
    queued: int = 0
    reconnect_in: float | None = None
    paused_for: float | None = None
    connect_error: Exception | None = None
    closed: bool = False


class ClientStateChanges:
    """Tell the state of a pool whenever it is another than was told before."""

    def __init__(self) -> None:
        self._told: tuple[ClientState, float | None, float | None] = (ClientState(), None, None)

    def news(self, pool: Pool, now: float) -> ClientState | None:
        """Return the state of the pool, `None` when it is the one that was told last."""
        count = dict.fromkeys(PoolConnectionState, 0)
        for slot in pool.slots:
            count[slot.state] += 1
        retries_at = pool.retries_at(now)
        paused_for = pool.throttle.pause(now)
        state = ClientState(
            open=count[PoolConnectionState.OPEN],
            connecting=count[PoolConnectionState.CONNECTING],
            draining=count[PoolConnectionState.DRAINING],
            active=pool.active,
            queued=pool.queued,
            connect_error=pool.connect_error(),
        )
        # The seconds left are news only when the time they lead to is.
        told = (state, retries_at, None if paused_for is None else pool.throttle.resumes_at)
        if told == self._told:
            return None
        self._told = told
        reconnect_in = None if retries_at is None else retries_at - now
        return dataclasses.replace(state, reconnect_in=reconnect_in, paused_for=paused_for)
