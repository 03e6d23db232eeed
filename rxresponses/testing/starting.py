"""The start of a response: from a request to a response that runs on its lane."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from .checks import check_create
from .generator import EventGenerator, new_response
from .history import ConnectionHistory, EndedResponse, IdGenerator
from .items import count_tokens, item_tokens, normalize_input
from .journal import Exchange
from .model import ResolvedReply, ScriptedModel
from .plan import FaultPlan
from .refusal import RequestError
from .replies import Incomplete, Usage
from .request import Request
from .running import RunningResponse, start_response
from .service_checks import check_conversation, check_service_rules
from .steering import Steering

_LOGGER = logging.getLogger("rxresponses.testing")


class ResponseStarter:
    """Starts the responses of one connection.  `Session` describes the arguments."""

    def __init__(
        self,
        *,
        model: ScriptedModel,
        plan: FaultPlan,
        history: ConnectionHistory,
        steering: Steering,
        ids: IdGenerator,
        clock: Callable[[], float],
        number: int,
        checks: bool,
    ) -> None:
        self._model = model
        self._plan = plan
        self._history = history
        self._steering = steering
        self._ids = ids
        self._clock = clock
        self._number = number
        self._checks = checks

    def start(self, exchange: Exchange, lane: str | None, now: float) -> RunningResponse:
        """Start the response to a `response.create`.

        The parent is looked up here and not when the request arrives: a request may wait until the server
        has forgotten the parent.

        Raises:
            RequestError: if the request is refused.
        """
        body = exchange.message
        check_create(body)
        if self._checks:
            check_service_rules(body)
        parent_id: str | None = body.get("previous_response_id")
        steers = self._steering.pending(parent_id, lane)
        size = exchange.size + sum(steer.size for steer in steers)
        parent = self._load(parent_id, size) if parent_id is not None else None
        steering = [item for steer in steers for item in normalize_input(steer.input)]
        request = Request(
            body=body,
            input=[*steering, *normalize_input(body.get("input"))],
            history=parent.conversation if parent is not None else [],
            connection=self._number,
            number=exchange.number,
            ordinal=exchange.ordinal,
        )
        if self._checks:
            check_conversation(request, self._history.stored)
        reply = self._reply_to(request, exchange)
        if steers:
            self._steering.use_pending(steers[0].target)
        generator = self._generator(request, parent, reply)
        response = start_response(generator, reply, request, parent, now, lane=lane, exchange=exchange, size=size)
        exchange.started, exchange.response_id = now, response.response_id
        return response

    def _load(self, parent_id: str, size: int) -> EndedResponse | None:
        try:
            return self._history.load(parent_id, size)
        except RequestError:
            if self._model.plays:
                return None  # the recording decides, and may have begun after the parent
            raise

    def _reply_to(self, request: Request, exchange: Exchange) -> ResolvedReply:
        """Return the reply of the model, with the faults of the server among its interventions."""
        try:
            warm_up = request.body.get("generate") is False and not self._model.plays
            reply = ResolvedReply(()) if warm_up else self._model.resolve(request)
            exchange.faults = self._plan.at_request(request)
            return replace(reply, interventions=reply.interventions + exchange.faults)
        except RequestError:
            raise
        except BaseException as error:
            # A function of the test raised this.  The client reports the error where the test sees it.  Nothing that
            # a function raises, `sys.exit()` included, may stop the server: its other clients would wait for ever.
            message = f"The scripted model raised {_description(error)}"
            _LOGGER.error("A function of the test raised an exception", exc_info=True)
            raise RequestError(message, code="server_error", status=500, type="server_error") from error

    def _generator(self, request: Request, parent: EndedResponse | None, reply: ResolvedReply) -> EventGenerator:
        body = request.body
        cached = parent.tokens if parent is not None else 0
        return EventGenerator(
            new_response(body, self._ids.new("resp"), int(self._clock())),
            ids=self._ids,
            clock=self._clock,
            input_tokens=cached + item_tokens(request.input) + count_tokens(body.get("instructions") or ""),
            cached_tokens=cached,
            encrypted="reasoning.encrypted_content" in (body.get("include") or ()),
            usage=next((setting for setting in reply.settings if isinstance(setting, Usage)), None),
            cut=next((setting.reason for setting in reply.settings if isinstance(setting, Incomplete)), None),
        )


def _description(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # of its own `__str__`
        return name
