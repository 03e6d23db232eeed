"""`ask_latest`: a new prompt cancels or steers the answer to the prompt before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import ConfigurationError
from ..net.observable import EventObservable
from ..net.sender import Sender
from ..redaction import discreet
from ..wire.events import ServerEvent
from .conversation import Conversation
from .latest_answers import CancelledAnswers
from .latest_targets import Prompt, target_of
from .steered_answers import SteeredAnswers

T = TypeVar("T")
Mode = Literal["cancel", "steer"]
KeepHeard = bool | Callable[[str], str]


@overload
def ask_latest(
    target: Sender | Conversation,
    *,
    mode: Literal["cancel"] = "cancel",
    keep_heard: KeepHeard = False,
    each: Callable[[Observable[ServerEvent]], Observable[T]],
    **fields: Any,
) -> Callable[[Observable[Prompt]], Observable[T]]: ...


@overload
def ask_latest(
    target: Sender | Conversation,
    *,
    mode: Mode = "cancel",
    keep_heard: KeepHeard = False,
    each: None = None,
    **fields: Any,
) -> Callable[[Observable[Prompt]], Observable[ServerEvent]]: ...


@discreet
def ask_latest(
    target: Sender | Conversation,
    *,
    mode: Mode = "cancel",
    keep_heard: KeepHeard = False,
    each: Callable[[Observable[ServerEvent]], Observable[Any]] | None = None,
    **fields: Any,
) -> Callable[[Observable[Prompt]], Observable[Any]]:
    """Answer each prompt; a prompt that comes while an answer runs cancels that answer, or steers it.

    Marble::

        prompts:                      --A-----------B---|
        ask_latest(target):           ----a1--"Aa"------b1--"Bb"--b2|
        ask_latest(…, mode="steer"):  ----a1--"Aa"----s--a2--b1--"Bb"--b2|

    a1 is the `response.created` of the answer to A, and a2 its terminal event; s is `response.steer.accepted`.

    `target` is a conversation, or a sender.  A prompt is a text, an item or items; for a sender also a whole
    `ResponseCreate`.  `fields` are the other fields of the requests, such as `model`, and do not change a whole
    `ResponseCreate`; for a conversation, they are the settings that `Conversation.send` takes::

        prompts.pipe(ask_latest(chat)).subscribe(show)
        prompts.pipe(ask_latest(socket, model="gpt-5.2", instructions="Be brief.")).subscribe(show)

    **Cancel.** The answer that runs is disposed, and no event of it is emitted any more.  The server still runs the
    response, unless the connection is closed, and its lane stays taken until then (see `send_request`).  So on a socket
    the next request takes another lane; after four such lanes, the lane that was left first is used again.  On a
    `Lane`, or with a `stream_id`, the next request waits for that lane.  A client chooses lanes.

    A conversation stays as it was before a cancelled turn.  With `keep_heard=True` it remembers the prompt and the text
    that had come.  `keep_heard` may also be a function, which gets that text and returns the part that the user has
    heard.  This part is also remembered in place of an answer that has ended while it was still being spoken.

    `each` maps the events of each answer to another Observable, whose values are emitted instead.  It is disposed with
    the answer: so a new prompt also stops the speech that is under way, and drops the sentences that wait::

        prompts.pipe(ask_latest(chat, each=lambda events: events.pipe(
            rops.sentences(strip=True), ops.map(speak), ops.merge(max_concurrent=1))))

    **Steer.** The answer that runs gets the prompt as new input with `response.steer`, as soon as it is created.  All
    events are emitted, in the order in which they come: of the answer, of the steer, and of the response that follows.
    The latter are emitted once, also if the response follows from several steers.  A conversation remembers that
    response too.  A prompt that the server or the client refuses to steer with (`response.steer.failed`, or an error
    before anything was accepted) is sent as a request when the answer has ended; the refusal is not emitted.  So is a
    prompt for a turn that runs tools, which cannot be steered.  `response.steer.pending` is emitted: the server keeps
    the prompt until a request brings the outputs of the function calls, such as the next prompt.

    The result completes when the prompts have completed and the last answer has ended.  An error of the prompts or of
    an answer disposes the rest and is emitted.  Failed responses are events, and end nothing.  A steer that may have
    reached the server, but was not answered, is an error (`delivery` `unknown`): it is not sent again.  Disposing
    disposes the prompts, the answer and its steers.

    A request is sent on the thread of its prompt; events come on the thread on which the sender delivers them, with the
    context variables of the subscriber.

    Raises at once `ConfigurationError` for a target without `steer` in that mode, and for options that exclude each
    other; `InvalidRequestError` or `TypeError` for `fields` that no request takes.
    """
    if mode not in ("cancel", "steer"):
        raise ConfigurationError(f'`mode` must be "cancel" or "steer", not {mode!r}')
    if mode == "steer" and (each is not None or keep_heard):
        raise ConfigurationError(
            '`each` and `keep_heard` are for `mode="cancel"`, because a steered answer is not cut off: leave them out'
        )
    if each is not None and not callable(each):
        raise ConfigurationError(f"`each` must be a function of the events of an answer, not {type(each).__name__}")
    asked = target_of(target, fields, steers=mode == "steer", keeps=bool(keep_heard))

    def operator(prompts: Observable[Prompt]) -> Observable[Any]:
        def subscribe(observer: ObserverBase[Any], scheduler: SchedulerBase | None = None) -> DisposableBase:
            if mode == "steer":
                return SteeredAnswers(asked, observer, scheduler).start(prompts)
            return CancelledAnswers(asked, each, keep_heard, observer, scheduler).start(prompts)

        return EventObservable(subscribe)

    return operator
