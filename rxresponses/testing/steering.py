"""The rules of steering: what becomes of each `response.steer` on one connection.

A steer is refused at once, or it is accepted and ends its target early.  The input of an accepted steer goes
to a successor of the target.  If the target ends with function calls, the input is pending: it goes to the
continuation that brings the outputs of the calls.  If there can be no successor, the client gets the input back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .checks import check_steer_input
from .history import ConnectionHistory, IdGenerator
from .items import required_input, unanswered_calls
from .jsontext import JSON
from .outbox import Outbox
from .refusal import RequestError
from .running import RunningResponse, Steer
from .steered import successor_body

_REFUSALS = {
    "unknown": ("response_not_found", "The response is not available on this connection."),
    "completed": ("response_already_completed", "The response has completed."),
}
"""The code and the message with which a steer is refused, by the status of its target."""

_OTHER_REFUSAL = ("response_not_active", "The response no longer accepts input.")
_MOST_STEERS = 1_000
_MOST_STEERS_SIZE = 64 * 2**20  # bytes: further steers of the response are refused, unless it has none


class Steering:
    """The steers of one connection."""

    def __init__(self, outbox: Outbox, history: ConnectionHistory, ids: IdGenerator) -> None:
        self._outbox = outbox
        self._history = history
        self._ids = ids
        self._pending: dict[str, list[Steer]] = {}  # by the id of their target

    def receive(self, message: JSON, running: Iterable[RunningResponse], size: int) -> None:
        """Accept a `response.steer` of `size` bytes for one of the `running` responses, or refuse it.

        Raises:
            RequestError: if a required field is missing.
        """
        target, value = message.get("previous_response_id"), message.get("input")
        for name, given in (("previous_response_id", isinstance(target, str)), ("input", value is not None)):
            if not given:
                text = f"Missing required parameter: '{name}'."
                raise RequestError(text, code="missing_required_parameter", param=name)
        response = next((response for response in running if response.response_id == target), None)
        if response is None or response.ended:
            lane, status = self._history.status(str(target))
            code, text = _REFUSALS.get(status, _OTHER_REFUSAL)
            self._fail(Steer("", value, str(target), lane), code, text)
            return
        try:
            _check_steer(message, response.request.body)
            _check_size(response.steers, size)
        except RequestError as error:
            refused = Steer("", value, response.response_id, response.lane)
            self._fail(refused, error.code or "", error.message, number=response.take_number())
            return
        steer = Steer(self._ids.new("steer"), value, response.response_id, response.lane, size)
        response.steers.append(steer)
        response.generator.steered = True
        event = {"type": "response.steer.accepted", "sequence_number": response.take_number(), "steer": steer.identity}
        self._outbox.send(event, steer.lane)
        for gate in response.steer_gates[: len(response.steers)]:
            gate.open()

    def end_target(self, response: RunningResponse) -> JSON | None:
        """Decide what becomes of the steers of a response that has ended.

        Returns:
            The `response.create` for the successor, `None` if there is none now.
        """
        if response.exchange.outcome in ("failed", "refused"):
            for steer in response.steers:
                message = "The response failed before the input was used."
                self._fail(steer, "response_not_active", message, number=response.take_number())
            return None
        calls = unanswered_calls(self._history.held(response.lane).conversation)
        if calls:
            self._pending[response.response_id] = response.steers
            for steer in response.steers:
                event = {"type": "response.steer.pending", "sequence_number": response.take_number()}
                event |= {"steer": steer.identity, "reason": "waiting_for_required_input"}
                self._outbox.send({**event, "required_input": [required_input(call) for call in calls]}, steer.lane)
            return None
        inputs = [steer.input for steer in response.steers]
        return successor_body(response.request.body, response.response_id, inputs)

    def pending(self, target: str | None, lane: str | None) -> list[Steer]:
        """Return the pending steers whose input goes to a continuation of `target` on `lane`.

        A fork, which is a continuation on another lane than that of the target, gets no input.
        """
        steers = self._pending.get(target, []) if target is not None else []
        return steers if steers and steers[0].lane == lane else []

    def use_pending(self, target: str) -> None:
        """Remove the pending steers of `target`: a continuation has their input."""
        del self._pending[target]

    def fail_pending(self, target: str) -> None:
        """Return the pending input for `target`, which can no longer be continued."""
        for steer in self._pending.pop(target, ()):
            self._fail(steer, "successor_creation_failed", "The response to continue from is gone.")

    def fail_successor(self, steers: Sequence[Steer], message: str, counter: RunningResponse) -> None:
        """Return the input of accepted steers whose successor could not be started.

        Args:
            steers: the steers.
            message: why there is no successor.
            counter: the response that gives the events their sequence numbers.
        """
        for steer in steers:
            self._fail(steer, "successor_creation_failed", message, number=counter.take_number())

    def _fail(self, steer: Steer, code: str, message: str, *, number: int = 0) -> None:
        """Send `response.steer.failed`, which returns the input to the client."""
        identity = steer.identity if steer.id else {"previous_response_id": steer.target}
        error = {"type": "invalid_request_error", "code": code, "message": message}
        event = {"type": "response.steer.failed", "sequence_number": number, "error": error}
        self._outbox.send({**event, "steer": {**identity, "input": steer.input}}, steer.lane)


def _check_size(steers: Sequence[Steer], size: int) -> None:
    waiting = sum(steer.size for steer in steers)
    if steers and (len(steers) >= _MOST_STEERS or waiting + size > _MOST_STEERS_SIZE):
        text = f"{len(steers)} steers of {waiting} bytes wait for the end of this response. Send no more now."
        raise RequestError(text, code="steering_queue_full")


def _check_steer(message: JSON, target: Any) -> None:
    """Check a steer for the response to `target`, a `response.create`."""
    if target.get("conversation") is not None or target.get("context_management"):
        text = "Responses with a conversation or automatic compaction cannot be steered."
        raise RequestError(text, code="steering_not_supported")
    try:
        check_steer_input(message)
    except RequestError as error:
        raise RequestError(error.message, code="invalid_input") from error
