"""Events of this library's own, which stand between the events of the server in the stream of a conversation."""

from __future__ import annotations

from typing import Literal

from ..wire.base import model
from ..wire.events import ServerEvent
from ..wire.requests import ResponseCreate


@model
class ConversationEvent(ServerEvent):
    """Base of the events that this library makes itself: `isinstance(event, ConversationEvent)` tells them apart.

    They are events so that every operator takes the stream of a conversation; all operators for the events of a server
    ignore them.  No frame of a server becomes such an event, whatever its `type`.  `raw` is `None`.
    """

    def __init_subclass__(cls) -> None:
        """Not that of `ServerEvent`, which would have frames of a server decoded to this class."""


@model
class TurnStartedEvent(ConversationEvent):
    """A turn begins: `request` is sent next.  `turn` counts from 1, for each subscription."""

    turn: int
    request: ResponseCreate
    type: Literal["rxresponses.turn_started"] = "rxresponses.turn_started"


@model
class HistorySentEvent(ConversationEvent):
    """The whole conversation is sent, in place of the new items only; `reason` says why.

    `items` is the number of input items, new ones included.  The model reads them all again, which costs time, and
    money where they are not cached.
    """

    reason: str
    items: int
    type: Literal["rxresponses.history_sent"] = "rxresponses.history_sent"
