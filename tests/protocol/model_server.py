"""A model of a server, which knows the request of each response: what it may send next, in all its kinds.

A server has lanes and echoes `stream_id`, or it runs one response at a time and drops `stream_id`.  It knows steering,
ignores steers in silence, or answers them with an `error`.  Some successors begin long after the client has gone on
without them, or never.  A server tells what each response continues, or lets a successor begin late only where the
client cannot take it for another response.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rxresponses.protocol.request import ProtocolRequest, ProtocolSteer


@dataclass
class ServerResponse:
    """A response at the server: its request, and the event types that were sent."""

    request: ProtocolRequest
    response_id: str
    lane: str | None
    continues: str | None = None
    created: bool = False
    sent: list[str] = field(default_factory=list)
    steers: list[ServerSteer] = field(default_factory=list)  # accepted for this response
    shared_with: list[ProtocolSteer] = field(default_factory=list)  # further steers that this response answers

    @property
    def owners(self) -> list[ProtocolRequest]:
        """All requests that the events of this response are for."""
        return [self.request, *self.shared_with]


@dataclass
class ServerSteer:
    """A steer at the server."""

    steer: ProtocolSteer
    ids: dict[str, str]
    told: bool = False  # whether the server has sent that it accepted the steer


class ModelServer:
    """What a server of each kind may send next."""

    def __init__(self, kind: str, steering: str, tells_parent: bool) -> None:
        self.kind = kind
        self.steering = steering
        self.tells_parent = tells_parent  # whether `response.previous_response_id` is sent
        self.echoes = kind == "lanes"
        self.queues: dict[str | None, deque[ServerResponse]] = {}
        self.unread: deque[ProtocolSteer] = deque()
        # Answers to steers that are still to come: the lane, the steer, and "pending" or "failed".
        self.outcomes: deque[tuple[str | None, ServerSteer, str]] = deque()
        self.withheld: list[ServerResponse] = []  # successors that have not begun yet
        self.dropped: list[ServerResponse] = []  # successors that never begin
        self.late_failures: list[ServerResponse] = []  # ended by `error`; `response.failed` is still to come
        self.silent: list[ServerResponse] = []  # of `late_failures`: no other event comes any more
        self.ended: list[str] = []
        self.not_done: list[ServerResponse] = []  # ended; `response.done` of them may still come
        self._count = 0

    def _queue(self, lane: str | None) -> deque[ServerResponse]:
        # A server without lanes has one queue for all.
        return self.queues.setdefault(lane if self.echoes else None, deque())

    def _next_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def same_lane(self, response: ServerResponse, other: ServerResponse) -> bool:
        """Whether two responses are in one queue, as far as the client can tell."""
        return response.lane == other.lane or not self.echoes

    def has_next(self, response: ServerResponse) -> bool:
        """Whether another response waits for the end of a running response."""
        return len(self._queue(response.lane)) > 1

    def take(self, request: ProtocolRequest) -> None:
        """Queue the response to a request."""
        continues = json.loads(request.frame).get("previous_response_id")
        response = ServerResponse(request, self._next_id("resp"), request.stream_id, continues)
        self._queue(request.stream_id).append(response)
        for successor in self.withheld:
            # Nothing would tell the successor from this response, which takes over the input of the steer.
            if successor.continues == continues and self.same_lane(successor, response):
                self.dropped.append(successor)
        self.withheld = [successor for successor in self.withheld if successor not in self.dropped]

    def running(self) -> list[ServerResponse]:
        """The responses that run, one a lane."""
        return [queue[0] for queue in self.queues.values() if queue]

    def may_speak(self) -> list[ServerResponse]:
        """The running responses on lanes where no answer to a steer has to come first."""
        waiting = {lane for lane, *_ in self.outcomes}
        return [
            response for response in self.running() if not waiting or (self.echoes and response.lane not in waiting)
        ]

    def say(self, response: ServerResponse, kind: str, /, **fields: Any) -> dict[str, Any]:
        """Return an event of a response."""
        response.sent.append(kind)
        if kind == "response.created":
            self.silent += [failure for failure in self.late_failures if self.same_lane(failure, response)]
        if "response" in fields and self.tells_parent:
            fields["response"]["previous_response_id"] = response.continues
        return self.tag(response.lane, {"type": kind, **fields})

    def tag(self, lane: str | None, data: dict[str, Any]) -> dict[str, Any]:
        """Add the `stream_id` of a named lane, if this server does."""
        return {**data, "stream_id": lane} if self.echoes and lane is not None else data

    def end(self, response: ServerResponse, *, failed: bool, pending: bool = False, withhold: bool = False) -> None:
        """Go on after a terminal event: with the successor, or with the answers to the steers."""
        queue = self._queue(response.lane)
        assert queue.popleft() is response
        self.ended.append(response.response_id)
        if response.created:
            self.not_done.append(response)
        if not response.steers:
            return
        if failed or pending:
            outcome = "failed" if failed else "pending"
            self.outcomes.extend((response.lane, steer, outcome) for steer in response.steers)
            return
        first, *others = (server_steer.steer for server_steer in response.steers)
        successor = ServerResponse(
            first, self._next_id("resp"), response.lane, response.response_id, shared_with=others
        )
        if withhold:
            self.withheld.append(successor)
        else:
            self.prepend(successor)

    def prepend(self, successor: ServerResponse) -> None:
        """Let a response run before the responses that wait on its lane."""
        self._queue(successor.lane).appendleft(successor)

    def may_begin(self, successor: ServerResponse) -> bool:
        """Whether a successor that was withheld may begin now."""
        queue = self._queue(successor.lane)
        if queue and queue[0].created:
            return False
        others = any(self.queues.values()) or self.unread or self.outcomes or len(self.withheld) + len(self.dropped) > 1
        return self.tells_parent or not others

    def read_steer(self) -> tuple[ServerResponse | None, ServerSteer]:
        """Read one steer, and accept it if its target runs; return the target and the steer."""
        steer = self.unread.popleft()
        target = next(
            (response for response in self.running() if response.created and response.response_id == steer.target_id),
            None,
        )
        server_steer = ServerSteer(steer, {"previous_response_id": steer.target_id})
        if target is not None and self.steering == "known":
            server_steer.ids["id"] = self._next_id("steer")
            target.steers.append(server_steer)
        return target, server_steer
