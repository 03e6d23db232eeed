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
from ..wire.models import Response
from ..wire.requests.sent import plain_json
from .chain import Chain
from .client_calls import ClientCall, client_call, for_call

_VERSION = 1

Save: TypeAlias = "Callable[[ToolLedger], object]"
"""Saves a ledger, for example its `to_json()` to a database; raises if it cannot."""

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
    latest response that had ended, and makes no call twice.  A finished call is answered with its saved output.  Of a
    call that was attempted but not finished, nobody knows whether it took effect, so the model is told just that;
    unless its tool is `idempotent`, which runs again.  To decide otherwise, look at `unknown` and call `resolve` or
    `forget`.

    `save` is called with the ledger at each change: before a call starts, after it has finished, and when a response
    has ended.  What it raises ends the run, so that no call is made which is not recorded.  It runs on the loop of the
    run, so it should be quick.  `open_ledger(path)` saves to a file.

    A response that was lost is asked for again, and the model may then make its calls anew, with other ids.  So a call
    with the tool and the arguments of one that was attempted for the lost response counts as that call.

    A ledger belongs to one run.  After the end of the run it emits the terminal event again, and sends nothing.  The
    JSON holds the conversation, arguments and outputs included.
    """

    def __init__(self, *, save: Save | None = None) -> None:
        if save is not None and not callable(save):
            raise ConfigurationError(f"`save` must be a function that takes the ledger, not {type(save).__name__}")
        self._save = save
        self._asked: str | None = None
        self._records: dict[tuple[int, str], CallRecord] = {}
        self._open: list[ClientCall] = []
        self._earlier: list[CallRecord] = []  # those of the present turn that an earlier try of it has attempted
        self._ending: Mapping[str, Any] | None = None
        self.turn = 0
        """How many responses of the run have ended."""
        self.tokens = 0
        """How many tokens they have used together."""
        self.chain = Chain()
        """The conversation up to the latest of them, which the next request continues."""
        self.in_use = False
        """Whether a subscription uses the ledger."""
        self._chain_json: tuple[Chain | None, str] = None, ""

    def __repr__(self) -> str:
        unknown = len(self.unknown)
        return f"<ToolLedger of {self.turn} turns, {len(self._records)} calls, {unknown} of them not finished>"

    def __getstate__(self) -> dict[str, Any]:
        # An error that holds the ledger may be copied or pickled; what saves the ledger stays with this one.
        return {**vars(self), "_save": None, "in_use": False}

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
    def response_id(self) -> str | None:
        """The response that the next request continues."""
        return self.chain.parent_id

    @property
    def ending(self) -> Mapping[str, Any] | None:
        """The JSON of the terminal event with which the run has ended, `None` before."""
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
        record = self._records.get((turn, call.call_id))
        # Some servers number the calls of each response from 0: an id alone does not tell that it is the same call.
        return record if record is not None and (record.name, record.text) == (call.name, call.text) else None

    # What the program decides.

    def resolve(self, call_id: str, output: Model | Mapping[str, Any]) -> None:
        """Record the output of a call whose fate was unknown, as an input item such as `function_result` makes."""
        self._change_unknown(call_id, plain_json(output))

    def forget(self, call_id: str) -> None:
        """Let a call whose fate was unknown be made again."""
        self._change_unknown(call_id, None)

    def _change_unknown(self, call_id: str, output: Mapping[str, Any] | None) -> None:
        keys = [key for key, record in self._records.items() if key[1] == call_id and not record.is_finished]
        if not keys:
            raise ConfigurationError(f"the ledger has no unfinished call with the id {call_id!r}")
        for key in keys:
            if output is None:
                del self._records[key]
            else:
                self._records[key] = replace(self._records[key], output=output)
        self._changed()

    # What the run tells.

    def begin(self, asked: object) -> None:
        """Note the input of the run, as JSON data; raises `ConfigurationError` if the ledger belongs to another run."""
        if self.in_use:
            raise ConfigurationError("the ledger is in use by another subscription; give each run a ledger of its own")
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        if self._asked not in (None, digest):
            raise ConfigurationError(
                "the ledger belongs to a run with another input: give back the same request, or a new ledger"
            )
        self._asked = digest
        self.in_use = True

    def begin_turn(self, turn: int) -> None:
        """Note that a turn begins, perhaps not for the first time."""
        self._earlier = [record for record in self._records.values() if record.turn == turn]

    def recognize(self, turn: int, call: ClientCall) -> None:
        """Give a call the record of the same call, if an earlier try of the turn has attempted that: see above."""
        asked = (call.type, call.name, call.text)
        same = [record for record in self._earlier if (record.type, record.name, record.text) == asked]
        record = next((one for one in same if one.call_id == call.call_id), same[0] if same else None)
        if record is None:
            return
        self._earlier.remove(record)  # the model may make a call twice on purpose
        if record.call_id != call.call_id:
            del self._records[turn, record.call_id]
            output = None if record.output is None else for_call(record.output, record.call_id, call.call_id)
            self._records[turn, call.call_id] = replace(record, call_id=call.call_id, output=output)

    def attempt(self, turn: int, call: ClientCall) -> None:
        """Record a call that starts next; if that cannot be saved, the call must not start, and is not recorded."""
        before = self._records.get((turn, call.call_id))
        self._records[turn, call.call_id] = CallRecord(turn, call.call_id, call.type, call.name, call.text)
        try:
            self._changed()
        except BaseException:
            del self._records[turn, call.call_id]
            if before is not None:
                self._records[turn, call.call_id] = before
            raise

    def finish(self, turn: int, call: ClientCall, output: Model | Mapping[str, Any]) -> None:
        """Record the output of a call that was attempted, or that is answered without being made."""
        record = CallRecord(turn, call.call_id, call.type, call.name, call.text, plain_json(output))
        self._records[turn, call.call_id] = record
        self._changed()

    def end_response(
        self, chain: Chain, calls: Sequence[ClientCall], tokens: int, *, ending: Mapping[str, Any] | None = None
    ) -> None:
        """Record a response that has ended, with the calls that wait for an answer; `ending` ends the run."""
        self.turn += 1
        self.tokens += tokens
        self.chain = chain
        self._open = list(calls)
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
            "calls": [vars(record) | {"output": record.output} for record in self._records.values()],
            "open": [plain_json(call.item) | {"is_cut": call.is_cut} for call in self._open],
            "ending": self._ending,
        }

    def to_json(self) -> str:
        """Return JSON text."""
        chain, text = self._chain_json
        if chain is not self.chain:  # it changes once in a turn, and is most of the text
            text = json.dumps(self.chain.to_dict(), separators=(",", ":"))
            self._chain_json = self.chain, text
        rest = json.dumps(self._to_dict(), separators=(",", ":"))
        return f'{rest[:-1]},"chain":{text}}}'

    @classmethod
    @discreet
    def from_dict(cls, data: Mapping[str, Any], *, save: Save | None = None) -> ToolLedger:
        """Return the ledger of such data; raises `DecodeError` for other data."""
        try:
            saved = msgspec.convert(data, _Saved)
        except msgspec.ValidationError as error:
            raise DecodeError(f"the data are no ledger: {error}") from error
        ledger = cls(save=save)
        ledger._asked, ledger.turn, ledger.tokens, ledger._ending = saved.asked, saved.turn, saved.tokens, saved.ending
        ledger.chain = Chain.from_dict(saved.chain)
        ledger._records = {(record.turn, record.call_id): record for record in saved.calls}
        for item in saved.open:
            call = client_call(Response.from_dict({"output": [item]}).output[0])
            if call is None:
                raise DecodeError("the data are no ledger: an open call is an item of another type")
            ledger._open.append(replace(call, is_cut=bool(item.get("is_cut"))))
        return ledger

    @classmethod
    @discreet
    def from_json(cls, text: str | bytes, *, save: Save | None = None) -> ToolLedger:
        """Return the ledger of such text; raises `DecodeError` for other text."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"the text is no ledger: {error}") from error
        return cls.from_dict(data, save=save)


class _Saved(msgspec.Struct):
    version: Literal[1]
    asked: str | None
    turn: int
    tokens: int
    chain: dict[str, Any]
    calls: list[CallRecord]
    open: list[dict[str, Any]]
    ending: dict[str, Any] | None
