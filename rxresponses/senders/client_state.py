"""`ClientState`: what `ResponsesClient.state` emits."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ..pool.lanes import PoolConnectionState
from ..pool.pool import Pool


@dataclass(frozen=True, kw_only=True)
class ClientState:
    """What a client does now.

    `open` connections take new requests, `connecting` ones are being opened, `draining` ones finish their requests.
    `active` requests run, each on a lane of its own; `queued` requests wait.

    `reconnect_in` are the seconds until a connection is tried again that is needed and could not be made.
    `paused_for` are the seconds until anything is sent after a rate limit.  `limited_for` are the seconds until the
    next request may be sent by the `limits` of the client.  These times count from when this state was emitted.
    `awaits_budget` says that requests wait because running requests have reserved what is left of the `budget`.

    `connect_error` is why the latest connection could not be made, until a connection is open.  The requests that
    wait get this error only when the client gives up, and a failed connection for `prewarm` or `min_idle` shows
    nowhere else.
    """

    open: int = 0
    connecting: int = 0
    draining: int = 0
    active: int = 0
    queued: int = 0
    reconnect_in: float | None = None
    paused_for: float | None = None
    limited_for: float | None = None
    awaits_budget: bool = False
    connect_error: Exception | None = None
    closed: bool = False


class ClientStateChanges:
    """The states of a pool, each only if it differs from the latest one."""

    def __init__(self) -> None:
        self._latest: tuple[ClientState, float | None, float | None, float | None] = (ClientState(), None, None, None)

    def next(self, pool: Pool, now: float) -> ClientState | None:
        """Return the state of the pool, `None` if it is the latest one."""
        retry_at = pool.retry_at(now)
        paused_for = pool.rate_limit.remaining_pause(now)
        state = ClientState(
            open=pool.in_state(PoolConnectionState.OPEN),
            connecting=pool.in_state(PoolConnectionState.CONNECTING),
            draining=pool.in_state(PoolConnectionState.DRAINING),
            active=pool.active,
            queued=pool.queued,
            connect_error=pool.connect_error(),
            awaits_budget=pool.limited_until == math.inf,
        )
        limited_until = None if state.awaits_budget else pool.limited_until
        # The remaining seconds change all the time; they are news only if the time at their end changes.
        latest = (state, retry_at, None if paused_for is None else pool.rate_limit.resumes_at, limited_until)
        if latest == self._latest:
            return None
        self._latest = latest
        reconnect_in = None if retry_at is None else retry_at - now
        limited_for = None if limited_until is None else max(0.0, limited_until - now)
        return dataclasses.replace(state, reconnect_in=reconnect_in, paused_for=paused_for, limited_for=limited_for)
