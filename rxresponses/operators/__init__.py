"""Operators for streams of server events; `from rxresponses import operators as rops`.

These are plain RxPY operators, for `pipe`, next to those of `reactivex.operators`.  They keep no state
outside a subscription, so one operator may be used in many pipelines.

Some operators reduce events to something else: texts, responses, calls, token counts.  They handle one
response after another, if a source holds several.  Behind them no event shows that a response failed, so the
failure becomes an error: `response.failed`, `error` and `response.steer.failed` become
`on_error(ResponseFailedError)`.  `response.steer.pending` (the steer waits for the outputs of function calls)
becomes `on_error(SteerPendingError)`.

A refused or an incomplete response is no failure, since it has a response.  `raise_on_refusal` and
`raise_on_incomplete` make errors of them, and so do the operators that make values of the answer: `parse_output`,
`partial_output` and `elements`.
"""

from .accumulate_response import accumulate_response
from .accumulate_text import accumulate_text
from .charge import charge
from .collect_text import collect_text
from .elements import elements
from .filter_by_type import filter_by_type
from .final_response import final_response
from .first_event_timeout import first_event_timeout
from .function_calls import function_calls
from .idle_timeout import idle_timeout
from .metrics import metrics
from .observe_pipeline import observe_pipeline
from .parse_output import parse_output
from .partial_output import partial_output
from .raise_on_failure import raise_on_failure
from .raise_on_incomplete import raise_on_incomplete
from .raise_on_refusal import raise_on_refusal
from .record import record
from .refusals import refusals
from .retry_with_backoff import retry_with_backoff
from .sentences import sentences
from .text_deltas import text_deltas
from .timeout_on_terminal import timeout_on_terminal
from .to_async_iterable import to_async_iterable
from .usage import usage

__all__ = [
    "accumulate_response",
    "accumulate_text",
    "charge",
    "collect_text",
    "elements",
    "filter_by_type",
    "final_response",
    "first_event_timeout",
    "function_calls",
    "idle_timeout",
    "metrics",
    "observe_pipeline",
    "parse_output",
    "partial_output",
    "raise_on_failure",
    "raise_on_incomplete",
    "raise_on_refusal",
    "record",
    "refusals",
    "retry_with_backoff",
    "sentences",
    "text_deltas",
    "timeout_on_terminal",
    "to_async_iterable",
    "usage",
]


def __dir__() -> list[str]:
    """Return the public names, for tab completion: the modules that begin with `_` are none."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
