"""The target of `ask_latest`: a conversation, or a sender that gets one request for each prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import UNSET
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from ..errors import ConfigurationError, InvalidRequestError
from ..net.observable import EventObservable
from ..net.sender import Sender, check_sender
from ..raised import as_exception
from ..wire.base import Model
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.requests import InputItem, ResponseCreate, assistant_message
from .conversation import Conversation, items_of
from .lanes import Branch
from .sender_lanes import home_of, lanes_of

Prompt = str | InputItem | Sequence[InputItem] | ResponseCreate
"""A prompt: an input that `ask_latest` gets an answer to."""


class Target(Protocol):
    """The conversation or the sender that answers prompts."""

    def ask(self, prompt: Any) -> Observable[ServerEvent]:
        """Return the events of the answer; raise if the prompt cannot be sent."""

    def steer(self, response_id: str, prompt: Any) -> Observable[ServerEvent]:
        """Return the events of a steer."""

    def keep(self, prompt: Any, text: str) -> None:
        """Remember the latest prompt with this text as its answer; any other answer to the prompt is forgotten."""


def target_of(target: Sender | Conversation, fields: Mapping[str, Any], *, steers: bool, keeps: bool) -> Target:
    """Return the target for a sender or a conversation.

    Raises `ConfigurationError` for a sender that cannot steer or keep, and what `send` raises for wrong fields.
    """
    if isinstance(target, Conversation):
        target.send("-", **fields)  # raises; nothing is sent without a subscription
        if steers:
            target.steer("-")
        return _ConversationTarget(target, fields)
    check_sender(target)
    home = home_of(target)
    ResponseCreate(**{"model": "-", "input": "-", **fields})  # raises
    if keeps:
        raise ConfigurationError("`keep_heard` needs a Conversation as the target, since a sender remembers nothing")
    if steers and not callable(getattr(home, "steer", None)):
        raise ConfigurationError(f'{type(home).__name__} has no `steer`: use `mode="cancel"`, a socket or a client')
    return _SenderTarget(target, home, fields)


class _ConversationTarget:
    def __init__(self, conversation: Conversation, fields: Mapping[str, Any]) -> None:
        self._conversation = conversation
        self._fields = fields
        self._before: Sequence[InputItem] = ()  # the history before the latest prompt

    def ask(self, prompt: Any) -> Observable[ServerEvent]:
        if isinstance(prompt, ResponseCreate):
            raise InvalidRequestError("a conversation makes its requests itself: the prompt is a text, or items")
        events = self._conversation.send(prompt, **self._fields)
        self._before = self._conversation.history
        return events

    def steer(self, response_id: str, prompt: Any) -> Observable[ServerEvent]:
        return self._conversation.steer(prompt)

    def keep(self, prompt: Any, text: str) -> None:
        answer = [assistant_message(text)] if text else []
        self._conversation.replace_history([*self._before, *items_of(prompt), *answer])


class _SenderTarget:
    def __init__(self, sender: Sender, home: Any, fields: Mapping[str, Any]) -> None:
        self._sender = sender
        self._home = home
        self._fields = fields
        # No free lane is looked for if the program chose the lane, or if the sender chooses it for each request.
        self._has_lanes = home is sender and not getattr(sender, "chooses_lanes", False)

    def ask(self, prompt: Any) -> Observable[ServerEvent]:
        if isinstance(prompt, ResponseCreate):
            create = prompt
        else:
            input = [prompt] if isinstance(prompt, (Mapping, Model)) else prompt
            create = ResponseCreate(**{**self._fields, "input": input})
        if not self._has_lanes or isinstance(create.stream_id, str):
            return self._sender.send_request(create)
        return self._on_free_lane(create)

    def _on_free_lane(self, create: ResponseCreate) -> Observable[ServerEvent]:
        """Send a request on a lane on which no response runs."""
        lanes = lanes_of(self._home)

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            branch = Branch()
            is_running = True

            def leave() -> None:
                lanes.change(lambda lanes: lanes.leave(branch, abandoned=is_running))

            def on_next(event: ServerEvent) -> None:
                if event.type in TERMINAL_TYPES:
                    end()
                observer.on_next(event)

            def end() -> None:
                nonlocal is_running
                is_running = False
                leave()

            def on_error(error: Exception) -> None:
                end()
                observer.on_error(error)

            def on_completed() -> None:
                end()
                observer.on_completed()

            name = lanes.change(lambda lanes: lanes.take(branch))
            request = dataclasses.replace(create, stream_id=UNSET if name is None else name)
            try:
                source = self._sender.send_request(request)
            except Exception as error:
                on_error(as_exception(error, "the sender"))
                return Disposable()
            upstream = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
            return CompositeDisposable(Disposable(leave), upstream)

        return EventObservable(subscribe)

    def steer(self, response_id: str, prompt: Any) -> Observable[ServerEvent]:
        input = [prompt] if isinstance(prompt, (Mapping, Model)) else prompt
        events: Observable[ServerEvent] = self._home.steer(response_id, input)
        return events

    def keep(self, prompt: Any, text: str) -> None:
        raise NotImplementedError
