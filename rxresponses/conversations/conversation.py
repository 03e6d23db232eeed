"""`Conversation`: turns that follow one another, each of which sends only the new items."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from ..errors import ConfigurationError, DecodeError, InvalidRequestError
from ..net.observable import EventObservable
from ..net.sender import Sender, check_sender
from ..redaction import discreet
from ..wire.base import Model
from ..wire.codec import encode
from ..wire.events import ServerEvent
from ..wire.models import Response, ResponseUsage
from ..wire.requests import InputItem, ResponseCreate, ResponseSteer, user_message
from ..wire.requests.sent import plain_json
from .chain import Chain
from .lanes import Branch, Lanes
from .ledger import ToolLedger
from .sender_lanes import home_of, lanes_of
from .sending import Sending, TurnHost
from .settings import overridden
from .turn_settings import TurnSettings
from .usage import NO_USAGE, add_usage

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

_VERSION = 1


class Conversation:
    """A conversation with a model: it keeps the history, and each turn sends only the new items.

    `sender` is a socket, a client, a lane, or any other object with `send_request`.  `defaults` are fields of
    `ResponseCreate` for all turns, such as `model`, `instructions` and `tools`; `send` can override them for one turn::

        chat = Conversation(socket, model="gpt-4.1", instructions="Be brief.")
        chat.send("Hello!").pipe(rops.text_deltas()).subscribe(print)
        other = chat.fork()

    A turn continues the latest response, if the server has it and only the input is new.  It sends the whole history,
    and says so in a `HistorySentEvent`, if any setting has changed since the latest request, if the history was edited,
    or if the response is lost: the connection that held it is gone, or its lane has moved on.  Fields that never reach
    the model do not count as settings: `metadata`, `user`, `safety_identifier`, `stream_options`; nor do those that are
    about one response only, `generate` and `tool_choice`, nor the credentials of tools.

    The conversation remembers a turn at its terminal event: its input and its output, as sent and received.  A turn
    that failed, was refused, cancelled or disposed leaves the conversation as it was.  An incomplete response counts,
    with the output that it has.  A `compaction` item in the output replaces all items before it.

    **Tools.**  If `tools` holds a function, or what `tool` made of one, a turn lets the model call tools until it is
    done, as `run_tools` describes; its options are settings too: `max_turns`, `max_concurrent`, `timeout`,
    `max_tokens`, `approve`, `on_error`, `eager`.  Such a turn is remembered as a whole, or not at all: after an error,
    `send` the same input with the `ledger` of the error, and no call is made twice.  Calls that `max_tokens` cut off
    are answered as not made.  Without functions, the next input has to answer the calls.  A tool must not wait for a
    turn of its own conversation, because that begins only after the tool's turn; a `fork` has turns of its own.

    With `store=False` each request asks for `reasoning.encrypted_content`, so that the reasoning can be sent back.
    If a model refuses that, later requests to the model do not ask.  Reasoning without encrypted content is not sent
    back, nor is the call at which an incomplete response was cut.

    Turns of one conversation run one after the other, in the order of their subscriptions; all methods may be called
    from any thread.  On a socket each conversation has a lane of its own, named `conversation-…` but for the first one,
    which has the default lane; names of forgotten conversations are used again.  `stream_id` names another lane.
    A client chooses the lanes itself, and tells branches apart by these names.

    Raises `InvalidRequestError` or `TypeError` for a setting that no request takes, and `ConfigurationError` for wrong
    tools, a wrong option of them, a `sender` without `send_request`, or a `stream_id` other than that of the `sender`.
    """

    @discreet
    def __init__(self, sender: Sender, **defaults: Any) -> None:
        check_sender(sender)
        self._settings = TurnSettings(defaults)
        self._home = home_of(sender)
        chosen = defaults.get("stream_id") or UNSET
        lane = UNSET if self._home is sender else sender.stream_id  # type: ignore[attr-defined]
        if UNSET not in (lane, chosen) and lane != chosen:
            raise ConfigurationError(
                f"the sender is the lane {lane!r}, and `stream_id` names the lane {chosen!r}: leave one of them out"
            )
        self._host = TurnHost(self._home, Chain())
        self._lanes = lanes_of(self._home)
        self._set_branch(next((name for name in (lane, chosen) if isinstance(name, str)), None))

    def _set_branch(self, name: str | None) -> None:
        self._branch = Branch(name)
        # The finalizer must not hold a reference to the conversation, or that would never be forgotten.
        weakref.finalize(self, self._lanes.forget, self._branch).atexit = False

    def __repr__(self) -> str:
        return f"<Conversation of {len(self._host.chain.items)} items>"

    # Turns.

    @discreet
    def send(
        self,
        input: str | InputItem | Sequence[InputItem] = (),
        *,
        ledger: ToolLedger | None = None,
        **settings: Any,
    ) -> Observable[ServerEvent]:
        """Return the events of the next turn, as a cold Observable: each subscription is one more turn.

        `input` is the text of a user message, an item, or items.  `settings` override the conversation's for this turn.
        A subscription while another turn runs, or waits, is sent when those before have ended, on any thread or loop.

        Marble::

            subscribe: turn--(history)--created--in_progress--"He"--"llo"--completed|

        The first event is a `TurnStartedEvent`, with the request; `HistorySentEvent` follows if everything is sent.
        All others are the server's.  If the response to continue is lost, and there is no output yet, the turn sends
        everything once more by itself, and does not emit the refusal.

        Disposing a turn that waits means that nothing is sent; disposing it later does what the sender says.  In either
        case the conversation stays as it was, and the next turn may start.

        Errors are those of the sender.  Raises `InvalidRequestError` or `TypeError` at once for input and settings that
        cannot be sent.  If the latest response waits for the outputs of calls, an input without them is an error of
        the stream: `InvalidRequestError`.
        """
        items = items_of(input)
        used = self._overridden(settings) if settings else self._settings
        used.check(items, ledger)

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            sending = Sending(self._lanes, self._branch, self, self._host, used, items, ledger, observer, scheduler)
            sending.enter()
            return Disposable(sending.dispose)

        return EventObservable(subscribe)

    def steer(self, input: str | InputItem | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Give the response that runs now new input, without waiting for its end; each subscription sends it once.

        Emits what `steer` of the socket or client emits: the server's answer, and the events of the response that
        follows.  That response and the input are remembered at its terminal event, behind the steered response.  If the
        server keeps the input until the calls of the steered response are answered (`response.steer.pending`), the
        input is part of the history, and the next turn sends the answers only.

        Marble::

            send():  --created--"He"--"llo"-------incomplete|
            steer(): ---------------accepted-----------------created--"Hi"--completed|

        The turns that wait go on waiting until the steer has ended.  The stream ends with `InvalidRequestError` if no
        response of this conversation runs, or if its turn runs tools: dispose that turn, and send another one.
        Raises `InvalidRequestError` at once for anything but messages of the user, and `ConfigurationError` for a
        sender that cannot steer.
        """
        items = items_of(input)
        ResponseSteer(previous_response_id="-", input=items)  # raises
        steer: Any = getattr(self._home, "steer", None)
        if not callable(steer):
            raise ConfigurationError(
                f"{type(self._home).__name__} has no method `steer`: use a socket or a client as the sender"
            )

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            running = self._branch.running
            target_id = running.response_id if isinstance(running, Sending) else None
            if not isinstance(running, Sending) or target_id is None or running.runs_tools:
                text = "no response of this conversation runs; nothing was sent: pass the input to `send`"
                if target_id is not None:
                    text = "a turn that runs tools cannot be steered; nothing was sent: dispose it, and send another"
                observer.on_error(InvalidRequestError(text))
                return Disposable()
            return running.steer(steer(target_id, items), target_id, items, observer, scheduler)

        return EventObservable(subscribe)

    def _overridden(self, settings: Mapping[str, Any]) -> TurnSettings:
        if "stream_id" in settings:
            raise ConfigurationError("a conversation stays on its lane; `fork(stream_id=…)` makes one on another lane")
        return TurnSettings(overridden(self._settings.given, settings))

    @discreet
    def fork(self, **settings: Any) -> Self:
        """Return a branch: a conversation that begins with this history, and goes its own way on a lane of its own.

        `settings` override the conversation's.  The branch does not get the turns that run or wait now.  Its first turn
        continues the latest response, as any turn does.  If that response is not stored, only its lane holds it: this
        conversation then waits with its next turn until the server has started that of the branch, and a branch whose
        lane has gone on sends everything.

        The history is shared, not copied.  `usage` of the branch counts what the branch adds.
        """
        fork = object.__new__(type(self))
        fork.__dict__.update(self.__dict__)
        inherited = {name: value for name, value in self._settings.given.items() if name != "stream_id"}
        fork._settings = TurnSettings(overridden(inherited, settings))
        fork._host = TurnHost(self._home, self._host.chain)
        name = settings.get("stream_id")
        fork._set_branch(name if isinstance(name, str) else None)
        return fork

    # What was said.

    @property
    def history(self) -> tuple[InputItem, ...]:
        """The items so far, oldest first: inputs as they were given, outputs as they were received.

        Items that were given as plain JSON are copies; those that were restored from JSON are plain JSON, or objects of
        output items.  To change the history, pass the items that are to be kept to `replace_history`.
        """
        return tuple(plain_json(item) if isinstance(item, Mapping) else item for item in self._host.chain.items)

    def replace_history(self, items: Sequence[InputItem]) -> None:
        """Put other items in place of the history, such as a compacted window, or a part of `history`.

        If they begin with the whole history, only those behind it are sent with the next turn; else the next turn sends
        everything.  Raises `ConfigurationError` while a turn runs, since that is to be remembered behind the history
        which it continues, and `InvalidRequestError` for what is no item.
        """
        checked = items_of(items)

        def replace(_: Lanes) -> None:
            running = self._branch.running
            if running is not None and running.may_remember:
                raise ConfigurationError(
                    "a turn of this conversation runs; nothing was changed: replace the history when the turn has ended"
                )
            self._host.chain = self._host.chain.edited(checked)

        self._lanes.change(replace)

    @property
    def usage(self) -> ResponseUsage:
        """The tokens of all turns together, cached and reasoning tokens included; a count that no server gave is 0.

        Responses that failed count as well, if the server tells their tokens.
        """
        return self._host.usage

    @property
    def last_response(self) -> Response | None:
        """The latest response that the conversation remembers; `None` before it, and after `from_json`."""
        return self._host.chain.response

    @property
    def settings(self) -> Mapping[str, Any]:
        """The fields of the requests; `configure` changes them."""
        return MappingProxyType(dict(self._settings.given))

    @discreet
    def configure(self, **settings: Any) -> None:
        """Change the settings for the turns that are made from now on by `send`; `msgspec.UNSET` removes a setting.

        Raises `InvalidRequestError` or `TypeError` for a setting that no request takes, and `ConfigurationError` for
        `stream_id`.
        """
        self._settings = self._overridden(settings)

    # As JSON.

    @discreet
    def to_json(self) -> str:
        """Return the conversation as JSON text: history, settings and usage.

        A setting that holds a credential, such as the `tools` with the `authorization` of an MCP server, is left out:
        `from_json` asks for it.  Turns that run or wait are left out.
        """
        settings, withheld = self._settings.saved()
        data = {
            "version": _VERSION,
            "settings": settings,
            "withheld": withheld,
            "usage": plain_json(self._host.usage),
            "chain": self._host.chain.to_dict(),
        }
        return encode(data).decode()

    @classmethod
    @discreet
    def from_json(cls, text: str | bytes, sender: Sender, **settings: Any) -> Self:
        """Return the conversation from the text of `to_json`, on any sender; `settings` override the saved ones.

        A lane as the sender takes the place of the saved lane.  The next turn continues the latest response if that was
        stored, and sends everything if not.

        Raises `DecodeError` for other text, `ConfigurationError` if `settings` lack one that `to_json` left out, and
        `TypeError` if the sender comes first, as it does in the constructor.
        """
        if hasattr(text, "send_request"):
            raise TypeError("the text comes first: write `Conversation.from_json(text, sender)`")
        try:
            saved = msgspec.convert(json.loads(text), _Saved)
            TurnSettings(saved.settings)
        except (ValueError, TypeError, RecursionError, InvalidRequestError, ConfigurationError) as error:
            raise DecodeError(f"the text is not what `Conversation.to_json` returns: {error}") from error
        missing = ", ".join(f"`{name}`" for name in saved.withheld if name not in settings)
        if missing:
            raise ConfigurationError(
                f"the conversation was saved without {missing}, because they hold credentials or functions: pass "
                f"{missing} again"
            )
        if isinstance(getattr(sender, "stream_id", None), str):
            saved.settings.pop("stream_id", None)
        conversation = cls(sender, **overridden(saved.settings, settings))
        conversation._host.chain = Chain.from_dict(saved.chain)
        conversation._host.usage = add_usage(NO_USAGE, ResponseUsage.from_dict(saved.usage))
        return conversation


class _Saved(msgspec.Struct):
    version: Literal[1]
    settings: dict[str, Any]
    withheld: list[str]
    usage: dict[str, Any]
    chain: dict[str, Any]


def items_of(input: str | InputItem | Sequence[InputItem]) -> list[InputItem]:
    """Return input as items, plain JSON as copies: what was sent must not change later.

    Raises `InvalidRequestError` for anything else.
    """
    if isinstance(input, str):
        return [user_message(input)]
    items = [input] if isinstance(input, (Model, Mapping)) else input
    if not isinstance(items, (list, tuple)):
        raise InvalidRequestError(
            f"`input` must be a text, an item or a list of items, not {type(input).__name__}", field="input"
        )
    ResponseCreate(model="-", input=items)  # raises
    return [plain_json(item) if isinstance(item, Mapping) else item for item in items]
