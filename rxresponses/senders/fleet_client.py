"""`FleetMember`, and the client that a fleet has for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from reactivex.abc import ObserverBase

from ..errors import ConfigurationError
from ..known_secrets import Secrets
from ..net.credentials import ApiKey
from ..net.loops import running_loop
from ..net.request import detach_observer
from ..net.subject import IsolatedSubject
from ..options import ConnectionOptions, PoolOptions, options_of
from ..pool.lanes import PoolRequestState
from ..pool.pool import Pool
from ..redaction import discreet, discreet_init, display
from ..scalars import take_plain_scalars
from ..wire.events.base import ServerEvent
from .client import ResponsesClient
from .client_admission import MemberAdmission
from .client_request import ClientRequest, ClientSteer, History, PreparedRequest
from .pool_driver import PoolDriver

# How many requests a member may have that are not sent yet, if there are limits: these may be passed by later ones of
# other members, and fewer cost more turns of the loop.
_MOST_UNSENT = 4
_NO_LIMIT = 2**31  # requests: those of a member wait in the fleet, which has a limit for all


@discreet_init
@dataclass(frozen=True, kw_only=True)
class FleetMember:
    """A member of a `ResponsesFleet` with settings of its own: a base URL, and what is not as for the other members.

    `api_key`, `options` and `pool` are those of `ResponsesClient`, for this member; `None` means those of the fleet.
    Of these options, `queue_timeout`, `max_request_size`, `max_queued` and the `max_retries` of the backoff are always
    the fleet's.  A member of twice the `weight` has twice as many of the requests that run, for the same room.
    """

    url: str = field(repr=False)
    api_key: ApiKey | None = field(default=None, repr=False)
    options: ConnectionOptions | None = None
    pool: PoolOptions | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        take_plain_scalars(self)
        if not isinstance(self.url, str):
            raise ConfigurationError(f"the URL of a member must be a text, not {type(self.url).__name__}")
        if not self.url:
            raise ConfigurationError("the URL of a member must not be empty")
        weight = self.weight
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise ConfigurationError(f"`weight` must be a positive number, not {weight!r}")

    def __repr__(self) -> str:
        return f"<FleetMember {display(getattr(self, 'url', '(half made)'))}>"


def with_defaults(
    member: str | FleetMember, api_key: ApiKey | None, options: ConnectionOptions, pool: PoolOptions
) -> FleetMember:
    """Return a member with these settings in place of those that it does not have."""
    if isinstance(member, str):
        member = FleetMember(url=member)
    if not isinstance(member, FleetMember):
        raise TypeError(f"a member of a fleet is a URL or a FleetMember, not {type(member).__name__}")
    return dataclasses.replace(
        member,
        api_key=api_key if member.api_key is None else member.api_key,
        options=options if member.options is None else options_of(ConnectionOptions, "options", member.options),
        pool=pool if member.pool is None else options_of(PoolOptions, "pool", member.pool),
    )


class FleetHooks(NamedTuple):
    """What the client of a member has of its fleet."""

    secrets: Secrets
    admission: MemberAdmission | None
    """Of all members together; each member takes its turn."""
    events: IsolatedSubject[ServerEvent]
    unrouted: IsolatedSubject[ServerEvent]
    changed: Callable[[], None]
    """Something is different in the client, such as how many requests run."""
    connection_cancelled: Callable[[], None]
    is_limited: Callable[[], bool]
    """Whether a request of any member waits for the limits or the budget."""


class FleetClient(ResponsesClient):
    """The client of a member: it lives on the loop of its fleet, and sends each request once.

    The fleet decides what becomes of a failure, because another member may be better than another try.
    """

    @discreet
    def __init__(self, member: FleetMember, hooks: FleetHooks) -> None:
        pool = member.pool or PoolOptions()
        options = member.options or ConnectionOptions()
        backoff = dataclasses.replace(pool.backoff, max_retries=0)
        super().__init__(
            member.url,
            api_key=member.api_key,
            options=dataclasses.replace(options, queue_timeout=None),
            pool=dataclasses.replace(pool, max_queued=_NO_LIMIT, backoff=backoff),
        )
        self._hooks = hooks
        self._shown_base = display(member.url)
        self.weight = member.weight
        self._secrets = hooks.secrets
        self._admission = None if hooks.admission is None else hooks.admission.another()
        self._events, self._unrouted = hooks.events, hooks.unrouted

    def __del__(self) -> None:
        """Not that of a client: the fleet closes it."""

    # What the rules of the fleet ask.

    def load(self) -> int:
        """Return how many requests run or wait here, also those whose subscribers have disposed."""
        pool = self._pool_here()
        return pool.active + pool.queued

    def room(self, now: float) -> float:
        """Return how many requests may run here at once.

        With limits or a budget it is none while a request waits for them, here or in another member: the next one
        waits in the fleet.  So requests are admitted nearly in the order of their arrival, whatever their member.
        """
        pool = self._pool_here()
        if self._admission is not None and (pool.queued >= _MOST_UNSENT or self._hooks.is_limited()):
            return 0
        return pool.room(now)

    def has_lost(self, response_id: str) -> bool:
        """Whether it is known that this response cannot be continued here."""
        return self._pool_here().is_lost(response_id)

    def _pool_here(self) -> Pool:
        # Asked for each member and request: a driver that is there is on the loop of the fleet.
        return (self._driver or self.driver()).pool

    # What the fleet does.

    def driver(self) -> PoolDriver:
        """Return the driver on the loop of the fleet, which runs in this thread."""
        self._choose_loop(running_loop())
        return self._loop_driver()

    def request(
        self, prepared: PreparedRequest, observer: ObserverBase[ServerEvent], history: History | None
    ) -> ClientRequest:
        """Return a try of a request."""
        return prepared.request(observer, history, by_model=self._routes_by_model)

    def give(self, request: ClientRequest | ClientSteer) -> None:
        """Send a request or a steer."""
        self.driver()
        self._submit(request)

    def take_back(self, request: ClientRequest | None) -> bool:
        """Forget a request that has not been sent; return whether that is so."""
        if request is None or self._closing or request.state is not PoolRequestState.WAITING:
            return False
        detach_observer(request)
        self._dispose(request)
        return True

    def dispose(self, request: ClientRequest | ClientSteer) -> None:
        """Do what a client does about a disposed request."""
        detach_observer(request)
        self._dispose(request)

    @property
    def pool(self) -> Pool | None:
        """The pool, once there is one."""
        return None if self._driver is None else self._driver.pool

    @property
    def is_limited(self) -> bool:
        """Whether a request waits here for the limits or the budget."""
        return self.pool is not None and self.pool.limited_until is not None

    def is_at(self, url: str) -> bool:
        """Whether this is the client for a URL: the base URL, or that of the endpoint."""
        return display(url) in (self._shown_base, self.url)

    def has_work(self) -> bool:
        """Whether a subscriber still waits for a request or a steer."""
        return self._driver is not None and self._driver.has_work()

    def check_prewarm(self, connections: int | None, model: str | None) -> None:
        """Raise `ConfigurationError` if `prewarm` would."""
        self._what_to_prewarm(connections, model)

    def tell(self, *, more_wait: bool) -> None:
        """Tell the connections whether requests wait in the fleet for the responses that run here."""
        driver = self.driver()
        if driver.pool.more_wait is not more_wait:
            driver.pool.more_wait = more_wait
            driver.wake()

    def close_for_fleet(self, *, abrupt: bool) -> None:
        """Close, without a closing handshake if `abrupt`."""
        self._abrupt = abrupt
        self.close()

    # What a client does otherwise.

    def _acted(self, driver: PoolDriver) -> None:
        self._hooks.changed()

    def _connection_cancelled(self) -> None:
        super()._connection_cancelled()
        self._hooks.connection_cancelled()

    def _complete_events(self) -> None:
        """Not here: the sources are the fleet's."""
