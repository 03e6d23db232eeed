"""The tokens that the turns of a conversation used together."""

from __future__ import annotations

from ..wire.models import InputTokensDetails, OutputTokensDetails, ResponseUsage


def add_usage(total: ResponseUsage, usage: ResponseUsage | None) -> ResponseUsage:
    """Return the sum of two counts; a count that a server leaves out is 0."""
    if usage is None:
        return total
    return ResponseUsage(
        input_tokens=_sum(total.input_tokens, usage.input_tokens),
        input_tokens_details=InputTokensDetails(
            cached_tokens=_sum(
                getattr(total.input_tokens_details, "cached_tokens", None),
                getattr(usage.input_tokens_details, "cached_tokens", None),
            ),
            cache_write_tokens=_sum(
                getattr(total.input_tokens_details, "cache_write_tokens", None),
                getattr(usage.input_tokens_details, "cache_write_tokens", None),
            ),
        ),
        output_tokens=_sum(total.output_tokens, usage.output_tokens),
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=_sum(
                getattr(total.output_tokens_details, "reasoning_tokens", None),
                getattr(usage.output_tokens_details, "reasoning_tokens", None),
            )
        ),
        total_tokens=_sum(total.total_tokens, tokens_of(usage)),
    )


def tokens_of(usage: ResponseUsage | None) -> int:
    """Return the tokens of a response; the sum of both directions if the server gives no total."""
    return 0 if usage is None else usage.total_tokens or _sum(usage.input_tokens, usage.output_tokens)


def _sum(one: int | None, other: int | None) -> int:
    return (one or 0) + (other or 0)


NO_USAGE = add_usage(ResponseUsage(), ResponseUsage())
"""The usage of a conversation that has not begun: all counts are 0."""
