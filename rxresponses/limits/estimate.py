"""What a request is expected to use, by its size and by what the latest responses of its model used."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ..wire.models import ResponseUsage
from ..wire.requests import ResponseCreate
from .admission import Estimate
from .prices import PER_USD, Prices, is_known, tokens_of, units_of

BYTES_PER_TOKEN = 4  # of English text as JSON, by the usual rule of thumb
OUTPUT_TOKENS = 1000  # of a response, while nothing is known of its model and the request sets no limit
_ENCODED = b";base64,"
_BYTES_OF_FILE = 1000 * BYTES_PER_TOKEN
_WEIGHT = 1 / 8  # of the latest response in an average
_REMEMBERED = 256  # models
_MOST_TOKENS = 2**53 - 1  # of a response, as in what a server tells; a number of any length would overflow floats


class RequestSize(NamedTuple):
    """What is known of a request before it is sent.

    `frame_bytes` are those of text: see `text_bytes`.  `continues` says that the server adds input from its memory.
    """

    model: str | None
    frame_bytes: int
    max_output_tokens: int | None = None
    continues: bool = False
    generates: bool = True


def size_of(create: ResponseCreate, frame_bytes: int) -> RequestSize:
    """Return what is known of a request; `frame_bytes` is what `text_bytes` returns for its frame."""
    most = create.max_output_tokens
    return RequestSize(
        create.model if isinstance(create.model, str) else None,
        frame_bytes,
        min(most, _MOST_TOKENS) if isinstance(most, int) else None,
        any(isinstance(value, str) for value in (create.previous_response_id, create.conversation)),
        create.generate is not False,
    )


class _Averages:
    """Averages of the latest responses of a model, for requests that continue a response or that do not."""

    __slots__ = ("input_tokens", "output_tokens", "tokens_per_byte")

    def __init__(self) -> None:
        self.input_tokens: float | None = None
        self.output_tokens: float | None = None
        self.tokens_per_byte: float | None = None


class Estimator:
    """Estimates what requests use, and learns from what they have used.

    At first a token of input is taken for 4 bytes of text in the frame, and the output for `max_output_tokens`, or
    1,000 tokens without such a limit.  Once responses of the model have been settled, their averages count: of the
    tokens for each byte of a frame, or of the input where the server adds input from its memory, and of the output.
    """

    def __init__(self, prices: Prices | None = None) -> None:
        self._prices = prices
        self._averages: OrderedDict[tuple[str | None, bool], _Averages] = OrderedDict()

    def estimate(self, size: RequestSize) -> Estimate:
        """Return what a request is expected to use; the cost of a model without a price is 0."""
        averages = self._averages.get((size.model, size.continues)) or _Averages()
        input_tokens = size.frame_bytes * (averages.tokens_per_byte or 1 / BYTES_PER_TOKEN)
        if size.continues:
            input_tokens = max(averages.input_tokens or 0.0, size.frame_bytes / BYTES_PER_TOKEN)
        most = size.max_output_tokens
        output_tokens = averages.output_tokens
        if output_tokens is None:
            output_tokens = OUTPUT_TOKENS if most is None else most
        elif most is not None:
            output_tokens = min(output_tokens, most)
        usage = ResponseUsage(
            input_tokens=max(1, round(input_tokens)), output_tokens=round(output_tokens) if size.generates else 0
        )
        price = None if self._prices is None else self._prices.find(size.model)
        usd = 0.0 if price is None else units_of(usage, price) / PER_USD
        return Estimate(*tokens_of(usage), usd, size.model)

    def learn(self, size: RequestSize, usage: ResponseUsage | None) -> None:
        """Learn from what a response used."""
        if usage is None or not is_known(usage):
            return
        input_tokens, output_tokens = tokens_of(usage)
        key = (size.model, size.continues)
        averages = self._averages.setdefault(key, _Averages())
        self._averages.move_to_end(key)
        if len(self._averages) > _REMEMBERED:
            self._averages.popitem(last=False)
        if usage.input_tokens is not None:
            averages.input_tokens = _average(averages.input_tokens, input_tokens)
            averages.tokens_per_byte = _average(averages.tokens_per_byte, input_tokens / max(1, size.frame_bytes))
        if size.generates:
            averages.output_tokens = _average(averages.output_tokens, output_tokens)


def text_bytes(frame: bytes) -> int:
    """Return how many bytes of a request are text, so that four of them are about a token.

    An image or a file in Base64 has no tokens for its bytes: each counts as 1,000 tokens, a middling image.
    """
    count = len(frame)
    start = frame.find(_ENCODED)
    while start >= 0:
        end = max(frame.find(b'"', start), start + len(_ENCODED))
        count += min(0, _BYTES_OF_FILE - (end - start))
        start = frame.find(_ENCODED, end)
    return count


def _average(before: float | None, latest: float) -> float:
    return latest if before is None else before + (latest - before) * _WEIGHT
