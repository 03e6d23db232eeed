"""A sender that answers by a script, without a connection."""

from __future__ import annotations

from typing import Any

import reactivex
from reactivex import Observable

from rxresponses import ResponseCreate, ServerEvent

from .chains import sent


class ScriptedSender:
    """Each request gets the next answer: events, an error behind them, or an Observable.  `requests` has the JSON."""

    def __init__(self, *answers: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self._answers = list(answers)

    def send_request(self, request: ResponseCreate, /) -> Observable[ServerEvent]:
        def subscribe(*_: Any) -> Observable[ServerEvent]:
            self.requests.append(sent(request))
            answer = self._answers.pop(0)
            if isinstance(answer, Observable):
                return answer
            answer = answer if isinstance(answer, list) else [answer]
            error = answer.pop() if isinstance(answer[-1], Exception) else None
            events: Observable[ServerEvent] = reactivex.from_iterable(answer)
            return events if error is None else reactivex.concat(events, reactivex.throw(error))

        return reactivex.defer(subscribe)
