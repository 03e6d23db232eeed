"""`ToolLedger`: which calls of a run were attempted and finished, so that none is made twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import msgspec

from ..errors import ConfigurationError, DecodeError
from ..redaction import discreet
from ..wire.base import Model
from ..wire.requests.sent import plain_json
from .chain import Chain
from .client_calls import ClientCall
from .items import ANSWERS, calls_open_after
from .unfinished import restored_call, restored_items, saved_call

_VERSION = 1

Save: TypeAlias = "Callable[[ToolLedger], object]"
"""Saves a ledger, for example its `to_json()` to a database; raises if the ledger cannot be saved."""

_Key: TypeAlias = tuple[int, str, str, str]  # turn, call id, name, text

Standing: TypeAlias = Literal["new", "finished", "unknown"]
"""What a ledger knows of a call: nothing, its output, or only that it was attempted."""


@dataclass(frozen=True)
class CallRecord:
    """A call that was attempted; `output` is the item that answered it, `None` while it is not known to be finished.

    `text` is what the call asked for: the JSON of the arguments, or the input of a custom tool.  `turn` counts from 1.
    """

    turn: int
    call_id: str
    type: str
    name: str
    text: str
    output: Mapping[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the output is known."""
        return self.output is not None


class ToolLedger:
    """The calls that a run has attempted and finished, with their outputs, and where the run stands.

    Give a ledger to `run_tools`, and give it back after an error, a lost socket or a crash: the run goes on behind the
    latest response that had ended, and makes no call twice.  A finished call is answered with its saved output.  If a
    call was attempted but not finished, it is unknown whether the call took effect.  The model is told so, unless the
    tool is `idempotent`: then the tool runs again.  To decide otherwise, read `unknown`, and call `resolve` or `forget`
    for each call there.

    A response that had not ended is asked for again.  The request carries the calls of that response that were
    attempted, with their outputs, so that the model does not ask for them once more under new ids.

    `save` is called with the ledger at each change: before a call starts, after it has finished, and when a response
    has ended.  If `save` raises, the run ends with the error, so that no call is made which is not recorded.  `save`
    runs on the loop of the run, so it should be quick.  `open_ledger(path)` saves to a file.

    A ledger belongs to one run.  With the ledger of a run that has ended, `run_tools` emits the terminal event again,
    and sends nothing.  The JSON holds the conversation, arguments and outputs included.
    """

    def __init__(self, *, save: Save | None = None) -> None:
        if save is not None and not callable(save):
            raise ConfigurationError(f"`save` must be a function that takes the ledger, not {type(save).__name__}")
        self._save = save
        self._asked: str | None = None
        self._sender: object = None
        self._records: dict[_Key, CallRecord] = {}
        self._open: list[ClientCall] = []
        self._unfinished: list[list[ClientCall]] = [[]]  # the last is of the response that runs
        self._ending: Mapping[str, Any] | None = None
        self.turn = 0
        """How many responses of the run have ended."""
        self.tokens = 0
        """How many tokens these responses have used together."""
        self.chain = Chain()
        """The conversation up to the latest of these responses, which the next request continues."""
        self.in_use = False
        """Whether a subscription uses the ledger."""
        self._chain_json: tuple[Chain | None, str] = None, ""

    def __repr__(self) -> str:
        unknown = len(self.unknown)
        return f"<ToolLedger of {self.turn} turns, {len(self._records)} calls, {unknown} of them not finished>"

    def __getstate__(self) -> dict[str, Any]:
        # An error that holds the ledger may be copied or pickled; its `save` and its sender cannot go along.
        return {**vars(self), "_save": None, "_sender": None, "in_use": False}

    # What is recorded.

    @property
    def calls(self) -> list[CallRecord]:
        """The calls that were attempted, in the order of their start."""
        return list(self._records.values())

    @property
    def unknown(self) -> list[CallRecord]:
        """The calls that were attempted and are not known to be finished."""
        return [record for record in self._records.values() if not record.is_finished]

    @property
    def unanswered(self) -> list[ClientCall]:
        """The calls of the latest response, which the next request answers."""
        return list(self._open)

    @property
    def unfinished(self) -> list[list[ClientCall]]:
        """The attempted calls of each response that was lost before its end, since the latest response that ended."""
        return [list(calls) for calls in self._unfinished if calls]

    @property
    def response_id(self) -> str | None:
        """The response that the next request continues."""
        return self.chain.parent_id

    @property
    def ending(self) -> Mapping[str, Any] | None:
        """The JSON of the terminal event with which the run has ended; `None` while the run may go on."""
        return self._ending

    def standing(self, turn: int, call: ClientCall) -> Standing:
        """Return what is known of a call."""
        record = self._record(turn, call)
        if record is None:
            return "new"
        return "finished" if record.is_finished else "unknown"

    def output_of(self, turn: int, call: ClientCall) -> Mapping[str, Any] | None:
        """Return the saved output of a call."""
        record = self._record(turn, call)
        return None if record is None else record.output

    def _record(self, turn: int, call: ClientCall) -> CallRecord | None:
        return self._records.get(_key(turn, call))

    # What the program decides.

    def resolve(self, call_id: str, output: Model | Mapping[str, Any]) -> None:
        """Record the output of a call whose fate was unknown, as an input item such as `function_result` makes.

        Raises `ConfigurationError` if the ledger has no such call, or if the item does not answer it.
        """
        self._change_unknown(call_id, plain_json(output))

    def forget(self, call_id: str) -> None:
        """Let a call whose fate was unknown be made again."""
        self._change_unknown(call_id, None)

    def _change_unknown(self, call_id: str, output: Mapping[str, Any] | None) -> None:
        keys = [key for key, record in self._records.items() if record.call_id == call_id and not record.is_finished]
        if not keys:
            raise ConfigurationError(
                f"the ledger has no unfinished call with the id {call_id!r}: `unknown` lists the unfinished calls"
            )
        record_type = self._records[keys[0]].type
        kind = ANSWERS.get(record_type, record_type)
        if output is not None and (not isinstance(output, Mapping) or calls_open_after([output], [(kind, call_id)])):
            raise ConfigurationError(
                f"the output does not answer the call {call_id!r}: pass an item of the type `{kind}` with this id"
            )
        for key in keys:
            if output is None:
                del self._records[key]
            else:
                self._records[key] = replace(self._records[key], output=output)
        self._changed()

    # What the run tells.

    def begin(self, asked: object, sender: object = None) -> None:
        """Note the input of the run, as JSON data, and its sender, which may be another than before.

        Raises `ConfigurationError` if the ledger belongs to another run.
        """
        if self.in_use:
            raise ConfigurationError(
                "the ledger is in use by another subscription; nothing was sent: give each run a ledger of its own"
            )
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        if self._asked not in (None, digest):
            raise ConfigurationError(
                "the ledger belongs to a run with another input; nothing was sent: give the request of that run, or a "
                "new ledger"
            )
        if sender is not self._sender:
            self.chain = self.chain.elsewhere("the run goes on over another sender, which does not have the parent")
        self._asked, self._sender = digest, sender
        self.in_use = True

    def begin_response(self) -> None:
        """Note that a request is sent: the calls of its response belong together."""
        self._unfinished = [*self.unfinished, []]

    def attempt(self, turn: int, call: ClientCall) -> None:
        """Record a call that starts next; if that cannot be saved, the call must not start, and is not recorded."""
        records, unfinished = dict(self._records), self.unfinished
        self._note(turn, call, None)
        try:
            self._changed()
        except BaseException:
            self._records, self._unfinished = records, [*unfinished, []]
            raise

    def finish(self, turn: int, call: ClientCall, output: Model | Mapping[str, Any]) -> None:
        """Record the output of a call that was attempted, or that is answered without being made."""
        self._note(turn, call, plain_json(output))
        self._changed()

    def _note(self, turn: int, call: ClientCall, output: Mapping[str, Any] | None) -> None:
        key = _key(turn, call)
        is_known = key in self._records or any(
            key == _key(turn, other) for calls in self._unfinished for other in calls
        )
        self._records[key] = CallRecord(turn, call.call_id, call.type, call.name, call.text, output)
        # An approval request has no effect here: the server asks again.
        if turn > self.turn and not is_known and call.type != "mcp_approval_request":
            self._unfinished[-1].append(call)

    def end_response(
        self, chain: Chain, calls: Sequence[ClientCall], tokens: int, *, ending: Mapping[str, Any] | None = None
    ) -> None:
        """Record a response that has ended, with the calls that wait for an answer; `ending` ends the run."""
        self.turn += 1
        self.tokens += tokens
        self.chain = chain
        self._open = list(calls)
        self._unfinished = [[]]
        self._ending = ending
        self._changed()

    def _changed(self) -> None:
        if self._save is not None:
            self._save(self)

    # As JSON.

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**self._to_dict(), "chain": self.chain.to_dict()}

    def _to_dict(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "asked": self._asked,
            "turn": self.turn,
            "tokens": self.tokens,
            "calls": [dict(vars(record)) for record in self._records.values()],
            "open": [plain_json(call.item) | {"is_cut": call.is_cut} for call in self._open],
            "unfinished": [[saved_call(call) for call in calls] for calls in self.unfinished],
            "ending": self._ending,
        }

    def to_json(self) -> str:
        """Return JSON text."""
        chain, text = self._chain_json
        if chain is not self.chain:  # made once in a turn, because it is most of the text
            text = json.dumps(self.chain.to_dict(), separators=(",", ":"))
            self._chain_json = self.chain, text
        rest = json.dumps(self._to_dict(), separators=(",", ":"))
        return f'{rest[:-1]},"chain":{text}}}'

    @classmethod
    @discreet
    def from_dict(cls, data: Mapping[str, Any], *, save: Save | None = None) -> ToolLedger:
        """Return the ledger from the data of `to_dict`; raises `DecodeError` for other data."""
        try:
            saved = msgspec.convert(data, _Saved)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise DecodeError(f"the data are not those of a ledger: {error}") from error
        ledger = cls(save=save)
        ledger._asked, ledger.turn, ledger.tokens, ledger._ending = saved.asked, saved.turn, saved.tokens, saved.ending
        ledger.chain = Chain.from_dict(saved.chain)
        ledger._records = {(record.turn, record.call_id, record.name, record.text): record for record in saved.calls}
        ledger._open = [restored_call(item, is_cut=bool(item.get("is_cut"))) for item in saved.open]
        for calls in saved.unfinished:
            ledger.begin_response()
            ledger._unfinished[-1] += [
                restored_call(call.item, place=call.place, reasoning=restored_items(call.reasoning)) for call in calls
            ]
        return ledger

    @classmethod
    @discreet
    def from_json(cls, text: str | bytes, *, save: Save | None = None) -> ToolLedger:
        """Return the ledger from the text of `to_json`; raises `DecodeError` for other text."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the text is not that of a ledger: {error}") from error
        return cls.from_dict(data, save=save)


def check_ledger(ledger: object) -> None:
    """Raise `ConfigurationError` for an argument that is neither a ledger nor `None`."""
    if ledger is not None and not isinstance(ledger, ToolLedger):
        raise ConfigurationError(f"`ledger` must be a ToolLedger, not {type(ledger).__name__}")


class _SavedCall(msgspec.Struct):
    item: dict[str, Any]
    place: int
    reasoning: list[dict[str, Any]]


class _Saved(msgspec.Struct):
    version: Literal[1]
    asked: str | None
    turn: int
    tokens: int
    chain: dict[str, Any]
    calls: list[CallRecord]
    open: list[dict[str, Any]]
    unfinished: list[list[_SavedCall]]
    ending: dict[str, Any] | None


def _key(turn: int, call: ClientCall) -> _Key:
    # Some servers number the calls of each response from 0: an id alone does not tell that it is the same call.
    return turn, call.call_id, call.name, call.text
