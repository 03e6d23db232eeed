"""The fault plan of a server: which faults happen to which upgrade, connection or request."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from .faults import CONNECTION_TRAITS, UPGRADE_FAULTS, ConnectionTrait, Fault, UpgradeFault
from .replies import CONNECTION_INTERVENTIONS, INTERVENTIONS, ConnectionIntervention, Intervention
from .request import Request
from .when import matches


@dataclass(eq=False)
class _PlannedFault:
    """A fault of a plan, with its own source of chance."""

    fault: Fault
    remaining: int | None
    """How many times it may still happen, `None` for any number."""

    random: random.Random

    def happens(self, connection: int, request: Request | None) -> bool:
        """Return whether the fault happens here, and count it if it does."""
        fault = self.fault
        if self.remaining == 0 or fault.connection not in (None, connection):
            return False
        if request is not None:
            number = request.number if fault.connection is None else request.ordinal
            if fault.request not in (None, number):
                return False
            if fault.match is not None and not matches(fault.match, request):
                return False
        if self.random.random() >= fault.probability:
            return False
        if self.remaining is not None:
            self.remaining -= 1
        return True


class FaultPlan:
    """The faults of a server.

    `add` and `clear` may be called from any thread, the other methods from the thread of the server only.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._added = 0
        # The server reads the tuples without the lock.  Therefore they are replaced and never changed.
        self._at_upgrade: tuple[_PlannedFault, ...] = ()
        self._at_opening: tuple[_PlannedFault, ...] = ()
        self._at_request: tuple[_PlannedFault, ...] = ()
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Let these faults happen from now on, besides those of the plan.

        Raises:
            TypeError: for an argument that is not a `Fault`.
        """
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"Not a Fault: {fault!r}; pass an object such as Fault(Close(1006))")
        with self._lock:
            for fault in faults:
                self._added += 1
                planned = _PlannedFault(fault, fault.times, random.Random(f"{fault.seed}/{self._added}"))
                if isinstance(fault.what, UPGRADE_FAULTS):
                    self._at_upgrade += (planned,)
                elif isinstance(fault.what, CONNECTION_TRAITS) or fault.request == 0:
                    self._at_opening += (planned,)
                else:
                    self._at_request += (planned,)

    def clear(self) -> None:
        """Remove all faults from the plan."""
        with self._lock:
            self._at_upgrade = self._at_opening = self._at_request = ()

    def at_upgrade(self, connection: int) -> list[UpgradeFault]:
        """Return what happens to the upgrade of a connection, in the order of the plan."""
        kinds = [planned.fault.what for planned in self._at_upgrade if planned.happens(connection, None)]
        return [kind for kind in kinds if isinstance(kind, UPGRADE_FAULTS)]

    def at_opening(self, connection: int) -> list[ConnectionTrait | ConnectionIntervention]:
        """Return what happens to a connection that has just opened, in the order of the plan."""
        kinds = [planned.fault.what for planned in self._at_opening if planned.happens(connection, None)]
        return [kind for kind in kinds if isinstance(kind, (*CONNECTION_TRAITS, *CONNECTION_INTERVENTIONS))]

    def at_request(self, request: Request) -> tuple[Intervention, ...]:
        """Return what happens to a response that is about to start, in the order of the plan.

        Raises:
            Exception: what a match function raises.
        """
        if not self._at_request:
            return ()
        kinds = [planned.fault.what for planned in self._at_request if planned.happens(request.connection, request)]
        return tuple(kind for kind in kinds if isinstance(kind, INTERVENTIONS))
